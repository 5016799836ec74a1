// SPDX-License-Identifier: GPL-2.0

//! The baton of a transmit queue, and the counters of a key.

use std::time::Duration;

use loom::cell::Cell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::baton::Baton;
use crate::counter::SendCounter;

/// A queue under a lock that is held only to add and to take, and what its driver keeps outside of
/// the lock: loom fails if two CPUs touch that at once.
struct Queue {
    baton: Baton,
    waiting: Mutex<u32>,
    sent: Cell<u32>,
}

impl Queue {
    fn new() -> Self {
        Self {
            baton: Baton::new(),
            waiting: Mutex::new(0),
            sent: Cell::new(0),
        }
    }

    fn add(&self) {
        *self.waiting.lock().unwrap() += 1;
        if self.baton.take() {
            self.drive();
        }
    }

    fn drive(&self) {
        loop {
            self.baton.begin();
            let batch = std::mem::take(&mut *self.waiting.lock().unwrap());
            self.sent.set(self.sent.get() + batch);
            if batch == 0 && self.baton.release() {
                return;
            }
        }
    }
}

#[test]
fn a_queue_has_one_driver_and_nothing_is_left_in_it() {
    loom::model(|| {
        let queue = Arc::new(Queue::new());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || queue.add())
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
        assert!(!queue.baton.is_driven());
        assert_eq!(*queue.waiting.lock().unwrap(), 0);
        assert_eq!(queue.sent.get(), 2);
    });
}

/// A driver that stops while it cannot send (no session) does not miss the session that comes in
/// that moment; a driver whose turn is over hands on to a worker.
#[test]
fn a_session_that_comes_while_the_driver_gives_up_is_used() {
    loom::model(|| {
        let queue = Arc::new(Queue::new());
        let session = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let drive = |queue: &Queue, session: &loom::sync::atomic::AtomicBool| loop {
            queue.baton.begin();
            // Without a session the packets stay.
            if session.load(loom::sync::atomic::Ordering::Relaxed) {
                let batch = std::mem::take(&mut *queue.waiting.lock().unwrap());
                queue.sent.set(queue.sent.get() + batch);
            }
            if queue.baton.release() {
                return;
            }
        };
        let sender = {
            let (queue, session) = (queue.clone(), session.clone());
            thread::spawn(move || {
                *queue.waiting.lock().unwrap() += 1;
                if queue.baton.take() {
                    drive(&queue, &session);
                }
            })
        };
        // The handshake ends: relaxed, as what `take` releases is enough.
        session.store(true, loom::sync::atomic::Ordering::Relaxed);
        if queue.baton.take() {
            drive(&queue, &session);
        }
        sender.join().unwrap();
        assert_eq!(queue.sent.get(), 1);
    });
}

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
