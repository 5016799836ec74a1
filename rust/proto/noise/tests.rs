// SPDX-License-Identifier: GPL-2.0

use core::time::Duration;

use super::*;
use crate::crypto::Rng;
use crate::keys::PresharedKey;
use crate::rustcrypto::{RustCrypto, SeededRng};
use crate::time::{Instant, Tai64n};
use crate::wire::{Index, Initiation, Response};

const LOCAL: Index = Index(0x1111_1111);
const REMOTE: Index = Index(0x2222_2222);

/// Two ends and a clock.
struct Pair {
    rng: SeededRng,
    a: StaticIdentity,
    b: StaticIdentity,
    /// What `a` knows of `b`, and the other way round.
    a_to_b: Handshake,
    b_to_a: Handshake,
    now: Instant,
    stamp: u64,
}

impl Pair {
    fn new() -> Self {
        Self::with_psk(&[0; 32])
    }

    fn with_psk(psk: &[u8; 32]) -> Self {
        let mut rng = SeededRng::new(1);
        let a = StaticIdentity::new(PrivateKey::random(&mut rng), &RustCrypto);
        let b = StaticIdentity::new(PrivateKey::random(&mut rng), &RustCrypto);
        Self {
            a_to_b: Handshake::new(*b.public(), PresharedKey::from_bytes(psk)),
            b_to_a: Handshake::new(*a.public(), PresharedKey::from_bytes(psk)),
            rng,
            a,
            b,
            now: Instant::from_nanos(1_000_000_000),
            stamp: 1,
        }
    }

    /// Time passes; the next initiation has a later stamp.
    fn wait(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
        self.stamp += 1;
    }

    fn initiate(&mut self, local: Index) -> (Initiation, Option<Index>) {
        let stamp = Tai64n::from_unix(self.stamp, 0);
        self.a_to_b
            .initiate(&self.a, local, stamp, &mut self.rng, &RustCrypto)
            .unwrap()
    }

    fn respond(
        &mut self,
        message: &Initiation,
    ) -> Result<(Response, Session, Option<Index>), HandshakeError> {
        let received = ReceivedInitiation::open(message, &self.b, &RustCrypto)?;
        assert_eq!(received.remote(), self.a.public());
        self.b_to_a.respond(
            received,
            &self.b,
            REMOTE,
            self.now,
            &mut self.rng,
            &RustCrypto,
        )
    }

    fn read(&mut self, message: &Response) -> Result<Session, HandshakeError> {
        self.a_to_b.response_received(&self.a, message, &RustCrypto)
    }
}

fn same_session(initiator: &Session, responder: &Session) {
    assert_eq!(initiator.role, Role::Initiator);
    assert_eq!(responder.role, Role::Responder);
    assert_eq!(initiator.local, responder.remote);
    assert_eq!(initiator.remote, responder.local);
    assert!(initiator.send.ct_eq(&responder.receive));
    assert!(initiator.receive.ct_eq(&responder.send));
    assert!(!initiator.send.ct_eq(&initiator.receive));
}

/// Contract: H1
#[test]
fn both_ends_get_the_same_keys() {
    for psk in [[0; 32], [9; 32]] {
        let mut pair = Pair::with_psk(&psk);
        let (initiation, replaced) = pair.initiate(LOCAL);
        assert_eq!(replaced, None);
        let (response, theirs, replaced) = pair.respond(&initiation).unwrap();
        assert_eq!(replaced, None);
        let ours = pair.read(&response).unwrap();
        same_session(&ours, &theirs);
        assert_eq!(ours.local, LOCAL);
        assert_eq!(ours.remote, REMOTE);
    }
}

/// Contract: H5
#[test]
fn a_response_is_read_once() {
    let mut pair = Pair::new();
    let (initiation, _) = pair.initiate(LOCAL);
    let (response, ..) = pair.respond(&initiation).unwrap();
    pair.read(&response).unwrap();
    assert_eq!(pair.read(&response).err(), Some(HandshakeError::Unexpected));
    assert_eq!(pair.a_to_b.clear(), None);
}

/// Contract: H5
#[test]
fn a_later_initiation_replaces_the_earlier() {
    let mut pair = Pair::new();
    let (first, _) = pair.initiate(LOCAL);
    let (response, ..) = pair.respond(&first).unwrap();
    pair.wait(5000);
    let (_, replaced) = pair.initiate(Index(3));
    assert_eq!(replaced, Some(LOCAL));
    assert_eq!(pair.read(&response).err(), Some(HandshakeError::Unexpected));
    assert_eq!(pair.a_to_b.in_flight(), Some(Index(3)));
    assert_eq!(pair.a_to_b.clear(), Some(Index(3)));
}

/// Contract: H5
#[test]
fn the_peers_initiation_replaces_ours() {
    let mut pair = Pair::new();
    let stamp = Tai64n::from_unix(1, 0);
    pair.b_to_a
        .initiate(&pair.b, Index(7), stamp, &mut pair.rng, &RustCrypto)
        .unwrap();
    let (initiation, _) = pair.initiate(LOCAL);
    let (.., replaced) = pair.respond(&initiation).unwrap();
    assert_eq!(replaced, Some(Index(7)));
    assert_eq!(pair.b_to_a.in_flight(), None);
}

/// Contract: H4
#[test]
fn replays_and_floods() {
    let mut pair = Pair::new();
    let (first, _) = pair.initiate(LOCAL);
    pair.wait(0);
    let (second, _) = pair.initiate(LOCAL);
    pair.respond(&first).unwrap();
    assert_eq!(pair.respond(&first).err(), Some(HandshakeError::Replay));
    assert_eq!(pair.respond(&second).err(), Some(HandshakeError::Flood));
    pair.wait(19);
    assert_eq!(pair.respond(&second).err(), Some(HandshakeError::Flood));
    pair.wait(1);
    pair.respond(&second).unwrap();
    pair.wait(1000);
    assert_eq!(pair.respond(&first).err(), Some(HandshakeError::Replay));
    assert_eq!(pair.respond(&second).err(), Some(HandshakeError::Replay));
}

/// Contract: H5
#[test]
fn a_refused_initiation_leaves_ours_in_flight() {
    let mut pair = Pair::new();
    let (first, _) = pair.initiate(LOCAL);
    pair.respond(&first).unwrap();
    let stamp = Tai64n::from_unix(1, 0);
    pair.b_to_a
        .initiate(&pair.b, Index(7), stamp, &mut pair.rng, &RustCrypto)
        .unwrap();
    assert_eq!(pair.respond(&first).err(), Some(HandshakeError::Replay));
    assert_eq!(pair.b_to_a.in_flight(), Some(Index(7)));
}

#[test]
fn a_zero_stamp_is_never_accepted() {
    let mut pair = Pair::new();
    let zero = Tai64n::from_bytes([0; 12]);
    let (initiation, _) = pair
        .a_to_b
        .initiate(&pair.a, LOCAL, zero, &mut pair.rng, &RustCrypto)
        .unwrap();
    assert_eq!(
        pair.respond(&initiation).err(),
        Some(HandshakeError::Replay)
    );
}

/// Contract: H5
#[test]
fn forged_responses_do_not_end_the_wait() {
    let mut pair = Pair::new();
    let (initiation, _) = pair.initiate(LOCAL);
    let (response, theirs, _) = pair.respond(&initiation).unwrap();
    let mut forged = response;
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut forged);
    bytes[50] ^= 1;
    assert_eq!(pair.read(&forged).err(), Some(HandshakeError::Confirmation));
    let mut stray = response;
    zerocopy::IntoBytes::as_mut_bytes(&mut stray)[8] ^= 1;
    assert_eq!(pair.read(&stray).err(), Some(HandshakeError::Unexpected));
    let mut weak = response;
    zerocopy::IntoBytes::as_mut_bytes(&mut weak)[12..44].fill(0);
    assert_eq!(pair.read(&weak).err(), Some(HandshakeError::WeakKey));
    same_session(&pair.read(&response).unwrap(), &theirs);
}

/// Contract: H2
#[test]
fn every_bit_of_an_initiation_counts() {
    let mut pair = Pair::new();
    let (initiation, _) = pair.initiate(LOCAL);
    // From the ephemeral key to the end of the time stamp. (The highest bit of a curve point is
    // ignored by X25519, but not by the transcript.)
    for byte in 8..116 {
        let mut forged = initiation;
        zerocopy::IntoBytes::as_mut_bytes(&mut forged)[byte] ^= 0x80;
        let error = pair.respond(&forged).err().unwrap();
        let expected = if byte < 88 {
            HandshakeError::StaticKey
        } else {
            HandshakeError::Timestamp
        };
        assert_eq!(error, expected, "byte {byte}");
    }
    pair.respond(&initiation).unwrap();
}

/// Contract: H7
#[test]
fn preshared_keys_must_match() {
    let mut pair = Pair::new();
    let (initiation, _) = pair.initiate(LOCAL);
    pair.b_to_a
        .set_preshared_key(PresharedKey::from_bytes(&[1; 32]));
    let (response, ..) = pair.respond(&initiation).unwrap();
    assert_eq!(
        pair.read(&response).err(),
        Some(HandshakeError::Confirmation)
    );
    // The key counts when the response is read, not when the initiation is sent.
    pair.a_to_b
        .set_preshared_key(PresharedKey::from_bytes(&[1; 32]));
    pair.read(&response).unwrap();
}

/// Contract: H8
#[test]
fn weak_peers_get_no_initiation() {
    let mut pair = Pair::new();
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        let mut handshake = Handshake::new(PublicKey::from_bytes(weak), PresharedKey::zeroed());
        for _ in 0..2 {
            let stamp = Tai64n::from_unix(1, 0);
            let error = handshake
                .initiate(&pair.a, LOCAL, stamp, &mut pair.rng, &RustCrypto)
                .err();
            assert_eq!(error, Some(HandshakeError::WeakKey));
            assert_eq!(handshake.in_flight(), None);
        }
    }
}

/// Contract: H4
#[test]
fn an_initiation_belongs_to_its_sender() {
    let mut pair = Pair::new();
    let (initiation, _) = pair.initiate(LOCAL);
    let received = ReceivedInitiation::open(&initiation, &pair.b, &RustCrypto).unwrap();
    let mut other = Handshake::new(*pair.b.public(), PresharedKey::zeroed());
    let error = other
        .respond(
            received,
            &pair.b,
            REMOTE,
            pair.now,
            &mut pair.rng,
            &RustCrypto,
        )
        .err();
    assert_eq!(error, Some(HandshakeError::WrongPeer));
    assert!(matches!(
        ReceivedInitiation::open(&initiation, &pair.a, &RustCrypto).err(),
        Some(HandshakeError::StaticKey)
    ));
}

/// Contract: N11
#[test]
fn a_new_identity_forgets_the_old_secret() {
    let mut pair = Pair::new();
    let (_, _) = pair.initiate(LOCAL);
    let old = core::mem::replace(
        &mut pair.a,
        StaticIdentity::new(PrivateKey::random(&mut pair.rng), &RustCrypto),
    );
    pair.a_to_b.note_sent(pair.now);
    assert_eq!(pair.a_to_b.identity_changed(), Some(LOCAL));
    assert!(pair.a_to_b.may_initiate(pair.now));
    pair.b_to_a = Handshake::new(*pair.a.public(), PresharedKey::zeroed());
    // A straggler that still holds the old identity does not spoil the new one.
    let stamp = Tai64n::from_unix(1, 0);
    pair.a_to_b
        .initiate(&old, Index(5), stamp, &mut pair.rng, &RustCrypto)
        .unwrap();
    let (initiation, replaced) = pair.initiate(LOCAL);
    assert_eq!(replaced, Some(Index(5)));
    let (response, theirs, _) = pair.respond(&initiation).unwrap();
    same_session(&pair.read(&response).unwrap(), &theirs);
}

/// Contract: H10
#[test]
fn initiations_are_five_seconds_apart() {
    let mut pair = Pair::new();
    assert!(pair.a_to_b.may_initiate(pair.now));
    pair.a_to_b.note_sent(pair.now);
    assert!(!pair.a_to_b.may_initiate(pair.now));
    pair.wait(4999);
    assert!(!pair.a_to_b.may_initiate(pair.now));
    pair.wait(1);
    assert!(pair.a_to_b.may_initiate(pair.now));
    pair.a_to_b.note_sent(pair.now);
    pair.a_to_b.allow_initiation_now();
    assert!(pair.a_to_b.may_initiate(pair.now));
}

/// Contract: H9
#[test]
fn the_private_key_is_stored_clamped() {
    let mut bytes = [0; 32];
    SeededRng::new(2).fill(&mut bytes);
    bytes[0] |= 7;
    let identity = StaticIdentity::new(PrivateKey::new(&bytes).unwrap(), &RustCrypto);
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(bytes));
    assert_eq!(identity.public().as_bytes(), public.as_bytes());
    assert_eq!(identity.private().as_bytes()[0] & 7, 0);
}
