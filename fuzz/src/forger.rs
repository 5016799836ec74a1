// SPDX-License-Identifier: GPL-2.0

//! A peer with real keys that says what it is told to, true or not.

use std::net::SocketAddr;

use wg_proto::cookie::{CookieChecker, CookieJar};
use wg_proto::crypto::Crypto as _;
use wg_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use wg_proto::noise::{Handshake, ReceivedInitiation, Session, StaticIdentity};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::wire::{
    CookieReply, Counter, Data, DataHeader, Index, Initiation, Maced, Message, Response,
};

use crate::replay::Model;

/// A session with the peer under test, as this side knows it.
pub struct Known {
    pub keys: Session,
    /// When the other side derived it.
    pub born: Instant,
    /// Counters that the other side has accepted.
    pub received: Model,
    /// The next counter that the other side may use.
    pub next: u64,
}

/// One end of a tunnel, without any rules.
pub struct Forger {
    pub identity: StaticIdentity,
    pub jar: CookieJar,
    pub rng: SeededRng,
    /// Newest last.
    pub sessions: Vec<Known>,
    /// The other side's initiation that came last.
    pub offered: Option<Initiation>,
    noise: Handshake,
    checker: CookieChecker,
    victim: PublicKey,
    psk: [u8; 32],
}

impl Forger {
    pub fn new(key: PrivateKey, victim: PublicKey, psk: [u8; 32], now: Instant) -> Self {
        let mut rng = SeededRng::new(1);
        Self {
            identity: StaticIdentity::new(key, &RustCrypto),
            jar: CookieJar::new(&victim, &RustCrypto),
            noise: Handshake::new(victim, PresharedKey::from_bytes(&psk)),
            checker: CookieChecker::new(now, &mut rng),
            sessions: Vec::new(),
            offered: None,
            victim,
            psk,
            rng,
        }
    }

    /// A right initiation without authenticators.
    pub fn initiation(&mut self, local: u32, timestamp: [u8; 12]) -> Initiation {
        let (message, _) = self
            .noise
            .initiate(
                &self.identity,
                Index(local),
                Tai64n::from_bytes(timestamp),
                &mut self.rng,
                &RustCrypto,
            )
            .unwrap();
        message
    }

    /// Takes the answer to [`Self::initiation`]; whether it is one.
    pub fn answered(&mut self, message: &Response, now: Instant) -> bool {
        let session = self
            .noise
            .response_received(&self.identity, message, &RustCrypto);
        session.map(|keys| self.add(keys, now)).is_ok()
    }

    /// A response to the last initiation of the other side, without authenticators, and the session
    /// that it may accept.
    pub fn response(
        &mut self,
        local: u32,
        right_psk: bool,
        now: Instant,
    ) -> Option<(Response, Session)> {
        let offered = self.offered.as_ref()?;
        let opened = ReceivedInitiation::open(offered, &self.identity, &RustCrypto).unwrap();
        assert_eq!(opened.remote(), &self.victim);
        let mut psk = self.psk;
        psk[0] ^= u8::from(!right_psk);
        // As if it were the first: this side knows no replays and no flood.
        let mut noise = Handshake::new(self.victim, PresharedKey::from_bytes(&psk));
        let (message, session, _) = noise
            .respond(
                opened,
                &self.identity,
                Index(local),
                now,
                &mut self.rng,
                &RustCrypto,
            )
            .unwrap();
        Some((message, session))
    }

    /// A cookie for the sender of a handshake message.
    pub fn cookie(&mut self, message: &impl Maced, from: &SocketAddr, now: Instant) -> CookieReply {
        let keys = self.identity.macs();
        self.checker
            .reply(keys, message, from, now, &mut self.rng, &RustCrypto)
            .unwrap()
    }

    /// The other side has derived the other half of `keys`.
    pub fn add(&mut self, keys: Session, born: Instant) {
        self.sessions.push(Known {
            keys,
            born,
            received: Model::default(),
            next: 0,
        });
    }

    /// A message of the other side under one of the sessions: plaintext and birth of the session.
    ///
    /// Fails if nobody can read it, or if its counter is not new.
    pub fn open(&mut self, message: &[u8]) -> (Vec<u8>, Instant) {
        let Ok(Message::Data(data)) = Message::parse(message) else {
            panic!("no data message");
        };
        let counter = data.header.counter().0;
        let mut plaintext = vec![0; data.sealed.len() - 16];
        for known in self.sessions.iter_mut().rev() {
            let key = &known.keys.receive;
            if known.keys.local == data.header.receiver()
                && RustCrypto
                    .open(key, counter, &[], data.sealed, &mut plaintext)
                    .is_ok()
            {
                assert!(counter >= known.next, "counter {counter} was used twice");
                known.next = counter + 1;
                return (plaintext, known.born);
            }
        }
        panic!("a message that nobody can read");
    }
}

impl Known {
    /// A message with this counter.
    pub fn seal(&self, counter: u64, plaintext: &[u8]) -> Vec<u8> {
        let mut message = vec![0; Data::MIN_LEN + plaintext.len()];
        let (head, sealed) = message.split_at_mut(DataHeader::LEN);
        head.copy_from_slice(DataHeader::new(self.keys.remote, Counter(counter)).as_bytes());
        RustCrypto
            .seal(&self.keys.send, counter, &[], plaintext, sealed)
            .unwrap();
        message
    }
}
