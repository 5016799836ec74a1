// SPDX-License-Identifier: GPL-2.0

//! How busy peers are, and whether any has a queue.

use kernel::sync::atomic::{Atomic, Relaxed};

use super::super::flows::LONG_AGO;
use crate::{
    crypto,
    share::Share, //
};

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

/// How busy a peer is.
pub(crate) struct RxLoad {
    /// Whether all data has to go through the queue now.
    pub(super) queued: Atomic<i32>,
    /// Nanoseconds: when it need not any more, if the queue is empty.
    pub(super) queued_until: Atomic<i64>,
    /// What the decryption of its trains takes.
    pub(in super::super) share: Share,
}

impl RxLoad {
    /// No load.
    pub(crate) fn new() -> Self {
        Self {
            queued: Atomic::new(0),
            queued_until: Atomic::new(LONG_AGO),
            share: Share::new(),
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
}
