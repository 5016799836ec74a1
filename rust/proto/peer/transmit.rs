// SPDX-License-Identifier: GPL-2.0

//! Sending.

use super::session::Keypair;
use super::{Env, Peer};
use crate::constants::TAG_LEN;
use crate::crypto::{Crypto, Rng};
use crate::timers::Event;
use crate::wire::{padded_len, Counter, Data, DataHeader, Initiation};

/// Bytes of the longest message that [`Peer::poll_transmit`] makes: an initiation.
pub const MAX_CONTROL_LEN: usize = Initiation::LEN;

/// A message that [`Peer::poll_transmit`] has made: its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A handshake initiation.
    Initiation(usize),
    /// A handshake response.
    Response(usize),
    /// A cookie reply, to the source of the datagram that asked for it.
    CookieReply(usize),
    /// A data message without a packet.
    Keepalive(usize),
}

impl Transmit {
    /// The length of the message in bytes.
    pub const fn len(self) -> usize {
        match self {
            Self::Initiation(len)
            | Self::Response(len)
            | Self::CookieReply(len)
            | Self::Keepalive(len) => len,
        }
    }

    /// Never: every message has a header.
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no session that may send. A handshake has been asked for: keep the packet until
    /// [`Events::session_ready`](super::Events::session_ready), and call [`Peer::poll_transmit`].
    NoSession,
    /// A buffer is too small for the padded packet or for the message.
    Buffer,
}

impl Peer {
    /// Encrypts the packet in the first `len` bytes of `buffer` into `out` and returns the length
    /// of the message.
    ///
    /// `buffer` has room for the padding, 15 bytes at most, which is written there. `out` has room
    /// for 32 bytes more than that. `mtu` limits the padding (0: no limit).
    pub fn send_packet<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        buffer: &mut [u8],
        len: usize,
        mtu: usize,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let plaintext = buffer
            .get_mut(..padded_len(len, mtu))
            .ok_or(SendError::Buffer)?;
        let padding = plaintext.get_mut(len..).ok_or(SendError::Buffer)?;
        padding.fill(0);
        let sent = self.seal(env, plaintext, out)?;
        // Data proves as much as a keepalive that was about to be sent.
        self.wants_keepalive = false;
        self.note(Event::DataSent, env);
        self.keep_fresh(env);
        Ok(sent)
    }

    /// Makes the next message that is not a packet of the caller's, if one is to be sent now.
    ///
    /// To be called after every input until it returns `None`.
    pub fn poll_transmit<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        out: &mut [u8; MAX_CONTROL_LEN],
    ) -> Option<Transmit> {
        if let Some(reply) = self.cookie_reply.take() {
            return Some(Transmit::CookieReply(copy(reply.as_bytes(), out)));
        }
        if let Some(response) = self.response.take() {
            return Some(Transmit::Response(copy(response.as_bytes(), out)));
        }
        if core::mem::take(&mut self.wants_keepalive) {
            match self.seal(env, &[], out) {
                Ok(len) => {
                    self.note(Event::KeepaliveSent, env);
                    self.keep_fresh(env);
                    return Some(Transmit::Keepalive(len));
                }
                Err(_) => self.staged_keepalive = true,
            }
        }
        if core::mem::take(&mut self.wants_initiation) {
            return self.initiate(env, out);
        }
        None
    }

    fn initiate<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        out: &mut [u8],
    ) -> Option<Transmit> {
        let local = self.new_index(env.rng)?;
        // The only failure is a weak key of the peer: then nothing is ever sent to it.
        let (mut message, _replaced) = self
            .handshake
            .initiate(
                &self.identity,
                local,
                env.timestamp,
                &mut *env.rng,
                env.crypto,
            )
            .ok()?;
        self.jar.stamp(&mut message, env.now, env.crypto);
        self.handshake.note_sent(env.now);
        self.note(Event::InitiationSent, env);
        Some(Transmit::Initiation(copy(message.as_bytes(), out)))
    }

    /// Makes a data message under the current keypair; asks for a handshake if that cannot be.
    fn seal<C: Crypto, R: Rng>(
        &mut self,
        env: &mut Env<'_, C, R>,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let len = plaintext.len().saturating_add(Data::MIN_LEN);
        let message = out.get_mut(..len).ok_or(SendError::Buffer)?;
        let reserved = self.sessions.current_mut().and_then(|keypair| {
            let counter = keypair.reserve(env.now).ok()?;
            Some((keypair, counter))
        });
        let Some((keypair, counter)) = reserved else {
            self.request_initiation(env);
            return Err(SendError::NoSession);
        };
        let header = DataHeader::new(keypair.remote, Counter(counter));
        let (start, sealed) = message
            .split_first_chunk_mut::<{ DataHeader::LEN }>()
            .ok_or(SendError::Buffer)?;
        copy(header.as_bytes(), start);
        env.crypto
            .seal(&keypair.send, counter, &[], plaintext, sealed)
            .map_err(|_| SendError::Buffer)?;
        Ok(len)
    }

    /// Asks for a handshake if the current session should not be used much longer.
    fn keep_fresh<C: Crypto, R: Rng>(&mut self, env: &mut Env<'_, C, R>) {
        let current: Option<&mut Keypair> = self.sessions.current_mut();
        if current.is_some_and(|keypair| keypair.rekey_on_send(env.now)) {
            self.request_initiation(env);
        }
    }
}

/// Copies a message to the beginning of `out`, which is large enough.
fn copy(message: &[u8], out: &mut [u8]) -> usize {
    for (to, from) in out.iter_mut().zip(message) {
        *to = *from;
    }
    message.len()
}

const _: () = assert!(MAX_CONTROL_LEN >= DataHeader::LEN + TAG_LEN);
