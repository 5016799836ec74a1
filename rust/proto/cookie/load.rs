// SPDX-License-Identifier: GPL-2.0

//! When a device is under load.

use crate::constants::{UNDER_LOAD_HYSTERESIS, UNDER_LOAD_THRESHOLD};
use crate::time::Instant;

/// So many messages refused in a second make another one: twice what may be left in the queue when
/// it is not long any more.
const FLOOD: usize = 2 * UNDER_LOAD_THRESHOLD;

/// Watches the queue of waiting handshake messages of one device.
#[derive(Clone, Debug, Default)]
pub struct LoadMonitor {
    last: Option<Instant>,
    /// Messages refused since then.
    refused: usize,
}

impl LoadMonitor {
    /// A monitor that has seen no load.
    pub const fn new() -> Self {
        Self {
            last: None,
            refused: 0,
        }
    }

    /// Whether the device is under load, given that `queued` messages wait: if these are an eighth
    /// of what may wait, and for a second after they were, so that the answer does not flicker.
    ///
    /// Refusing is so cheap that the queue becomes short at once, while the flood goes on: if in
    /// that second 1,024 messages were refused, another one follows. Otherwise
    /// the machine would do full handshakes for a flood, once a second, until the queue is long.
    pub fn under_load(&mut self, queued: usize, now: Instant) -> bool {
        let Some(last) = self.last else {
            if queued >= UNDER_LOAD_THRESHOLD {
                self.begin(now);
            }
            return self.last.is_some();
        };
        if queued >= UNDER_LOAD_THRESHOLD {
            self.begin(now);
        } else if now.is_past(last, UNDER_LOAD_HYSTERESIS) {
            if self.refused >= FLOOD {
                self.begin(now);
            } else {
                self.last = None;
            }
        }
        self.last.is_some()
    }

    /// A message was refused: it had no cookie that would prove its source.
    pub fn refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    fn begin(&mut self, now: Instant) {
        self.last = Some(now);
        self.refused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: C4
    #[test]
    fn threshold_and_hysteresis() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut load = LoadMonitor::new();
        assert!(!load.under_load(511, at(0)));
        assert!(load.under_load(512, at(1)));
        assert!(load.under_load(0, at(500)));
        assert!(load.under_load(600, at(900)));
        assert!(load.under_load(0, at(1899)));
        assert!(!load.under_load(0, at(1900)));
        assert!(!load.under_load(0, at(1901)));
    }

    #[test]
    fn goes_on_with_the_flood() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut load = LoadMonitor::new();
        assert!(load.under_load(512, at(0)));
        // What was in the queue does not make a second one.
        (0..1023).for_each(|_| load.refused());
        assert!(load.under_load(0, at(999)));
        assert!(!load.under_load(0, at(1000)));
        assert!(load.under_load(512, at(2000)));
        for second in 3..9 {
            (0..1024).for_each(|_| load.refused());
            assert!(load.under_load(1, at(second * 1000)), "{second}");
        }
        assert!(!load.under_load(1, at(9000)));
    }
}
