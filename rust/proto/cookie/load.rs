// SPDX-License-Identifier: GPL-2.0

//! When a device is under load.

use crate::constants::{UNDER_LOAD_HYSTERESIS, UNDER_LOAD_THRESHOLD};
use crate::time::Instant;

/// Watches the queue of waiting handshake messages of one device.
#[derive(Clone, Debug, Default)]
pub struct LoadMonitor {
    last: Option<Instant>,
}

impl LoadMonitor {
    /// A monitor that has seen no load.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Whether the device is under load, given that `queued` messages wait: if these are an eighth
    /// of what may wait, and for a second after they were, so that the answer does not flicker.
    pub fn under_load(&mut self, queued: usize, now: Instant) -> bool {
        if queued >= UNDER_LOAD_THRESHOLD {
            self.last = Some(now);
            return true;
        }
        match self.last {
            Some(last) if !now.is_past(last, UNDER_LOAD_HYSTERESIS) => true,
            _ => {
                self.last = None;
                false
            }
        }
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
}
