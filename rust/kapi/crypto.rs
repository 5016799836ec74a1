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
    if a.len() != b.len() {
        return true;
    }
    // SAFETY: Both slices are valid for reads of this length.
    unsafe { bindings::wg_memneq(a.as_ptr().cast(), b.as_ptr().cast(), a.len()) }
}

/// A BLAKE2s computation on the way, which [`blake2s_with`] lends.
///
/// C counterpart: `struct blake2s_ctx`. It is never moved once it holds something, so that no copy
/// of a keyed state stays behind. `Drop` overwrites it.
pub struct Blake2s {
    ctx: Opaque<bindings::blake2s_ctx>,
}

impl Blake2s {
    /// Takes in more data.
    pub fn update(&mut self, data: &[u8]) {
        // SAFETY: The context is initialised, the data is valid for reads of its length.
        unsafe { bindings::blake2s_update(self.ctx.get(), data.as_ptr(), data.len()) };
    }
}

impl Drop for Blake2s {
    fn drop(&mut self) {
        // SAFETY: The context is valid for writes of its size.
        unsafe {
            bindings::wg_memzero(self.ctx.get().cast(), size_of::<bindings::blake2s_ctx>());
        }
    }
}

/// BLAKE2s of what `feed` puts in; `OUT` bytes (1 to 32, checked when compiling), with a key or
/// without. Of a key that is too long, the first 32 bytes count.
///
/// C counterpart: `blake2s_init_key`, `blake2s_update`, `blake2s_final`.
pub fn blake2s_with<const OUT: usize>(
    out: &mut [u8; OUT],
    key: Option<&[u8]>,
    feed: impl FnOnce(&mut Blake2s),
) {
    const { assert!(OUT >= 1 && OUT <= 32) };
    let key = key.unwrap_or(&[]);
    let key = key.get(..32).unwrap_or(key);
    let mut hash = Blake2s {
        ctx: Opaque::uninit(),
    };
    // SAFETY: The context is valid for writes, the key for reads of its length, which is at most
    // 32. The output length is in range.
    unsafe { bindings::wg_blake2s_init(hash.ctx.get(), OUT, key.as_ptr(), key.len()) };
    feed(&mut hash);
    // SAFETY: The context is initialised for an output of this length.
    unsafe { bindings::blake2s_final(hash.ctx.get(), out.as_mut_ptr()) };
}

/// BLAKE2s of several pieces of data, as if they were one; the rest is as for [`blake2s_with`].
pub fn blake2s<const OUT: usize>(out: &mut [u8; OUT], key: Option<&[u8]>, parts: &[&[u8]]) {
    blake2s_with(out, key, |hash| {
        for part in parts {
            hash.update(part);
        }
    });
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
