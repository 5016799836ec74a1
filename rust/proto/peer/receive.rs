// SPDX-License-Identifier: GPL-2.0

//! Receiving.

use core::net::SocketAddr;

use super::{Env, Peer};
use crate::constants::TAG_LEN;
use crate::cookie::{CookieError, MacState};
use crate::crypto::{Crypto, Rng};
use crate::keypairs::rules::KeyError;
use crate::noise::{HandshakeError, ReceivedInitiation};
use crate::replay::ReplayError;
use crate::timers::Event;
use crate::wire::{
    inner_packet, CookieReply, Data, Initiation, InnerError, InnerPacket, Maced, Message, Response,
    WireError,
};

/// A UDP payload.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub source: SocketAddr,
    /// Whether the receiver has so much to do that it asks for cookies
    /// ([`LoadMonitor`](crate::cookie::LoadMonitor)).
    pub under_load: bool,
}

/// What an authentic message was. All but cookie replies tell where the peer is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A packet, in the beginning of the output buffer. The caller checks that the peer may use
    /// its source address.
    Packet(InnerPacket),
    /// Nothing but a sign of life.
    Keepalive,
    /// An initiation. The response is ready.
    Initiation,
    /// A response. There is a session.
    Response,
    /// A cookie for the next handshake message.
    CookieReply,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// It has not the form of a message.
    Wire(WireError),
    /// Its sender does not know our public key.
    Mac,
    /// We are under load and have asked for proof of the sender's address.
    CookieRequired,
    /// The handshake went wrong.
    Handshake(HandshakeError),
    /// All indices are in use: the random source is broken.
    NoIndex,
    /// A cookie reply for nobody, or one that is no good.
    Cookie(CookieError),
    /// No handshake or session has this index.
    UnknownIndex,
    /// The session may not be used any more.
    Key(KeyError),
    /// The output buffer is smaller than the plaintext.
    Buffer,
    /// It was not encrypted with the session's key.
    Forged,
    /// Authentic, but not new.
    Replay(ReplayError),
    /// Authentic, but there is no packet inside. (The sender's address counts nevertheless.)
    Inner(InnerError),
}

impl Peer {
    /// Takes a datagram. Packets are decrypted into `out`, which has room for the whole datagram.
    pub fn receive<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        datagram: &Datagram<'_>,
        out: &mut [u8],
    ) -> Result<Received, ReceiveError> {
        match Message::parse(datagram.bytes).map_err(ReceiveError::Wire)? {
            Message::Initiation(message) => {
                self.admit(env, message, datagram)?;
                self.initiation(env, message)
            }
            Message::Response(message) => {
                self.admit(env, message, datagram)?;
                self.response(env, message)
            }
            Message::CookieReply(message) => self.cookie_reply(env, message),
            Message::Data(message) => self.data(env, &message, out),
        }
    }

    /// Checks the authenticators of a handshake message.
    fn admit<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        message: &impl Maced,
        datagram: &Datagram<'_>,
    ) -> Result<(), ReceiveError> {
        let keys = self.identity.macs();
        if !datagram.under_load {
            return match keys.check_mac1(message, env.crypto) {
                true => Ok(()),
                false => Err(ReceiveError::Mac),
            };
        }
        let source = &datagram.source;
        let state = self
            .checker
            .check(keys, message, source, env.now, env.rng, env.crypto);
        match state {
            MacState::ValidCookie => Ok(()),
            MacState::InvalidMac => Err(ReceiveError::Mac),
            MacState::ValidMac1 => {
                self.cookie_reply = self
                    .checker
                    .reply(keys, message, source, env.now, env.rng, env.crypto)
                    .ok();
                Err(ReceiveError::CookieRequired)
            }
        }
    }

    fn initiation<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        message: &Initiation,
    ) -> Result<Received, ReceiveError> {
        let opened = ReceivedInitiation::open(message, &self.identity, env.crypto)
            .map_err(ReceiveError::Handshake)?;
        let local = self.new_index(env.rng).ok_or(ReceiveError::NoIndex)?;
        let (mut response, session, _replaced) = self
            .handshake
            .respond(
                opened,
                &self.identity,
                local,
                env.now,
                &mut *env.rng,
                env.crypto,
            )
            .map_err(ReceiveError::Handshake)?;
        self.sessions.install(session, env.now);
        self.jar.stamp(&mut response, env.now, env.crypto);
        self.response = Some(response);
        self.handshake.note_sent(env.now);
        self.note(Event::ResponseSent, env);
        self.note(Event::InitiationReceived, env);
        Ok(Received::Initiation)
    }

    fn response<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        message: &Response,
    ) -> Result<Received, ReceiveError> {
        let session = self
            .handshake
            .response_received(&self.identity, message, env.crypto)
            .map_err(ReceiveError::Handshake)?;
        self.sessions.install(session, env.now);
        self.note(Event::ResponseReceived, env);
        // The responder waits for a message under the new keys, be it an empty one.
        self.wants_keepalive = true;
        self.session_ready();
        Ok(Received::Response)
    }

    fn cookie_reply<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        message: &CookieReply,
    ) -> Result<Received, ReceiveError> {
        let index = message.receiver();
        if self.handshake.in_flight() != Some(index) && !self.sessions.has(index) {
            return Err(ReceiveError::UnknownIndex);
        }
        self.jar
            .receive(message, env.now, env.crypto)
            .map_err(ReceiveError::Cookie)?;
        Ok(Received::CookieReply)
    }

    fn data<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        message: &Data<'_>,
        out: &mut [u8],
    ) -> Result<Received, ReceiveError> {
        let place = self
            .sessions
            .find(message.header.receiver())
            .ok_or(ReceiveError::UnknownIndex)?;
        let keypair = self
            .sessions
            .get_mut(place)
            .ok_or(ReceiveError::UnknownIndex)?;
        keypair.may_receive(env.now).map_err(ReceiveError::Key)?;
        let counter = message.header.counter().0;
        let plaintext = out
            .get_mut(..message.sealed.len().saturating_sub(TAG_LEN))
            .ok_or(ReceiveError::Buffer)?;
        env.crypto
            .open(&keypair.receive, counter, &[], message.sealed, plaintext)
            .map_err(|_| ReceiveError::Forged)?;
        keypair
            .replay
            .check_and_update(counter)
            .map_err(ReceiveError::Replay)?;

        if self.sessions.confirm(place) {
            self.note(Event::SessionConfirmed, env);
            self.session_ready();
        }
        let old = self
            .sessions
            .current_mut()
            .is_some_and(|current| current.rekey_on_receive(env.now));
        if old && self.timers.claim_last_minute_rekey() {
            self.request_initiation(env);
        }
        if plaintext.is_empty() {
            self.note(Event::KeepaliveReceived, env);
            return Ok(Received::Keepalive);
        }
        self.note(Event::DataReceived, env);
        inner_packet(plaintext, plaintext.len())
            .map(Received::Packet)
            .map_err(ReceiveError::Inner)
    }
}
