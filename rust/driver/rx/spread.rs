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

use core::mem;

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
};
use wg_kapi::{
    chain::SkbChain,
    cpu,
    lane::Lane,
    rcu,
    shared::{Shared, SharedRef},
    skb::{Cb, SkBuff},
    sync::with_bh_disabled,
    work::{reschedule, WorkHandler}, //
};
use wg_proto::{
    flows::Flows,
    wire::{kind, Kind}, //
};

use super::{
    flows::flows,
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

mod load;
mod queue;
mod workers;

pub(crate) use load::{Diverted, RxLoad};
pub(crate) use queue::RxQueue;

use queue::{is_small, BusyQueue};
use workers::{call, Worker};

/// Nanoseconds after the last datagram in which all data of a peer goes through its queue, even if
/// that is empty.
const LINGER: i64 = 100_000_000;

/// Trains of fewer bytes are not worth waking somebody up.
const WORTH_A_WORKER: usize = 16 << 10;

/// Bytes that wait behind what one worker has in hand from which on the other one is called.
const WORTH_ANOTHER: usize = 32 << 10;

/// The UDP header is still in front of what the socket gives.
pub(super) const UDP_HEADER: usize = 8;

/// Keeps a datagram from a lane for a worker, or appends it to those to be decrypted `here`; what
/// was to be, is, and has gone up the stack, before anything is left to a worker. Softirq.
pub(super) fn divert(
    device: ArcBorrow<'_, Device>,
    lane: &Lane,
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
    let now = crypto::now_ns();
    let begin = is_train && len >= WORTH_A_WORKER && load.share.is_much();
    if !begin && !load.goes_through_queue(now) {
        return here.push_back(skb);
    }
    let small = is_small(&skb);
    let flows = flows(&device, &mut skb, keypair, small, now);
    skb.set_cb(Cb {
        nonce: flows.to_bits(),
        mtu: u32::try_from(skb.messages()).unwrap_or(u32::MAX),
        ..Cb::default()
    });
    if small {
        if let Some(mut first) = with_queue(peer, |queue| queue.pass(flows, now)) {
            device.count_many(Stat::RxPassed, first.len().saturating_add(1));
            here.append(&mut first);
            return here.push_back(skb);
        }
    }
    if !here.is_empty() {
        receive_here(device, lane, mem::replace(here, SkbChain::new()));
    }
    lane.flush();
    enqueue(peer.as_shared_ref(), skb, small, flows, now, here);
}

/// Adds a datagram to the queue of `peer`, or to those to be decrypted `here`.
#[inline(never)]
fn enqueue(
    peer: SharedRef<'_, Peer>,
    skb: SkBuff,
    small: bool,
    flows: Flows,
    now: i64,
    here: &mut SkbChain,
) {
    let device = peer.device();
    let mut slot = peer.rx.lock();
    if slot.is_none() {
        *slot = KBox::new(BusyQueue::new(), GFP_ATOMIC).ok();
    }
    let Some(queue) = &mut *slot else {
        return here.push_back(skb);
    };
    if !queue.workers.is_any_at_work() {
        if peer.is_dead() || !call(peer, &mut queue.workers) {
            return here.push_back(skb);
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
    let refused = queue.push(skb);
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
            if batch.is_some() {
                if queue.datagrams.bytes() >= WORTH_ANOTHER && device.is_running() {
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
