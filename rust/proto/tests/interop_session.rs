// SPDX-License-Identifier: GPL-2.0

//! Whole sessions of [`Peer`] with another implementation of WireGuard: handshakes begun by either
//! side, packets both ways, renewals, cookies.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use wg_proto::crypto::Rng as _;
use wg_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use wg_proto::noise::StaticIdentity;
use wg_proto::peer::{Datagram, Env, Peer, ReceiveError, Received, Transmit, MAX_CONTROL_LEN};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};

const MTU: usize = 1420;

/// What we sent besides packets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    initiations: u32,
    responses: u32,
    cookie_replies: u32,
    keepalives: u32,
}

struct Pair {
    ours: Peer,
    theirs: Tunn,
    rng: SeededRng,
    /// Our clock. Theirs is the real one, on which the test takes no time.
    now: Duration,
    staged: VecDeque<Vec<u8>>,
    sent: Counts,
    source: SocketAddr,
    under_load: bool,
    /// Packets that came out at our end and at theirs.
    at_ours: Vec<Vec<u8>>,
    at_theirs: Vec<Vec<u8>>,
}

fn env(now: Duration, rng: &mut SeededRng) -> Env<'_, RustCrypto, SeededRng> {
    Env {
        now: Instant::from_nanos(now.as_nanos() as u64),
        timestamp: Tai64n::from_unix(now.as_secs(), now.subsec_nanos()),
        crypto: &RustCrypto,
        rng,
    }
}

fn packet(len: u16, fill: u8) -> Vec<u8> {
    let mut packet = vec![fill; usize::from(len)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

impl Pair {
    /// `limit`: handshake messages a second from which the other end is under load.
    fn new(seed: u64, psk: Option<[u8; 32]>, limit: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let identity = StaticIdentity::new(PrivateKey::random(&mut rng), &RustCrypto);
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        let secret = x25519::StaticSecret::from(secret);
        let public = x25519::PublicKey::from(&secret);
        let limiter = Some(Arc::new(RateLimiter::new(&public, limit)));
        let our_public = x25519::PublicKey::from(*identity.public().as_bytes());
        let remote = PublicKey::from_bytes(public.to_bytes());
        let our_psk = PresharedKey::from_bytes(&psk.unwrap_or([0; 32]));
        Self {
            ours: Peer::new(identity, remote, our_psk, &mut env(now, &mut rng)),
            theirs: Tunn::new(secret, our_public, psk, None, 5, limiter),
            rng,
            now,
            staged: VecDeque::new(),
            sent: Counts::default(),
            source: SocketAddr::from(([192, 0, 2, 1], 51820)),
            under_load: false,
            at_ours: vec![],
            at_theirs: vec![],
        }
    }

    /// A packet into our end.
    fn send(&mut self, packet: &[u8]) {
        self.staged.push_back(packet.to_vec());
        self.flush();
        self.pump();
    }

    /// A packet into their end.
    fn send_theirs(&mut self, packet: &[u8]) {
        let mut buffer = [0; 2048];
        match self.theirs.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(message) => {
                let message = message.to_vec();
                self.deliver_to_ours(&message);
            }
            TunnResult::Done => {}
            other => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.ours.handle_timeout(&mut env(self.now, &mut self.rng));
        self.pump();
    }

    fn flush(&mut self) {
        while let Some(packet) = self.staged.front() {
            let mut buffer = packet.clone();
            let len = buffer.len();
            buffer.resize(len + 15, 0xff);
            let mut out = [0; 2048];
            let mut env = env(self.now, &mut self.rng);
            let Ok(sealed) = self
                .ours
                .send_packet(&mut env, &mut buffer, len, MTU, &mut out)
            else {
                return;
            };
            self.staged.pop_front();
            self.deliver_to_theirs(&out[..sealed]);
        }
    }

    fn pump(&mut self) {
        if self.ours.take_events().session_ready {
            self.flush();
        }
        let mut out = [0; MAX_CONTROL_LEN];
        while let Some(transmit) = {
            let mut env = env(self.now, &mut self.rng);
            self.ours.poll_transmit(&mut env, &mut out)
        } {
            match transmit {
                Transmit::Initiation(_) => self.sent.initiations += 1,
                Transmit::Response(_) => self.sent.responses += 1,
                Transmit::CookieReply(_) => self.sent.cookie_replies += 1,
                Transmit::Keepalive(_) => self.sent.keepalives += 1,
            }
            self.deliver_to_theirs(&out[..transmit.len()]);
        }
    }

    fn deliver_to_theirs(&mut self, message: &[u8]) {
        let mut input = message;
        let mut answers = vec![];
        loop {
            let mut buffer = [0; 2048];
            let source = Some(self.source.ip());
            match self.theirs.decapsulate(source, input, &mut buffer) {
                TunnResult::WriteToNetwork(answer) => answers.push(answer.to_vec()),
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    self.at_theirs.push(packet.to_vec());
                    break;
                }
                TunnResult::Done => break,
                TunnResult::Err(error) => panic!("{error:?}"),
            }
            // Asks for what waits for the session.
            input = &[];
        }
        for answer in answers {
            self.deliver_to_ours(&answer);
        }
    }

    fn deliver_to_ours(&mut self, message: &[u8]) {
        let mut out = [0; 2048];
        let datagram = Datagram {
            bytes: message,
            source: self.source,
            under_load: self.under_load,
        };
        // Time goes on, as initiations must not follow each other too closely.
        self.now += Duration::from_millis(25);
        let mut env = env(self.now, &mut self.rng);
        match self.ours.receive(&mut env, &datagram, &mut out) {
            Ok(Received::Packet(inner)) => self.at_ours.push(out[..inner.len].to_vec()),
            Ok(_) | Err(ReceiveError::CookieRequired) => {}
            Err(error) => panic!("{error:?}"),
        }
        self.pump();
    }

    /// Packets of many lengths, both ways.
    fn exchange(&mut self) {
        let lengths = [20, 21, 31, 32, 33, 84, 576, 1419, 1420];
        let packets: Vec<_> = lengths.map(|len| packet(len, len.to_le_bytes()[0])).into();
        for packet in &packets {
            self.send(packet);
            self.send_theirs(packet);
        }
        assert_eq!(std::mem::take(&mut self.at_theirs), packets);
        assert_eq!(std::mem::take(&mut self.at_ours), packets);
    }
}

const PSKS: [Option<[u8; 32]>; 2] = [None, Some([0x5a; 32])];

/// Contract: H1, D1
#[test]
fn our_first_packet_makes_a_session() {
    for (seed, psk) in (0..).zip(PSKS) {
        let mut pair = Pair::new(seed, psk, 1000);
        pair.exchange();
        assert_eq!(
            pair.sent,
            Counts {
                initiations: 1,
                ..Counts::default()
            }
        );
    }
}

/// Contract: H1, D1
#[test]
fn their_first_packet_makes_a_session() {
    for (seed, psk) in (10..).zip(PSKS) {
        let mut pair = Pair::new(seed, psk, 1000);
        let first = packet(100, 1);
        pair.send_theirs(&first);
        assert_eq!(pair.at_ours, [first]);
        pair.at_ours.clear();
        pair.exchange();
        assert_eq!(
            pair.sent,
            Counts {
                responses: 1,
                ..Counts::default()
            }
        );
    }
}

#[test]
fn sessions_are_renewed_while_packets_flow() {
    let mut pair = Pair::new(20, PSKS[1], 1000);
    for round in 1..=30 {
        pair.exchange();
        assert_eq!(pair.sent.initiations, round);
        pair.wait(Duration::from_secs(119));
        pair.exchange();
        assert_eq!(pair.sent.initiations, round);
        pair.wait(Duration::from_secs(2));
        // The packet that finds the session old still goes under its key.
        pair.exchange();
        assert_eq!(pair.sent.initiations, round + 1);
    }
}

#[test]
fn either_side_renews() {
    let mut pair = Pair::new(30, PSKS[0], 1000);
    for _ in 0..20 {
        pair.exchange();
        let mut buffer = [0; 2048];
        match pair.theirs.format_handshake_initiation(&mut buffer, true) {
            TunnResult::WriteToNetwork(message) => {
                let message = message.to_vec();
                pair.deliver_to_ours(&message);
            }
            other => panic!("{other:?}"),
        }
        pair.exchange();
        pair.wait(Duration::from_secs(181));
        pair.exchange();
    }
    assert_eq!((pair.sent.responses, pair.sent.initiations), (20, 21));
}

/// Contract: C3, C5
#[test]
fn a_loaded_side_gets_its_proof() {
    // They ask for a cookie; our next attempt has it.
    let mut pair = Pair::new(40, None, 0);
    pair.send(&packet(50, 1));
    assert!(pair.at_theirs.is_empty());
    pair.wait(Duration::from_millis(5400));
    assert_eq!(pair.sent.initiations, 2);
    assert_eq!(pair.at_theirs, [packet(50, 1)]);

    // We ask for one.
    let mut pair = Pair::new(41, None, 1000);
    pair.under_load = true;
    pair.send_theirs(&packet(50, 1));
    assert_eq!((pair.sent.cookie_replies, pair.sent.responses), (1, 0));
    let mut buffer = [0; 2048];
    match pair.theirs.format_handshake_initiation(&mut buffer, true) {
        TunnResult::WriteToNetwork(message) => {
            let message = message.to_vec();
            pair.deliver_to_ours(&message);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((pair.sent.cookie_replies, pair.sent.responses), (1, 1));
    assert_eq!(pair.at_ours, [packet(50, 1)]);
}
