// SPDX-License-Identifier: GPL-2.0

//! The running state of a handshake that both ends compute: chaining key and transcript hash.
//!
//! Steps are not inlined: kernel stacks are small, and the frames are needed one after another.

use crate::constants::{CONSTRUCTION, IDENTIFIER};
use crate::crypto::{wipe, Crypto, CryptoError};
use crate::keys::{PresharedKey, PublicKey, SharedSecret, SymmetricKey};

/// Chaining key and transcript hash ("C" and "H" in the whitepaper).
pub(super) struct Symmetric {
    chaining: SymmetricKey,
    hash: [u8; 32],
}

impl Symmetric {
    /// The state before the first message of a handshake with `responder`.
    pub(super) fn new(responder: &PublicKey, crypto: &impl Crypto) -> Self {
        let mut state = Self {
            chaining: SymmetricKey::zeroed(),
            hash: [0; 32],
        };
        crypto.hash(&[CONSTRUCTION], &mut state.hash);
        *state.chaining.as_mut_bytes() = state.hash;
        state.mix_hash(IDENTIFIER, crypto);
        state.mix_hash(responder.as_bytes(), crypto);
        state
    }

    /// A second copy, for an attempt that may fail.
    pub(super) fn fork(&self) -> Self {
        Self {
            chaining: SymmetricKey::from_bytes(self.chaining.as_bytes()),
            hash: self.hash,
        }
    }

    /// Adds something that both ends see to the transcript.
    fn mix_hash(&mut self, data: &[u8], crypto: &impl Crypto) {
        let before = self.hash;
        crypto.hash(&[&before, data], &mut self.hash);
    }

    /// Adds an ephemeral key. Because of the preshared key it also goes into the chaining key.
    #[inline(never)]
    pub(super) fn mix_ephemeral(&mut self, key: &PublicKey, crypto: &impl Crypto) {
        self.mix_hash(key.as_bytes(), crypto);
        let secret = self.extract(key.as_bytes(), crypto);
        expand(&secret, [self.chaining.as_mut_bytes()], crypto);
    }

    /// Adds a Diffie-Hellman after which nothing is encrypted.
    #[inline(never)]
    pub(super) fn mix_dh(&mut self, dh: &SharedSecret, crypto: &impl Crypto) {
        let secret = self.extract(dh.as_bytes(), crypto);
        expand(&secret, [self.chaining.as_mut_bytes()], crypto);
    }

    /// Adds a Diffie-Hellman and returns the key for the field that follows.
    #[inline(never)]
    pub(super) fn mix_dh_key(&mut self, dh: &SharedSecret, crypto: &impl Crypto) -> SymmetricKey {
        let mut key = SymmetricKey::zeroed();
        let secret = self.extract(dh.as_bytes(), crypto);
        expand(
            &secret,
            [self.chaining.as_mut_bytes(), key.as_mut_bytes()],
            crypto,
        );
        key
    }

    /// Adds the preshared key and returns the key for the field that follows.
    #[inline(never)]
    pub(super) fn mix_psk(&mut self, psk: &PresharedKey, crypto: &impl Crypto) -> SymmetricKey {
        let mut key = SymmetricKey::zeroed();
        let mut tau = [0; 32];
        let secret = self.extract(psk.as_bytes(), crypto);
        expand(
            &secret,
            [self.chaining.as_mut_bytes(), &mut tau, key.as_mut_bytes()],
            crypto,
        );
        self.mix_hash(&tau, crypto);
        wipe(&mut tau);
        key
    }

    /// Encrypts a field and adds it to the transcript. Every field has a key of its own.
    pub(super) fn seal(
        &mut self,
        key: &SymmetricKey,
        plaintext: &[u8],
        out: &mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(), CryptoError> {
        crypto.seal(key, 0, &self.hash, plaintext, out)?;
        self.mix_hash(out, crypto);
        Ok(())
    }

    /// Decrypts a field and adds it to the transcript.
    pub(super) fn open(
        &mut self,
        key: &SymmetricKey,
        ciphertext: &[u8],
        out: &mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(), CryptoError> {
        crypto.open(key, 0, &self.hash, ciphertext, out)?;
        self.mix_hash(ciphertext, crypto);
        Ok(())
    }

    /// Ends the handshake. The keys of the session: the initiator's sending key, then the
    /// responder's.
    pub(super) fn split(&self, crypto: &impl Crypto) -> (SymmetricKey, SymmetricKey) {
        let mut initiator = SymmetricKey::zeroed();
        let mut responder = SymmetricKey::zeroed();
        let secret = self.extract(&[], crypto);
        expand(
            &secret,
            [initiator.as_mut_bytes(), responder.as_mut_bytes()],
            crypto,
        );
        (initiator, responder)
    }

    fn extract(&self, input: &[u8], crypto: &impl Crypto) -> SymmetricKey {
        let mut secret = SymmetricKey::zeroed();
        hmac(&self.chaining, &[], input, secret.as_mut_bytes(), crypto);
        secret
    }
}

/// The expanding half of HKDF (RFC 5869) with HMAC-BLAKE2s: fills `outputs` one after another.
fn expand<const N: usize>(
    secret: &SymmetricKey,
    outputs: [&mut [u8; 32]; N],
    crypto: &impl Crypto,
) {
    let mut previous: Option<&[u8; 32]> = None;
    for (out, number) in outputs.into_iter().zip(1u8..) {
        let before = previous.map_or(&[][..], |bytes| &bytes[..]);
        hmac(secret, before, &[number], out, crypto);
        previous = Some(out);
    }
}

/// HMAC (RFC 2104) with BLAKE2s-256 over `first || second`.
fn hmac(key: &SymmetricKey, first: &[u8], second: &[u8], out: &mut [u8; 32], crypto: &impl Crypto) {
    const INNER: u8 = 0x36;
    const OUTER: u8 = 0x5c;
    let mut pad = [INNER; 64];
    for (byte, key) in pad.iter_mut().zip(key.as_bytes()) {
        *byte ^= key;
    }
    let mut digest = [0; 32];
    crypto.hash(&[&pad, first, second], &mut digest);
    for byte in &mut pad {
        *byte ^= INNER ^ OUTER;
    }
    crypto.hash(&[&pad, &digest], out);
    wipe(&mut pad);
    wipe(&mut digest);
}
