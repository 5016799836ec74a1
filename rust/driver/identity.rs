// SPDX-License-Identifier: GPL-2.0

//! Who this interface is: its static key pair and what follows from it.

use wg_kapi::{
    rcu,
    shared::Shared, //
};
use wg_proto::{
    keys::{PrivateKey, PublicKey},
    noise::StaticIdentity, //
};

use crate::{
    crypto::KernelCrypto,
    device::Device, //
};

/// An identity, immutable: a change of private key makes a new one and publishes it under RCU.
///
/// A handshake may be under way in a worker while that happens. Each identity has a number, and
/// each peer remembers the number of the one that its handshake state belongs to: a worker with an
/// old snapshot finds that they differ and gives up, so that no session comes to be under an
/// identity that is gone.
pub(crate) struct Identity {
    keys: StaticIdentity,
    number: u64,
}

impl Identity {
    /// The identity with this private key. Costs one scalar multiplication.
    pub(crate) fn new(private: PrivateKey, number: u64) -> Self {
        Self {
            keys: StaticIdentity::new(private, &KernelCrypto),
            number,
        }
    }

    /// The identity of `device` now, if it has one.
    pub(crate) fn of(device: &Device) -> Option<Shared<Self>> {
        device.identity.load(&rcu::read_lock())?.get()
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> &StaticIdentity {
        &self.keys
    }

    /// Our public key.
    pub(crate) fn public(&self) -> &PublicKey {
        self.keys.public()
    }

    /// Its number among the identities of the interface.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this is the identity with that private key.
    pub(crate) fn has(&self, private: &PrivateKey) -> bool {
        self.keys.private().ct_eq(private)
    }
}
