// SPDX-License-Identifier: GPL-2.0

//! What the protocol core asks of its surroundings, answered by the kernel: primitives from
//! `lib/crypto`, randomness, clocks.

use core::time::Duration;

use wg_kapi::{
    clock,
    crypto as lib,
    random, //
};
use wg_proto::{
    constants::{REKEY_JITTER, TAG_LEN},
    crypto::{Crypto, CryptoError, Rng},
    keys::{PrivateKey, PublicKey, SharedSecret, SymmetricKey},
    time::{Instant, Tai64n}, //
};

/// The primitives of `lib/crypto`.
pub(crate) struct KernelCrypto;

/// What a function of [`lib`] that checks lengths says.
fn checked(lengths_fit: bool) -> Result<(), CryptoError> {
    lengths_fit.then_some(()).ok_or(CryptoError::Length)
}

/// What a decryption of `ciphertext` to `out` says.
fn authentic(opened: bool, ciphertext: &[u8], out: &[u8]) -> Result<(), CryptoError> {
    if ciphertext.len().checked_sub(TAG_LEN) != Some(out.len()) {
        return Err(CryptoError::Length);
    }
    opened.then_some(()).ok_or(CryptoError::Forged)
}

impl Crypto for KernelCrypto {
    fn hash(&self, parts: &[&[u8]], out: &mut [u8; 32]) {
        lib::blake2s(out, None, parts);
    }

    fn mac(&self, key: &[u8], parts: &[&[u8]], out: &mut [u8; 16]) {
        lib::blake2s(out, Some(key), parts);
    }

    fn seal(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        checked(lib::chacha20poly1305_encrypt(
            out,
            plaintext,
            additional,
            counter,
            key.as_bytes(),
        ))
    }

    fn open(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let opened =
            lib::chacha20poly1305_decrypt(out, ciphertext, additional, counter, key.as_bytes());
        authentic(opened, ciphertext, out)
    }

    fn xseal(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        checked(lib::xchacha20poly1305_encrypt(
            out,
            plaintext,
            additional,
            nonce,
            key.as_bytes(),
        ))
    }

    fn xopen(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let opened =
            lib::xchacha20poly1305_decrypt(out, ciphertext, additional, nonce, key.as_bytes());
        authentic(opened, ciphertext, out)
    }

    fn dh(&self, private: &PrivateKey, public: &PublicKey) -> Result<SharedSecret, CryptoError> {
        let mut secret = SharedSecret::zeroed();
        if lib::curve25519(secret.as_mut_bytes(), private.as_bytes(), public.as_bytes()) {
            Ok(secret)
        } else {
            Err(CryptoError::WeakKey)
        }
    }

    fn public_key(&self, private: &PrivateKey) -> PublicKey {
        let mut public = [0; 32];
        // Fails only for a private key of zero, which is not a `PrivateKey`.
        let _ = lib::curve25519_public(&mut public, private.as_bytes());
        PublicKey::from_bytes(public)
    }

    fn short_hash(&self, key: &[u8; 16], data: &[u8]) -> u64 {
        lib::siphash(key, data)
    }
}

/// The kernel's random number generator.
pub(crate) struct KernelRng;

impl Rng for KernelRng {
    fn fill(&mut self, bytes: &mut [u8]) {
        random::fill(bytes);
    }
}

/// Now, on the clock of key ages and timers: coarse `CLOCK_BOOTTIME`. Any context.
#[inline]
pub(crate) fn now() -> Instant {
    Instant::from_nanos(clock::boottime_coarse_ns())
}

/// As [`now`], in nanoseconds, to be kept in an atomic. Any context.
#[inline]
pub(crate) fn now_ns() -> i64 {
    i64::try_from(now().as_nanos()).unwrap_or(i64::MAX)
}

/// The stamp of an initiation made now. Any context.
pub(crate) fn timestamp() -> Tai64n {
    let (seconds, nanoseconds) = clock::realtime();
    Tai64n::from_unix(u64::try_from(seconds).unwrap_or(0), nanoseconds)
}

/// Up to a third of a second, so that two ends do not stay in step. Any context.
pub(crate) fn jitter() -> Duration {
    let below = u32::try_from(REKEY_JITTER.as_millis()).unwrap_or(1);
    Duration::from_millis(u64::from(random::u32_below(below)))
}
