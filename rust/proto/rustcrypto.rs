// SPDX-License-Identifier: GPL-2.0

//! Primitives for the host, from the RustCrypto and dalek crates.

use core::hash::Hasher as _;

use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, FixedOutput as _, Mac};
use blake2::{Blake2s256, Blake2sMac};
use chacha20poly1305::aead::{AeadInPlace, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use siphasher::sip::SipHasher24;
use x25519_dalek::{x25519, X25519_BASEPOINT_BYTES};

use crate::constants::TAG_LEN;
use crate::crypto::{wipe, Crypto, CryptoError, Rng};
use crate::keys::{PrivateKey, PublicKey, SharedSecret, SymmetricKey};

/// The provider. Has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Crypto for RustCrypto {
    fn hash(&self, parts: &[&[u8]], out: &mut [u8; 32]) {
        let mut hash = Blake2s256::new();
        for part in parts {
            hash.update(part);
        }
        *out = hash.finalize().into();
    }

    fn mac(&self, key: &[u8], parts: &[&[u8]], out: &mut [u8; 16]) {
        // A key that is longer than the primitive takes is a bug of this crate's callers; the
        // all-zero MAC of an unusable key matches nothing that is ever sent.
        *out = [0; 16];
        if let Ok(mut mac) = <Blake2sMac<U16> as Mac>::new_from_slice(key) {
            for part in parts {
                Mac::update(&mut mac, part);
            }
            *out = mac.finalize_fixed().into();
        }
    }

    fn seal(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let aead = ChaCha20Poly1305::new(key.as_bytes().into());
        seal(&aead, &nonce(counter), additional, plaintext, out)
    }

    fn open(
        &self,
        key: &SymmetricKey,
        counter: u64,
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let aead = ChaCha20Poly1305::new(key.as_bytes().into());
        open(&aead, &nonce(counter), additional, ciphertext, out)
    }

    fn xseal(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let aead = XChaCha20Poly1305::new(key.as_bytes().into());
        seal(&aead, nonce, additional, plaintext, out)
    }

    fn xopen(
        &self,
        key: &SymmetricKey,
        nonce: &[u8; 24],
        additional: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let aead = XChaCha20Poly1305::new(key.as_bytes().into());
        open(&aead, nonce, additional, ciphertext, out)
    }

    fn dh(&self, private: &PrivateKey, public: &PublicKey) -> Result<SharedSecret, CryptoError> {
        let secret = SharedSecret::from_bytes(&x25519(*private.as_bytes(), *public.as_bytes()));
        if secret.ct_eq(&SharedSecret::zeroed()) {
            return Err(CryptoError::WeakKey);
        }
        Ok(secret)
    }

    fn public_key(&self, private: &PrivateKey) -> PublicKey {
        PublicKey::from_bytes(x25519(*private.as_bytes(), X25519_BASEPOINT_BYTES))
    }

    fn short_hash(&self, key: &[u8; 16], data: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(data);
        hasher.finish()
    }
}

/// Four zero bytes and the counter in little endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_le_bytes()) {
        *to = from;
    }
    nonce
}

fn seal<A: AeadInPlace, const N: usize>(
    aead: &A,
    nonce: &[u8; N],
    additional: &[u8],
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<(), CryptoError>
where
    for<'a> &'a chacha20poly1305::aead::Nonce<A>: From<&'a [u8; N]>,
{
    let (text, tag) = out
        .split_last_chunk_mut::<TAG_LEN>()
        .ok_or(CryptoError::Length)?;
    if text.len() != plaintext.len() {
        return Err(CryptoError::Length);
    }
    text.copy_from_slice(plaintext);
    let computed = aead
        .encrypt_in_place_detached(nonce.into(), additional, text)
        .map_err(|_| CryptoError::Length)?;
    tag.copy_from_slice(&computed);
    Ok(())
}

fn open<A: AeadInPlace, const N: usize>(
    aead: &A,
    nonce: &[u8; N],
    additional: &[u8],
    ciphertext: &[u8],
    out: &mut [u8],
) -> Result<(), CryptoError>
where
    for<'a> &'a chacha20poly1305::aead::Nonce<A>: From<&'a [u8; N]>,
{
    let (text, tag) = ciphertext
        .split_last_chunk::<TAG_LEN>()
        .ok_or(CryptoError::Length)?;
    if text.len() != out.len() {
        return Err(CryptoError::Length);
    }
    out.copy_from_slice(text);
    let tag = chacha20poly1305::aead::Tag::<A>::from_slice(tag);
    aead.decrypt_in_place_detached(nonce.into(), additional, out, tag)
        .map_err(|_| CryptoError::Forged)
}

/// Reproducible bytes for tests and simulations. **Not fit for keys**: whoever knows the seed knows
/// all of them.
#[derive(Clone, Debug)]
pub struct SeededRng {
    seed: [u8; 32],
    block: u64,
}

impl SeededRng {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        RustCrypto.hash(&[&seed.to_le_bytes()], &mut bytes);
        Self {
            seed: bytes,
            block: 0,
        }
    }

    /// The next 64 bits of the sequence.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl Rng for SeededRng {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let mut bytes = [0; 32];
            RustCrypto.hash(&[&self.seed, &self.block.to_le_bytes()], &mut bytes);
            self.block = self.block.wrapping_add(1);
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
            wipe(&mut bytes);
        }
    }
}
