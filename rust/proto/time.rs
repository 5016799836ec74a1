// SPDX-License-Identifier: GPL-2.0

//! Points in time: a monotonic one for deadlines and ages, and the TAI64N stamp of a handshake.

use core::time::Duration;

/// A point on a clock that never goes back and that counts suspend time (`CLOCK_BOOTTIME`).
///
/// Only differences mean anything. The zero point is whatever the caller's clock has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant `nanos` nanoseconds after the clock's zero point.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's zero point.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `self + delta`, or the end of time (year 2554 on a clock that starts in 1970) if later.
    #[inline]
    pub const fn saturating_add(self, delta: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delta)))
    }

    /// `self - delta`, or the clock's zero point if earlier.
    #[inline]
    pub const fn saturating_sub(self, delta: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(delta)))
    }

    /// Time passed from `earlier` to `self`; zero if `earlier` is in fact later.
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whether at least `age` has passed from `earlier` to `self`.
    #[inline]
    pub const fn is_past(self, earlier: Self, age: Duration) -> bool {
        self.0.saturating_sub(earlier.0) >= nanos(age)
    }
}

/// A duration in nanoseconds, saturating at `u64::MAX` (584 years).
#[inline]
const fn nanos(delta: Duration) -> u64 {
    delta
        .as_secs()
        .saturating_mul(1_000_000_000)
        // `Duration::from` is not const; this widening cannot lose anything.
        .saturating_add(widen(delta.subsec_nanos()))
}

/// `u64::from`, usable in const functions.
#[inline]
#[allow(clippy::as_conversions)]
const fn widen(value: u32) -> u64 {
    value as u64
}

/// The low bits of the nanoseconds that a [`Tai64n`] does not reveal: 2^24 ns, about 17 ms.
const WHITENING_MASK: u32 = (1 << 24) - 1;

/// A TAI64N timestamp: big-endian 2^62 + 10 + Unix seconds (8 bytes), then nanoseconds (4 bytes).
///
/// The initiator of a handshake proves with it that its message is not a replay: the responder
/// only accepts stamps greater than the last one. Order is the order of the bytes. (Whitepaper,
/// section 5.4.2.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64n([u8; 12]);

impl Tai64n {
    /// Bytes of a stamp.
    pub const LEN: usize = 12;

    /// The stamp of `seconds` and `nanoseconds` after 1970-01-01 00:00:00 UTC.
    ///
    /// Nanoseconds are rounded down to 2^24 ns, so that the stamp tells little about the machine's
    /// clock and load.
    pub fn from_unix(seconds: u64, nanoseconds: u32) -> Self {
        /// 2^62 marks seconds of this era; TAI was 10 s ahead of UTC in 1970.
        const EPOCH: u64 = 0x4000_0000_0000_000a;
        let secs = EPOCH.wrapping_add(seconds).to_be_bytes();
        let nsec = (nanoseconds & !WHITENING_MASK).to_be_bytes();
        let mut bytes = [0; Self::LEN];
        for (to, from) in bytes.iter_mut().zip(secs.iter().chain(nsec.iter())) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The stamp with these bytes, as received.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The bytes as they go on the wire (inside the encrypted field).
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: H3
    #[test]
    fn tai64n_layout() {
        let t = Tai64n::from_unix(1, 0x1234_5678);
        assert_eq!(t.as_bytes(), &[0x40, 0, 0, 0, 0, 0, 0, 0x0b, 0x12, 0, 0, 0]);
    }

    /// Contract: H3
    #[test]
    fn tai64n_order() {
        let a = Tai64n::from_unix(1, 999_999_999);
        let b = Tai64n::from_unix(2, 0);
        assert!(a < b);
        assert_eq!(Tai64n::from_unix(7, 0), Tai64n::from_unix(7, 0x00ff_ffff));
        assert!(Tai64n::from_unix(7, 0) < Tai64n::from_unix(7, 0x0100_0000));
    }

    #[test]
    fn instants_saturate() {
        let zero = Instant::from_nanos(0);
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end.saturating_add(Duration::from_secs(1)), end);
        assert_eq!(zero.saturating_add(Duration::MAX), end);
        assert_eq!(zero.saturating_sub(Duration::from_secs(1)), zero);
        assert_eq!(zero.saturating_since(end), Duration::ZERO);
        let later = zero.saturating_add(Duration::new(1, 5));
        assert_eq!(later.as_nanos(), 1_000_000_005);
        assert_eq!(later.saturating_since(zero), Duration::new(1, 5));
        assert!(later.is_past(zero, Duration::new(1, 5)));
        assert!(!later.is_past(zero, Duration::new(1, 6)));
    }
}
