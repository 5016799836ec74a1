// SPDX-License-Identifier: GPL-2.0

//! The two workers of a busy peer, and the order in which their batches go up the stack.

use wg_kapi::{
    chain::SkbChain,
    shared::SharedRef, //
};

use super::{
    super::Opened,
    queue::Waiting, //
};
use crate::peer::Peer;

/// One of the two workers of a peer.
#[derive(Clone, Copy)]
pub(super) enum Worker {
    First,
    Second,
}

impl Worker {
    /// In [`Workers::at_work`].
    const fn bit(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }
}

/// Who opens what waits, and how far they are. Each has one batch in hand, and what is opened goes
/// up the stack by their numbers. So at most one is opened before its turn: that of the worker that
/// began later, which takes no more until the other one has seen to it.
pub(super) struct Workers {
    /// Those that are at work or will be: a sum of their bits.
    at_work: u8,
    /// Batches that were taken, and that went up the stack.
    taken: u32,
    delivered: u32,
    pub(super) aside: Option<Aside>,
}

/// A batch that was opened before its turn.
pub(super) type Aside = (Opened, Waiting);

/// What a worker has taken.
pub(super) struct Batch {
    /// Batches go up the stack in the order of their numbers.
    pub(super) number: u32,
    pub(super) datagrams: SkbChain,
    pub(super) waiting: Waiting,
}

impl Workers {
    pub(super) const fn new() -> Self {
        Self {
            at_work: 0,
            taken: 0,
            delivered: 0,
            aside: None,
        }
    }

    pub(super) fn is_any_at_work(&self) -> bool {
        self.at_work != 0
    }

    /// The worker that can be called, if one can.
    fn idle(&self) -> Option<Worker> {
        if self.at_work & Worker::First.bit() == 0 {
            Some(Worker::First)
        } else if self.at_work & Worker::Second.bit() == 0 {
            Some(Worker::Second)
        } else {
            None
        }
    }

    fn enter(&mut self, worker: Worker) {
        self.at_work |= worker.bit();
    }

    pub(super) fn leave(&mut self, worker: Worker) {
        self.at_work &= !worker.bit();
    }

    /// The number of a batch that is taken now.
    pub(super) fn begin(&mut self) -> u32 {
        let number = self.taken;
        self.taken = number.wrapping_add(1);
        number
    }

    /// A batch was opened: returned if it is its turn, else kept until then.
    pub(super) fn opened(&mut self, number: u32, batch: Aside) -> Option<Aside> {
        if number == self.delivered {
            return Some(batch);
        }
        self.aside = Some(batch);
        None
    }

    /// The batch whose turn it was has gone up the stack.
    pub(super) fn next(&mut self) -> Option<Aside> {
        self.delivered = self.delivered.wrapping_add(1);
        self.aside.take()
    }
}

/// Calls a worker that is idle to the queue of `peer`. False if there is none, or nobody is needed
/// as the peer is going away.
pub(super) fn call(peer: SharedRef<'_, Peer>, workers: &mut Workers) -> bool {
    let (Some(worker), Some(owner)) = (workers.idle(), peer.get()) else {
        return false;
    };
    workers.enter(worker);
    let queue = &peer.device().spread;
    match worker {
        Worker::First => peer.decrypt.queue(queue, owner),
        Worker::Second => peer.decrypt_too.queue(queue, owner),
    }
}
