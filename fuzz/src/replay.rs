// SPDX-License-Identifier: GPL-2.0

//! The replay window against a set of all accepted counters.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use wg_proto::constants::{REJECT_AFTER_MESSAGES, REPLAY_WINDOW};
use wg_proto::replay::{ReplayError, ReplayWindow};

/// A counter, mostly one near the edges of the window.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Counter {
    /// So far from the next one.
    Near(i8),
    /// So far from the next one.
    Around(i16),
    /// So far from the oldest one that the window holds.
    Oldest(i8),
    /// So far from the first that no key is used for.
    Limit(i8),
    /// Anything.
    Any(u64),
}

/// What to do with the window.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    /// One message.
    Check(Counter),
    /// Consecutive messages.
    Run(Counter, u16),
    /// Consecutive messages, of any number.
    LongRun(Counter, u64),
}

/// Operations in order.
pub type Input = Vec<Op>;

/// The window as it is defined, without a ring.
#[derive(Default)]
pub struct Model {
    accepted: BTreeSet<u64>,
    next: u64,
}

impl Model {
    pub(crate) fn check(&self, counter: u64) -> Result<(), ReplayError> {
        if counter >= REJECT_AFTER_MESSAGES {
            return Err(ReplayError::Exhausted);
        }
        let highest = self.next.saturating_sub(1);
        if counter < highest.saturating_sub(REPLAY_WINDOW) {
            return Err(ReplayError::TooOld);
        }
        if self.accepted.contains(&counter) {
            return Err(ReplayError::Duplicate);
        }
        Ok(())
    }

    pub(crate) fn accept(&mut self, counter: u64) {
        self.accepted.insert(counter);
        self.next = self.next.max(counter + 1);
        // Older ones are refused for their age.
        let oldest = (self.next - 1).saturating_sub(REPLAY_WINDOW);
        self.accepted = self.accepted.split_off(&oldest);
    }

    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        match counter {
            Counter::Near(by) => self.next.saturating_add_signed(by.into()),
            Counter::Around(by) => self.next.saturating_add_signed(by.into()),
            Counter::Oldest(by) => self
                .next
                .saturating_sub(1 + REPLAY_WINDOW)
                .saturating_add_signed(by.into()),
            Counter::Limit(by) => REJECT_AFTER_MESSAGES.saturating_add_signed(by.into()),
            Counter::Any(counter) => counter,
        }
    }
}

/// Every answer of the window must be that of the model.
pub fn run(input: Input) {
    let mut window = ReplayWindow::new();
    let mut model = Model::default();
    for op in input.into_iter().take(512) {
        match op {
            Op::Check(counter) => {
                let counter = model.counter(counter);
                let expected = model.check(counter);
                assert_eq!(window.check_and_update(counter), expected, "{counter}");
                if expected.is_ok() {
                    model.accept(counter);
                }
            }
            Op::Run(first, count) => accept_run(&mut window, &mut model, first, count.into()),
            Op::LongRun(first, count) => accept_run(&mut window, &mut model, first, count),
        }
        assert_eq!(window.next(), model.next);
    }
    // What it remembers in the end, asked at the places where words of the ring meet.
    let next = model.next;
    for back in (0..REPLAY_WINDOW + 130).filter(|back| back % 64 < 3 || back % 61 == 0) {
        let Some(counter) = next.checked_sub(back + 1) else {
            break;
        };
        let expected = model.check(counter);
        assert_eq!(window.check_and_update(counter), expected, "{counter}");
        if expected.is_ok() {
            model.accept(counter);
        }
    }
}

/// A run is taken if it is all beyond the highest counter, fits the window and the limit; then it
/// is as if each had been checked.
fn accept_run(window: &mut ReplayWindow, model: &mut Model, first: Counter, count: u64) {
    let first = model.counter(first);
    let last = u128::from(first) + u128::from(count);
    let taken = count == 0
        || (first >= model.next
            && last <= u128::from(REJECT_AFTER_MESSAGES)
            && count <= REPLAY_WINDOW);
    assert_eq!(window.accept_run(first, count), taken, "{first}, {count}");
    if taken {
        for counter in first..first.saturating_add(count) {
            assert_eq!(model.check(counter), Ok(()));
            model.accepted.insert(counter);
            model.next = counter + 1;
        }
        let oldest = model.next.saturating_sub(1).saturating_sub(REPLAY_WINDOW);
        model.accepted = model.accepted.split_off(&oldest);
    }
}
