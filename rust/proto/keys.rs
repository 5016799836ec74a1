// SPDX-License-Identifier: GPL-2.0

//! Keys. Secret ones erase themselves when dropped, cannot be copied or printed, and are compared
//! in constant time.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::crypto::{eq_ct, wipe, Rng};

/// A Curve25519 public key. Not secret.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes. Every value is accepted; a weak one fails when it is used.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name([u8; 32]);

        impl $name {
            /// The bytes of the secret. Whoever copies them has to erase the copy.
            #[inline]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Whether both are the same, in constant time.
            #[must_use]
            pub fn ct_eq(&self, other: &Self) -> bool {
                eq_ct(&self.0, &other.0)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                wipe(&mut self.0);
            }
        }
    };
}

macro_rules! plain_secret {
    ($(#[$doc:meta])* $name:ident) => {
        secret!($(#[$doc])* $name);

        impl $name {
            /// All zeros, to be filled through [`Self::as_mut_bytes`].
            #[inline]
            pub const fn zeroed() -> Self {
                Self([0; 32])
            }

            /// A copy of `bytes`.
            #[inline]
            pub const fn from_bytes(bytes: &[u8; 32]) -> Self {
                Self(*bytes)
            }

            /// The bytes, to be written in place.
            #[inline]
            pub fn as_mut_bytes(&mut self) -> &mut [u8; 32] {
                &mut self.0
            }
        }
    };
}

secret! {
    /// A Curve25519 private key.
    ///
    /// # Invariants
    ///
    /// Clamped: the low three bits and the highest bit are clear, the second highest is set.
    PrivateKey
}

impl PrivateKey {
    /// The clamped form of `bytes`; `None` if all are zero, which configuration tools use for
    /// "no key".
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Option<Self> {
        if eq_ct(bytes, &[0; 32]) {
            return None;
        }
        let mut key = Self(*bytes);
        key.clamp();
        Some(key)
    }

    /// A fresh key.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut key = Self([0; 32]);
        rng.fill(&mut key.0);
        key.clamp();
        key
    }

    fn clamp(&mut self) {
        let [first, .., last] = &mut self.0;
        *first &= 0xf8;
        *last = (*last & 0x7f) | 0x40;
    }
}

plain_secret! {
    /// The secret that two peers may share beforehand. All zeros means that there is none and is
    /// mixed in the same way.
    PresharedKey
}

plain_secret! {
    /// The result of a Diffie-Hellman.
    SharedSecret
}

plain_secret! {
    /// A key of the AEAD, or a chaining key on the way to one.
    SymmetricKey
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: H9
    #[test]
    fn clamping() {
        let key = PrivateKey::new(&[0xff; 32]).unwrap();
        assert_eq!(key.as_bytes().first(), Some(&0xf8));
        assert_eq!(key.as_bytes().last(), Some(&0x7f));
        assert!(PrivateKey::new(&[0; 32]).is_none());
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PrivateKey::new(&one).unwrap().as_bytes()[31], 0x40);
    }

    #[test]
    fn comparison() {
        let a = PresharedKey::from_bytes(&[1; 32]);
        assert!(a.ct_eq(&PresharedKey::from_bytes(&[1; 32])));
        assert!(!a.ct_eq(&PresharedKey::zeroed()));
    }
}
