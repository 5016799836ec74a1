// SPDX-License-Identifier: GPL-2.0

//! Hand-overs that are spread over the driver, step by step with the same orders.

use loom::cell::Cell;
use loom::sync::atomic::{fence, AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// `Peer::has_endpoint`: a relaxed hint that there is an endpoint, stored after the lock of the
/// endpoint was released. Whoever has seen it finds an endpoint under the lock.
#[test]
fn a_known_endpoint_is_there() {
    loom::model(|| {
        let endpoint = Arc::new(Mutex::new(None));
        let known = Arc::new(AtomicBool::new(false));
        let learner = {
            let (endpoint, known) = (endpoint.clone(), known.clone());
            thread::spawn(move || {
                *endpoint.lock().unwrap() = Some(51820);
                known.store(true, Ordering::Relaxed);
            })
        };
        if known.load(Ordering::Relaxed) {
            assert_eq!(*endpoint.lock().unwrap(), Some(51820));
        }
        learner.join().unwrap();
    });
}

/// `Peer::retire` and `handshake::send::make`: an index that is entered while its peer is being
/// removed goes again, by one of them.
#[test]
fn a_removed_peer_leaves_no_index() {
    loom::model(|| {
        let dead = Arc::new(AtomicBool::new(false));
        let in_flight = Arc::new(Mutex::new(false));
        let table = Arc::new(Mutex::new(0));
        let forget = |in_flight: &Mutex<bool>, table: &Mutex<i32>| {
            let was = std::mem::take(&mut *in_flight.lock().unwrap());
            if was {
                *table.lock().unwrap() -= 1;
            }
        };
        let maker = {
            let (dead, in_flight, table) = (dead.clone(), in_flight.clone(), table.clone());
            thread::spawn(move || {
                let mut handshake = in_flight.lock().unwrap();
                *table.lock().unwrap() += 1;
                *handshake = true;
                let dead = dead.load(Ordering::Relaxed);
                drop(handshake);
                if dead {
                    forget(&in_flight, &table);
                }
            })
        };
        dead.store(true, Ordering::Relaxed);
        forget(&in_flight, &table);
        maker.join().unwrap();
        assert_eq!(*table.lock().unwrap(), 0);
    });
}

/// The queue of handshake messages and its work item: `queue_work` sets the pending bit, with
/// full order; the worker clears it before it runs. No message waits for ever.
#[test]
fn a_queued_message_has_a_worker() {
    loom::model(|| {
        let messages = Arc::new(Mutex::new(0));
        let pending = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let work = {
            let (messages, pending, done) = (messages.clone(), pending.clone(), done.clone());
            move || {
                // queue_work: false if the item is pending already.
                if pending.swap(true, Ordering::SeqCst) {
                    return;
                }
                // The worker.
                pending.store(false, Ordering::SeqCst);
                let batch = std::mem::take(&mut *messages.lock().unwrap());
                done.fetch_add(batch, Ordering::Relaxed);
            }
        };
        let receiver = {
            let (messages, work) = (messages.clone(), work.clone());
            thread::spawn(move || {
                *messages.lock().unwrap() += 1;
                work();
            })
        };
        *messages.lock().unwrap() += 1;
        work();
        receiver.join().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    });
}

/// `LIVE` of `wg_kapi::shared`: whoever sees that all objects are gone sees what their destructors
/// did.
#[test]
fn the_last_object_is_gone_when_the_count_says_so() {
    loom::model(|| {
        let live = Arc::new(AtomicUsize::new(2));
        let destroyed: Arc<[Cell<bool>; 2]> = Arc::new([Cell::new(false), Cell::new(false)]);
        let callbacks: Vec<_> = (0..2)
            .map(|number| {
                let (live, destroyed) = (live.clone(), destroyed.clone());
                thread::spawn(move || {
                    destroyed[number].set(true);
                    live.fetch_sub(1, Ordering::Release);
                })
            })
            .collect();
        if live.load(Ordering::Acquire) == 0 {
            assert!(destroyed.iter().all(Cell::get));
        }
        for callback in callbacks {
            callback.join().unwrap();
        }
    });
}

/// Pages for messages (`pages.c`): a page with one reference left, the recycler's own, is written
/// to again; the reads of its last user come before.
#[test]
fn a_page_is_used_again_when_nobody_reads_it() {
    loom::model(|| {
        let references = Arc::new(AtomicUsize::new(2));
        let page = Arc::new(Cell::new(1));
        let user = {
            let (references, page) = (references.clone(), page.clone());
            thread::spawn(move || {
                assert_eq!(page.get(), 1);
                // put_page: atomic_dec_and_test has full order.
                fence(Ordering::SeqCst);
                references.fetch_sub(1, Ordering::AcqRel);
            })
        };
        if references.load(Ordering::Relaxed) == 1 {
            // smp_acquire__after_ctrl_dep
            fence(Ordering::Acquire);
            page.set(2);
        }
        user.join().unwrap();
    });
}
