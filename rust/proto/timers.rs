// SPDX-License-Identifier: GPL-2.0

//! The timers of a peer: when to retry, to renew, to keep alive and to forget.
//!
//! A tunnel has no connection setup and no connection end that a user would see. Five timers make
//! that work (whitepaper, section 6). They run only between [`Timers::start`] and
//! [`Timers::stop`], that is while the interface is up and the peer exists.
//!
//! | timer | armed by | after | cancelled by | when it expires |
//! |---|---|---|---|---|
//! | retransmit | initiation sent | 5 s + jitter | handshake complete | try again, at most 20 initiations in all; then give up |
//! | keepalive | data received, unless pending | 10 s | anything authenticated sent | send a keepalive, so that the other side hears back; once more after 10 s if data came while it was pending |
//! | silence | data sent that the network took, unless pending | 15 s + jitter | anything authenticated received | the other side does not answer: begin a new handshake |
//! | forget | session derived (always anew); handshake given up, unless pending | 540 s | - | wipe all keys |
//! | persistent | anything authenticated sent or received, always anew; also what could not be sent | the configured interval | - | send a keepalive |
//!
//! * "Data" is a message with a packet inside; "anything authenticated" includes keepalives and
//!   handshake messages, but not cookie replies.
//! * "Try again" and "begin" also forget the source address of the endpoint: the old path may be
//!   what is broken.
//! * Giving up drops the packets that wait for a session and cancels the keepalive timer.
//! * Beginning a handshake for any reason but "try again" starts counting attempts from zero.
//! * The jitter, up to a third of a second, keeps two peers from talking at once for ever.
//!
//! There is no clock in here. The caller says what happened and when ([`Timers::on`]), arms *one*
//! timer of its own at the earliest deadline, and calls [`Timers::expire`] when that fires. To
//! spare the data path, deadlines that move later are not reported: the timer then fires early,
//! finds nothing due and is armed again.

use core::time::Duration;

use crate::constants::{
    KEEPALIVE_TIMEOUT, MAX_HANDSHAKE_ATTEMPTS, NEW_HANDSHAKE_TIMEOUT, REKEY_TIMEOUT,
    ZERO_KEYS_AFTER_TIME,
};
use crate::time::Instant;

/// Something that happened and that timers care about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Data was encrypted and is handed to the network (at least one message of a batch has a packet
    /// inside). To be reported before that is done, as the answer may come from another CPU before
    /// anything can be reported afterwards.
    DataSent,
    /// The network took none of the messages last reported as [`Event::DataSent`].
    DataRefused,
    /// Only a keepalive is sent.
    KeepaliveSent,
    /// A message could not even be made, for want of memory. Persistent keepalives go on.
    SendFailed,
    /// A message with a packet inside was received and authenticated.
    DataReceived,
    /// An authenticated keepalive was received.
    KeepaliveReceived,
    /// A handshake was asked for, by data or a user, not by the retransmit timer. To be reported
    /// even if spacing holds the initiation back.
    InitiationRequested,
    /// A handshake initiation was sent, or was to be sent and could not be.
    InitiationSent,
    /// A handshake initiation was received and accepted.
    InitiationReceived,
    /// A handshake response was sent, and with it a session was derived.
    ResponseSent,
    /// A valid handshake response was received, and with it a session was derived.
    ResponseReceived,
    /// The first message under the responder's pending keypair was received.
    SessionConfirmed,
}

/// Settings that timers depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Interval of unconditional keepalives (1 to 65,535 s), if any.
    pub persistent_keepalive: Option<Duration>,
}

impl Config {
    /// Whether a change from `self` to `new` asks for a keepalive at once: when persistent
    /// keepalives are switched on. (Other changes take effect at the next message or expiry.)
    pub fn wants_keepalive_now(&self, new: &Self) -> bool {
        self.persistent_keepalive.is_none() && new.persistent_keepalive.is_some()
    }
}

/// Why the timers ask for a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiate {
    /// No response to the last initiation. This is attempt number `attempt`, from 2 on.
    Retry {
        /// Initiations sent in this series, including the one asked for.
        attempt: u32,
    },
    /// No authenticated message since data was sent.
    Silence,
}

/// What to do about expired timers. Several may have expired at once.
///
/// To be carried out in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Actions {
    /// The handshake was given up: drop the packets that wait for a session.
    pub purge_staged: bool,
    /// Send a handshake initiation, after forgetting the source address of the endpoint. Spacing
    /// rules apply.
    pub initiate: Option<Initiate>,
    /// Send a keepalive, or staged packets instead if there are any.
    pub send_keepalive: bool,
    /// Wipe the handshake state and all keypairs.
    pub wipe_keys: bool,
}

impl Actions {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Deadline of a timer that is not armed.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The timers of one peer. No locks inside: the caller has one around it.
///
/// # Invariants
///
/// * While stopped, all deadlines are [`NEVER`].
/// * `reported` is not later than any deadline.
#[derive(Debug)]
pub struct Timers {
    retransmit: Instant,
    keepalive: Instant,
    silence: Instant,
    forget: Instant,
    persistent: Instant,
    /// The deadline that the caller's timer is armed for.
    reported: Instant,
    /// Retries in the current series of initiations.
    retries: u32,
    /// Data came while `keepalive` was pending.
    another_keepalive: bool,
    /// What was sent last armed `silence`.
    silence_is_new: bool,
    /// The last-minute renewal of the current session has been claimed.
    last_minute_rekey: bool,
    running: bool,
}

impl Timers {
    /// All timers stopped.
    pub const fn new() -> Self {
        Self {
            retransmit: NEVER,
            keepalive: NEVER,
            silence: NEVER,
            forget: NEVER,
            persistent: NEVER,
            reported: NEVER,
            retries: 0,
            another_keepalive: false,
            silence_is_new: false,
            last_minute_rekey: false,
            running: false,
        }
    }

    /// From now on events arm timers. (The interface came up.)
    pub fn start(&mut self) {
        self.running = true;
    }

    /// Cancels everything and ignores events until [`Timers::start`]. The caller cancels its timer.
    pub fn stop(&mut self) {
        *self = Self::new();
    }

    /// Cancels the timer that wipes the keys, because the caller has just wiped them.
    pub fn keys_wiped(&mut self) {
        self.forget = NEVER;
    }

    /// Notes an event. `jitter` is random, less than
    /// [`REKEY_JITTER`](crate::constants::REKEY_JITTER); one value for every call is fine until it
    /// was used ([`Event::needs_jitter`]).
    ///
    /// Returns the earliest deadline if the caller's timer has to be armed for it: it is earlier
    /// than what that was armed for, or that has passed and it has not fired.
    #[inline]
    pub fn on(
        &mut self,
        event: Event,
        now: Instant,
        jitter: Duration,
        config: &Config,
    ) -> Option<Instant> {
        if !self.running {
            return None;
        }
        match event {
            Event::DataSent => {
                self.sent(now, config);
                self.silence_is_new = self.silence == NEVER;
                if self.silence_is_new {
                    self.silence = now
                        .saturating_add(NEW_HANDSHAKE_TIMEOUT)
                        .saturating_add(jitter);
                }
            }
            Event::DataRefused => {
                if self.silence_is_new {
                    self.silence = NEVER;
                }
            }
            Event::KeepaliveSent => self.sent(now, config),
            Event::SendFailed => self.traversed(now, config),
            Event::DataReceived => {
                self.received(now, config);
                if self.keepalive == NEVER {
                    self.keepalive = now.saturating_add(KEEPALIVE_TIMEOUT);
                } else {
                    self.another_keepalive = true;
                }
            }
            Event::KeepaliveReceived | Event::InitiationReceived => self.received(now, config),
            Event::InitiationRequested => self.retries = 0,
            Event::InitiationSent => {
                self.sent(now, config);
                self.retransmit = now.saturating_add(REKEY_TIMEOUT).saturating_add(jitter);
            }
            Event::ResponseSent => {
                self.sent(now, config);
                self.forget = now.saturating_add(ZERO_KEYS_AFTER_TIME);
            }
            Event::ResponseReceived => {
                self.received(now, config);
                self.forget = now.saturating_add(ZERO_KEYS_AFTER_TIME);
                self.handshake_complete();
            }
            Event::SessionConfirmed => self.handshake_complete(),
        }
        self.report(now)
    }

    /// The earliest deadline, `None` if no timer is armed.
    pub fn next_deadline(&self) -> Option<Instant> {
        let next = self.earliest();
        (next != NEVER).then_some(next)
    }

    /// Disarms what is due at `now` and says what to do about it.
    ///
    /// Afterwards the caller arms its timer for [`Timers::next_deadline`]; what it does about the
    /// actions it reports as events like everything else.
    pub fn expire(&mut self, now: Instant, config: &Config) -> Actions {
        let mut actions = Actions::default();
        if due(&mut self.retransmit, now) {
            if self.retries > MAX_HANDSHAKE_ATTEMPTS {
                actions.purge_staged = true;
                self.keepalive = NEVER;
                self.another_keepalive = false;
                if self.forget == NEVER {
                    self.forget = now.saturating_add(ZERO_KEYS_AFTER_TIME);
                }
            } else {
                self.retries = self.retries.saturating_add(1);
                let attempt = self.retries.saturating_add(1);
                actions.initiate = Some(Initiate::Retry { attempt });
            }
        }
        if due(&mut self.keepalive, now) {
            actions.send_keepalive = true;
            if core::mem::take(&mut self.another_keepalive) {
                self.keepalive = now.saturating_add(KEEPALIVE_TIMEOUT);
            }
        }
        if due(&mut self.silence, now) {
            self.retries = 0;
            actions.initiate = Some(Initiate::Silence);
        }
        if due(&mut self.forget, now) {
            actions.wipe_keys = true;
        }
        if due(&mut self.persistent, now) && config.persistent_keepalive.is_some() {
            actions.send_keepalive = true;
        }
        self.reported = self.earliest();
        actions
    }

    /// Claims the one renewal of a session that may begin because data came shortly before its
    /// end ([`rekey_on_receive`](crate::keypairs::rules::rekey_on_receive)). False if it has been
    /// claimed since the last completed handshake.
    pub fn claim_last_minute_rekey(&mut self) -> bool {
        !core::mem::replace(&mut self.last_minute_rekey, true)
    }

    #[inline]
    fn sent(&mut self, now: Instant, config: &Config) {
        self.keepalive = NEVER;
        self.another_keepalive = false;
        self.traversed(now, config);
    }

    #[inline]
    fn received(&mut self, now: Instant, config: &Config) {
        self.silence = NEVER;
        self.traversed(now, config);
    }

    #[inline]
    fn traversed(&mut self, now: Instant, config: &Config) {
        if let Some(interval) = config.persistent_keepalive {
            self.persistent = now.saturating_add(interval);
        }
    }

    fn handshake_complete(&mut self) {
        self.retransmit = NEVER;
        self.retries = 0;
        self.last_minute_rekey = false;
    }

    /// The earliest deadline if it is earlier than what the caller knows, or if what it knows has
    /// passed: a timer that sleeps with the machine may not fire for long.
    #[inline]
    fn report(&mut self, now: Instant) -> Option<Instant> {
        let earliest = self.earliest();
        if earliest < self.reported || (self.reported <= now && earliest != NEVER) {
            self.reported = earliest;
            return Some(earliest);
        }
        None
    }

    #[inline]
    fn earliest(&self) -> Instant {
        self.retransmit
            .min(self.keepalive)
            .min(self.silence)
            .min(self.forget)
            .min(self.persistent)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// Whether [`Timers::on`] uses its jitter for this event.
    #[inline]
    pub const fn needs_jitter(self) -> bool {
        matches!(self, Self::DataSent | Self::InitiationSent)
    }
}

/// Disarms a timer that is due.
#[inline]
fn due(deadline: &mut Instant, now: Instant) -> bool {
    let due = *deadline != NEVER && *deadline <= now;
    if due {
        *deadline = NEVER;
    }
    due
}
