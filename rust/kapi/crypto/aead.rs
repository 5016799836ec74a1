// SPDX-License-Identifier: GPL-2.0
//! ChaCha20-Poly1305 and XChaCha20-Poly1305.
//!
//! C header: [`include/crypto/chacha20poly1305.h`](srctree/include/crypto/chacha20poly1305.h)
//!
//! Context: any, but not hard interrupts. Nothing here allocates or sleeps.

use crate::bindings;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// Encrypts `src` to `dst`, which is [`TAG_LEN`] bytes longer.
///
/// C counterpart: `chacha20poly1305_encrypt`. Returns false if the lengths do not fit.
#[must_use]
pub fn chacha20poly1305_encrypt(
    dst: &mut [u8],
    src: &[u8],
    ad: &[u8],
    nonce: u64,
    key: &[u8; 32],
) -> bool {
    if dst.len().checked_sub(TAG_LEN) != Some(src.len()) {
        return false;
    }
    // SAFETY: All slices are valid for their lengths, and `dst` has room for the tag.
    unsafe {
        bindings::chacha20poly1305_encrypt(
            dst.as_mut_ptr(),
            src.as_ptr(),
            src.len(),
            ad.as_ptr(),
            ad.len(),
            nonce,
            key.as_ptr(),
        )
    };
    true
}

/// Decrypts `src` to `dst`, which is [`TAG_LEN`] bytes shorter.
///
/// C counterpart: `chacha20poly1305_decrypt`. Returns false if the tag is wrong or the lengths do
/// not fit; `dst` is not changed then.
#[must_use]
pub fn chacha20poly1305_decrypt(
    dst: &mut [u8],
    src: &[u8],
    ad: &[u8],
    nonce: u64,
    key: &[u8; 32],
) -> bool {
    if src.len().checked_sub(TAG_LEN) != Some(dst.len()) {
        return false;
    }
    // SAFETY: All slices are valid for their lengths, and `dst` has room for the message.
    unsafe {
        bindings::chacha20poly1305_decrypt(
            dst.as_mut_ptr(),
            src.as_ptr(),
            src.len(),
            ad.as_ptr(),
            ad.len(),
            nonce,
            key.as_ptr(),
        )
    }
}

/// Encrypts a buffer in place: the message, and [`TAG_LEN`] bytes for the tag at its end.
///
/// C counterpart: `chacha20poly1305_encrypt`. Returns false if there is no room for the tag.
#[must_use]
pub fn chacha20poly1305_encrypt_in_place(
    buffer: &mut [u8],
    ad: &[u8],
    nonce: u64,
    key: &[u8; 32],
) -> bool {
    let Some(len) = buffer.len().checked_sub(TAG_LEN) else {
        return false;
    };
    let data = buffer.as_mut_ptr();
    // SAFETY: All slices are valid for their lengths, and the buffer has room for the tag. Source
    // and destination may be the same: the cipher goes through them in step.
    unsafe {
        bindings::chacha20poly1305_encrypt(
            data,
            data,
            len,
            ad.as_ptr(),
            ad.len(),
            nonce,
            key.as_ptr(),
        )
    };
    true
}

/// Decrypts a buffer in place: the message, then its tag of [`TAG_LEN`] bytes.
///
/// C counterpart: `chacha20poly1305_decrypt`. Returns false if the tag is wrong or missing; the
/// buffer is not changed then. The tag stays where it is.
#[must_use]
pub fn chacha20poly1305_decrypt_in_place(
    buffer: &mut [u8],
    ad: &[u8],
    nonce: u64,
    key: &[u8; 32],
) -> bool {
    if buffer.len() < TAG_LEN {
        return false;
    }
    let data = buffer.as_mut_ptr();
    // SAFETY: All slices are valid for their lengths. Source and destination may be the same: the
    // tag is checked first, then the cipher goes through both in step.
    unsafe {
        bindings::chacha20poly1305_decrypt(
            data,
            data,
            buffer.len(),
            ad.as_ptr(),
            ad.len(),
            nonce,
            key.as_ptr(),
        )
    }
}

/// Encrypts `src` to `dst`, which is [`TAG_LEN`] bytes longer.
///
/// C counterpart: `xchacha20poly1305_encrypt`. Returns false if the lengths do not fit.
#[must_use]
pub fn xchacha20poly1305_encrypt(
    dst: &mut [u8],
    src: &[u8],
    ad: &[u8],
    nonce: &[u8; 24],
    key: &[u8; 32],
) -> bool {
    if dst.len().checked_sub(TAG_LEN) != Some(src.len()) {
        return false;
    }
    // SAFETY: All slices are valid for their lengths, and `dst` has room for the tag.
    unsafe {
        bindings::xchacha20poly1305_encrypt(
            dst.as_mut_ptr(),
            src.as_ptr(),
            src.len(),
            ad.as_ptr(),
            ad.len(),
            nonce.as_ptr(),
            key.as_ptr(),
        )
    };
    true
}

/// Decrypts `src` to `dst`, which is [`TAG_LEN`] bytes shorter.
///
/// C counterpart: `xchacha20poly1305_decrypt`. Returns false if the tag is wrong or the lengths do
/// not fit; `dst` is not changed then.
#[must_use]
pub fn xchacha20poly1305_decrypt(
    dst: &mut [u8],
    src: &[u8],
    ad: &[u8],
    nonce: &[u8; 24],
    key: &[u8; 32],
) -> bool {
    if src.len().checked_sub(TAG_LEN) != Some(dst.len()) {
        return false;
    }
    // SAFETY: All slices are valid for their lengths, and `dst` has room for the message.
    unsafe {
        bindings::xchacha20poly1305_decrypt(
            dst.as_mut_ptr(),
            src.as_ptr(),
            src.len(),
            ad.as_ptr(),
            ad.len(),
            nonce.as_ptr(),
            key.as_ptr(),
        )
    }
}
