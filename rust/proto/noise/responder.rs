// SPDX-License-Identifier: GPL-2.0

//! The responder's end of a handshake.

use super::{HandshakeError, Role, Session, StaticIdentity, Symmetric};
use crate::crypto::{Crypto, Rng};
use crate::keys::{PresharedKey, PrivateKey, PublicKey, SharedSecret};
use crate::time::Tai64n;
use crate::wire::{Index, Initiation, Maced as _, Response, Sealed};

/// An initiation of which only the sender's name is known yet, and not that it is true: whoever
/// knows our public key can make one up to here.
pub struct ReceivedInitiation {
    remote: PublicKey,
    ephemeral: PublicKey,
    sender: Index,
    timestamp: Sealed<{ Tai64n::LEN }>,
    state: Symmetric,
}

impl ReceivedInitiation {
    /// Decrypts the sender's static key. The authenticators have been checked before.
    #[inline(never)]
    pub fn open(
        message: &Initiation,
        identity: &StaticIdentity,
        crypto: &impl Crypto,
    ) -> Result<Self, HandshakeError> {
        let mut state = identity.responder.fork();
        state.mix_ephemeral(message.ephemeral(), crypto);
        let dh = crypto
            .dh(identity.private(), message.ephemeral())
            .map_err(HandshakeError::dh)?;
        let key = state.mix_dh_key(&dh, crypto);
        let mut remote = [0; 32];
        state
            .open(&key, message.static_key().as_bytes(), &mut remote, crypto)
            .map_err(|error| HandshakeError::open(error, HandshakeError::StaticKey))?;
        Ok(Self {
            remote: PublicKey::from_bytes(remote),
            ephemeral: *message.ephemeral(),
            sender: message.sender(),
            timestamp: *message.timestamp(),
            state,
        })
    }

    /// The public key of the peer that the sender claims to be.
    pub fn remote(&self) -> &PublicKey {
        &self.remote
    }

    /// Decrypts the time stamp, which proves that the sender is who it claims to be.
    #[inline(never)]
    pub(super) fn authenticate(
        &mut self,
        static_static: &SharedSecret,
        crypto: &impl Crypto,
    ) -> Result<(AuthenticInitiation<'_>, Tai64n), HandshakeError> {
        let key = self.state.mix_dh_key(static_static, crypto);
        let mut timestamp = [0; Tai64n::LEN];
        self.state
            .open(&key, self.timestamp.as_bytes(), &mut timestamp, crypto)
            .map_err(|error| HandshakeError::open(error, HandshakeError::Timestamp))?;
        Ok((AuthenticInitiation(self), Tai64n::from_bytes(timestamp)))
    }
}

/// An initiation that its sender has made, now or earlier. Can be answered once.
pub(super) struct AuthenticInitiation<'a>(&'a mut ReceivedInitiation);

impl AuthenticInitiation<'_> {
    /// Makes the response, and the session that it begins.
    #[inline(never)]
    pub(super) fn respond(
        self,
        psk: &PresharedKey,
        local: Index,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Result<(Response, Session), HandshakeError> {
        let Self(ReceivedInitiation {
            remote,
            ephemeral: remote_ephemeral,
            sender,
            state,
            ..
        }) = self;
        let ephemeral = PrivateKey::random(rng);
        let ephemeral_public = crypto.public_key(&ephemeral);
        state.mix_ephemeral(&ephemeral_public, crypto);
        let dh = crypto
            .dh(&ephemeral, remote_ephemeral)
            .map_err(HandshakeError::dh)?;
        state.mix_dh(&dh, crypto);
        let dh = crypto.dh(&ephemeral, remote).map_err(HandshakeError::dh)?;
        state.mix_dh(&dh, crypto);
        let key = state.mix_psk(psk, crypto);
        let mut empty = Sealed::ZERO;
        state
            .seal(&key, &[], empty.as_mut_bytes(), crypto)
            .map_err(HandshakeError::dh)?;
        let (receive, send) = state.split(crypto);
        let session = Session {
            role: Role::Responder,
            local,
            remote: *sender,
            send,
            receive,
        };
        Ok((
            Response::new(local, *sender, ephemeral_public, empty),
            session,
        ))
    }
}
