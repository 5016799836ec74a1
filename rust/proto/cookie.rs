// SPDX-License-Identifier: GPL-2.0

//! The authenticators of handshake messages, and cookies: proof that a sender owns its address,
//! asked for by a loaded receiver (whitepaper, section 5.3 and 5.4.4 to 5.4.7).

mod checker;
mod jar;
mod load;

use crate::constants::{LABEL_COOKIE, LABEL_MAC1, MAC_LEN};
use crate::crypto::{eq_ct, wipe, Crypto};
use crate::keys::{PublicKey, SymmetricKey};
use crate::wire::Maced;

pub use checker::{CookieChecker, MacState};
pub use jar::{CookieError, CookieJar};
pub use load::LoadMonitor;

/// The keys that follow from the public key of whoever receives handshake messages.
pub struct MacKeys {
    mac1: [u8; 32],
    cookie: SymmetricKey,
}

impl MacKeys {
    /// The keys of `receiver`.
    pub fn new(receiver: &PublicKey, crypto: &impl Crypto) -> Self {
        let mut keys = Self {
            mac1: [0; 32],
            cookie: SymmetricKey::zeroed(),
        };
        crypto.hash(&[LABEL_MAC1, receiver.as_bytes()], &mut keys.mac1);
        crypto.hash(
            &[LABEL_COOKIE, receiver.as_bytes()],
            keys.cookie.as_mut_bytes(),
        );
        keys
    }

    /// Whether the sender of `message` knows the public key that these keys belong to.
    pub fn check_mac1(&self, message: &impl Maced, crypto: &impl Crypto) -> bool {
        eq_ct(&self.mac1(message, crypto), &message.macs().mac1)
    }

    fn mac1(&self, message: &impl Maced, crypto: &impl Crypto) -> [u8; MAC_LEN] {
        let mut mac = [0; MAC_LEN];
        crypto.mac(&self.mac1, &[message.covered()], &mut mac);
        mac
    }
}

/// The value that proves the ownership of an address: a MAC over it by the receiver's secret.
struct Cookie([u8; MAC_LEN]);

impl Cookie {
    /// The `mac2` of `message`, which covers all before it, `mac1` too.
    fn mac2(&self, message: &impl Maced, crypto: &impl Crypto) -> [u8; MAC_LEN] {
        let mut mac = [0; MAC_LEN];
        crypto.mac(
            &self.0,
            &[message.covered(), &message.macs().mac1],
            &mut mac,
        );
        mac
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests;
