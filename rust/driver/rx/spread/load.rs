// SPDX-License-Identifier: GPL-2.0

//! How busy peers are, and whether any has a queue.

use kernel::sync::atomic::{Atomic, Relaxed};
use wg_kapi::clock;

use super::super::flows::LONG_AGO;
use crate::{
    crypto,
    peer::Peer, //
};

/// The share of one CPU's time, as its inverse, from which on a peer counts as busy.
const BUSY_SHARE: i64 = 4;

/// Whether any peer of a device has a queue, or had one of late.
pub(crate) struct Diverted {
    /// Peers that have one.
    queues: Atomic<i32>,
    /// Nanoseconds: until when what comes alone may have to go through one; 0 if never.
    until: Atomic<i64>,
}

impl Diverted {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            queues: Atomic::new(0),
            until: Atomic::new(0),
        }
    }

    pub(super) fn is_any(&self) -> bool {
        if self.queues.load(Relaxed) != 0 {
            return true;
        }
        let until = self.until.load(Relaxed);
        until != 0 && crypto::now_ns() < until
    }

    pub(super) fn begin(&self) {
        self.queues.add(1, Relaxed);
    }

    pub(super) fn linger(&self, until: i64) {
        self.until.store(until, Relaxed);
    }

    pub(super) fn end(&self) {
        self.queues.add(-1, Relaxed);
    }
}

/// How much of a CPU's time the decryption for one peer takes.
///
/// Written by whoever decrypts, which is one CPU at a time but for moments; a lost update makes the
/// estimate a little worse, nothing else.
pub(crate) struct RxLoad {
    /// Whether all data has to go through the queue now.
    pub(super) queued: Atomic<i32>,
    /// Nanoseconds: when it need not any more, if the queue is empty.
    pub(super) queued_until: Atomic<i64>,
    /// Nanoseconds: when the current tick of the coarse clock began, and what was used since then.
    since: Atomic<i64>,
    used: Atomic<i64>,
    /// Whether the tick before was one of much work.
    busy: Atomic<i32>,
}

impl RxLoad {
    /// No load.
    pub(crate) fn new() -> Self {
        Self {
            queued: Atomic::new(0),
            queued_until: Atomic::new(LONG_AGO),
            since: Atomic::new(0),
            used: Atomic::new(0),
            busy: Atomic::new(0),
        }
    }

    /// Whether data goes through the queue.
    pub(in super::super) fn is_queued(&self) -> bool {
        self.queued.load(Relaxed) != 0
    }

    /// Whether it goes there, or did a moment ago.
    pub(super) fn goes_through_queue(&self, now: i64) -> bool {
        self.is_queued() || now < self.queued_until.load(Relaxed)
    }

    /// Whether decryption takes much of a CPU's time.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) != 0
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
        let share = self.used.load(Relaxed).saturating_mul(BUSY_SHARE);
        let busy = share >= now.saturating_sub(since);
        self.busy.store(i32::from(busy), Relaxed);
        self.since.store(now, Relaxed);
        self.used.store(used, Relaxed);
    }
}

/// Measures how long the decryption of trains takes.
pub(in super::super) struct Stopwatch(u64);

impl Stopwatch {
    /// Begins now.
    pub(in super::super) fn start() -> Self {
        Self(clock::local_ns())
    }

    /// It was for this peer.
    pub(in super::super) fn stop(self, peer: &Peer) {
        peer.rx_load.note(clock::local_ns().saturating_sub(self.0));
    }
}
