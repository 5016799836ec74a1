// SPDX-License-Identifier: GPL-2.0

//! Addresses as numbers, and their prefixes.

use core::fmt;

/// An address as a number, the first bit on the wire being the most significant one: `u32` for
/// IPv4, `u128` for IPv6 (as `u32::from(Ipv4Addr)` and `u128::from(Ipv6Addr)` give them).
///
/// Bits are counted from the most significant one, from 0.
pub trait Address: Copy + Eq + Ord + fmt::Debug + Send + Sync + 'static {
    /// Bits of an address.
    const BITS: u8;

    /// How many bits `self` and `other` have in common at their beginning.
    fn common_bits(self, other: Self) -> u8;

    /// Bit number `index`, modulo [`Self::BITS`].
    fn bit(self, index: u8) -> bool;

    /// The first `count` bits; the others are zero. All bits if `count` is [`Self::BITS`] or more.
    fn first_bits(self, count: u8) -> Self;
}

impl Address for u32 {
    const BITS: u8 = 32;

    #[inline]
    fn common_bits(self, other: Self) -> u8 {
        narrow((self ^ other).leading_zeros())
    }

    #[inline]
    fn bit(self, index: u8) -> bool {
        // The rotation takes the bit to the lowest place.
        self.rotate_left(u32::from(index)) >> 31 != 0
    }

    #[inline]
    fn first_bits(self, count: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(count)).unwrap_or(0)
    }
}

impl Address for u128 {
    const BITS: u8 = 128;

    #[inline]
    fn common_bits(self, other: Self) -> u8 {
        narrow((self ^ other).leading_zeros())
    }

    #[inline]
    fn bit(self, index: u8) -> bool {
        let [high, low] = halves(self);
        let half = if index & 64 == 0 { high } else { low };
        half.rotate_left(u32::from(index)) >> 63 != 0
    }

    #[inline]
    fn first_bits(self, count: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(count)).unwrap_or(0)
    }
}

/// A count of bits, at most 128.
#[inline]
#[allow(clippy::as_conversions)]
const fn narrow(bits: u32) -> u8 {
    bits as u8
}

/// The high and the low 64 bits.
#[inline]
#[allow(clippy::as_conversions)]
const fn halves(value: u128) -> [u64; 2] {
    [(value >> 64) as u64, value as u64]
}

/// A prefix length greater than the number of bits of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidrError;

/// An address prefix.
///
/// Ordered by address, then length: a prefix comes before all that it contains.
///
/// # Invariants
///
/// `cidr` is at most `A::BITS`; the bits of `address` after the first `cidr` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix<A> {
    address: A,
    cidr: u8,
}

impl<A: Address> Prefix<A> {
    /// The first `cidr` bits of `address`; other bits may be anything.
    pub fn new(address: A, cidr: u8) -> Result<Self, CidrError> {
        if cidr > A::BITS {
            return Err(CidrError);
        }
        Ok(Self::truncated(address, cidr))
    }

    /// The first `cidr` bits of `address`, all of them if `cidr` is greater than their number.
    pub(super) fn truncated(address: A, cidr: u8) -> Self {
        // INVARIANT: both fields are cut off here.
        Self {
            address: address.first_bits(cidr),
            cidr: cidr.min(A::BITS),
        }
    }

    /// The address; bits after the prefix are zero.
    #[inline]
    pub fn address(&self) -> A {
        self.address
    }

    /// How many bits the prefix has.
    #[inline]
    pub fn cidr(&self) -> u8 {
        self.cidr
    }

    /// Whether `address` begins with this prefix.
    #[inline]
    pub fn contains(&self, address: A) -> bool {
        self.address.common_bits(address) >= self.cidr
    }

    /// How many bits both prefixes have in common at their beginning.
    #[inline]
    pub(super) fn common_bits(&self, other: &Self) -> u8 {
        self.address
            .common_bits(other.address)
            .min(self.cidr)
            .min(other.cidr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: N14, L2
    #[test]
    fn host_bits_are_cut_off() {
        let prefix = Prefix::new(0xc0a8_01ff_u32, 24).unwrap();
        assert_eq!((prefix.address(), prefix.cidr()), (0xc0a8_0100, 24));
        assert_eq!(Prefix::new(u32::MAX, 0).unwrap().address(), 0);
        assert_eq!(Prefix::new(u32::MAX, 32).unwrap().address(), u32::MAX);
        assert_eq!(Prefix::new(u128::MAX, 0).unwrap().address(), 0);
        assert_eq!(Prefix::new(u128::MAX, 1).unwrap().address(), 1 << 127);
        assert_eq!(
            Prefix::new(u128::MAX, 65).unwrap().address(),
            !(u128::MAX >> 65)
        );
        assert_eq!(Prefix::new(u128::MAX, 128).unwrap().address(), u128::MAX);
    }

    /// Contract: N5, L2
    #[test]
    fn too_long_prefixes_are_refused() {
        assert_eq!(Prefix::new(0_u32, 33), Err(CidrError));
        assert_eq!(Prefix::new(0_u32, 255), Err(CidrError));
        assert_eq!(Prefix::new(0_u128, 129), Err(CidrError));
    }

    #[test]
    fn bits_are_counted_from_the_left() {
        for index in 0..32 {
            assert!((1_u32 << (31 - index)).bit(index));
            assert!(!(!(1_u32 << (31 - index))).bit(index));
        }
        for index in 0..128 {
            assert!((1_u128 << (127 - index)).bit(index));
            assert!(!(!(1_u128 << (127 - index))).bit(index));
        }
    }

    #[test]
    fn common_bits_end_at_the_first_difference() {
        assert_eq!(0_u32.common_bits(0), 32);
        assert_eq!(0_u32.common_bits(1 << 31), 0);
        assert_eq!(0_u128.common_bits(0), 128);
        assert_eq!(0_u128.common_bits(1 << 63), 64);
        assert_eq!(0_u128.common_bits(1), 127);
    }
}
