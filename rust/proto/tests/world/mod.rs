// SPDX-License-Identifier: GPL-2.0

//! Two ends of a tunnel, a bad link between them, and a clock that costs nothing.

#![allow(dead_code)] // Each test uses a part.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use wg_proto::constants::MAX_STAGED_PACKETS;
use wg_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use wg_proto::noise::StaticIdentity;
use wg_proto::peer::{
    Datagram, Env, Peer, ReceiveError, Received, SendError, Transmit, MAX_CONTROL_LEN,
};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::timers::Config;

/// The clock starts here, so that nothing can be before its zero point.
const BEGIN: Duration = Duration::from_secs(1_000_000);
const MTU: usize = 1420;
/// Datagrams that [`World::again`] remembers.
const REMEMBERED: usize = 64;

pub use ledger::Ledger;

/// What a link does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Datagrams lost, of 1000.
    pub loss: u64,
    /// Datagrams that come twice, of 1000.
    pub duplicates: u64,
    /// Shortest time of travel.
    pub delay: Duration,
    /// What is added to it at most; more than the distance of datagrams means reordering.
    pub jitter: Duration,
}

pub const PERFECT: Link = Link {
    loss: 0,
    duplicates: 0,
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
};

pub const DEAD: Link = Link {
    loss: 1000,
    ..PERFECT
};

/// A message that an end has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Initiation,
    Response,
    CookieReply,
    Keepalive,
    Packet(u64),
}

/// One end and the queues around it.
pub struct End {
    pub peer: Peer,
    pub staged: VecDeque<u64>,
    /// Numbers of the packets that came out.
    pub delivered: BTreeSet<u64>,
    /// What was sent, and when, in time since the beginning.
    pub sent: Vec<(Duration, Sent)>,
    pub errors: Vec<(Duration, ReceiveError)>,
    pub purged: u64,
    pub under_load: bool,
    address: SocketAddr,
}

impl End {
    /// When messages of a kind were sent.
    pub fn times(&self, kind: Sent) -> Vec<Duration> {
        let of_kind = self.sent.iter().filter(|(_, sent)| *sent == kind);
        of_kind.map(|(time, _)| *time).collect()
    }

    pub fn count(&self, kind: Sent) -> usize {
        self.times(kind).len()
    }
}

pub struct World {
    pub now: Instant,
    pub link: Link,
    pub ends: [End; 2],
    pub rng: SeededRng,
    psk: [u8; 32],
    /// Private keys of the ends.
    keys: [[u8; 32]; 2],
    ledger: Ledger,
    /// The last datagrams that were sent, lost ones too, and their receivers.
    seen: VecDeque<(usize, Vec<u8>)>,
    /// Datagrams on their way: time of arrival and a number to tell them apart; receiver, bytes.
    wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    serial: u64,
    next_packet: u64,
}

fn env(now: Instant, rng: &mut SeededRng) -> Env<'_, RustCrypto, SeededRng> {
    let nanos = now.as_nanos();
    Env {
        now,
        timestamp: Tai64n::from_unix(nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32),
        crypto: &RustCrypto,
        rng,
    }
}

impl World {
    pub fn new(seed: u64, link: Link) -> Self {
        let mut rng = SeededRng::new(seed);
        let now = Instant::from_nanos(BEGIN.as_nanos() as u64);
        let psk = [(seed % 2) as u8; 32];
        let private = [(); 2].map(|()| PrivateKey::random(&mut rng));
        let keys = [*private[0].as_bytes(), *private[1].as_bytes()];
        let [a, b] = private.map(|key| StaticIdentity::new(key, &RustCrypto));
        let (a_public, b_public) = (*a.public(), *b.public());
        let ends = [(a, b_public, 1), (b, a_public, 2)]
            .map(|(identity, remote, host)| Self::end(identity, remote, psk, host, now, &mut rng));
        Self {
            now,
            link,
            ends,
            rng,
            psk,
            keys,
            ledger: Ledger::default(),
            seen: VecDeque::new(),
            wire: BTreeMap::new(),
            serial: 0,
            next_packet: 0,
        }
    }

    fn end(
        identity: StaticIdentity,
        remote: PublicKey,
        psk: [u8; 32],
        host: u8,
        now: Instant,
        rng: &mut SeededRng,
    ) -> End {
        let psk = PresharedKey::from_bytes(&psk);
        End {
            peer: Peer::new(identity, remote, psk, &mut env(now, rng)),
            staged: VecDeque::new(),
            delivered: BTreeSet::new(),
            sent: Vec::new(),
            errors: Vec::new(),
            purged: 0,
            under_load: false,
            address: SocketAddr::from(([192, 0, 2, host], 51820)),
        }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now.as_nanos()) - BEGIN
    }

    /// A packet goes into the tunnel at `end`; its number.
    pub fn send(&mut self, end: usize) -> u64 {
        let number = self.next_packet;
        self.next_packet += 1;
        self.ends[end].staged.push_back(number);
        if self.ends[end].staged.len() > MAX_STAGED_PACKETS {
            self.ends[end].staged.pop_front();
        }
        self.flush_staged(end);
        self.pump(end);
        number
    }

    pub fn configure(&mut self, end: usize, config: Config) {
        self.ends[end].peer.configure(config);
        self.pump(end);
    }

    /// Asks for a handshake at `end`.
    pub fn initiate(&mut self, end: usize) {
        let mut env = env(self.now, &mut self.rng);
        self.ends[end].peer.request_initiation(&mut env);
        self.pump(end);
    }

    /// `end` loses everything but its keys, as after a crash.
    pub fn restart(&mut self, end: usize, key: &[u8; 32], remote: PublicKey) {
        let private = PrivateKey::new(key).unwrap();
        let identity = StaticIdentity::new(private, &RustCrypto);
        let host = end as u8 + 1;
        let mut new = Self::end(identity, remote, self.psk, host, self.now, &mut self.rng);
        std::mem::swap(&mut new.delivered, &mut self.ends[end].delivered);
        std::mem::swap(&mut new.sent, &mut self.ends[end].sent);
        self.ends[end] = new;
        self.ledger.forget(end);
    }

    /// The same with the keys that it has.
    pub fn crash(&mut self, end: usize) {
        let remote = *self.ends[end].peer.remote();
        let key = self.keys[end];
        self.restart(end, &key, remote);
    }

    /// Time passes and nobody notices until the next [`Self::run`], as in a suspended machine.
    pub fn jump(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// The datagram that was sent `back` ones ago arrives (again), after `change`.
    pub fn again(&mut self, back: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let place = self.seen.len().checked_sub(back + 1);
        if let Some((receiver, mut bytes)) = place.and_then(|at| self.seen.get(at).cloned()) {
            change(&mut bytes);
            self.receive(receiver, &bytes);
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end_of_run = self.now.saturating_add(time);
        let mut fired_at = (self.now, 0);
        while let Some(next) = self.next_event().filter(|next| *next <= end_of_run) {
            self.now = self.now.max(next);
            if fired_at.0 != self.now {
                fired_at = (self.now, 0);
            }
            fired_at.1 += 1;
            assert!(fired_at.1 < 1000, "time stands still");
            while let Some((receiver, bytes)) = self.pop_arrived() {
                self.receive(receiver, &bytes);
            }
            for end in 0..2 {
                if self.ends[end]
                    .peer
                    .next_timeout()
                    .is_some_and(|t| t <= self.now)
                {
                    let mut env = env(self.now, &mut self.rng);
                    self.ends[end].peer.handle_timeout(&mut env);
                    self.pump(end);
                }
            }
        }
        self.now = end_of_run;
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.wire.keys().next().map(|(time, _)| *time);
        let timeouts = self.ends.iter().map(|end| end.peer.next_timeout());
        timeouts.chain([arrival]).flatten().min()
    }

    fn pop_arrived(&mut self) -> Option<(usize, Vec<u8>)> {
        let first = self.wire.first_entry()?;
        (first.key().0 <= self.now).then(|| first.remove())
    }

    fn receive(&mut self, receiver: usize, bytes: &[u8]) {
        let elapsed = self.elapsed();
        let source = self.ends[1 - receiver].address;
        let end = &mut self.ends[receiver];
        let datagram = Datagram {
            bytes,
            source,
            under_load: end.under_load,
        };
        let mut out = [0; 2048];
        let mut env = env(self.now, &mut self.rng);
        let received = end.peer.receive(&mut env, &datagram, &mut out);
        if matches!(received, Ok(_) | Err(ReceiveError::Inner(_))) {
            self.ledger.received(receiver, bytes, self.now);
        }
        match received {
            Ok(Received::Packet(inner)) => {
                let number = unpack(&out[..inner.len]);
                assert!(end.delivered.insert(number), "packet {number} came twice");
            }
            Ok(_) => {}
            Err(error) => end.errors.push((elapsed, error)),
        }
        self.pump(receiver);
    }

    /// Does what an end asks for.
    fn pump(&mut self, end: usize) {
        let events = self.ends[end].peer.take_events();
        if events.purge_staged {
            self.ends[end].purged += self.ends[end].staged.drain(..).count() as u64;
        }
        if events.session_ready {
            self.flush_staged(end);
        }
        let mut out = [0; MAX_CONTROL_LEN];
        loop {
            let mut env = env(self.now, &mut self.rng);
            let Some(transmit) = self.ends[end].peer.poll_transmit(&mut env, &mut out) else {
                break;
            };
            let sent = match transmit {
                Transmit::Initiation(_) => Sent::Initiation,
                Transmit::Response(_) => Sent::Response,
                Transmit::CookieReply(_) => Sent::CookieReply,
                Transmit::Keepalive(_) => Sent::Keepalive,
            };
            self.transmit(end, sent, &out[..transmit.len()]);
        }
    }

    fn flush_staged(&mut self, end: usize) {
        while let Some(number) = self.ends[end].staged.front().copied() {
            let mut buffer = [0; 2048];
            let len = pack(number, &mut buffer);
            let mut out = [0; 2048];
            let mut env = env(self.now, &mut self.rng);
            let peer = &mut self.ends[end].peer;
            match peer.send_packet(&mut env, &mut buffer, len, MTU, &mut out) {
                Ok(sealed) => {
                    self.transmit(end, Sent::Packet(number), &out[..sealed]);
                    self.ends[end].staged.pop_front();
                }
                Err(SendError::NoSession) => return,
                Err(SendError::Buffer) => panic!("buffers are large enough"),
            }
        }
    }

    fn transmit(&mut self, end: usize, sent: Sent, bytes: &[u8]) {
        let elapsed = self.elapsed();
        self.ends[end].sent.push((elapsed, sent));
        self.ledger.sent(end, bytes, self.now);
        self.seen.push_back((1 - end, bytes.to_vec()));
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
        if self.rng.next_u64() % 1000 < self.link.loss {
            return;
        }
        let copies = 1 + u64::from(self.rng.next_u64() % 1000 < self.link.duplicates);
        for _ in 0..copies {
            let jitter = self.link.jitter.as_nanos() as u64;
            let extra = Duration::from_nanos(self.rng.next_u64() % (jitter + 1));
            let arrival = self.now.saturating_add(self.link.delay + extra);
            self.serial += 1;
            self.wire
                .insert((arrival, self.serial), (1 - end, bytes.to_vec()));
        }
    }
}

/// An IPv4 packet whose length and bytes follow from its number.
fn pack(number: u64, buffer: &mut [u8]) -> usize {
    let len = 28 + (number.wrapping_mul(0x9e37_79b9) % 1393) as usize;
    let packet = &mut buffer[..len];
    for (byte, at) in packet.iter_mut().zip(0_u64..) {
        *byte = (number ^ at.wrapping_mul(number | 1)).to_le_bytes()[0];
    }
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[20..28].copy_from_slice(&number.to_be_bytes());
    len
}

/// The number of a packet, which must be as [`pack`] made it.
fn unpack(packet: &[u8]) -> u64 {
    let number = u64::from_be_bytes(packet[20..28].try_into().unwrap());
    let mut expected = [0; 2048];
    let len = pack(number, &mut expected);
    assert_eq!(packet, &expected[..len], "packet {number} was damaged");
    number
}
