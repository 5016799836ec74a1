// SPDX-License-Identifier: GPL-2.0

//! One peer against another that has real keys and forges whatever it wants.
//!
//! Messages are made with the keys of the session, damaged or not, and authenticated with the right
//! `mac1` afterwards, so that they reach the code behind all checks.

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use wg_proto::constants::{
    INITIATION_SPACING, REJECT_AFTER_TIME, REKEY_TIMEOUT, ZERO_KEYS_AFTER_TIME,
};
use wg_proto::keys::{PresharedKey, PrivateKey};
use wg_proto::noise::{HandshakeError, StaticIdentity};
use wg_proto::peer::{
    Datagram, Env, Peer, ReceiveError, Received, SendError, Transmit, MAX_CONTROL_LEN,
};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::timers::Config;
use wg_proto::wire::{kind, Initiation, InnerPacket, Kind, Message, Response, Version};
use zerocopy::FromBytes as _;

use crate::forger::Forger;
use crate::replay::Counter;

/// What happens to a message before it arrives.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Damage {
    /// Nothing.
    None,
    /// Bits of a byte are turned, before `mac1` is computed.
    Before(u8, u8),
    /// Bits of a byte are turned, after `mac1` was computed.
    After(u16, u8),
    /// The end is cut off.
    Cut(u8),
    /// Something is behind it.
    Longer(u8),
}

/// What is inside of a data message.
#[derive(Arbitrary, Debug)]
pub enum Inner {
    /// Nothing.
    Keepalive,
    /// An IPv4 packet of so many bytes, and padding.
    V4(u8, u8),
    /// An IPv6 packet of so many bytes behind the header, and padding.
    V6(u8, u8),
    /// An IP header with these bytes in front of it.
    Header([u8; 6], u8),
    /// Anything.
    Any(Vec<u8>),
}

/// A time stamp of an initiation, compared with the greatest accepted one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Stamp {
    /// Of this moment.
    Now,
    /// The greatest one, with a byte changed by so much.
    Near(u8, i8),
    /// Anything.
    Any([u8; 12]),
}

/// What happens.
#[derive(Arbitrary, Debug)]
pub enum Op {
    /// Milliseconds pass; timers fire on time or late.
    Wait(u16, bool),
    /// Seconds pass.
    Sleep(u8, bool),
    /// The peer sends a packet of so many bytes.
    Send(u8),
    /// The peer's persistent keepalive is set.
    Configure(u8),
    /// The peer is under load from now on, or no more.
    Load(bool),
    /// An initiation comes.
    Initiate(u32, Stamp, Damage),
    /// A response to the peer's last initiation comes, with the right preshared key or another.
    Respond(u32, bool, Damage),
    /// A cookie comes for the peer's last initiation.
    Cookie(Damage),
    /// Data comes under the session of this number, counted from the newest.
    Data(u8, Counter, Inner, Damage),
    /// A datagram comes once more.
    Replay(u8),
    /// A datagram comes with any contents.
    Raw(Vec<u8>),
}

/// What happens, in order.
#[derive(Arbitrary, Debug)]
pub struct Input {
    psk: bool,
    /// Whether there is a session already, and who began it.
    session: Option<bool>,
    ops: Vec<Op>,
}

struct Bench {
    now: Instant,
    begin: Instant,
    rng: SeededRng,
    peer: Peer,
    forger: Forger,
    under_load: bool,
    /// Greatest time stamp accepted, and when.
    accepted: Option<([u8; 12], Instant)>,
    /// When the peer last sent an initiation or a response.
    last_handshake: Option<Instant>,
    /// Whether the newest session of the peer is the newest of the forger.
    newest_known: bool,
    /// All that were taken.
    datagrams: Vec<Vec<u8>>,
}

const SOURCE: ([u8; 4], u16) = ([192, 0, 2, 1], 51820);

/// Plays the operations.
pub fn run(input: Input) {
    let now = Instant::from_nanos(1_000_000_000_000_000);
    let mut rng = SeededRng::new(2);
    let psk = [u8::from(input.psk); 32];
    let [ours, theirs] = [(); 2].map(|()| PrivateKey::random(&mut rng));
    let ours = StaticIdentity::new(ours, &RustCrypto);
    let forger = Forger::new(theirs, *ours.public(), psk, now);
    let forger_key = *forger.identity.public();
    let psk = PresharedKey::from_bytes(&psk);
    let peer = Peer::new(ours, forger_key, psk, &mut env(now, &mut rng));
    let mut bench = Bench {
        now,
        begin: now,
        rng,
        peer,
        forger,
        under_load: false,
        accepted: None,
        last_handshake: None,
        newest_known: false,
        datagrams: Vec::new(),
    };
    match input.session {
        Some(true) => {
            bench.play(Op::Initiate(1, Stamp::Now, Damage::None));
            assert_eq!(bench.forger.sessions.len(), 1);
        }
        Some(false) => {
            bench.play(Op::Send(40));
            bench.play(Op::Respond(1, true, Damage::None));
            assert_eq!(bench.forger.sessions.len(), 1);
        }
        None => {}
    }
    for op in input.ops.into_iter().take(64) {
        bench.play(op);
    }
}

fn env(now: Instant, rng: &mut SeededRng) -> Env<'_, RustCrypto, SeededRng> {
    Env {
        now,
        timestamp: stamp(now),
        crypto: &RustCrypto,
        rng,
    }
}

fn stamp(now: Instant) -> Tai64n {
    let nanos = now.as_nanos();
    Tai64n::from_unix(nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32)
}

impl Bench {
    fn play(&mut self, op: Op) {
        match op {
            Op::Wait(time, timers) => self.wait(Duration::from_millis(time.into()), timers),
            Op::Sleep(time, timers) => self.wait(Duration::from_secs(time.into()), timers),
            Op::Send(len) => self.send(len.into()),
            Op::Configure(seconds) => {
                let seconds = (seconds != 0).then(|| Duration::from_secs(seconds.into()));
                self.peer.configure(Config {
                    persistent_keepalive: seconds,
                });
                self.pump();
            }
            Op::Load(on) => self.under_load = on,
            Op::Initiate(index, stamp, damage) => self.initiate(index, stamp, damage),
            Op::Respond(index, right_psk, damage) => self.respond(index, right_psk, damage),
            Op::Cookie(damage) => self.cookie(damage),
            Op::Data(session, counter, inner, damage) => {
                self.data(session, counter, &inner, damage)
            }
            Op::Replay(number) => {
                let count = self.datagrams.len().max(1);
                let old = self.datagrams.get(usize::from(number) % count).cloned();
                if let Some(old) = old {
                    let (result, _) = self.receive(&old);
                    // A cookie once used, an initiation, a response, data: nothing is taken twice.
                    assert!(result.is_err(), "taken again: {result:?}");
                }
            }
            Op::Raw(bytes) => {
                let (result, _) = self.receive(&bytes);
                assert!(result.is_err(), "taken: {result:?}");
            }
        }
    }

    /// Time passes; timers fire when they are due, or not before the end of it.
    fn wait(&mut self, time: Duration, on_time: bool) {
        let end = self.now.saturating_add(time);
        let mut fired = 0;
        while let Some(due) = self.peer.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(if on_time { due } else { end });
            let now = self.now;
            self.peer.handle_timeout(&mut env(now, &mut self.rng));
            self.pump();
            fired += 1;
            assert!(fired < 2000, "timers without end");
        }
        self.now = end;
    }

    fn send(&mut self, len: usize) {
        let mut buffer = [0x45; 512];
        let mut out = [0; 512];
        let now = self.now;
        let env = &mut env(now, &mut self.rng);
        match self.peer.send_packet(env, &mut buffer, len, 1420, &mut out) {
            Ok(sealed) => self.check_data(&out[..sealed], len),
            Err(SendError::NoSession) => {}
            Err(SendError::Buffer) => panic!("there is room"),
        }
        self.pump();
    }

    fn check_data(&mut self, message: &[u8], len: usize) {
        let (plaintext, born) = self.forger.open(message);
        assert_eq!(plaintext.len(), len.div_ceil(16) * 16);
        assert!(plaintext[len..].iter().all(|byte| *byte == 0));
        let age = self.now.saturating_since(born);
        assert!(age < REJECT_AFTER_TIME, "sent under a key of {age:?}");
    }

    /// Takes what the peer sends.
    fn pump(&mut self) {
        let _ = self.peer.take_events();
        let mut out = [0; MAX_CONTROL_LEN];
        for _ in 0..8 {
            let now = self.now;
            let env = &mut env(now, &mut self.rng);
            let Some(transmit) = self.peer.poll_transmit(env, &mut out) else {
                return;
            };
            let message = &out[..transmit.len()];
            match (transmit, Message::parse(message)) {
                (Transmit::Initiation(_), Ok(Message::Initiation(message))) => {
                    assert!(self.forger.identity.macs().check_mac1(message, &RustCrypto));
                    if let Some(last) = self.last_handshake {
                        assert!(now.is_past(last, REKEY_TIMEOUT), "initiations too close");
                    }
                    self.last_handshake = Some(now);
                    self.forger.offered = Some(*message);
                }
                (Transmit::Response(_), Ok(Message::Response(message))) => {
                    assert!(self.forger.identity.macs().check_mac1(message, &RustCrypto));
                    self.last_handshake = Some(now);
                    // It is for somebody else if the initiation's index was damaged.
                    self.newest_known = self.forger.answered(message, now);
                }
                (Transmit::CookieReply(_), Ok(Message::CookieReply(message))) => {
                    // It answers what the jar has stamped, unless that was damaged later.
                    let _ = self.forger.jar.receive(message, now, &RustCrypto);
                }
                (Transmit::Keepalive(_), Ok(Message::Data(_))) => {
                    let message = message.to_vec();
                    self.check_data(&message, 0);
                }
                _ => panic!("{transmit:?} is something else"),
            }
        }
        panic!("messages without end");
    }

    /// A datagram arrives: what the peer says and what it has decrypted.
    fn receive(&mut self, bytes: &[u8]) -> (Result<Received, ReceiveError>, Vec<u8>) {
        self.check_kind(bytes);
        let datagram = Datagram {
            bytes,
            source: SocketAddr::from(SOURCE),
            under_load: self.under_load,
        };
        let mut out = vec![0; bytes.len()];
        let now = self.now;
        let env = &mut env(now, &mut self.rng);
        let result = self.peer.receive(env, &datagram, &mut out);
        self.pump();
        (result, out)
    }

    /// The driver's first look at a datagram agrees with the parser.
    fn check_kind(&self, bytes: &[u8]) {
        let parsed = Message::parse(bytes);
        let Some(head) = bytes.first_chunk() else {
            assert!(parsed.is_err());
            return;
        };
        match (kind(head, bytes.len()), parsed) {
            (None, Err(_)) => {}
            (Some(Kind::Data(header)), Ok(Message::Data(data))) => {
                assert_eq!(header.as_bytes(), data.header.as_bytes());
            }
            (Some(Kind::Handshake), Ok(Message::Data(_)) | Err(_)) | (Some(Kind::Data(_)), _) => {
                panic!("kind and parse differ");
            }
            (Some(Kind::Handshake), Ok(_)) => {}
            (None, Ok(_)) => panic!("kind and parse differ"),
        }
    }

    /// Whether the peer must have the newest session: timers cannot have wiped anything yet.
    fn kept_newest(&self) -> bool {
        self.newest_known && self.now.saturating_since(self.begin) < ZERO_KEYS_AFTER_TIME
    }

    fn initiate(&mut self, index: u32, at: Stamp, damage: Damage) {
        let newest = self.accepted.map_or([0; 12], |(stamp, _)| stamp);
        let timestamp = match at {
            Stamp::Now => *stamp(self.now).as_bytes(),
            Stamp::Near(place, by) => {
                let mut near = newest;
                let byte = &mut near[usize::from(place) % 12];
                *byte = byte.wrapping_add_signed(by);
                near
            }
            Stamp::Any(bytes) => bytes,
        };
        let mut message = self.forger.initiation(index, timestamp);
        // A byte before the authenticators: 4 to 7 are the index, which nothing else protects.
        let mut right = true;
        if let Damage::Before(place, bits) = damage {
            let place = usize::from(place) % (Initiation::LEN - 32);
            let mut bytes = *message
                .as_bytes()
                .first_chunk::<{ Initiation::LEN }>()
                .unwrap();
            bytes[place] ^= bits;
            message = Initiation::read_from_bytes(&bytes).unwrap();
            right = bits == 0 || (4..8).contains(&place);
        }
        let now = self.now;
        self.forger.jar.stamp(&mut message, now, &RustCrypto);
        let (bytes, intact) = damaged(message.as_bytes(), damage, Initiation::LEN - 16);
        let before = self.accepted;
        let (result, _) = self.receive(&bytes);
        if result == Ok(Received::Initiation) {
            assert!(right && intact);
            self.accepted = Some((timestamp, now));
            self.datagrams.push(bytes);
        }
        if right && intact && !self.under_load {
            let too_soon = before.is_some_and(|(_, last)| !now.is_past(last, INITIATION_SPACING));
            let expected = if timestamp <= newest {
                Err(ReceiveError::Handshake(HandshakeError::Replay))
            } else if too_soon {
                Err(ReceiveError::Handshake(HandshakeError::Flood))
            } else {
                Ok(Received::Initiation)
            };
            assert_eq!(result, expected);
        }
    }

    fn respond(&mut self, index: u32, right_psk: bool, damage: Damage) {
        let now = self.now;
        let Some((mut message, session)) = self.forger.response(index, right_psk, now) else {
            return;
        };
        let mut right = right_psk;
        if let Damage::Before(place, bits) = damage {
            let place = usize::from(place) % (Response::LEN - 32);
            let mut bytes = *message
                .as_bytes()
                .first_chunk::<{ Response::LEN }>()
                .unwrap();
            bytes[place] ^= bits;
            message = Response::read_from_bytes(&bytes).unwrap();
            // With another index of ours the session would be one that we do not know.
            right &= bits == 0;
            if bits != 0 && (4..8).contains(&place) {
                return;
            }
        }
        self.forger.jar.stamp(&mut message, now, &RustCrypto);
        let (bytes, intact) = damaged(message.as_bytes(), damage, Response::LEN - 16);
        // Known to the forger before the peer uses it.
        self.forger.add(session, now);
        let sessions = self.forger.sessions.len();
        let (result, _) = self.receive(&bytes);
        if result == Ok(Received::Response) {
            assert!(right && intact);
            self.datagrams.push(bytes);
            // It is used up.
            self.forger.offered = None;
            self.newest_known = true;
        } else {
            assert_eq!(self.forger.sessions.len(), sessions);
            self.forger.sessions.pop();
            if result == Err(ReceiveError::Handshake(HandshakeError::Confirmation)) {
                assert!(!right);
            }
        }
    }

    fn cookie(&mut self, damage: Damage) {
        let Some(offered) = self.forger.offered else {
            return;
        };
        let now = self.now;
        let from = SocketAddr::from(SOURCE);
        let reply = self.forger.cookie(&offered, &from, now);
        let (bytes, intact) = damaged(reply.as_bytes(), damage, reply.as_bytes().len());
        let (result, _) = self.receive(&bytes);
        if result.is_ok() {
            assert!(intact);
            self.datagrams.push(bytes);
        }
    }

    fn data(&mut self, session: u8, counter: Counter, inner: &Inner, damage: Damage) {
        let sessions = self.forger.sessions.len();
        let Some(place) = sessions.checked_sub(1 + usize::from(session % 4)) else {
            return;
        };
        let known = &mut self.forger.sessions[place];
        let counter = known.received.counter(counter);
        let fresh = known.received.check(counter);
        let old = self.now.saturating_since(known.born) >= REJECT_AFTER_TIME;
        let plaintext = plaintext(inner);
        let message = known.seal(counter, &plaintext);
        let (bytes, intact) = damaged(&message, damage, message.len());
        let (result, out) = self.receive(&bytes);
        let authentic = matches!(
            result,
            Ok(Received::Packet(_) | Received::Keepalive) | Err(ReceiveError::Inner(_))
        );
        if authentic {
            assert!(intact, "damaged and not noticed");
            assert!(!old, "taken under a key that is too old");
            assert_eq!(fresh, Ok(()), "taken twice");
            self.forger.sessions[place].received.accept(counter);
            self.datagrams.push(bytes);
        } else {
            assert!(result.is_err());
        }
        if intact && !old && fresh.is_ok() && place + 1 == sessions && self.kept_newest() {
            assert!(authentic, "the newest session: {result:?}");
        }
        match result {
            Ok(Received::Packet(packet)) => check_packet(&packet, &plaintext, &out),
            Ok(Received::Keepalive) => assert!(plaintext.is_empty()),
            Err(ReceiveError::Inner(_)) => {
                assert!(!matches!(
                    inner,
                    Inner::V4(..) | Inner::V6(..) | Inner::Keepalive
                ));
            }
            _ => {}
        }
    }
}

/// The message as it arrives, and whether what counts of it is as it was sent. Bytes from `end` on
/// do not count.
fn damaged(message: &[u8], damage: Damage, end: usize) -> (Vec<u8>, bool) {
    let mut bytes = message.to_vec();
    match damage {
        Damage::None | Damage::Before(..) => {}
        Damage::After(place, bits) => {
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= bits;
            return (bytes, bits == 0 || place >= end);
        }
        Damage::Cut(count) => {
            let count = usize::from(count) % (bytes.len() + 1);
            bytes.truncate(bytes.len() - count);
            return (bytes, count == 0);
        }
        Damage::Longer(count) => {
            bytes.resize(bytes.len() + usize::from(count), 0);
            return (bytes, count == 0);
        }
    }
    (bytes, true)
}

fn plaintext(inner: &Inner) -> Vec<u8> {
    match inner {
        Inner::Keepalive => Vec::new(),
        Inner::V4(more, padding) => {
            let len = 20 + usize::from(*more);
            let mut packet = vec![0x11; len + usize::from(*padding)];
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            packet
        }
        Inner::V6(payload, padding) => {
            let mut packet = vec![0x22; 40 + usize::from(*payload) + usize::from(*padding)];
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&u16::from(*payload).to_be_bytes());
            packet
        }
        Inner::Header(head, more) => {
            let mut packet = head.to_vec();
            packet.resize(6 + usize::from(*more), 0x33);
            packet
        }
        Inner::Any(bytes) => bytes.clone(),
    }
}

/// What the parser says of a packet, read again without it.
fn check_packet(packet: &InnerPacket, plaintext: &[u8], out: &[u8]) {
    assert_eq!(&out[..plaintext.len()], plaintext);
    let number = |at: usize| usize::from(u16::from_be_bytes([plaintext[at], plaintext[at + 1]]));
    let source = packet.source.to_string();
    let (len, from) = match (plaintext[0] >> 4, packet.version) {
        (4, Version::V4) => {
            let source: [u8; 4] = plaintext[12..16].try_into().unwrap();
            (number(2), std::net::IpAddr::from(source))
        }
        (6, Version::V6) => {
            let source: [u8; 16] = plaintext[8..24].try_into().unwrap();
            (40 + number(4), std::net::IpAddr::from(source))
        }
        _ => panic!("another version"),
    };
    assert_eq!((packet.len, source), (len, from.to_string()));
    assert!(len >= 20 && len <= plaintext.len());
}
