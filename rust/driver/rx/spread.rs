// SPDX-License-Identifier: GPL-2.0

//! Decryption on another CPU.
//!
//! Whoever takes a datagram from the network decrypts it, as long as that leaves the CPU time for
//! other things. When the trains of one peer take up much of it, a worker takes them over, on any
//! CPU that the scheduler finds idle, so that the CPU of the network can do what comes before. From
//! then on all data of that peer goes through its queue, which keeps its order, until there was
//! nothing for a while. Only what is small and of a flow that has sent nothing large of late may
//! pass it, with all of that flow that waits: a ping beside a download.

use core::{
    mem,
    time::Duration, //
};

use kernel::sync::{
    atomic::{Atomic, Relaxed},
    ArcBorrow, //
};
use wg_kapi::{
    chain::SkbChain,
    clock,
    cpu,
    netdev::NetDevice,
    queue::DelayQueue,
    rcu,
    shared::{Shared, SharedRef},
    skb::{Cb, SkBuff},
    sync::with_bh_disabled,
    work::{reschedule, WorkHandler}, //
};
use wg_proto::{
    flows::{FlowCounts, Flows},
    wire::{kind, Kind}, //
};

use super::{
    flows::{flows, LONG_AGO, SMALL},
    receive_here,
    Reception, //
};
use crate::{
    crypto,
    device::Device,
    peer::Peer,
    stats::Stat, //
};

/// Bytes that may wait to be decrypted for one peer, in a burst: CoDel sees to it that they do not
/// stay that many, if their sender listens.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Messages that may wait: half of what the replay window has, so that they are not too old when
/// their turn comes after others have passed them. Few enough to be counted by flow.
const MAX_QUEUED_MESSAGES: u32 = 4096;

/// Nanoseconds after the last datagram in which all data of a peer goes through its queue, even if
/// that is empty: what was decrypted in the softirq may still be on its way up the stack when a
/// worker is through with what came later.
const LINGER: i64 = 100_000_000;

/// How long a worker waits for what went another way before: as long as others wait for it. A CPU
/// that somebody else keeps busy may take a dozen ticks of the clock.
const SETTLE: Duration = Duration::from_millis(100);

/// Nanoseconds after a wait in vain in which there is none: a CPU that never comes to an end must
/// not hold up one peer after the other.
const NO_SETTLING: i64 = 1_000_000_000;

/// Nanoseconds: a flow counts as a large one for once to twice as long after something large.
const LARGE_FOR: i64 = 1_000_000_000;

/// Trains of fewer bytes are not worth waking somebody up.
const WORTH_A_WORKER: usize = 16 << 10;

/// The share of one CPU's time, as its inverse, from which on a peer counts as busy.
const BUSY_SHARE: i64 = 4;

/// Small datagrams that wait, of one flow, from which on no more of them pass: whoever opens them
/// all would be busy for too long.
const MOST_TO_PASS: usize = 512;

/// Bytes from which on softirqs and other threads may run before a worker decrypts more.
const TURN: usize = 32 << 10;

/// The UDP header is still in front of what the socket gives.
pub(super) const UDP_HEADER: usize = 8;

/// Datagrams of one peer that wait to be decrypted by a worker.
pub(crate) struct RxQueue {
    datagrams: DelayQueue,
    /// Of the packets that wait or that the worker has in its hands: their messages and flows.
    waiting: Waiting,
    large: LargeFlows,
    /// Flows of which something may not be up the stack yet that did not go through the queue.
    ahead: Flows,
    /// Something of these waits: the worker has to let what is ahead go first.
    unsettled: bool,
    /// A worker is at work or will be.
    awaited: bool,
    /// Somebody wanted to pass in vain since the worker took something.
    blocked: bool,
}

impl RxQueue {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            datagrams: DelayQueue::new(),
            waiting: Waiting::new(),
            large: LargeFlows {
                now: Flows::NONE,
                before: Flows::NONE,
                since: LONG_AGO,
            },
            ahead: Flows::NONE,
            unsettled: false,
            awaited: false,
            blocked: false,
        }
    }

    /// What waits of these flows, if a small datagram of them may pass after it. All of that must
    /// be small as well, and not much.
    fn pass(&mut self, flows: Flows, now: i64) -> Option<SkbChain> {
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
fn is_small(skb: &SkBuff) -> bool {
    skb.len().saturating_sub(UDP_HEADER) <= SMALL
}

/// Flows that sent something large of late: since some time, and in as much time before that.
struct LargeFlows {
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

    fn note(&mut self, flows: Flows) {
        self.now = self.now.and(flows);
    }
}

/// What is known of packets that wait. Their `cb` has it too: `nonce` the flows, `mtu` the
/// messages.
struct Waiting {
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

/// Whether any peer of a device has a queue, or had one of late.
pub(crate) struct Diverted {
    /// Peers that have one.
    queues: Atomic<i32>,
    /// Nanoseconds: until when what comes alone may have to go through one; 0 if never.
    until: Atomic<i64>,
    /// Nanoseconds: until when no worker waits for other CPUs.
    hopeless_until: Atomic<i64>,
}

impl Diverted {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            queues: Atomic::new(0),
            until: Atomic::new(0),
            hopeless_until: Atomic::new(LONG_AGO),
        }
    }

    fn is_any(&self) -> bool {
        if self.queues.load(Relaxed) != 0 {
            return true;
        }
        let until = self.until.load(Relaxed);
        until != 0 && crypto::now_ns() < until
    }

    fn begin(&self) {
        self.queues.add(1, Relaxed);
    }

    fn linger(&self, until: i64) {
        self.until.store(until, Relaxed);
    }

    fn end(&self) {
        self.queues.add(-1, Relaxed);
    }

    /// Waits until what CPUs decrypted before is up the stack. Process context, may sleep.
    fn settle(&self, netdev: &NetDevice) {
        if crypto::now_ns() >= self.hopeless_until.load(Relaxed) && !netdev.settle(SETTLE) {
            let until = crypto::now_ns().saturating_add(NO_SETTLING);
            self.hopeless_until.store(until, Relaxed);
        }
    }
}

/// How much of a CPU's time the decryption for one peer takes.
///
/// Written by whoever decrypts, which is one CPU at a time but for moments; a lost update makes the
/// estimate a little worse, nothing else.
pub(crate) struct RxLoad {
    /// Whether all data has to go through the queue now.
    queued: Atomic<i32>,
    /// Nanoseconds: when it need not any more, if the queue is empty.
    queued_until: Atomic<i64>,
    /// Nanoseconds: when the current tick of the coarse clock began, and what was used since then.
    since: Atomic<i64>,
    used: Atomic<i64>,
    /// Whether the tick before was one of much work.
    busy: Atomic<i32>,
}

impl RxLoad {
    /// No load.
    pub(crate) fn new() -> Self {
        Self {
            queued: Atomic::new(0),
            queued_until: Atomic::new(LONG_AGO),
            since: Atomic::new(0),
            used: Atomic::new(0),
            busy: Atomic::new(0),
        }
    }

    /// Whether data goes through the queue.
    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Relaxed) != 0
    }

    /// So many nanoseconds were used.
    fn note(&self, used: u64) {
        let now = crypto::now_ns();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let since = self.since.load(Relaxed);
        if now == since {
            self.used
                .store(self.used.load(Relaxed).saturating_add(used), Relaxed);
            return;
        }
        let share = self.used.load(Relaxed).saturating_mul(BUSY_SHARE);
        let busy = share >= now.saturating_sub(since);
        self.busy.store(i32::from(busy), Relaxed);
        self.since.store(now, Relaxed);
        self.used.store(used, Relaxed);
    }
}

/// Keeps a datagram from the socket for a worker, or appends it to those to be decrypted `here`;
/// what was to be, is, before anything is left to a worker. Softirq.
pub(super) fn divert(
    device: ArcBorrow<'_, Device>,
    mut skb: SkBuff,
    guard: &rcu::Guard,
    here: &mut SkbChain,
) {
    let is_train = skb.train_size().is_some();
    if (!is_train && !device.diverted.is_any()) || cpu::online() == 1 {
        return here.push_back(skb);
    }
    let len = skb.len();
    let receiver = {
        let header = skb.train().read_at(UDP_HEADER);
        let message = len.saturating_sub(UDP_HEADER);
        match header.as_ref().and_then(|head| kind(head, message)) {
            Some(Kind::Data(header)) => header.receiver(),
            _ => return here.push_back(skb),
        }
    };
    let Some(keypair) = device.keypairs.get(&receiver.0, guard) else {
        return here.push_back(skb);
    };
    let peer = keypair.peer();
    let load = &peer.rx_load;
    let begin = is_train && len >= WORTH_A_WORKER && load.busy.load(Relaxed) != 0;
    let now = crypto::now_ns();
    if !begin && load.queued.load(Relaxed) == 0 && now >= load.queued_until.load(Relaxed) {
        return here.push_back(skb);
    }
    if !here.is_empty() {
        receive_here(device, mem::replace(here, SkbChain::new()));
    }
    let small = is_small(&skb);
    let flows = flows(&device, &mut skb, keypair, small, now);
    enqueue(peer.as_shared_ref(), skb, small, flows, now, here);
}

/// Adds a datagram to the queue of `peer`, or to those to be decrypted `here`.
fn enqueue(
    peer: SharedRef<'_, Peer>,
    mut skb: SkBuff,
    small: bool,
    flows: Flows,
    now: i64,
    here: &mut SkbChain,
) {
    let device = peer.device();
    skb.set_cb(Cb {
        nonce: flows.to_bits(),
        mtu: u32::try_from(skb.messages()).unwrap_or(u32::MAX),
        ..Cb::default()
    });
    let mut queue = peer.rx.lock();
    if small {
        if let Some(mut first) = queue.pass(flows, now) {
            queue.ahead = queue.ahead.and(flows);
            drop(queue);
            device.count_many(Stat::RxPassed, first.len().saturating_add(1));
            here.append(&mut first);
            return here.push_back(skb);
        }
    }
    if !queue.awaited {
        if peer.is_dead() {
            return here.push_back(skb);
        }
        let Some(owner) = peer.get() else {
            return here.push_back(skb);
        };
        queue.awaited = true;
        if now >= peer.rx_load.queued_until.load(Relaxed) {
            queue.ahead = Flows::ANY;
        }
        peer.rx_load.queued.store(1, Relaxed);
        device.diverted.begin();
        peer.decrypt.queue(&device.spread, owner);
    }
    if !small && flows != Flows::ANY {
        queue.large.note(flows);
    }
    let until = now.saturating_add(LINGER);
    if peer.rx_load.queued_until.load(Relaxed) != until {
        peer.rx_load.queued_until.store(until, Relaxed);
        device.diverted.linger(until);
    }
    let full = queue.datagrams.bytes() >= MAX_QUEUED_BYTES
        || queue.waiting.messages >= MAX_QUEUED_MESSAGES;
    let refused = if full {
        Err(skb)
    } else {
        queue.waiting.add(&skb);
        queue.unsettled |= queue.ahead.meet(flows);
        queue
            .datagrams
            .push(skb)
            .inspect_err(|skb| queue.waiting.remove(skb))
    };
    drop(queue);
    match refused {
        Ok(()) => device.count(Stat::RxSpread),
        Err(skb) => {
            let messages = skb.messages();
            device.discard_all(skb.into(), Stat::RxQueue, messages, peer.number());
        }
    }
}

/// Decrypts what is in the queue of a peer.
pub(crate) struct DecryptQueued;

impl WorkHandler<Shared<Peer>> for DecryptQueued {
    fn run(peer: Shared<Peer>) {
        let device = peer.device();
        let mut in_hand = Waiting::new();
        loop {
            let mut batch = SkbChain::new();
            let mut delayed = SkbChain::new();
            let unsettled;
            {
                let mut queue = peer.rx.lock();
                queue.waiting.remove_all(&in_hand);
                queue.blocked = false;
                unsettled = mem::take(&mut queue.unsettled);
                if unsettled {
                    queue.ahead = Flows::NONE;
                }
                in_hand = Waiting::new();
                let mut bytes: usize = 0;
                while bytes < TURN {
                    match queue.datagrams.pop(&mut delayed) {
                        Some((mut skb, cut)) => {
                            in_hand.add(&skb);
                            bytes = bytes.saturating_add(skb.len());
                            let mut cb = skb.cb();
                            cb.tag = u16::try_from(cut).unwrap_or(u16::MAX);
                            skb.set_cb(cb);
                            batch.push_back(skb);
                        }
                        None => break,
                    }
                }
                if batch.is_empty() && delayed.is_empty() {
                    // What was delivered has gone up the stack, so nothing that comes now can
                    // overtake it.
                    queue.awaited = false;
                    peer.rx_load.queued.store(0, Relaxed);
                    device.diverted.end();
                    return;
                }
            }
            for skb in delayed {
                in_hand.add(&skb);
                let messages = skb.messages();
                device.discard_all(skb.into(), Stat::RxDelay, messages, peer.number());
            }
            if unsettled {
                device.diverted.settle(&device.netdev);
            }
            with_bh_disabled(|| {
                let batch = batch.into_iter().map(|skb| {
                    let cut = skb.cb().tag.into();
                    (skb, cut)
                });
                Reception::of(device.as_arc_borrow(), batch, true);
            });
            reschedule();
        }
    }
}

/// Measures how long the decryption of trains takes.
pub(super) struct Stopwatch(u64);

impl Stopwatch {
    /// Begins now.
    pub(super) fn start() -> Self {
        Self(clock::local_ns())
    }

    /// It was for this peer.
    pub(super) fn stop(self, peer: &Peer) {
        peer.rx_load.note(clock::local_ns().saturating_sub(self.0));
    }
}
