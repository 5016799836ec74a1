// SPDX-License-Identifier: GPL-2.0

//! The counters of a key.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::counter::SendCounter;

#[test]
fn a_counter_is_given_out_once() {
    loom::model(|| {
        let counter = Arc::new(SendCounter::new());
        let other = {
            let counter = counter.clone();
            thread::spawn(move || counter.reserve(2, Duration::ZERO))
        };
        let here = counter.reserve(3, Duration::ZERO);
        let there = other.join().unwrap();
        assert!(matches!((here, there), (Ok(0), Ok(3)) | (Ok(2), Ok(0))));
        assert_eq!(counter.next(), 5);
    });
}

#[test]
fn a_closed_counter_gives_nothing_out() {
    loom::model(|| {
        let counter = Arc::new(SendCounter::new());
        let other = {
            let counter = counter.clone();
            thread::spawn(move || {
                counter.close();
                assert!(counter.reserve(1, Duration::ZERO).is_err());
            })
        };
        let first = counter.reserve(1, Duration::ZERO);
        assert!(first.is_ok_and(|first| first == 0) || counter.is_closed());
        other.join().unwrap();
        assert!(counter.reserve(1, Duration::ZERO).is_err());
    });
}
