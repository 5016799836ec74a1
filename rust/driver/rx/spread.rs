// SPDX-License-Identifier: GPL-2.0

//! Decryption on another CPU.
//!
//! Whoever takes a datagram from the network decrypts it, as long as that leaves the CPU time for
//! other things. When the trains of one peer take up much of it, a worker takes them over, on any
//! CPU that the scheduler finds idle, so that the CPU of the network can do what comes before. While
//! trains wait behind what that worker has in hand, a second one decrypts as well; what they have
//! opened goes up the stack in the order in which it was taken. From then on all data of that peer
//! goes through its queue, which keeps its order, until there was nothing for a while. Only what is
//! small and of a flow that has sent nothing large of late may pass it, with all of that flow that
//! waits: a ping beside a download.

use core::{
    mem,
    time::Duration, //
};

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        ArcBorrow, //
    },
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
    open,
    receive_here,
    Opened, //
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

/// Bytes that wait behind what one worker has in hand from which on the other one is called.
const WORTH_ANOTHER: usize = 32 << 10;

/// The UDP header is still in front of what the socket gives.
pub(super) const UDP_HEADER: usize = 8;

/// The queue of a peer, made when it is busy for the first time: most never are.
pub(crate) type RxQueue = Option<KBox<BusyQueue>>;

/// Datagrams of one peer that wait to be decrypted by a worker.
pub(crate) struct BusyQueue {
    datagrams: DelayQueue,
    /// Of the packets that wait or that a worker has in its hands: their messages and flows.
    waiting: Waiting,
    large: LargeFlows,
    /// Flows of which something may not be up the stack yet that did not go through the queue.
    ahead: Flows,
    /// Something of these waits: the worker has to let what is ahead go first.
    unsettled: bool,
    workers: Workers,
    /// Somebody wanted to pass in vain since a worker took something.
    blocked: bool,
}

impl BusyQueue {
    /// Empty.
    fn new() -> Self {
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
            workers: Workers::new(),
            blocked: false,
        }
    }

    /// What a worker is to open next; `None`: it has left. What is to be dropped instead is
    /// appended to `delayed`.
    fn take(&mut self, me: Worker, delayed: &mut SkbChain) -> Option<Batch> {
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
        let unsettled = mem::take(&mut self.unsettled);
        if datagrams.is_empty() {
            self.workers.leave(me);
            return None;
        }
        if unsettled {
            self.ahead = Flows::NONE;
        }
        Some(Batch {
            number: self.workers.begin(),
            datagrams,
            waiting,
            unsettled,
        })
    }

    /// A batch has gone up the stack. If the next one was put aside it is that one's turn.
    fn delivered(&mut self, waiting: &Waiting) -> Option<Aside> {
        self.waiting.remove_all(waiting);
        self.workers.next()
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

/// One of the two workers of a peer.
#[derive(Clone, Copy)]
enum Worker {
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
struct Workers {
    /// Those that are at work or will be: a sum of their bits.
    at_work: u8,
    /// Batches that were taken, and that went up the stack.
    taken: u32,
    delivered: u32,
    aside: Option<Aside>,
}

/// A batch that was opened before its turn.
type Aside = (Opened, Waiting);

/// What a worker has taken.
struct Batch {
    /// Batches go up the stack in the order of their numbers.
    number: u32,
    datagrams: SkbChain,
    waiting: Waiting,
    /// What other CPUs decrypted before has to go first.
    unsettled: bool,
}

impl Workers {
    const fn new() -> Self {
        Self {
            at_work: 0,
            taken: 0,
            delivered: 0,
            aside: None,
        }
    }

    fn is_any_at_work(&self) -> bool {
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

    fn leave(&mut self, worker: Worker) {
        self.at_work &= !worker.bit();
    }

    /// The number of a batch that is taken now.
    fn begin(&mut self) -> u32 {
        let number = self.taken;
        self.taken = number.wrapping_add(1);
        number
    }

    /// A batch was opened: returned if it is its turn, else kept until then.
    fn opened(&mut self, number: u32, batch: Aside) -> Option<Aside> {
        if number == self.delivered {
            return Some(batch);
        }
        self.aside = Some(batch);
        None
    }

    /// The batch whose turn it was has gone up the stack.
    fn next(&mut self) -> Option<Aside> {
        self.delivered = self.delivered.wrapping_add(1);
        self.aside.take()
    }
}

/// Calls a worker that is idle to the queue of `peer`. False if there is none, or nobody is needed
/// as the peer is going away.
fn call(peer: SharedRef<'_, Peer>, workers: &mut Workers) -> bool {
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
    let mut slot = peer.rx.lock();
    if slot.is_none() {
        *slot = KBox::new(BusyQueue::new(), GFP_ATOMIC).ok();
    }
    let Some(queue) = &mut *slot else {
        return here.push_back(skb);
    };
    if small {
        if let Some(mut first) = queue.pass(flows, now) {
            queue.ahead = queue.ahead.and(flows);
            drop(slot);
            device.count_many(Stat::RxPassed, first.len().saturating_add(1));
            here.append(&mut first);
            return here.push_back(skb);
        }
    }
    if !queue.workers.is_any_at_work() {
        if peer.is_dead() || !call(peer, &mut queue.workers) {
            return here.push_back(skb);
        }
        if now >= peer.rx_load.queued_until.load(Relaxed) {
            queue.ahead = Flows::ANY;
        }
        peer.rx_load.queued.store(1, Relaxed);
        device.diverted.begin();
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
    drop(slot);
    match refused {
        Ok(()) => device.count(Stat::RxSpread),
        Err(skb) => {
            let messages = skb.messages();
            device.discard_all(skb.into(), Stat::RxQueue, messages, peer.number());
        }
    }
}

/// Decrypts what is in the queue of a peer: its first worker.
pub(crate) struct DecryptQueued;

impl WorkHandler<Shared<Peer>> for DecryptQueued {
    fn run(peer: Shared<Peer>) {
        decrypt(&peer, Worker::First);
    }
}

/// The second one.
pub(crate) struct DecryptToo;

impl WorkHandler<Shared<Peer>> for DecryptToo {
    fn run(peer: Shared<Peer>) {
        decrypt(&peer, Worker::Second);
    }
}

/// Opens what waits for a peer and hands it up, until there is nothing more for this worker.
fn decrypt(peer: &Shared<Peer>, me: Worker) {
    let device = peer.device();
    loop {
        let mut delayed = SkbChain::new();
        let batch = {
            let mut slot = peer.rx.lock();
            let Some(queue) = &mut *slot else {
                return;
            };
            let batch = queue.take(me, &mut delayed);
            if let Some(batch) = &batch {
                // What is opened must not wait for as long as it may take to settle.
                if queue.datagrams.bytes() >= WORTH_ANOTHER && !batch.unsettled {
                    call(peer.as_shared_ref(), &mut queue.workers);
                }
            } else if !queue.workers.is_any_at_work() {
                // What was opened has gone up the stack, so nothing that comes now can overtake it.
                peer.rx_load.queued.store(0, Relaxed);
                device.diverted.end();
            }
            batch
        };
        for skb in delayed {
            let messages = skb.messages();
            device.discard_all(skb.into(), Stat::RxDelay, messages, peer.number());
        }
        let Some(batch) = batch else {
            return;
        };
        if batch.unsettled {
            device.diverted.settle(&device.netdev);
        }
        let datagrams = batch.datagrams.into_iter().map(|skb| {
            let cut = skb.cb().tag.into();
            (skb, cut)
        });
        let opened =
            with_bh_disabled(|| open(device.as_arc_borrow(), datagrams, Some(peer.number())));
        let aside = (opened, batch.waiting);
        let mut turn = with_queue(peer, |queue| queue.workers.opened(batch.number, aside));
        if turn.is_none() {
            device.count(Stat::RxAside);
        }
        while let Some((opened, waiting)) = turn {
            deliver(peer, opened);
            turn = with_queue(peer, |queue| queue.delivered(&waiting));
        }
        reschedule();
    }
}

/// Does something to the queue of a peer, which has one.
fn with_queue<T>(peer: &Peer, work: impl FnOnce(&mut BusyQueue) -> Option<T>) -> Option<T> {
    (*peer.rx.lock()).as_mut().and_then(|queue| work(queue))
}

/// Hands packets up the stack, and notes where the last of them came from. Those of a peer that was
/// removed since they were opened are dropped.
fn deliver(peer: &Peer, opened: Opened) {
    if peer.is_dead() {
        let messages = opened.packets.len();
        return peer.device().discard_all(
            opened.packets,
            Stat::RxNoKeypair,
            messages,
            peer.number(),
        );
    }
    with_bh_disabled(|| {
        if let Some(from) = &opened.from {
            peer.set_endpoint(from);
        }
        let guard = rcu::read_lock();
        peer.device().netdev.deliver_chain(opened.packets, &guard);
    });
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
