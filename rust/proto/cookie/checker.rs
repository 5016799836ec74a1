// SPDX-License-Identifier: GPL-2.0

//! The receiver's side of the cookie mechanism, one per device.

use core::net::{IpAddr, SocketAddr};

use super::{Cookie, MacKeys};
use crate::constants::{COOKIE_NONCE_LEN, COOKIE_SECRET_MAX_AGE, MAC_LEN};
use crate::crypto::{eq_ct, Crypto, CryptoError, Rng};
use crate::keys::SymmetricKey;
use crate::time::Instant;
use crate::wire::{CookieReply, Maced, Sealed};

/// What the authenticators of a handshake message prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacState {
    /// Nothing: the sender does not even know our public key. Drop.
    InvalidMac,
    /// That the sender knows our public key. Enough unless under load.
    ValidMac1,
    /// That the sender owns its address, too.
    ValidCookie,
}

/// Makes cookies and checks the authenticators made with them.
pub struct CookieChecker {
    secret: SymmetricKey,
    born: Instant,
}

impl CookieChecker {
    /// A checker with a fresh secret.
    pub fn new(now: Instant, rng: &mut impl Rng) -> Self {
        let mut secret = SymmetricKey::zeroed();
        rng.fill(secret.as_mut_bytes());
        Self { secret, born: now }
    }

    /// What the authenticators of `message`, which came from `source`, prove. `keys` are our own.
    ///
    /// A receiver that is not under load can save half of the work: see [`MacKeys::check_mac1`].
    pub fn check(
        &mut self,
        keys: &MacKeys,
        message: &impl Maced,
        source: &SocketAddr,
        now: Instant,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> MacState {
        if !keys.check_mac1(message, crypto) {
            return MacState::InvalidMac;
        }
        let mac2 = self.cookie(source, now, rng, crypto).mac2(message, crypto);
        if eq_ct(&mac2, &message.macs().mac2) {
            MacState::ValidCookie
        } else {
            MacState::ValidMac1
        }
    }

    /// The answer to `message`, which has a valid `mac1`, came from `source` and is not processed.
    pub fn reply(
        &mut self,
        keys: &MacKeys,
        message: &impl Maced,
        source: &SocketAddr,
        now: Instant,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Result<CookieReply, CryptoError> {
        let cookie = self.cookie(source, now, rng, crypto);
        let mut nonce = [0; COOKIE_NONCE_LEN];
        rng.fill(&mut nonce);
        let mut sealed = Sealed::<MAC_LEN>::ZERO;
        crypto.xseal(
            &keys.cookie,
            &nonce,
            &message.macs().mac1,
            &cookie.0,
            sealed.as_mut_bytes(),
        )?;
        Ok(CookieReply::new(message.sender(), nonce, sealed))
    }

    /// The cookie of `source`: address and port, as they are in the packet.
    fn cookie(
        &mut self,
        source: &SocketAddr,
        now: Instant,
        rng: &mut impl Rng,
        crypto: &impl Crypto,
    ) -> Cookie {
        if now.is_past(self.born, COOKIE_SECRET_MAX_AGE) {
            *self = Self::new(now, rng);
        }
        let port = source.port().to_be_bytes();
        let mut cookie = Cookie([0; MAC_LEN]);
        let secret = self.secret.as_bytes();
        match source.ip() {
            IpAddr::V4(ip) => crypto.mac(secret, &[&ip.octets(), &port], &mut cookie.0),
            IpAddr::V6(ip) => crypto.mac(secret, &[&ip.octets(), &port], &mut cookie.0),
        }
        cookie
    }
}
