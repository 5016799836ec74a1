// SPDX-License-Identifier: GPL-2.0

//! The sender's side of the cookie mechanism, one per peer.

use super::{Cookie, MacKeys};
use crate::constants::{COOKIE_MAX_AGE, MAC_LEN};
use crate::crypto::Crypto;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::{CookieReply, Maced};

/// Why a cookie reply is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieError {
    /// No message was sent since the last cookie, so there is nothing to answer.
    Unexpected,
    /// The reply is not by this peer, or not to the last message.
    Forged,
}

/// Authenticates what is sent to one peer, with its last cookie if there is one.
pub struct CookieJar {
    keys: MacKeys,
    cookie: Option<(Cookie, Instant)>,
    /// `mac1` of the last message, while no cookie came for it.
    unanswered: Option<[u8; MAC_LEN]>,
}

impl CookieJar {
    /// A jar for messages to `remote`.
    pub fn new(remote: &PublicKey, crypto: &impl Crypto) -> Self {
        Self {
            keys: MacKeys::new(remote, crypto),
            cookie: None,
            unanswered: None,
        }
    }

    /// Fills in the authenticators of `message`, which is about to be sent.
    ///
    /// `mac2` stays zero unless a cookie younger than 115 s is there.
    pub fn stamp(&mut self, message: &mut impl Maced, now: Instant, crypto: &impl Crypto) {
        let mac1 = self.keys.mac1(message, crypto);
        message.macs_mut().mac1 = mac1;
        self.unanswered = Some(mac1);
        if matches!(&self.cookie, Some((_, born)) if now.is_past(*born, COOKIE_MAX_AGE)) {
            self.cookie = None;
        }
        message.macs_mut().mac2 = match &self.cookie {
            Some((cookie, _)) => cookie.mac2(message, crypto),
            None => [0; MAC_LEN],
        };
    }

    /// Takes the cookie out of `reply`. It serves the next message; nothing is to be resent.
    ///
    /// The caller has found this jar by [`CookieReply::receiver`].
    pub fn receive(
        &mut self,
        reply: &CookieReply,
        now: Instant,
        crypto: &impl Crypto,
    ) -> Result<(), CookieError> {
        let mac1 = self.unanswered.as_ref().ok_or(CookieError::Unexpected)?;
        let mut cookie = Cookie([0; MAC_LEN]);
        crypto
            .xopen(
                &self.keys.cookie,
                reply.nonce(),
                mac1,
                reply.cookie().as_bytes(),
                &mut cookie.0,
            )
            .map_err(|_| CookieError::Forged)?;
        self.cookie = Some((cookie, now));
        self.unanswered = None;
        Ok(())
    }
}
