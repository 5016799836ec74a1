// SPDX-License-Identifier: GPL-2.0

//! Whether what is below takes trains.
//!
//! A UDP GSO packet may be refused where single messages are not: by a policer whose bucket is
//! smaller, a filter that looks at lengths, a tunnel or a device. Nothing says so ahead, so what
//! became of each train is looked at. Trains that are refused often lead to a trial with single
//! messages. If most of those are taken, it was the size, and single messages it is for a minute.
//! If they are refused as well, it was a queue that is full, and trains go on.

use core::time::Duration;

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};
use wg_kapi::{new_spinlock_bh, sync::SpinLockBh};
use wg_proto::time::Instant;

use crate::{
    crypto,
    peer::Peer,
    stats::Stat, //
};

/// A refused train weighs as much as so many that were taken: trains are on trial if more than a
/// fifth is refused.
const WEIGHT: u32 = 4;

/// The balance of refused trains from which on single messages are tried.
const TOO_MANY: u32 = 8 * WEIGHT;

/// Messages of a trial, and how many of them must be taken for trains to be at fault.
const TRIAL: u32 = 32;
const MOST: u32 = 28;

/// How long trains are given up.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// How long trains go on, whatever becomes of them, after single messages were no better.
const NO_BETTER: Duration = Duration::from_secs(10);

/// Trains are not looked at as long as none is refused.
const UNWATCHED: i32 = 0;
/// They leave, and are looked at.
const WATCHED: i32 = 1;
/// Messages leave one by one, and are looked at.
const TRIAL_RUNS: i32 = 2;
/// Messages leave one by one.
const SINGLE: i32 = 3;

/// Whether the messages to one peer may leave as trains.
#[pin_data]
pub(crate) struct Trains {
    /// What there is to do, for those without the lock: one of the four above.
    hint: Atomic<i32>,
    #[pin]
    state: SpinLockBh<State>,
}

enum State {
    /// They leave. The balance of what became of them, and until when that does not matter.
    Together { balance: u32, spared: Instant },
    /// Single messages are tried: how many left, how many of those were taken.
    Trial { tried: u32, taken: u32 },
    /// They are given up until then.
    Single { until: Instant },
}

impl Trains {
    /// Allowed.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            hint: Atomic::new(UNWATCHED),
            state <- new_spinlock_bh!(State::together(0, Instant::from_nanos(0))),
        })
    }

    /// Whether messages may leave together.
    #[inline]
    pub(super) fn are_taken(&self) -> bool {
        match self.hint.load(Relaxed) {
            UNWATCHED | WATCHED => true,
            TRIAL_RUNS => false,
            _ => self.is_over(),
        }
    }

    /// Whether it matters what becomes of messages that were taken.
    #[inline]
    pub(super) fn are_watched(&self) -> bool {
        matches!(self.hint.load(Relaxed), WATCHED | TRIAL_RUNS)
    }

    /// Whether the time without trains is over; then they are tried again.
    #[cold]
    fn is_over(&self) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Single { until } if crypto::now() >= until => {
                // Half as many as at first will do to give them up again.
                *state = State::together(TOO_MANY / 2, Instant::from_nanos(0));
                self.hint.store(WATCHED, Relaxed);
                true
            }
            _ => false,
        }
    }
}

impl State {
    const fn together(balance: u32, spared: Instant) -> Self {
        Self::Together { balance, spared }
    }
}

impl Peer {
    /// Judges what became of a packet of `messages` messages.
    #[cold]
    pub(super) fn judge_train(&self, messages: usize, taken: bool) {
        let train = messages > 1;
        let mut given_up = false;
        let mut state = self.trains.state.lock();
        match &mut *state {
            State::Together { balance, spared } if train => {
                *balance = if taken {
                    balance.saturating_sub(1)
                } else {
                    balance.saturating_add(WEIGHT).min(TOO_MANY)
                };
                if *balance >= TOO_MANY && crypto::now() >= *spared {
                    *state = State::Trial { tried: 0, taken: 0 };
                }
            }
            State::Trial { tried, taken: sum } if !train => {
                *tried = tried.saturating_add(1);
                *sum = sum.saturating_add(u32::from(taken));
                if *tried >= TRIAL {
                    given_up = *sum >= MOST;
                    let now = crypto::now();
                    *state = if given_up {
                        State::Single {
                            until: now.saturating_add(GIVEN_UP),
                        }
                    } else {
                        State::together(0, now.saturating_add(NO_BETTER))
                    };
                }
            }
            _ => {}
        }
        let hint = match *state {
            State::Together { balance: 0, .. } => UNWATCHED,
            State::Together { .. } => WATCHED,
            State::Trial { .. } => TRIAL_RUNS,
            State::Single { .. } => SINGLE,
        };
        self.trains.hint.store(hint, Relaxed);
        drop(state);
        if given_up {
            self.count(Stat::TxFallBacks);
        }
    }
}
