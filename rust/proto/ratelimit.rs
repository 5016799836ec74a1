// SPDX-License-Identifier: GPL-2.0

//! How often one source may cause the work of a handshake: a token bucket per source.

use core::net::IpAddr;

use crate::constants::{HANDSHAKES_PER_SECOND, HANDSHAKE_BURST};
use crate::crypto::Crypto;
use crate::time::Instant;

/// Nanoseconds of waiting that one message costs.
const COST: u64 = 1_000_000_000 / HANDSHAKES_PER_SECOND;
/// Nanoseconds of waiting that a bucket can hold.
const CAPACITY: u64 = COST * HANDSHAKE_BURST;
/// Slots in which the bucket of one source can lie.
const WAYS: usize = 16;

/// Whose bucket it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source {
    /// What tells apart equal addresses of different worlds (network namespaces).
    scope: u64,
    /// An IPv4 address, or the first half of an IPv6 address: one customer has at least that much.
    net: u64,
    v6: bool,
}

impl Source {
    fn new(scope: u64, ip: IpAddr) -> Self {
        let (net, v6) = match ip {
            IpAddr::V4(ip) => (u64::from(ip.to_bits()), false),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), true)
            }
        };
        Self { scope, net, v6 }
    }

    fn hash(&self, key: &[u8; 16], crypto: &impl Crypto) -> u64 {
        let mut bytes = [0; 17];
        let words = self.scope.to_ne_bytes().into_iter();
        let fields = words
            .chain(self.net.to_ne_bytes())
            .chain([u8::from(self.v6)]);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        crypto.short_hash(key, &bytes)
    }
}

#[derive(Clone, Copy)]
struct Bucket {
    source: Source,
    /// Nanoseconds of waiting in the bucket at `last`.
    tokens: u64,
    last: Instant,
}

impl Bucket {
    fn tokens(&self, now: Instant) -> u64 {
        let waited = now.as_nanos().saturating_sub(self.last.as_nanos());
        self.tokens.saturating_add(waited).min(CAPACITY)
    }
}

/// Room for the bucket of one source.
#[derive(Clone, Copy, Default)]
pub struct Slot(Option<Bucket>);

impl Slot {
    /// A slot without a bucket.
    pub const EMPTY: Self = Self(None);
}

/// Limits handshake messages to 20 a second and 5 at once, per IPv4 address or IPv6 /64.
///
/// The table has a fixed size and looks at 16 slots for a source. A bucket that is full again says
/// no more than none, so its slot is free for others. When all 16 slots are in use by others, the
/// answer is no: strangers cannot make room by pushing others out.
pub struct RateLimiter<S> {
    slots: S,
    key: [u8; 16],
}

impl<S: AsMut<[Slot]>> RateLimiter<S> {
    /// A limiter over `slots`; their number is the number of sources that it can follow at a time
    /// and should be a multiple of 16. `key` is random and keeps strangers from choosing slots.
    pub const fn new(slots: S, key: [u8; 16]) -> Self {
        Self { slots, key }
    }

    /// Whether a message from `ip` may be processed now. Takes a token if so.
    ///
    /// `scope` tells apart equal addresses of different networks.
    pub fn allow(&mut self, scope: u64, ip: IpAddr, now: Instant, crypto: &impl Crypto) -> bool {
        let source = Source::new(scope, ip);
        let hash = source.hash(&self.key, crypto);
        let mut free = None;
        for slot in Self::set(self.slots.as_mut(), hash) {
            match &mut slot.0 {
                Some(bucket) if bucket.source == source => {
                    let tokens = bucket.tokens(now);
                    let left = tokens.checked_sub(COST);
                    bucket.tokens = left.unwrap_or(tokens);
                    bucket.last = now.max(bucket.last);
                    return left.is_some();
                }
                Some(bucket) if bucket.tokens(now) < CAPACITY => {}
                _ => free = free.or(Some(slot)),
            }
        }
        match free {
            Some(slot) => {
                slot.0 = Some(Bucket {
                    source,
                    tokens: CAPACITY - COST,
                    last: now,
                });
                true
            }
            None => false,
        }
    }

    /// The slots in which a source with this hash may lie.
    fn set(slots: &mut [Slot], hash: u64) -> impl Iterator<Item = &mut Slot> {
        let sets = u64::try_from(slots.len().div_ceil(WAYS)).unwrap_or(u64::MAX);
        let set = hash.checked_rem(sets).unwrap_or(0);
        let first = usize::try_from(set).unwrap_or(0).saturating_mul(WAYS);
        slots.iter_mut().skip(first).take(WAYS)
    }
}
