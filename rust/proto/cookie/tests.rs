// SPDX-License-Identifier: GPL-2.0

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use zerocopy::FromZeros as _;

use super::*;
use crate::keys::PrivateKey;
use crate::rustcrypto::{RustCrypto, SeededRng};
use crate::time::Instant;
use crate::wire::{Initiation, Maced, Response};

const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 51820);

/// A sender's jar and the receiver's checker.
struct Pair {
    rng: SeededRng,
    keys: MacKeys,
    jar: CookieJar,
    checker: CookieChecker,
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(0).saturating_add(Duration::from_secs(seconds))
}

impl Pair {
    fn new() -> Self {
        let mut rng = SeededRng::new(3);
        let public = RustCrypto.public_key(&PrivateKey::random(&mut rng));
        Self {
            keys: MacKeys::new(&public, &RustCrypto),
            jar: CookieJar::new(&public, &RustCrypto),
            checker: CookieChecker::new(at(0), &mut rng),
            rng,
        }
    }

    fn stamp(&mut self, now: u64) -> Initiation {
        let mut message = Initiation::new_zeroed();
        self.jar.stamp(&mut message, at(now), &RustCrypto);
        message
    }

    fn check(&mut self, message: &impl Maced, source: &SocketAddr, now: u64) -> MacState {
        self.checker.check(
            &self.keys,
            message,
            source,
            at(now),
            &mut self.rng,
            &RustCrypto,
        )
    }

    fn reply(&mut self, message: &impl Maced, now: u64) -> crate::wire::CookieReply {
        self.checker
            .reply(
                &self.keys,
                message,
                &SOURCE,
                at(now),
                &mut self.rng,
                &RustCrypto,
            )
            .unwrap()
    }

    /// The sender has got a cookie at `now`.
    fn with_cookie(now: u64) -> Self {
        let mut pair = Self::new();
        let message = pair.stamp(now);
        let reply = pair.reply(&message, now);
        pair.jar.receive(&reply, at(now), &RustCrypto).unwrap();
        pair
    }
}

/// Contract: C1
#[test]
fn mac1_needs_the_public_key() {
    let mut pair = Pair::new();
    let mut message = pair.stamp(0);
    assert!(pair.keys.check_mac1(&message, &RustCrypto));
    assert_eq!(pair.check(&message, &SOURCE, 0), MacState::ValidMac1);
    assert_eq!(message.macs().mac2, [0; 16]);
    message.macs_mut().mac1[0] ^= 1;
    assert!(!pair.keys.check_mac1(&message, &RustCrypto));
    assert_eq!(pair.check(&message, &SOURCE, 0), MacState::InvalidMac);
}

/// Contract: C2
#[test]
fn a_cookie_is_good_for_one_address() {
    let mut pair = Pair::with_cookie(1);
    let message = pair.stamp(2);
    assert_eq!(pair.check(&message, &SOURCE, 2), MacState::ValidCookie);
    let port = SocketAddr::new(SOURCE.ip(), 51821);
    assert_eq!(pair.check(&message, &port, 2), MacState::ValidMac1);
    let ip = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 51820);
    assert_eq!(pair.check(&message, &ip, 2), MacState::ValidMac1);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 51820);
    assert_eq!(pair.check(&message, &v6, 2), MacState::ValidMac1);
}

/// Contract: C5
#[test]
fn a_cookie_serves_responses_too() {
    let mut pair = Pair::with_cookie(1);
    let mut message = Response::new_zeroed();
    pair.jar.stamp(&mut message, at(2), &RustCrypto);
    assert_eq!(pair.check(&message, &SOURCE, 2), MacState::ValidCookie);
}

/// Contract: C1
#[test]
fn mac2_covers_mac1() {
    let mut pair = Pair::with_cookie(1);
    let mut message = pair.stamp(2);
    message.macs_mut().mac2[15] ^= 1;
    assert_eq!(pair.check(&message, &SOURCE, 2), MacState::ValidMac1);
}

/// Contract: C2
#[test]
fn the_secret_lives_two_minutes() {
    let mut pair = Pair::with_cookie(1);
    let message = pair.stamp(2);
    assert_eq!(pair.check(&message, &SOURCE, 119), MacState::ValidCookie);
    assert_eq!(pair.check(&message, &SOURCE, 120), MacState::ValidMac1);
    assert_eq!(pair.check(&message, &SOURCE, 121), MacState::ValidMac1);
}

/// Contract: C7
#[test]
fn a_cookie_is_used_for_115_seconds() {
    let mut pair = Pair::with_cookie(100);
    assert_ne!(pair.stamp(214).macs().mac2, [0; 16]);
    assert_eq!(pair.stamp(215).macs().mac2, [0; 16]);
    // It does not come back.
    assert_eq!(pair.stamp(101).macs().mac2, [0; 16]);
}

/// Contract: C7
#[test]
fn a_reply_answers_the_last_message_once() {
    let mut pair = Pair::new();
    let never_sent = Initiation::new_zeroed();
    let reply = pair.reply(&never_sent, 1);
    let unexpected = pair.jar.receive(&reply, at(1), &RustCrypto);
    assert_eq!(unexpected, Err(CookieError::Unexpected));

    let message = pair.stamp(1);
    let forged = pair.jar.receive(&reply, at(1), &RustCrypto);
    assert_eq!(forged, Err(CookieError::Forged));

    let reply = pair.reply(&message, 1);
    assert_eq!(reply.receiver(), message.sender());
    assert_eq!(pair.jar.receive(&reply, at(1), &RustCrypto), Ok(()));
    let again = pair.jar.receive(&reply, at(1), &RustCrypto);
    assert_eq!(again, Err(CookieError::Unexpected));
}

/// Contract: C3, C7
#[test]
fn a_reply_by_somebody_else_is_forged() {
    let mut pair = Pair::new();
    let message = pair.stamp(1);
    let public = RustCrypto.public_key(&PrivateKey::random(&mut pair.rng));
    pair.keys = MacKeys::new(&public, &RustCrypto);
    let reply = pair.reply(&message, 1);
    let forged = pair.jar.receive(&reply, at(1), &RustCrypto);
    assert_eq!(forged, Err(CookieError::Forged));
    assert_eq!(pair.stamp(2).macs().mac2, [0; 16]);
}

/// Contract: C2
#[test]
fn cookies_bind_ipv6_addresses() {
    let mut pair = Pair::new();
    let source = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 7);
    let message = pair.stamp(1);
    let reply = pair
        .checker
        .reply(
            &pair.keys,
            &message,
            &source,
            at(1),
            &mut pair.rng,
            &RustCrypto,
        )
        .unwrap();
    pair.jar.receive(&reply, at(1), &RustCrypto).unwrap();
    let message = pair.stamp(2);
    assert_eq!(pair.check(&message, &source, 2), MacState::ValidCookie);
    assert_eq!(pair.check(&message, &SOURCE, 2), MacState::ValidMac1);
}
