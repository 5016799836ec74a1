// SPDX-License-Identifier: GPL-2.0

//! The counters of messages sent under one key, given out to all CPUs.

use core::time::Duration;

use super::rules::{self, KeyError};
use crate::atomics::{AtomicU32, AtomicU64, Ordering};

/// Gives each counter out once at most.
///
/// All accesses are relaxed. What makes a counter unique is that `fetch_add` on one variable is
/// atomic, in any order; nothing else is published with it. That sending has ended may be noticed
/// late by another CPU, which then is told so by the limits; those leave room for 8,129 messages
/// that are reserved in that moment, so that `next` does not come around.
#[derive(Debug)]
pub struct SendCounter {
    /// The next unused counter.
    next: AtomicU64,
    /// Not zero when sending is over for good.
    closed: AtomicU32,
}

impl SendCounter {
    /// Nothing was sent.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            closed: AtomicU32::new(0),
        }
    }

    /// Reserves `count` counters under a key of this age and returns the first.
    ///
    /// All of them or none; after the first error there are no more.
    #[inline]
    pub fn reserve(&self, count: u64, age: Duration) -> Result<u64, KeyError> {
        if self.is_closed() {
            return Err(KeyError::Expired);
        }
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        rules::may_send(first, count, age)
            .map(|()| first)
            .inspect_err(|_| self.close())
    }

    /// From now on nothing is reserved.
    pub fn close(&self) {
        self.closed.store(1, Ordering::Relaxed);
    }

    /// Whether sending is over.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// The next unused counter, for the rules of renewal.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}
