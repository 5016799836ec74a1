// SPDX-License-Identifier: GPL-2.0

//! What the protocol needs from outside: cryptographic primitives and random bytes.

use core::hint::black_box;

use crate::keys::{PrivateKey, PublicKey, SharedSecret, SymmetricKey};

/// Why a primitive refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoError {
    /// An output buffer has not exactly the size that the input calls for.
    Length,
    /// The tag does not belong to this key, nonce, additional data and ciphertext.
    Forged,
    /// The result of a Diffie-Hellman is zero: the public key has low order.
    WeakKey,
}

/// Cryptographic primitives.
///
/// In the kernel this is `lib/crypto`; on the host it is behind the feature `rustcrypto`. Methods
/// may be called in any context in which the provider works; none sleeps or allocates.
pub trait Crypto {
    /// BLAKE2s-256 of the concatenation of `parts`, without a key.
    fn hash(&self, parts: &[&[u8]], out: &mut [u8; 32]);

    /// BLAKE2s-128 of the concatenation of `parts` with a key of 1 to 32 bytes.
    fn mac(&self, key: &[u8], parts: &[&[u8]], out: &mut [u8; 16]);

    /// ChaCha20-Poly1305 (RFC 8439) with the nonce `0u32 || counter` (little endian).
    ///
    /// `out` gets ciphertext and tag and must be exactly 16 bytes longer than `plaintext`.
    fn seal(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// The inverse of [`Crypto::seal`]; `out` must be exactly 16 bytes shorter than `ciphertext`.
    ///
    /// On error `out` holds nothing that may be used.
    fn open(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// XChaCha20-Poly1305; buffers as for [`Crypto::seal`].
    fn xseal(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// The inverse of [`Crypto::xseal`]; buffers as for [`Crypto::open`].
    fn xopen(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// X25519. A result of all zeros is [`CryptoError::WeakKey`].
    fn dh(&self, private: &PrivateKey, public: &PublicKey) -> Result<SharedSecret, CryptoError>;

    /// X25519 with the base point.
    fn public_key(&self, private: &PrivateKey) -> PublicKey;

    /// A short keyed hash for tables that strangers can fill (SipHash or the like).
    fn short_hash(&self, key: &[u8; 16], data: &[u8]) -> u64;
}

/// A source of random bytes fit for keys.
pub trait Rng {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// Whether `a` and `b` are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn eq_ct(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut difference = 0u8;
    for (x, y) in a.iter().zip(b) {
        // The compiler must not learn that the loop may stop at the first difference.
        difference = black_box(difference | (x ^ y));
    }
    difference == 0
}

/// Overwrites `bytes` with zeros although nobody reads them again.
#[inline]
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without `unsafe` there are no volatile writes; to the compiler this is a reader.
    black_box(bytes);
}

/// How much of the stack [`wipe_stack`] erases: more than a handshake needs with any provider.
const STACK: usize = 6 << 10;

/// Erases what functions that have returned left on the stack below the caller.
///
/// Secrets erase themselves where they are dropped, but a value that is moved leaves its bytes where
/// it was, and so do registers that were spilled. So whoever works with secrets calls this when they
/// are done, from outside of the functions that had them, which must not be inlined. Takes 6 KiB of
/// stack itself.
#[inline(never)]
pub fn wipe_stack() {
    let mut stack = [0; STACK];
    wipe(&mut stack);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_time_equality() {
        assert!(eq_ct(b"", b""));
        assert!(eq_ct(b"abc", b"abc"));
        assert!(!eq_ct(b"abc", b"abd"));
        assert!(!eq_ct(b"abc", b"Abc"));
        assert!(!eq_ct(b"abc", b"ab"));
    }

    #[test]
    fn wipe_zeroes() {
        let mut secret = [7; 9];
        wipe(&mut secret);
        assert_eq!(secret, [0; 9]);
    }
}
