// SPDX-License-Identifier: GPL-2.0

//! The rate limiter against a naive model, and at its limits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wg_proto::ratelimit::{RateLimiter, Slot};
use wg_proto::rustcrypto::RustCrypto;
use wg_proto::time::Instant;

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn v6(net: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host))
}

fn limiter(slots: usize) -> RateLimiter<Vec<Slot>> {
    RateLimiter::new(vec![Slot::EMPTY; slots], [7; 16])
}

/// Counts in microseconds, remembers everybody for ever.
#[derive(Default)]
struct Model(HashMap<(u64, Vec<u8>), (u64, u64)>);

impl Model {
    fn allow(&mut self, scope: u64, ip: IpAddr, micros: u64) -> bool {
        let net = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets()[..8].to_vec(),
        };
        let (tokens, last) = self.0.entry((scope, net)).or_insert((250_000, micros));
        *tokens = (*tokens + micros - *last).min(250_000);
        *last = micros;
        if *tokens >= 50_000 {
            *tokens -= 50_000;
            return true;
        }
        false
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        events in prop::collection::vec((0u64..2, 0u8..8, any::<bool>(), 0u64..120_000), 1..400),
    ) {
        // Few enough sources that every set has room for all of them.
        let mut limiter = limiter(64);
        let mut model = Model::default();
        let mut now = 0;
        for (scope, host, six, wait) in events {
            now += wait;
            let ip = if six { v6(u16::from(host % 2), u16::from(host)) } else { v4(host % 2) };
            prop_assert_eq!(
                limiter.allow(scope, ip, at(now), &RustCrypto),
                model.allow(scope, ip, now)
            );
        }
    }
}

/// Contract: C6, L1
#[test]
fn burst_then_rate() {
    let mut limiter = limiter(16);
    let mut allowed = 0;
    for _ in 0..100 {
        allowed += u32::from(limiter.allow(0, v4(1), at(1), &RustCrypto));
    }
    assert_eq!(allowed, 5);
    assert!(!limiter.allow(0, v4(1), at(50_000), &RustCrypto));
    assert!(limiter.allow(0, v4(1), at(50_001), &RustCrypto));
    assert!(!limiter.allow(0, v4(1), at(50_002), &RustCrypto));
}

/// Contract: C6
#[test]
fn rate_over_ten_seconds() {
    let mut limiter = limiter(16);
    let allowed: u32 = (0..10_000)
        .map(|millis| u32::from(limiter.allow(0, v4(1), at(millis * 1000), &RustCrypto)))
        .sum();
    assert_eq!(allowed, 5 + 199);
}

/// Contract: C6
#[test]
fn ipv6_counts_by_64() {
    let mut limiter = limiter(16);
    for host in 0..5 {
        assert!(limiter.allow(0, v6(1, host), at(0), &RustCrypto));
    }
    assert!(!limiter.allow(0, v6(1, 6), at(0), &RustCrypto));
    assert!(limiter.allow(0, v6(2, 6), at(0), &RustCrypto));
    assert!(limiter.allow(1, v6(1, 6), at(0), &RustCrypto));
}

/// Contract: C6, L2
#[test]
fn a_full_table_denies() {
    let mut limiter = limiter(16);
    for host in 0..16 {
        assert!(limiter.allow(0, v4(host), at(0), &RustCrypto));
    }
    assert!(!limiter.allow(0, v4(16), at(0), &RustCrypto));
    // Those who are in stay in.
    assert!(limiter.allow(0, v4(3), at(0), &RustCrypto));
    // A full bucket makes room, and only that.
    assert!(!limiter.allow(0, v4(16), at(49_999), &RustCrypto));
    assert!(limiter.allow(0, v4(16), at(50_000), &RustCrypto));
}

#[test]
fn no_slots_deny() {
    assert!(!limiter(0).allow(0, v4(1), at(0), &RustCrypto));
    let mut few = limiter(3);
    for host in 0..3 {
        assert!(few.allow(0, v4(host), at(0), &RustCrypto));
    }
    assert!(!few.allow(0, v4(3), at(0), &RustCrypto));
}

#[test]
fn time_that_goes_back_gives_nothing() {
    let mut limiter = limiter(16);
    for _ in 0..5 {
        assert!(limiter.allow(0, v4(1), at(1_000_000), &RustCrypto));
    }
    assert!(!limiter.allow(0, v4(1), at(0), &RustCrypto));
    assert!(!limiter.allow(0, v4(1), at(1_000_000), &RustCrypto));
}
