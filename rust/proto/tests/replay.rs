// SPDX-License-Identifier: GPL-2.0

//! The replay window against a set of numbers, and at its edges.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wg_proto::constants::{REJECT_AFTER_MESSAGES, REPLAY_WINDOW};
use wg_proto::replay::{ReplayError, ReplayWindow};

/// What the window is meant to be: a memory without end, except that it refuses what is too old.
#[derive(Default)]
struct Model {
    seen: BTreeSet<u64>,
}

impl Model {
    fn check_and_update(&mut self, counter: u64) -> Result<(), ReplayError> {
        let highest = self.seen.last().copied().unwrap_or(0);
        if counter >= REJECT_AFTER_MESSAGES {
            Err(ReplayError::Exhausted)
        } else if highest > REPLAY_WINDOW && counter < highest - REPLAY_WINDOW {
            Err(ReplayError::TooOld)
        } else if self.seen.insert(counter) {
            Ok(())
        } else {
            Err(ReplayError::Duplicate)
        }
    }
}

fn window_at(highest: u64) -> ReplayWindow {
    let mut window = ReplayWindow::new();
    assert_eq!(window.check_and_update(highest), Ok(()));
    window
}

/// Contract: V6
#[test]
fn every_counter_once() {
    let mut window = ReplayWindow::new();
    assert_eq!(window.next(), 0);
    for counter in 0..3 * REPLAY_WINDOW {
        assert_eq!(window.check_and_update(counter), Ok(()));
        assert_eq!(window.next(), counter + 1);
        assert_eq!(
            window.check_and_update(counter),
            Err(ReplayError::Duplicate)
        );
    }
    assert_eq!(window.check_and_update(0), Err(ReplayError::TooOld));
}

/// Contract: V6, L2
#[test]
fn backwards_through_the_whole_window() {
    for highest in [
        REPLAY_WINDOW,
        REPLAY_WINDOW + 1,
        70_000,
        70_001,
        70_015,
        70_079,
    ] {
        let mut window = window_at(highest);
        for back in 1..=REPLAY_WINDOW {
            assert_eq!(window.check_and_update(highest - back), Ok(()), "{back}");
        }
        for back in 0..=REPLAY_WINDOW {
            let again = window.check_and_update(highest - back);
            assert_eq!(again, Err(ReplayError::Duplicate), "{back}");
        }
        if let Some(older) = highest.checked_sub(REPLAY_WINDOW + 1) {
            assert_eq!(window.check_and_update(older), Err(ReplayError::TooOld));
        }
    }
}

/// Contract: V6, L2
#[test]
fn edge_of_the_window() {
    for offset in 0..130 {
        let highest = 1_000_000 + offset;
        let mut window = window_at(highest);
        let edge = highest - REPLAY_WINDOW;
        assert_eq!(window.check_and_update(edge - 1), Err(ReplayError::TooOld));
        assert_eq!(window.check_and_update(edge), Ok(()));
        assert_eq!(window.check_and_update(edge), Err(ReplayError::Duplicate));
    }
}

#[test]
fn every_second_counter_then_the_others() {
    let mut window = ReplayWindow::new();
    for counter in (0..REPLAY_WINDOW).step_by(2) {
        assert_eq!(window.check_and_update(counter), Ok(()));
    }
    for counter in 0..REPLAY_WINDOW {
        let expected = if counter % 2 == 0 {
            Err(ReplayError::Duplicate)
        } else {
            Ok(())
        };
        assert_eq!(window.check_and_update(counter), expected);
    }
}

/// Contract: V6, L2
#[test]
fn jumps_leave_nothing_behind() {
    // The distances around one word, one window, one turn of the ring and several turns.
    for jump in [
        1,
        63,
        64,
        65,
        8127,
        8128,
        8129,
        8191,
        8192,
        8193,
        16_384,
        1 << 40,
    ] {
        let mut window = ReplayWindow::new();
        let mut model = Model::default();
        for counter in 0..200 {
            assert_eq!(window.check_and_update(counter), Ok(()));
            assert_eq!(model.check_and_update(counter), Ok(()));
        }
        let far = 199 + jump;
        assert_eq!(window.check_and_update(far), Ok(()));
        assert_eq!(model.check_and_update(far), Ok(()));
        for counter in (far.saturating_sub(8200)..far + 3).rev() {
            let expected = model.check_and_update(counter);
            assert_eq!(
                window.check_and_update(counter),
                expected,
                "{jump} {counter}"
            );
        }
    }
}

/// Contract: V6, L2
#[test]
fn the_last_counter() {
    let last = REJECT_AFTER_MESSAGES - 1;
    let mut window = ReplayWindow::new();
    let too_high = Err(ReplayError::Exhausted);
    assert_eq!(window.check_and_update(REJECT_AFTER_MESSAGES), too_high);
    assert_eq!(window.check_and_update(u64::MAX), too_high);
    assert_eq!(window.next(), 0);
    assert!(!window.accept_run(last, 2));
    assert!(window.accept_run(last, 1));
    assert_eq!(window.check_and_update(last), Err(ReplayError::Duplicate));
    assert_eq!(window.check_and_update(last - REPLAY_WINDOW), Ok(()));
    assert_eq!(window.check_and_update(REJECT_AFTER_MESSAGES), too_high);
}

#[test]
fn runs_are_all_or_nothing() {
    let mut window = ReplayWindow::new();
    assert!(window.accept_run(0, 0));
    assert!(window.accept_run(0, 64));
    assert!(!window.accept_run(63, 2));
    assert_eq!(window.check_and_update(64), Ok(()));
    assert!(window.accept_run(70, 200));
    assert!(!window.accept_run(65, 5), "below the highest one by one");
    assert_eq!(window.check_and_update(65), Ok(()));
    assert!(!window.accept_run(1000, REPLAY_WINDOW + 1));
    assert!(window.accept_run(1000, REPLAY_WINDOW));
    assert!(!window.accept_run(u64::MAX, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Contract: V6, L1
    #[test]
    fn behaves_like_a_set(
        start in prop_oneof![Just(0), 0..40_000_u64, Just(REJECT_AFTER_MESSAGES - 9000)],
        steps in proptest::collection::vec(
            (
                prop_oneof![
                    4 => -70..70_i64,
                    2 => -8200..100_i64,
                    1 => 0..20_000_i64,
                ],
                prop_oneof![4 => Just(0), 1 => 1..130_u64, 1 => 8000..8200_u64],
            ),
            1..60,
        ),
    ) {
        let mut window = ReplayWindow::new();
        let mut model = Model::default();
        let mut highest = start;
        for (delta, run) in steps {
            let counter = highest.saturating_add_signed(delta);
            let end = counter.saturating_add(run);
            if run > 0 && window.accept_run(counter, run) {
                for counter in counter..end {
                    prop_assert_eq!(model.check_and_update(counter), Ok(()));
                }
            } else {
                for counter in counter..end.max(counter.saturating_add(1)) {
                    let expected = model.check_and_update(counter);
                    prop_assert_eq!(window.check_and_update(counter), expected);
                }
            }
            highest = model.seen.last().copied().unwrap_or(start);
            prop_assert_eq!(window.next(), model.seen.last().map_or(0, |last| last + 1));
        }
    }
}
