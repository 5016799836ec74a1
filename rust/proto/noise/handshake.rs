// SPDX-License-Identifier: GPL-2.0

//! What one end knows of handshakes with one peer.

use super::initiator::InitiationSent;
use super::responder::ReceivedInitiation;
use super::{HandshakeError, Session, StaticIdentity};
use crate::constants::{INITIATION_SPACING, REKEY_TIMEOUT};
use crate::crypto::{Crypto, CryptoError, Rng};
use crate::keys::{PresharedKey, PublicKey, SharedSecret};
use crate::time::{Instant, Tai64n};
use crate::wire::{Index, Initiation, Response};

/// The secret between two static keys, which every handshake of the two needs.
struct StaticStatic {
    /// Our public key for which it was computed: somebody who still holds the identity of
    /// yesterday must not leave its secret to the one of today.
    own: PublicKey,
    /// `None` if the peer's key has low order.
    secret: Option<SharedSecret>,
}

/// All that is known about one peer as far as handshakes go, and the one in flight.
///
/// At most one handshake is in flight; a later one, of either side, replaces it.
pub struct Handshake {
    remote: PublicKey,
    psk: PresharedKey,
    static_static: Option<StaticStatic>,
    sent: Option<InitiationSent>,
    /// The greatest time stamp accepted from the peer. Zero before the first.
    newest: Tai64n,
    /// When that was.
    accepted: Option<Instant>,
    /// When an initiation or a response last left.
    last_sent: Option<Instant>,
}

impl Handshake {
    /// Nothing in flight yet with the owner of `remote`.
    pub fn new(remote: PublicKey, psk: PresharedKey) -> Self {
        Self {
            remote,
            psk,
            static_static: None,
            sent: None,
            newest: Tai64n::from_bytes([0; Tai64n::LEN]),
            accepted: None,
            last_sent: None,
        }
    }

    /// The peer's public key.
    pub fn remote(&self) -> &PublicKey {
        &self.remote
    }

    /// The preshared key; all zeros if there is none.
    pub fn preshared_key(&self) -> &PresharedKey {
        &self.psk
    }

    /// Sets the preshared key for the handshakes that complete from now on.
    pub fn set_preshared_key(&mut self, psk: PresharedKey) {
        self.psk = psk;
    }

    /// The index of the initiation that waits for a response.
    pub fn in_flight(&self) -> Option<Index> {
        self.sent.as_ref().map(|sent| sent.local)
    }

    /// Forgets the handshake in flight and returns its index, which is free now.
    #[must_use]
    pub fn clear(&mut self) -> Option<Index> {
        let local = self.in_flight();
        // In its place: what is moved out of it leaves its bytes behind.
        self.sent = None;
        local
    }

    /// Our identity has changed: what was computed with the old one is forgotten, and an
    /// initiation may leave at once. Returns the index of the handshake in flight, free now.
    #[must_use]
    pub fn identity_changed(&mut self) -> Option<Index> {
        self.static_static = None;
        self.allow_initiation_now();
        self.clear()
    }

    /// Whether an initiation may leave: 5 s after the last initiation or response.
    pub fn may_initiate(&self, now: Instant) -> bool {
        self.last_sent
            .is_none_or(|last| now.is_past(last, REKEY_TIMEOUT))
    }

    /// An initiation or a response leaves.
    pub fn note_sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }

    /// The next initiation need not wait.
    pub fn allow_initiation_now(&mut self) {
        self.last_sent = None;
    }

    /// Begins a handshake under the name of `local`. Costs three scalar multiplications at most.
    ///
    /// Returns the message, which lacks its authenticators, and the index of the handshake that
    /// this one replaces. After an error nothing has changed and `local` is not in use.
    pub fn initiate(
        &mut self,
        identity: &StaticIdentity,
        local: Index,
        timestamp: Tai64n,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Result<(Initiation, Option<Index>), HandshakeError> {
        let remote = self.remote;
        let static_static = self.static_static(identity, crypto)?;
        let (sent, message) = InitiationSent::new(
            identity,
            &remote,
            static_static,
            local,
            timestamp,
            rng,
            crypto,
        )?;
        let replaced = self.in_flight();
        self.sent = Some(sent);
        Ok((message, replaced))
    }

    /// Completes our handshake. Its index goes on as that of the session.
    pub fn response_received(
        &mut self,
        identity: &StaticIdentity,
        message: &Response,
        crypto: &impl Crypto,
    ) -> Result<Session, HandshakeError> {
        let sent = self.sent.as_ref().ok_or(HandshakeError::Unexpected)?;
        let session = sent.read_response(identity, &self.psk, message, crypto)?;
        self.sent = None;
        Ok(session)
    }

    /// Answers the peer's initiation under the name of `local`.
    ///
    /// Returns the response, which lacks its authenticators, the session, whose index `local` is,
    /// and the index of our own initiation if one was in flight: the peer's replaces it.
    ///
    /// After an error `local` is not in use, and a handshake of our own is still in flight.
    pub fn respond(
        &mut self,
        mut initiation: ReceivedInitiation,
        identity: &StaticIdentity,
        local: Index,
        now: Instant,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Result<(Response, Session, Option<Index>), HandshakeError> {
        if initiation.remote() != &self.remote {
            return Err(HandshakeError::WrongPeer);
        }
        let static_static = self.static_static(identity, crypto)?;
        let (authentic, timestamp) = initiation.authenticate(static_static, crypto)?;
        if timestamp <= self.newest {
            return Err(HandshakeError::Replay);
        }
        if let Some(accepted) = self.accepted {
            if !now.is_past(accepted, INITIATION_SPACING) {
                return Err(HandshakeError::Flood);
            }
        }
        self.newest = timestamp;
        self.accepted = Some(now);
        let (response, session) = authentic.respond(&self.psk, local, rng, crypto)?;
        let replaced = self.clear();
        Ok((response, session, replaced))
    }

    /// The secret between our static key and the peer's, computed when first needed.
    fn static_static(
        &mut self,
        identity: &StaticIdentity,
        crypto: &impl Crypto,
    ) -> Result<&SharedSecret, HandshakeError> {
        let own = *identity.public();
        if self
            .static_static
            .as_ref()
            .is_none_or(|known| known.own != own)
        {
            // Before the new one is there, so that no error leaves that of another identity.
            self.static_static = None;
            let secret = match crypto.dh(identity.private(), &self.remote) {
                Ok(secret) => Some(secret),
                Err(CryptoError::WeakKey) => None,
                Err(error) => return Err(HandshakeError::dh(error)),
            };
            self.static_static = Some(StaticStatic { own, secret });
        }
        self.static_static
            .as_ref()
            .and_then(|known| known.secret.as_ref())
            .ok_or(HandshakeError::WeakKey)
    }
}
