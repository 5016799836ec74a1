// SPDX-License-Identifier: GPL-2.0

//! The handshake: Noise IKpsk2 (whitepaper, section 5.4; the Noise Protocol Framework).
//!
//! | who | has | does | gets |
//! |---|---|---|---|
//! | initiator | [`Handshake`] | [`Handshake::initiate`] | an [`Initiation`], and waits |
//! | responder | [`StaticIdentity`] | [`ReceivedInitiation::open`] | the initiator's public key |
//! | responder | its [`Handshake`] | [`Handshake::respond`] | a [`Response`] and a [`Session`] |
//! | initiator | [`Handshake`] | [`Handshake::response_received`] | a [`Session`] |
//!
//! The states between are types: what came with an initiation can answer it once and is then gone,
//! and only a sent initiation can read a response. A message that fails leaves everything as it
//! was; with one exception: the time stamp of an initiation, once authenticated, is remembered.
//!
//! The big steps are not inlined into each other: kernel stacks are small, and the frames are
//! needed one after another. A handshake wants process context and up to 3 KiB of stack, plus what
//! the provider needs.

mod handshake;
mod initiator;
mod responder;
mod symmetric;

use crate::cookie::MacKeys;
use crate::crypto::{Crypto, CryptoError};
use crate::keys::{PrivateKey, PublicKey, SymmetricKey};
use crate::wire::Index;

pub use handshake::Handshake;
pub use responder::ReceivedInitiation;
use symmetric::Symmetric;

#[cfg(doc)]
use crate::wire::{Initiation, Response};

/// Which end of a handshake made a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sent the initiation.
    Initiator,
    /// Answered it.
    Responder,
}

/// What a completed handshake leaves: two keys and the names of the session at both ends.
pub struct Session {
    /// Our end of the handshake.
    pub role: Role,
    /// Our index: what the peer's messages carry.
    pub local: Index,
    /// The peer's index: what our messages carry.
    pub remote: Index,
    /// The key of our messages.
    pub send: SymmetricKey,
    /// The key of the peer's messages.
    pub receive: SymmetricKey,
}

/// Why a handshake did not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// A public key has low order, so that there is no secret.
    WeakKey,
    /// The initiator's static key does not decrypt: the message is not for our key, or is forged.
    StaticKey,
    /// The time stamp does not decrypt: the sender does not own its static key.
    Timestamp,
    /// The time stamp is not greater than the last one.
    Replay,
    /// Less than 20 ms passed since the last initiation was accepted.
    Flood,
    /// The initiation was sent by another peer than this.
    WrongPeer,
    /// A response came, but no initiation waits for it, or it is for another one.
    Unexpected,
    /// The response does not decrypt: wrong preshared key, or forged.
    Confirmation,
    /// The crypto provider refused for a reason that input from outside cannot cause.
    Provider,
}

impl HandshakeError {
    /// For operations that only weak keys can make fail.
    fn dh(error: CryptoError) -> Self {
        match error {
            CryptoError::WeakKey => Self::WeakKey,
            CryptoError::Length | CryptoError::Forged => Self::Provider,
        }
    }

    /// For decryption; `forged` says what failed.
    fn open(error: CryptoError, forged: Self) -> Self {
        match error {
            CryptoError::Forged => forged,
            CryptoError::Length | CryptoError::WeakKey => Self::Provider,
        }
    }
}

/// Our own long-term key and what follows from it. Immutable: another key is another identity.
pub struct StaticIdentity {
    private: PrivateKey,
    public: PublicKey,
    macs: MacKeys,
    /// The state of a handshake with us as the responder, before its first message.
    responder: Symmetric,
}

impl StaticIdentity {
    /// The identity of `private`. One scalar multiplication.
    pub fn new(private: PrivateKey, crypto: &impl Crypto) -> Self {
        let public = crypto.public_key(&private);
        Self {
            private,
            public,
            macs: MacKeys::new(&public, crypto),
            responder: Symmetric::new(&public, crypto),
        }
    }

    /// The private key, clamped.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The keys for the authenticators of messages to us.
    pub fn macs(&self) -> &MacKeys {
        &self.macs
    }
}

#[cfg(test)]
mod tests;
