// SPDX-License-Identifier: GPL-2.0

//! The initiator's end of a handshake.

use super::{HandshakeError, Role, Session, StaticIdentity, Symmetric};
use crate::crypto::{Crypto, Rng};
use crate::keys::{PresharedKey, PrivateKey, PublicKey, SharedSecret};
use crate::time::Tai64n;
use crate::wire::{Index, Initiation, Maced as _, Response, Sealed};

/// An initiation is on its way. The only thing that can read a response.
pub(super) struct InitiationSent {
    pub(super) local: Index,
    ephemeral: PrivateKey,
    state: Symmetric,
}

impl InitiationSent {
    /// Makes an initiation to `remote`; `static_static` is the secret shared with it.
    #[inline(never)]
    pub(super) fn new(
        identity: &StaticIdentity,
        remote: &PublicKey,
        static_static: &SharedSecret,
        local: Index,
        timestamp: Tai64n,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Result<(Self, Initiation), HandshakeError> {
        let mut state = Symmetric::new(remote, crypto);
        let ephemeral = PrivateKey::random(rng);
        let ephemeral_public = crypto.public_key(&ephemeral);
        state.mix_ephemeral(&ephemeral_public, crypto);

        let dh = crypto.dh(&ephemeral, remote).map_err(HandshakeError::dh)?;
        let key = state.mix_dh_key(&dh, crypto);
        let mut static_key = Sealed::ZERO;
        state
            .seal(
                &key,
                identity.public().as_bytes(),
                static_key.as_mut_bytes(),
                crypto,
            )
            .map_err(HandshakeError::dh)?;

        let key = state.mix_dh_key(static_static, crypto);
        let mut sealed_timestamp = Sealed::ZERO;
        state
            .seal(
                &key,
                timestamp.as_bytes(),
                sealed_timestamp.as_mut_bytes(),
                crypto,
            )
            .map_err(HandshakeError::dh)?;

        let message = Initiation::new(local, ephemeral_public, static_key, sealed_timestamp);
        let sent = Self {
            local,
            ephemeral,
            state,
        };
        Ok((sent, message))
    }

    /// Reads the response. A forged one must not end the wait for the true one, so `self` stays.
    #[inline(never)]
    pub(super) fn read_response(
        &self,
        identity: &StaticIdentity,
        psk: &PresharedKey,
        message: &Response,
        crypto: &impl Crypto,
    ) -> Result<Session, HandshakeError> {
        if message.receiver() != self.local {
            return Err(HandshakeError::Unexpected);
        }
        let mut state = self.state.fork();
        state.mix_ephemeral(message.ephemeral(), crypto);
        let dh = crypto
            .dh(&self.ephemeral, message.ephemeral())
            .map_err(HandshakeError::dh)?;
        state.mix_dh(&dh, crypto);
        let dh = crypto
            .dh(identity.private(), message.ephemeral())
            .map_err(HandshakeError::dh)?;
        state.mix_dh(&dh, crypto);
        let key = state.mix_psk(psk, crypto);
        state
            .open(&key, message.empty().as_bytes(), &mut [], crypto)
            .map_err(|error| HandshakeError::open(error, HandshakeError::Confirmation))?;
        let (send, receive) = state.split(crypto);
        Ok(Session {
            role: Role::Initiator,
            local: self.local,
            remote: message.sender(),
            send,
            receive,
        })
    }
}
