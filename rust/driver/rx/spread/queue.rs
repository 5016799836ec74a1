// SPDX-License-Identifier: GPL-2.0

//! What waits for the workers of a busy peer.

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    queue::DelayQueue,
    skb::SkBuff, //
};
use wg_proto::flows::{FlowCounts, Flows};

use super::{
    super::flows::{LONG_AGO, SMALL},
    workers::{Aside, Batch, Worker, Workers},
    UDP_HEADER, //
};

/// Bytes that may wait to be decrypted for one peer, in a burst: CoDel sees to it that they do not
/// stay that many, if their sender listens.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Messages that may wait: half of what the replay window has, so that they are not too old when
/// their turn comes after others have passed them. Few enough to be counted by flow.
const MAX_QUEUED_MESSAGES: u32 = 4096;

/// Nanoseconds: a flow counts as a large one for once to twice as long after something large.
const LARGE_FOR: i64 = 1_000_000_000;

/// Small datagrams that wait, of one flow, from which on no more of them pass: whoever opens them
/// all would be busy for too long.
const MOST_TO_PASS: usize = 512;

/// Bytes from which on softirqs and other threads may run before a worker decrypts more.
const TURN: usize = 32 << 10;

/// The queue of a peer, made when it is busy for the first time: most never are.
pub(crate) type RxQueue = Option<KBox<BusyQueue>>;

/// Datagrams of one peer that wait to be decrypted by a worker.
pub(crate) struct BusyQueue {
    pub(super) datagrams: DelayQueue,
    /// Of the packets that wait or that a worker has in its hands: their messages and flows.
    waiting: Waiting,
    pub(super) large: LargeFlows,
    pub(super) workers: Workers,
    /// Somebody wanted to pass in vain since a worker took something.
    blocked: bool,
}

impl BusyQueue {
    /// Empty.
    pub(super) fn new() -> Self {
        Self {
            datagrams: DelayQueue::new(),
            waiting: Waiting::new(),
            large: LargeFlows {
                now: Flows::NONE,
                before: Flows::NONE,
                since: LONG_AGO,
            },
            workers: Workers::new(),
            blocked: false,
        }
    }

    /// Adds a datagram, whose `cb` tells what [`Waiting`] needs.
    ///
    /// # Errors
    ///
    /// The datagram, if there is no room for it.
    pub(super) fn push(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        if self.datagrams.bytes() >= MAX_QUEUED_BYTES
            || self.waiting.messages >= MAX_QUEUED_MESSAGES
        {
            return Err(skb);
        }
        self.waiting.add(&skb);
        self.datagrams
            .push(skb)
            .inspect_err(|skb| self.waiting.remove(skb))
    }

    /// What a worker is to open next; `None`: it has left. What is to be dropped instead is
    /// appended to `delayed`.
    #[inline(never)]
    pub(super) fn take(&mut self, me: Worker, delayed: &mut SkbChain) -> Option<Batch> {
        if self.workers.aside.is_some() {
            // Who has in hand what comes before that goes on with it.
            self.workers.leave(me);
            return None;
        }
        self.blocked = false;
        let mut datagrams = SkbChain::new();
        let mut waiting = Waiting::new();
        let mut bytes: usize = 0;
        while bytes < TURN {
            let Some((mut skb, cut)) = self.datagrams.pop(delayed) else {
                break;
            };
            waiting.add(&skb);
            bytes = bytes.saturating_add(skb.len());
            let mut cb = skb.cb();
            cb.tag = u16::try_from(cut).unwrap_or(u16::MAX);
            skb.set_cb(cb);
            datagrams.push_back(skb);
        }
        for skb in delayed.iter() {
            self.waiting.remove(skb);
        }
        if datagrams.is_empty() {
            self.workers.leave(me);
            return None;
        }
        Some(Batch {
            number: self.workers.begin(),
            datagrams,
            waiting,
        })
    }

    /// A batch has gone up the stack. If the next one was put aside it is that one's turn.
    #[inline(never)]
    pub(super) fn delivered(&mut self, waiting: &Waiting) -> Option<Aside> {
        self.waiting.remove_all(waiting);
        self.workers.next()
    }

    /// What waits of these flows, if a small datagram of them may pass after it. All of that must
    /// be small as well, and not much.
    #[inline(never)]
    pub(super) fn pass(&mut self, flows: Flows, now: i64) -> Option<SkbChain> {
        if self.large.at(now).meet(flows) {
            return None;
        }
        if !self.waiting.flows.may_have(flows) {
            return Some(SkbChain::new());
        }
        if self.blocked || flows == Flows::ANY {
            return None;
        }
        let is_own = |skb: &SkBuff| is_small(skb) && Flows::from_bits(skb.cb().nonce).within(flows);
        let mut own = Waiting::new();
        let mut count: usize = 0;
        for skb in self.datagrams.iter().filter(|skb| is_own(skb)) {
            own.add(skb);
            count = count.saturating_add(1);
        }
        let mut others = self.waiting.flows.clone();
        others.remove_all(&own.flows);
        if count > MOST_TO_PASS || others.may_have(flows) {
            self.blocked = true;
            return None;
        }
        self.waiting.remove_all(&own);
        Some(self.datagrams.extract(is_own))
    }
}

/// Whether a datagram, or those of a train together, may pass others.
pub(super) fn is_small(skb: &SkBuff) -> bool {
    skb.len().saturating_sub(UDP_HEADER) <= SMALL
}

/// Flows that sent something large of late: since some time, and in as much time before that.
pub(super) struct LargeFlows {
    now: Flows,
    before: Flows,
    since: i64,
}

impl LargeFlows {
    /// Those that count at this time.
    fn at(&mut self, now: i64) -> Flows {
        let age = now.saturating_sub(self.since);
        if age >= LARGE_FOR {
            let is_recent = age < LARGE_FOR.saturating_mul(2);
            self.before = if is_recent { self.now } else { Flows::NONE };
            self.now = Flows::NONE;
            self.since = now;
        }
        self.now.and(self.before)
    }

    pub(super) fn note(&mut self, flows: Flows) {
        self.now = self.now.and(flows);
    }
}

/// What is known of packets that wait. Their `cb` has it too: `nonce` the flows, `mtu` the
/// messages.
pub(super) struct Waiting {
    messages: u32,
    flows: FlowCounts,
}

impl Waiting {
    const fn new() -> Self {
        Self {
            messages: 0,
            flows: FlowCounts::new(),
        }
    }

    fn add(&mut self, skb: &SkBuff) {
        let cb = skb.cb();
        self.messages = self.messages.saturating_add(cb.mtu.max(1));
        self.flows.add(Flows::from_bits(cb.nonce));
    }

    fn remove(&mut self, skb: &SkBuff) {
        let mut one = Self::new();
        one.add(skb);
        self.remove_all(&one);
    }

    fn remove_all(&mut self, others: &Self) {
        self.messages = self.messages.saturating_sub(others.messages);
        self.flows.remove_all(&others.flows);
    }
}
