// SPDX-License-Identifier: GPL-2.0

//! The handshake byte for byte against another implementation of the Noise framework.

use snow::{Builder, HandshakeState};
use wg_proto::constants::{CONSTRUCTION, IDENTIFIER};
use wg_proto::crypto::{Crypto, Rng};
use wg_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use wg_proto::noise::{Handshake, ReceivedInitiation, StaticIdentity};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::wire::Index;

/// A random source that knows one answer.
struct Fixed([u8; 32]);

impl Rng for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

/// The secrets of one handshake.
struct Case {
    initiator: [u8; 32],
    responder: [u8; 32],
    initiator_ephemeral: [u8; 32],
    responder_ephemeral: [u8; 32],
    psk: [u8; 32],
    time: Tai64n,
}

fn public(private: &[u8; 32]) -> PublicKey {
    RustCrypto.public_key(&PrivateKey::new(private).unwrap())
}

impl Case {
    fn new(seed: u64, with_psk: bool) -> Self {
        let mut rng = SeededRng::new(seed);
        let mut bytes = || {
            let mut bytes = [0; 32];
            rng.fill(&mut bytes);
            bytes
        };
        Self {
            initiator: bytes(),
            responder: bytes(),
            initiator_ephemeral: bytes(),
            responder_ephemeral: bytes(),
            psk: if with_psk { bytes() } else { [0; 32] },
            time: Tai64n::from_unix(1_700_000_000 + seed, 0x1200_0000),
        }
    }

    fn oracle<'a>(&'a self, private: &'a [u8; 32], ephemeral: &'a [u8; 32]) -> Builder<'a> {
        Builder::new(core::str::from_utf8(CONSTRUCTION).unwrap().parse().unwrap())
            .prologue(IDENTIFIER)
            .unwrap()
            .psk(2, &self.psk)
            .unwrap()
            .local_private_key(private)
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(ephemeral)
    }

    fn oracle_initiator(&self) -> HandshakeState {
        self.oracle(&self.initiator, &self.initiator_ephemeral)
            .remote_public_key(public(&self.responder).as_bytes())
            .unwrap()
            .build_initiator()
            .unwrap()
    }

    fn oracle_responder(&self) -> HandshakeState {
        self.oracle(&self.responder, &self.responder_ephemeral)
            .build_responder()
            .unwrap()
    }

    fn identity(private: &[u8; 32]) -> StaticIdentity {
        StaticIdentity::new(PrivateKey::new(private).unwrap(), &RustCrypto)
    }

    fn run(&self) {
        let initiator = Self::identity(&self.initiator);
        let responder = Self::identity(&self.responder);
        let psk = || PresharedKey::from_bytes(&self.psk);
        let mut ours = Handshake::new(*responder.public(), psk());
        let mut theirs = Handshake::new(*initiator.public(), psk());
        let mut oracle_initiator = self.oracle_initiator();
        let mut oracle_responder = self.oracle_responder();
        let mut buffer = [0; 256];
        let mut payload = [0; 256];

        // First message: ours is what the oracle would send, and the oracle can read it.
        let (initiation, _) = ours
            .initiate(
                &initiator,
                Index(1),
                self.time,
                &mut Fixed(self.initiator_ephemeral),
                &RustCrypto,
            )
            .unwrap();
        let len = oracle_initiator
            .write_message(self.time.as_bytes(), &mut buffer)
            .unwrap();
        assert_eq!(initiation.as_bytes()[8..116], buffer[..len]);
        let len = oracle_responder
            .read_message(&initiation.as_bytes()[8..116], &mut payload)
            .unwrap();
        assert_eq!(payload[..len], *self.time.as_bytes());
        assert_eq!(
            oracle_responder.get_remote_static().unwrap(),
            initiator.public().as_bytes()
        );

        // Second message.
        let received = ReceivedInitiation::open(&initiation, &responder, &RustCrypto).unwrap();
        let (response, responder_session, _) = theirs
            .respond(
                received,
                &responder,
                Index(2),
                Instant::from_nanos(0),
                &mut Fixed(self.responder_ephemeral),
                &RustCrypto,
            )
            .unwrap();
        let len = oracle_responder.write_message(&[], &mut buffer).unwrap();
        assert_eq!(response.as_bytes()[12..60], buffer[..len]);
        oracle_initiator
            .read_message(&response.as_bytes()[12..60], &mut payload)
            .unwrap();
        let initiator_session = ours
            .response_received(&initiator, &response, &RustCrypto)
            .unwrap();

        // Keys.
        for oracle in [&mut oracle_initiator, &mut oracle_responder] {
            let (first, second) = oracle.dangerously_get_raw_split();
            assert_eq!(initiator_session.send.as_bytes(), &first);
            assert_eq!(initiator_session.receive.as_bytes(), &second);
            assert_eq!(responder_session.receive.as_bytes(), &first);
            assert_eq!(responder_session.send.as_bytes(), &second);
        }
    }
}

/// Contract: H1, H7
#[test]
fn without_preshared_key() {
    for seed in 0..16 {
        Case::new(seed, false).run();
    }
}

/// Contract: H1, H7
#[test]
fn with_preshared_key() {
    for seed in 100..116 {
        Case::new(seed, true).run();
    }
}
