// SPDX-License-Identifier: GPL-2.0

//! What flows a datagram belongs to, before it is opened.
//!
//! For small datagrams that may pass others of their peer, and for those that are passed. What is
//! looked at is not authentic: it decides about order, and about nothing else.

use core::num::NonZeroUsize;

use kernel::sync::atomic::{Atomic, Relaxed};
use wg_kapi::{
    shared::SharedRef,
    skb::{SkBuff, Train}, //
};
use wg_proto::{
    constants::TAG_LEN,
    flows::Flows,
    wire::{kind, same_flow, DataHeader, FlowPrefix, Kind}, //
};

use super::{spread::UDP_HEADER, FRESH};
use crate::{
    crypto,
    device::Device,
    keypair::Keypair,
    peer::Peer, //
};

/// Datagrams, alone or few together, of at most so many bytes may pass others.
pub(super) const SMALL: usize = 1024;

/// Packets of fewer bytes have not much of an order to lose.
const LARGE: usize = 512;

/// Nanoseconds after a small datagram in which it is worth knowing what flows wait.
const EXPECTANT: i64 = 60_000_000_000;

/// Nanoseconds of looking at trains before anything passes: what is large must be known.
const LOOKED: i64 = 1_000_000_000;

/// Nanoseconds after a train of more than one flow for which trains are taken for such: only their
/// ends are looked at.
const MIXED: i64 = 10_000_000_000;

/// Before the clock began.
pub(super) const LONG_AGO: i64 = i64::MIN / 2;

/// What a peer has sent of late. Lost updates do no harm.
pub(crate) struct RxHabits {
    /// Nanoseconds: when the last small datagram came that found a queue.
    small: Atomic<i64>,
    /// Nanoseconds: when the first came of those that came so close together that ends of trains
    /// have been looked at since.
    since: Atomic<i64>,
    /// Nanoseconds: when a train was seen that had more than one flow.
    mixed: Atomic<i64>,
}

impl RxHabits {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self {
            small: Atomic::new(LONG_AGO),
            since: Atomic::new(LONG_AGO),
            mixed: Atomic::new(LONG_AGO),
        }
    }

    /// A small datagram came. Says whether enough is known of the others that it may pass them.
    fn note_small(&self, now: i64) -> bool {
        if now.saturating_sub(self.small.load(Relaxed)) >= EXPECTANT {
            self.since.store(now, Relaxed);
        }
        self.small.store(now, Relaxed);
        now.saturating_sub(self.since.load(Relaxed)) >= LOOKED && !self.is_mixed(now)
    }

    fn is_mixed(&self, now: i64) -> bool {
        now.saturating_sub(self.mixed.load(Relaxed)) < MIXED
    }

    /// Whether the flows of a train are of use, and its ends tell them.
    fn worth_a_look(&self, now: i64) -> bool {
        now.saturating_sub(self.small.load(Relaxed)) < EXPECTANT && !self.is_mixed(now)
    }
}

/// The flows of a datagram or train, as far as it is worth knowing them: of small ones all, so that
/// they may pass others; of others the first and the last, so that small ones may pass them.
pub(super) fn flows(
    device: &Device,
    skb: &mut SkBuff,
    keypair: SharedRef<'_, Keypair>,
    small: bool,
    now: i64,
) -> Flows {
    let len = skb.len().saturating_sub(UDP_HEADER);
    let habits = &keypair.peer().rx_habits;
    if small {
        if !habits.note_small(now) {
            return Flows::ANY;
        }
    } else if !habits.worth_a_look(now) {
        return Flows::ANY;
    }
    let size = skb.train_size().or(NonZeroUsize::new(len));
    let size = size.unwrap_or(NonZeroUsize::MIN);
    let last = (len.saturating_sub(1) / size).saturating_mul(size.get());
    let size = size.get();
    let mut train = skb.train();
    let mut flows = Flows::NONE;
    let mut offset = 0;
    while let Some(rest) = len.checked_sub(offset).filter(|rest| *rest != 0) {
        let at = offset.saturating_add(UDP_HEADER);
        flows = flows.and(flow_at(device, &mut train, at, rest.min(size), keypair));
        offset = offset.saturating_add(if small { size } else { last.max(size) });
    }
    flows
}

/// The flow of the message in `len` bytes of a train from `offset` on.
fn flow_at(
    device: &Device,
    train: &mut Train<'_>,
    offset: usize,
    len: usize,
    keypair: SharedRef<'_, Keypair>,
) -> Flows {
    let header = train.read_at(offset);
    let Some(Kind::Data(header)) = header.as_ref().and_then(|head| kind(head, len)) else {
        return Flows::ANY;
    };
    let text = len.saturating_sub(DataHeader::LEN + TAG_LEN);
    if header.receiver() != keypair.local() {
        return Flows::ANY;
    }
    if text == 0 {
        return Flows::NONE;
    }
    train
        .flow_at(
            offset.saturating_add(DataHeader::LEN),
            text,
            header.counter().0,
            keypair.receiving_key(),
            &device.netdev,
        )
        .map_or(Flows::ANY, Flows::of)
}

/// Compares the flow of a large packet of a train with that of the last one, for the next trains.
pub(super) fn note_flow(peer: &Peer, skb: &SkBuff, last: &mut Option<FlowPrefix>) {
    if skb.cb().flags != FRESH || skb.len() < LARGE {
        return;
    }
    let Some(prefix) = skb.plaintext().first_chunk() else {
        return;
    };
    if last.as_ref().is_some_and(|last| !same_flow(last, prefix)) {
        peer.rx_habits.mixed.store(crypto::now_ns(), Relaxed);
    }
    *last = Some(*prefix);
}
