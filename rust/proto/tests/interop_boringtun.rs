// SPDX-License-Identifier: GPL-2.0

//! Handshakes, cookies and data messages against another implementation of WireGuard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use wg_proto::cookie::{CookieChecker, CookieJar, MacState};
use wg_proto::crypto::{Crypto as _, Rng as _};
use wg_proto::keys::{PresharedKey, PrivateKey};
use wg_proto::noise::{Handshake, ReceivedInitiation, Session, StaticIdentity};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::wire::{
    inner_packet, padded_len, Counter, DataHeader, Index, Message, Response, Version,
};

const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 51820);

/// Our end of a tunnel, and the other implementation's.
struct Pair {
    rng: SeededRng,
    identity: StaticIdentity,
    handshake: Handshake,
    jar: CookieJar,
    theirs: Tunn,
    seconds: u64,
}

impl Pair {
    /// `limit`: handshake messages a second from which the other end is under load.
    fn new(seed: u64, psk: Option<[u8; 32]>, limit: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let identity = StaticIdentity::new(PrivateKey::random(&mut rng), &RustCrypto);
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        let secret = x25519::StaticSecret::from(secret);
        let public = x25519::PublicKey::from(&secret);
        let limiter = Arc::new(RateLimiter::new(&public, limit));
        let our_public = x25519::PublicKey::from(*identity.public().as_bytes());
        let remote = wg_proto::keys::PublicKey::from_bytes(public.to_bytes());
        Self {
            rng,
            handshake: Handshake::new(remote, PresharedKey::from_bytes(&psk.unwrap_or([0; 32]))),
            jar: CookieJar::new(&remote, &RustCrypto),
            identity,
            theirs: Tunn::new(secret, our_public, psk, None, 77, Some(limiter)),
            seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.seconds * 1_000_000_000)
    }

    /// Sends an initiation; the other end's answer.
    fn initiate(&mut self, local: Index) -> Vec<u8> {
        self.seconds += 1;
        let (mut initiation, _) = self
            .handshake
            .initiate(
                &self.identity,
                local,
                Tai64n::from_unix(self.seconds, 0),
                &mut self.rng,
                &RustCrypto,
            )
            .unwrap();
        let now = self.now();
        self.jar.stamp(&mut initiation, now, &RustCrypto);
        let mut buffer = [0; 2048];
        match self
            .theirs
            .decapsulate(Some(SOURCE.ip()), initiation.as_bytes(), &mut buffer)
        {
            TunnResult::WriteToNetwork(answer) => answer.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, response: &Response) -> Session {
        assert!(self.identity.macs().check_mac1(response, &RustCrypto));
        self.handshake
            .response_received(&self.identity, response, &RustCrypto)
            .unwrap()
    }

    /// An initiation of the other end.
    fn receive_initiation(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        match self.theirs.format_handshake_initiation(&mut buffer, true) {
            TunnResult::WriteToNetwork(message) => message.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Answers an initiation of the other end.
    fn respond(&mut self, initiation: &[u8], local: Index) -> (Response, Session) {
        let Ok(Message::Initiation(initiation)) = Message::parse(initiation) else {
            panic!("no initiation");
        };
        assert!(self.identity.macs().check_mac1(initiation, &RustCrypto));
        let received = ReceivedInitiation::open(initiation, &self.identity, &RustCrypto).unwrap();
        assert_eq!(received.remote(), self.handshake.remote());
        let now = self.now();
        let (mut response, session, _) = self
            .handshake
            .respond(
                received,
                &self.identity,
                local,
                now,
                &mut self.rng,
                &RustCrypto,
            )
            .unwrap();
        self.jar.stamp(&mut response, now, &RustCrypto);
        (response, session)
    }

    /// Sends `plaintext` as message `counter`; what the other end makes of it.
    fn send(&mut self, session: &Session, counter: u64, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut padded = plaintext.to_vec();
        padded.resize(padded_len(plaintext.len(), 1420), 0);
        let mut message = DataHeader::new(session.remote, Counter(counter))
            .as_bytes()
            .to_vec();
        message.resize(DataHeader::LEN + padded.len() + 16, 0);
        RustCrypto
            .seal(
                &session.send,
                counter,
                &[],
                &padded,
                &mut message[DataHeader::LEN..],
            )
            .unwrap();
        let mut buffer = [0; 2048];
        match self
            .theirs
            .decapsulate(Some(SOURCE.ip()), &message, &mut buffer)
        {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Some(packet.to_vec())
            }
            TunnResult::Done => None,
            other => panic!("{other:?}"),
        }
    }

    /// Has the other end send `packet`; what we make of it.
    fn receive(&mut self, session: &Session, counter: u64, packet: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let message = match self.theirs.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(message) => message.to_vec(),
            other => panic!("{other:?}"),
        };
        let mut plaintext = open(session, counter, &message);
        let inner = inner_packet(&plaintext, plaintext.len()).unwrap();
        plaintext.truncate(inner.len);
        plaintext
    }

    /// Packets both ways.
    fn exchange(&mut self, session: &Session, received: u64) {
        // The initiator speaks first; an empty message confirms the key.
        assert_eq!(self.send(session, 0, &[]), None);
        let (out, back) = (ipv4(100, 1), ipv4(333, 2));
        assert_eq!(self.send(session, 1, &out), Some(out));
        assert_eq!(self.receive(session, received, &back), back);
    }
}

/// Decrypts a data message of the other end, which must be number `counter`.
fn open(session: &Session, counter: u64, message: &[u8]) -> Vec<u8> {
    let Ok(Message::Data(data)) = Message::parse(message) else {
        panic!("no data");
    };
    assert_eq!(data.header.receiver(), session.local);
    assert_eq!(data.header.counter(), Counter(counter));
    let mut plaintext = vec![0; data.sealed.len() - 16];
    RustCrypto
        .open(&session.receive, counter, &[], data.sealed, &mut plaintext)
        .unwrap();
    plaintext
}

fn ipv4(len: u16, fill: u8) -> Vec<u8> {
    let mut packet = vec![fill; usize::from(len)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[12..16].copy_from_slice(&[192, 0, 2, 1]);
    let inner = inner_packet(&packet, packet.len()).unwrap();
    assert_eq!(inner.version, Version::V4);
    packet
}

const PSKS: [Option<[u8; 32]>; 2] = [None, Some([0x5a; 32])];

/// Contract: H1, H2
#[test]
fn we_initiate() {
    for (seed, psk) in (0..).zip(PSKS) {
        let mut pair = Pair::new(seed, psk, 1000);
        let answer = pair.initiate(Index(0x0102_0304));
        let Ok(Message::Response(response)) = Message::parse(&answer) else {
            panic!("no response");
        };
        let session = pair.read(response);
        assert_eq!(session.local, Index(0x0102_0304));
        pair.exchange(&session, 0);
    }
}

/// Contract: H1, H2
#[test]
fn they_initiate() {
    for (seed, psk) in (10..).zip(PSKS) {
        let mut pair = Pair::new(seed, psk, 1000);
        let initiation = pair.receive_initiation();
        let (response, session) = pair.respond(&initiation, Index(9));
        let mut buffer = [0; 2048];
        let keepalive =
            match pair
                .theirs
                .decapsulate(Some(SOURCE.ip()), response.as_bytes(), &mut buffer)
            {
                TunnResult::WriteToNetwork(message) => message.to_vec(),
                other => panic!("{other:?}"),
            };
        assert!(open(&session, 0, &keepalive).is_empty());
        pair.exchange(&session, 1);
    }
}

/// Contract: K1
#[test]
fn rekeying() {
    let mut pair = Pair::new(20, PSKS[1], 1000);
    for round in 0..20 {
        let answer = pair.initiate(Index(round));
        let Ok(Message::Response(response)) = Message::parse(&answer) else {
            panic!("no response");
        };
        let session = pair.read(response);
        pair.exchange(&session, 0);
    }
}

/// Contract: C7
#[test]
fn their_cookie() {
    // Always under load: the first initiation is answered by a cookie, the second is good.
    let mut pair = Pair::new(30, None, 0);
    let answer = pair.initiate(Index(1));
    let Ok(Message::CookieReply(reply)) = Message::parse(&answer) else {
        panic!("no cookie");
    };
    assert_eq!(reply.receiver(), Index(1));
    let now = pair.now();
    pair.jar.receive(reply, now, &RustCrypto).unwrap();
    let answer = pair.initiate(Index(2));
    let Ok(Message::Response(response)) = Message::parse(&answer) else {
        panic!("no response");
    };
    let session = pair.read(response);
    pair.exchange(&session, 0);
}

/// Contract: C3
#[test]
fn our_cookie() {
    let mut pair = Pair::new(40, None, 1000);
    let now = pair.now();
    let mut checker = CookieChecker::new(now, &mut pair.rng);
    let first = pair.receive_initiation();
    let Ok(Message::Initiation(initiation)) = Message::parse(&first) else {
        panic!("no initiation");
    };
    let keys = pair.identity.macs();
    let state = checker.check(keys, initiation, &SOURCE, now, &mut pair.rng, &RustCrypto);
    assert_eq!(state, MacState::ValidMac1);
    let reply = checker
        .reply(keys, initiation, &SOURCE, now, &mut pair.rng, &RustCrypto)
        .unwrap();
    let mut buffer = [0; 2048];
    match pair
        .theirs
        .decapsulate(Some(SOURCE.ip()), reply.as_bytes(), &mut buffer)
    {
        TunnResult::Done => {}
        other => panic!("{other:?}"),
    }
    let second = pair.receive_initiation();
    let Ok(Message::Initiation(initiation)) = Message::parse(&second) else {
        panic!("no initiation");
    };
    let keys = pair.identity.macs();
    let state = checker.check(keys, initiation, &SOURCE, now, &mut pair.rng, &RustCrypto);
    assert_eq!(state, MacState::ValidCookie);
    pair.respond(&second, Index(3));
}
