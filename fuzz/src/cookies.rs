// SPDX-License-Identifier: GPL-2.0

//! Cookies, the rate limiter and the load monitor against what they promise.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use arbitrary::Arbitrary;
use wg_proto::constants::{
    COOKIE_MAX_AGE, COOKIE_SECRET_MAX_AGE, HANDSHAKES_PER_SECOND, HANDSHAKE_BURST,
    UNDER_LOAD_HYSTERESIS, UNDER_LOAD_THRESHOLD,
};
use wg_proto::cookie::{CookieChecker, CookieError, CookieJar, LoadMonitor, MacKeys, MacState};
use wg_proto::keys::PublicKey;
use wg_proto::ratelimit::{RateLimiter, Slot};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::Instant;
use wg_proto::wire::{CookieReply, Initiation, Maced as _};
use zerocopy::FromBytes as _;

/// What happens.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    /// Milliseconds pass.
    Wait(u16),
    /// Seconds pass.
    Sleep(u8),
    /// A message is stamped by its sender, and judged as if it came from a source.
    Message {
        /// Who sends it: jars are apart.
        jar: bool,
        /// Address and port.
        source: u8,
        /// A byte of it that is damaged on the way, and how.
        damage: Option<(u8, u8)>,
        /// Whether the receiver answers with a cookie.
        reply: bool,
    },
    /// A cookie reply comes: the newest one that the receiver has made for this jar.
    Cookie {
        /// Who gets it.
        jar: bool,
        /// A byte of it that is damaged on the way, and how.
        damage: Option<(u8, u8)>,
    },
    /// A message asks for the work of a handshake.
    Limit(u8),
    /// So many messages wait.
    Load(u16),
}

/// Operations in order.
pub type Input = Vec<Op>;

/// A cookie as the model knows it: whose address, under which of the receiver's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cookie {
    source: SocketAddr,
    secret: u32,
}

/// A sender: its jar, what must be in it, and the newest answer to it.
struct Sender {
    jar: CookieJar,
    cookie: Option<(Cookie, Instant)>,
    unanswered: Option<[u8; 16]>,
    reply: Option<(CookieReply, Cookie, [u8; 16])>,
}

struct World {
    now: Instant,
    rng: SeededRng,
    keys: MacKeys,
    checker: CookieChecker,
    /// Number of the receiver's secret, and since when it has it.
    secret: (u32, Instant),
    senders: [Sender; 2],
    serial: u8,
}

/// Plays the operations.
pub fn run(input: Input) {
    let mut rng = SeededRng::new(0);
    let now = Instant::from_nanos(1_000_000_000_000);
    let receiver = PublicKey::from_bytes([7; 32]);
    let sender = || Sender {
        jar: CookieJar::new(&receiver, &RustCrypto),
        cookie: None,
        unanswered: None,
        reply: None,
    };
    let mut world = World {
        now,
        keys: MacKeys::new(&receiver, &RustCrypto),
        checker: CookieChecker::new(now, &mut rng),
        secret: (0, now),
        senders: [sender(), sender()],
        rng,
        serial: 0,
    };
    let mut limiter = RateLimiter::new([Slot::EMPTY; 16], [3; 16]);
    let mut buckets: HashMap<(u64, u64), (u64, Instant)> = HashMap::new();
    let mut load = LoadMonitor::new();
    let mut last_load: Option<Instant> = None;
    for op in input.into_iter().take(256) {
        match op {
            Op::Wait(time) => world.wait(Duration::from_millis(time.into())),
            Op::Sleep(time) => world.wait(Duration::from_secs(time.into())),
            Op::Message {
                jar,
                source,
                damage,
                reply,
            } => world.message(jar.into(), address(source), damage, reply),
            Op::Cookie { jar, damage } => world.cookie(jar.into(), damage),
            Op::Limit(source) => {
                let ip = address(source).ip();
                // Two scopes, eight sources in each: as many as fit.
                let scope = u64::from(source >> 7);
                let allowed = limiter.allow(scope, ip, world.now, &RustCrypto);
                let expected = limit(&mut buckets, (scope, network(ip)), world.now);
                assert_eq!(allowed, expected, "{ip}");
            }
            Op::Load(queued) => {
                let queued = usize::from(queued);
                let busy = queued >= UNDER_LOAD_THRESHOLD;
                if busy {
                    last_load = Some(world.now);
                }
                let expected = busy
                    || last_load.is_some_and(|last| {
                        world.now.saturating_since(last) < UNDER_LOAD_HYSTERESIS
                    });
                assert_eq!(load.under_load(queued, world.now), expected);
            }
        }
    }
}

impl World {
    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    fn message(
        &mut self,
        sender: usize,
        source: SocketAddr,
        damage: Option<(u8, u8)>,
        reply: bool,
    ) {
        self.serial = self.serial.wrapping_add(1);
        let mut bytes = [self.serial; Initiation::LEN];
        let message = Initiation::mut_from_bytes(&mut bytes).unwrap();
        let from = &mut self.senders[sender];
        from.jar.stamp(message, self.now, &RustCrypto);
        from.unanswered = Some(message.macs().mac1);
        from.cookie = from
            .cookie
            .filter(|(_, since)| self.now.saturating_since(*since) < COOKIE_MAX_AGE);
        assert_eq!(message.macs().mac2 != [0; 16], from.cookie.is_some());
        let mac1 = message.macs().mac1;

        let (place, turned) = damage.unwrap_or_default();
        let place = usize::from(place) % bytes.len();
        bytes[place] ^= turned;
        let message = Initiation::ref_from_bytes(&bytes).unwrap();
        let state = self.checker.check(
            &self.keys,
            message,
            &source,
            self.now,
            &mut self.rng,
            &RustCrypto,
        );
        let mac1_damaged = turned != 0 && place < bytes.len() - 16;
        if mac1_damaged {
            assert_eq!(state, MacState::InvalidMac);
            return;
        }
        self.renew();
        let current = Cookie {
            source,
            secret: self.secret.0,
        };
        let known = self.senders[sender].cookie.map(|(cookie, _)| cookie);
        let expected = match known == Some(current) && turned == 0 {
            true => MacState::ValidCookie,
            false => MacState::ValidMac1,
        };
        assert_eq!(state, expected);
        if reply {
            let reply = self
                .checker
                .reply(
                    &self.keys,
                    message,
                    &source,
                    self.now,
                    &mut self.rng,
                    &RustCrypto,
                )
                .unwrap();
            assert_eq!(reply.receiver(), message.sender());
            self.senders[sender].reply = Some((reply, current, mac1));
        }
    }

    fn cookie(&mut self, sender: usize, damage: Option<(u8, u8)>) {
        let to = &mut self.senders[sender];
        let Some((reply, cookie, mac1)) = &to.reply else {
            return;
        };
        let mut bytes = [0; CookieReply::LEN];
        bytes.copy_from_slice(reply.as_bytes());
        let (place, turned) = damage.unwrap_or_default();
        let place = usize::from(place) % bytes.len();
        bytes[place] ^= turned;
        // Type and receiver are not the jar's business.
        let damaged = turned != 0 && place >= 8;
        let expected = match to.unanswered {
            None => Err(CookieError::Unexpected),
            Some(unanswered) if unanswered != *mac1 || damaged => Err(CookieError::Forged),
            Some(_) => Ok(()),
        };
        let reply = CookieReply::ref_from_bytes(&bytes).unwrap();
        let received = to.jar.receive(reply, self.now, &RustCrypto);
        assert_eq!(received, expected);
        if received.is_ok() {
            to.cookie = Some((*cookie, self.now));
            to.unanswered = None;
        }
    }

    /// The receiver's secret is replaced when it is used after its time.
    fn renew(&mut self) {
        let (number, since) = self.secret;
        if self.now.saturating_since(since) >= COOKIE_SECRET_MAX_AGE {
            self.secret = (number + 1, self.now);
        }
    }
}

/// Eight sources, told apart by address and port.
fn address(source: u8) -> SocketAddr {
    let ip = match source & 1 {
        0 => IpAddr::from([192, 0, 2, (source >> 1) & 3]),
        _ => {
            let customer = u16::from((source >> 1) & 3);
            let host = u16::from((source >> 3) & 1);
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, customer, 0, 0, 0, host))
        }
    };
    SocketAddr::from((ip, 1000 + u16::from((source >> 4) & 1)))
}

/// What the limiter takes for one source.
fn network(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

/// A token bucket: nanoseconds of waiting, of which a message costs one part in 20 of a second.
fn limit(
    buckets: &mut HashMap<(u64, u64), (u64, Instant)>,
    source: (u64, u64),
    now: Instant,
) -> bool {
    let cost = 1_000_000_000 / HANDSHAKES_PER_SECOND;
    let full = cost * HANDSHAKE_BURST;
    let (tokens, last) = buckets.entry(source).or_insert((full, now));
    let waited = now.as_nanos() - last.as_nanos();
    *tokens = tokens.saturating_add(waited).min(full);
    *last = now;
    let allowed = *tokens >= cost;
    if allowed {
        *tokens -= cost;
    }
    allowed
}
