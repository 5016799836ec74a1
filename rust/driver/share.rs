// SPDX-License-Identifier: GPL-2.0

//! How much of a CPU's time the work for a peer takes.

use kernel::sync::atomic::{Atomic, Relaxed};
use wg_kapi::clock;

use crate::crypto;

/// The share of one CPU's time, as its inverse, from which on work counts as much.
const MUCH: i64 = 4;

/// What one kind of work took of a CPU's time in the last tick of the coarse clock.
///
/// Written by whoever does the work, often one CPU at a time, sometimes a few. An update that is lost, or
/// one by a CPU that is late where a tick ends, makes the estimate worse for a tick, nothing else.
pub(crate) struct Share {
    /// Nanoseconds: when the current tick began, and what was used since then.
    since: Atomic<i64>,
    used: Atomic<i64>,
    /// Whether the tick before was one of much work.
    much: Atomic<i32>,
}

impl Share {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            since: Atomic::new(0),
            used: Atomic::new(0),
            much: Atomic::new(0),
        }
    }

    /// Whether it was much when there was last any.
    #[inline]
    pub(crate) fn is_much(&self) -> bool {
        self.much.load(Relaxed) != 0
    }

    /// Whether it was much, and that not more than `age` nanoseconds ago.
    #[inline]
    pub(crate) fn is_much_now(&self, age: i64) -> bool {
        self.is_much() && crypto::now_ns().saturating_sub(self.since.load(Relaxed)) <= age
    }

    /// So many nanoseconds were used.
    fn note(&self, used: u64) {
        let now = crypto::now_ns();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let since = self.since.load(Relaxed);
        if now == since {
            self.used
                .store(self.used.load(Relaxed).saturating_add(used), Relaxed);
            return;
        }
        let share = self.used.load(Relaxed).saturating_mul(MUCH);
        let much = share >= now.saturating_sub(since);
        self.much.store(i32::from(much), Relaxed);
        self.since.store(now, Relaxed);
        self.used.store(used, Relaxed);
    }
}

/// Measures how long work takes that stays on its CPU.
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    /// Begins now.
    #[inline]
    pub(crate) fn start() -> Self {
        Self(clock::local_ns())
    }

    /// It belongs to this share.
    #[inline]
    pub(crate) fn stop(self, share: &Share) {
        share.note(clock::local_ns().saturating_sub(self.0));
    }
}
