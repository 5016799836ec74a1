// SPDX-License-Identifier: GPL-2.0

//! One end of a tunnel with one peer, complete but for sockets, clock and queues.
//!
//! This puts the parts of the crate together for a single thread: simulations, tests against
//! other implementations, programs in user space. (The kernel driver puts the same parts together
//! with its own locks and queues.) It allocates nothing and calls nobody back:
//!
//! 1. something happens: [`Peer::send_packet`], [`Peer::receive`], [`Peer::handle_timeout`];
//! 2. the caller looks at [`Peer::take_events`], and sends staged packets if there is a session;
//! 3. it calls [`Peer::poll_transmit`] until that has no more messages to send;
//! 4. it waits for input or for [`Peer::next_timeout`].
//!
//! Packets without a session are staged by the caller: [`SendError::NoSession`].

mod receive;
mod session;
mod transmit;

use core::convert::Infallible;
use core::time::Duration;

use crate::constants::REKEY_JITTER;
use crate::cookie::{CookieChecker, CookieJar};
use crate::crypto::{Crypto, Rng};
use crate::index;
use crate::keys::{PresharedKey, PublicKey};
use crate::noise::{Handshake, StaticIdentity};
use crate::time::{Instant, Tai64n};
use crate::timers::{Config, Event, Initiate, Timers};
use crate::wire::{CookieReply, Index, Response};

pub use receive::{Datagram, ReceiveError, Received};
pub use transmit::{SendError, Transmit, MAX_CONTROL_LEN};

use session::Sessions;

/// What every call needs from outside.
pub struct Env<'a, C: Crypto, R: Rng> {
    /// The time that deadlines and ages are measured with.
    pub now: Instant,
    /// The time of day, for handshake initiations.
    pub timestamp: Tai64n,
    /// Cryptographic primitives.
    pub crypto: &'a C,
    /// Random bytes.
    pub rng: &'a mut R,
}

impl<C: Crypto, R: Rng> Env<'_, C, R> {
    /// A random time below [`REKEY_JITTER`].
    fn jitter(&mut self) -> Duration {
        let mut bytes = [0; 2];
        self.rng.fill(&mut bytes);
        REKEY_JITTER
            .saturating_mul(u32::from(u16::from_le_bytes(bytes)))
            .checked_div(1 << 16)
            .unwrap_or_default()
    }
}

/// What the caller has to do. Everything that is true goes back to false when it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Events {
    /// There is a new session: send the staged packets, before [`Peer::poll_transmit`].
    pub session_ready: bool,
    /// No session came about: drop the staged packets.
    pub purge_staged: bool,
    /// The path may be broken: forget the own source address and the route to the peer.
    pub forget_source: bool,
}

/// One end of a tunnel. See the module's documentation.
pub struct Peer {
    identity: StaticIdentity,
    checker: CookieChecker,
    handshake: Handshake,
    jar: CookieJar,
    sessions: Sessions,
    timers: Timers,
    config: Config,
    events: Events,
    response: Option<Response>,
    cookie_reply: Option<CookieReply>,
    wants_initiation: bool,
    wants_keepalive: bool,
    /// A keepalive waits for a session, as packets do.
    staged_keepalive: bool,
}

impl Peer {
    /// The end that owns `identity`, of a tunnel with the owner of `remote`. Runs at once.
    pub fn new<C: Crypto, R: Rng>(
        identity: StaticIdentity,
        remote: PublicKey,
        psk: PresharedKey,
        env: &mut Env<'_, C, R>,
    ) -> Self {
        let mut timers = Timers::new();
        timers.start();
        Self {
            identity,
            checker: CookieChecker::new(env.now, env.rng),
            handshake: Handshake::new(remote, psk),
            jar: CookieJar::new(&remote, env.crypto),
            sessions: Sessions::new(),
            timers,
            config: Config::default(),
            events: Events::default(),
            response: None,
            cookie_reply: None,
            wants_initiation: false,
            wants_keepalive: false,
            staged_keepalive: false,
        }
    }

    /// Changes settings. Switching persistent keepalives on sends one.
    pub fn configure(&mut self, config: Config) {
        self.wants_keepalive |= self.config.wants_keepalive_now(&config);
        self.config = config;
    }

    /// The peer's public key.
    pub fn remote(&self) -> &PublicKey {
        self.handshake.remote()
    }

    /// When [`Peer::handle_timeout`] has something to do, if ever.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Does what is due. Harmless if nothing is.
    pub fn handle_timeout<C: Crypto, R: Rng>(&mut self, env: &mut Env<'_, C, R>) {
        let actions = self.timers.expire(env.now, &self.config);
        if actions.purge_staged {
            self.events.purge_staged = true;
            self.staged_keepalive = false;
        }
        match actions.initiate {
            Some(Initiate::Retry { .. }) => {
                self.events.forget_source = true;
                self.repeat_initiation(env.now);
            }
            Some(Initiate::Silence) => {
                self.events.forget_source = true;
                self.request_initiation(env);
            }
            None => {}
        }
        self.wants_keepalive |= actions.send_keepalive;
        if actions.wipe_keys {
            // Indices are free as soon as nothing here has them.
            let _ = self.handshake.clear();
            self.sessions.clear();
        }
    }

    /// What the caller has to do since it last asked.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Asks for a handshake, for another reason than that the last one was not answered.
    pub fn request_initiation<C: Crypto, R: Rng>(&mut self, env: &mut Env<'_, C, R>) {
        self.note(Event::InitiationRequested, env);
        self.repeat_initiation(env.now);
    }

    /// Sends an initiation unless the last one, or a response, is too recent.
    fn repeat_initiation(&mut self, now: Instant) {
        self.wants_initiation |= self.handshake.may_initiate(now);
    }

    /// There is a session that may send.
    fn session_ready(&mut self) {
        self.events.session_ready = true;
        self.wants_keepalive |= core::mem::take(&mut self.staged_keepalive);
    }

    fn note<C: Crypto, R: Rng>(&mut self, event: Event, env: &mut Env<'_, C, R>) {
        let jitter = if event.needs_jitter() {
            env.jitter()
        } else {
            Duration::ZERO
        };
        // Whether a deadline moved does not matter to callers that ask for it every time.
        let _ = self.timers.on(event, env.now, jitter, &self.config);
    }

    /// An index that neither a session nor the handshake in flight has.
    fn new_index(&self, rng: &mut impl Rng) -> Option<Index> {
        index::allocate(rng, |index| {
            let used = self.handshake.in_flight() == Some(index) || self.sessions.has(index);
            Ok::<_, Infallible>((!used).then_some(index))
        })
        .ok()
    }
}
