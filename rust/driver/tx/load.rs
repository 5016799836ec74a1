// SPDX-License-Identifier: GPL-2.0

//! How much is sent to a peer, and whether waiting for more pays.

use core::time::Duration;

use wg_proto::time::Instant;

/// Messages in one tick of the clock from which on a peer counts as busy.
const BUSY: usize = 32;

/// Two counts are of one load only if not more than this lies between them.
const RECENT: Duration = Duration::from_millis(20);

/// Fewer packets than this were not worth waiting for.
const WORTH_WAITING: usize = 4;

/// So many times in a row, after which nothing waits for a while.
const VAIN: u8 = 4;

/// How long that is.
const NO_WAITING: Duration = Duration::from_millis(50);

/// Plain packets in one tick of the clock from which on two of one flow may follow each other so
/// closely that one can overtake the other.
const OFTEN: usize = 4;

/// How much is being sent, by the ticks of the coarse clock, and whether waiting for more pays.
pub(super) struct Load {
    /// The tick that is being counted.
    tick: Instant,
    /// Messages in it, and in the one before.
    current: usize,
    before: usize,
    /// Waits in a row that were not worth it.
    vain: u8,
    /// Nothing waits until then.
    no_waiting_until: Instant,
}

impl Load {
    pub(super) const fn new() -> Self {
        Self {
            tick: Instant::from_nanos(0),
            current: 0,
            before: 0,
            vain: 0,
            no_waiting_until: Instant::from_nanos(0),
        }
    }

    /// Counts messages.
    pub(super) fn note(&mut self, messages: usize, now: Instant) {
        if now != self.tick {
            self.before = if now.is_past(self.tick, RECENT) {
                0
            } else {
                self.current
            };
            self.current = 0;
            self.tick = now;
        }
        self.current = self.current.saturating_add(messages);
    }

    /// Whether packets come often.
    pub(super) fn is_often(&self) -> bool {
        self.current >= OFTEN || self.before >= OFTEN
    }

    /// Whether it pays to wait for more, as some are likely to come soon.
    pub(super) fn pays(&self, now: Instant) -> bool {
        (self.current >= BUSY || self.before >= BUSY) && now >= self.no_waiting_until
    }

    /// There was enough before the wait was over.
    pub(super) fn enough(&mut self) {
        self.vain = 0;
    }

    /// `packets` were there when the wait was over.
    pub(super) fn waited(&mut self, packets: usize, now: Instant) {
        if packets >= WORTH_WAITING {
            self.vain = 0;
        } else {
            self.vain = self.vain.saturating_add(1);
        }
        if self.vain >= VAIN {
            self.vain = 0;
            self.no_waiting_until = now.saturating_add(NO_WAITING);
        }
    }
}
