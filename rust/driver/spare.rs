// SPDX-License-Identifier: GPL-2.0

//! Whether CPUs have time to spare.

use kernel::sync::atomic::{Atomic, Relaxed};
use wg_kapi::{
    clock,
    cpu, //
};

use crate::crypto;

/// Nanoseconds after which it is looked at again.
const WINDOW: i64 = 50_000_000;

/// What was found longer ago than this says nothing.
const RECENT: u64 = 250_000_000;

/// The share of one CPU's time, as its inverse, that has to be there.
const ENOUGH: u64 = 2;

/// How much time CPUs have for helpers: what they are idle, and what helpers have of it now.
///
/// Written by whoever asks or has helped, often several at a time. An update that is lost makes the
/// estimate worse for a window, nothing else.
pub(crate) struct Spare {
    /// When the window began, by the coarse clock.
    since: Atomic<i64>,
    /// The same by the precise one, and how long the CPUs had been idle by then, in nanoseconds.
    began: Atomic<u64>,
    idle: Atomic<u64>,
    /// What helpers have used in it.
    used: Atomic<u64>,
    /// Whether there was enough in the window before.
    found: Atomic<i32>,
}

impl Spare {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            since: Atomic::new(0),
            began: Atomic::new(0),
            idle: Atomic::new(0),
            used: Atomic::new(0),
            found: Atomic::new(0),
        }
    }

    /// Whether there is enough.
    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        let now = crypto::now_ns();
        if now.saturating_sub(self.since.load(Relaxed)) >= WINDOW {
            self.since.store(now, Relaxed);
            self.look();
        }
        self.found.load(Relaxed) != 0
    }

    #[cold]
    fn look(&self) {
        let now = clock::precise_ns();
        let idle = cpu::idle_ns();
        let age = now.saturating_sub(self.began.load(Relaxed));
        let spare = idle
            .saturating_sub(self.idle.load(Relaxed))
            .saturating_add(self.used.load(Relaxed));
        self.began.store(now, Relaxed);
        self.idle.store(idle, Relaxed);
        self.used.store(0, Relaxed);
        let enough = spare.saturating_mul(ENOUGH) >= age && age <= RECENT && cpu::online() > 1;
        self.found.store(i32::from(enough), Relaxed);
    }

    /// A helper works.
    pub(crate) fn use_for<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = clock::local_ns();
        let result = work();
        let used = clock::local_ns().saturating_sub(began);
        self.used
            .store(self.used.load(Relaxed).saturating_add(used), Relaxed);
        result
    }
}
