// SPDX-License-Identifier: GPL-2.0
//! The primitives of `lib/crypto`, over slices.
//!
//! C headers: [`include/crypto/chacha20poly1305.h`](srctree/include/crypto/chacha20poly1305.h),
//! [`include/crypto/blake2s.h`](srctree/include/crypto/blake2s.h),
//! [`include/crypto/curve25519.h`](srctree/include/crypto/curve25519.h),
//! [`include/linux/siphash.h`](srctree/include/linux/siphash.h)
//!
//! Context: any, but not hard interrupts. Nothing here allocates or sleeps. Functions that check
//! lengths refuse with `false` and then have written nothing.

use crate::bindings;
use kernel::types::Opaque;

mod aead;

pub use aead::{
    chacha20poly1305_decrypt, //
    chacha20poly1305_decrypt_in_place,
    chacha20poly1305_encrypt,
    chacha20poly1305_encrypt_in_place,
    xchacha20poly1305_decrypt,
    xchacha20poly1305_encrypt,
    TAG_LEN,
};

/// Overwrites secrets in a way that the compiler must not leave out.
///
/// C counterpart: `memzero_explicit`.
#[inline]
pub fn memzero_explicit(data: &mut [u8]) {
    // SAFETY: The slice is valid for writes of its length.
    unsafe { bindings::wg_memzero(data.as_mut_ptr().cast(), data.len()) };
}

/// Tells whether the slices differ, in a time that depends on their length only.
///
/// C counterpart: `crypto_memneq`. Slices of different lengths differ.
#[inline]
pub fn memneq(a: &[u8], b: &[u8]) -> bool {
    // SAFETY: Both slices are valid for reads of this length.
    a.len() != b.len()
        || unsafe { bindings::wg_memneq(a.as_ptr().cast(), b.as_ptr().cast(), a.len()) }
}

/// A BLAKE2s computation.
///
/// C counterpart: `struct blake2s_ctx`. `Drop` overwrites the state.
pub struct Blake2s<const OUT: usize> {
    ctx: Opaque<bindings::blake2s_ctx>,
}

impl<const OUT: usize> Blake2s<OUT> {
    /// Starts a hash of `OUT` bytes (1 to 32, checked when compiling).
    pub fn new() -> Self {
        Self::start(&[])
    }

    /// Starts a keyed hash; of a key that is too long, the first 32 bytes count.
    pub fn keyed(key: &[u8]) -> Self {
        Self::start(key.get(..32).unwrap_or(key))
    }

    fn start(key: &[u8]) -> Self {
        const { assert!(OUT >= 1 && OUT <= 32) };
        let ctx = Opaque::uninit();
        // SAFETY: The context is valid for writes, the key for reads of its length, which is at
        // most 32. The output length is in range. It holds no pointer, so it may be moved.
        unsafe { bindings::wg_blake2s_init(ctx.get(), OUT, key.as_ptr(), key.len()) };
        Self { ctx }
    }

    /// Takes in more data.
    pub fn update(&mut self, data: &[u8]) -> &mut Self {
        // SAFETY: The context is initialised, the data is valid for reads of its length.
        unsafe { bindings::blake2s_update(self.ctx.get(), data.as_ptr(), data.len()) };
        self
    }

    /// Ends the computation.
    pub fn finish(self, out: &mut [u8; OUT]) {
        // SAFETY: The context is initialised for an output of this length.
        unsafe { bindings::blake2s_final(self.ctx.get(), out.as_mut_ptr()) };
    }
}

impl<const OUT: usize> Default for Blake2s<OUT> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const OUT: usize> Drop for Blake2s<OUT> {
    fn drop(&mut self) {
        // SAFETY: The context is valid for writes of its size.
        unsafe {
            bindings::wg_memzero(self.ctx.get().cast(), size_of::<bindings::blake2s_ctx>());
        }
    }
}

/// BLAKE2s of several pieces of data, as if they were one; `OUT` bytes, with or without a key.
///
/// C counterpart: `blake2s`.
pub fn blake2s<const OUT: usize>(out: &mut [u8; OUT], key: Option<&[u8]>, parts: &[&[u8]]) {
    let mut hash = Blake2s::<OUT>::keyed(key.unwrap_or(&[]));
    for part in parts {
        hash.update(part);
    }
    hash.finish(out);
}

/// Curve25519: `out = secret * point`.
///
/// C counterpart: `curve25519`. Returns false if the result is all zeros, as it is for points of
/// small order: it must not be used then.
#[must_use]
pub fn curve25519(out: &mut [u8; 32], secret: &[u8; 32], point: &[u8; 32]) -> bool {
    // SAFETY: All three are valid for 32 bytes.
    unsafe { bindings::curve25519(out.as_mut_ptr(), secret.as_ptr(), point.as_ptr()) }
}

/// The public key of a secret one.
///
/// C counterpart: `curve25519_generate_public`. Returns false if the secret is all zeros.
#[must_use]
pub fn curve25519_public(out: &mut [u8; 32], secret: &[u8; 32]) -> bool {
    // SAFETY: Both are valid for 32 bytes.
    unsafe { bindings::curve25519_generate_public(out.as_mut_ptr(), secret.as_ptr()) }
}

/// SipHash-2-4 of the data.
///
/// C counterpart: `siphash`.
pub fn siphash(key: &[u8; 16], data: &[u8]) -> u64 {
    // SAFETY: The key is valid for 16 bytes, the data for its length.
    unsafe { bindings::wg_siphash(key.as_ptr(), data.as_ptr().cast(), data.len()) }
}
