// SPDX-License-Identifier: GPL-2.0

//! The encryption of a batch of packets.

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    shared::SharedRef,
    skb::{run_limit, Cb, SkBuff}, //
};
use wg_proto::wire::{padded_len, Counter, DataHeader};

use super::{
    crew::Batch,
    queue::messages_of, //
};
use crate::{
    device::Device,
    keypair::Keypair,
    peer::Peer,
    share::Stopwatch,
    stats::Stat, //
};

/// Messages from which on it is looked at how long a batch takes.
const WORTH_MEASURING: usize = 16;

/// The keypair for a batch, and the first of its counters.
pub(super) struct Reserved<'g> {
    pub(super) keypair: SharedRef<'g, Keypair>,
    pub(super) first: u64,
}

/// The messages of a batch, ready to be sent.
pub(super) struct Sealed {
    pub(super) messages: SkbChain,
    /// Whether there is a packet in one of them.
    pub(super) has_data: bool,
}

/// Encrypts a batch of packets under one keypair. BH are disabled.
pub(super) fn seal(peer: &Peer, batch: Batch<Reserved<'_>>) -> Sealed {
    let device = peer.device();
    let Batch {
        mut packets,
        messages,
        reserved,
        ..
    } = batch;
    if peer.is_dead() {
        device.discard_all(packets, Stat::TxPurged, messages, peer.number());
        return Sealed {
            messages: SkbChain::new(),
            has_data: false,
        };
    }
    if messages > 1 {
        device.count(Stat::TxBatches);
        device.count_many(Stat::TxBatchMessages, messages);
    }
    let watch = (messages >= WORTH_MEASURING).then(Stopwatch::start);
    let mut sealer = Sealer {
        device,
        peer: peer.number(),
        trains: device.may_send_trains() && peer.trains.are_taken(),
        keypair: reserved.keypair.into_ref(),
        messages: SkbChain::new(),
        has_data: false,
        next: reserved.first,
    };
    while let Some(packet) = packets.pop_front() {
        if messages_of(&packet) > 1 {
            sealer.add_gso(packet);
        } else {
            sealer.add_run(packet, &mut packets);
        }
    }
    if let Some(watch) = watch {
        watch.stop(&peer.tx_share);
    }
    Sealed {
        messages: sealer.messages,
        has_data: sealer.has_data,
    }
}

/// A batch that is being encrypted.
struct Sealer<'a> {
    device: &'a Device,
    /// The number of the peer.
    peer: u64,
    /// Whether packets that came singly may leave together.
    trains: bool,
    keypair: &'a Keypair,
    messages: SkbChain,
    /// Whether there is a packet in one of them.
    has_data: bool,
    /// The next counter.
    next: u64,
}

impl Sealer<'_> {
    /// Encrypts a GSO packet: the messages of its segments.
    fn add_gso(&mut self, packet: SkBuff) {
        let count = messages_of(&packet);
        match self.seal_gso(packet, count) {
            Ok(mut messages) => {
                self.has_data = true;
                self.messages.append(&mut messages);
                self.used(count);
            }
            Err((error, packet)) if error == ENOMEM => self.add_segments(packet, count),
            Err((_, packet)) => self.lose(packet.into(), count),
        }
    }

    /// Encrypts the segments of a GSO packet each for itself, which takes no memory in large pieces.
    #[cold]
    fn add_segments(&mut self, packet: SkBuff, count: usize) {
        let cb = Cb {
            tag: 1,
            ..packet.cb()
        };
        let segments = match packet.segment(&self.device.netdev) {
            Ok(segments) if segments.len() == count => segments,
            Ok(segments) => return self.lose(segments, count),
            Err((_, packet)) => return self.lose(packet.into(), count),
        };
        self.device.count(Stat::TxGsoSegmented);
        self.has_data = true;
        for mut segment in segments {
            segment.set_cb(cb);
            self.add_single(segment);
        }
    }

    /// Drops packets that so many counters were reserved for.
    fn lose(&mut self, packets: SkbChain, count: usize) {
        self.device
            .discard_all(packets, Stat::TxSeal, count, self.peer);
        self.used(count);
    }

    fn seal_gso(&self, mut packet: SkBuff, count: usize) -> Result<SkbChain, (Error, SkBuff)> {
        let cb = packet.cb();
        let mtu = usize::try_from(cb.mtu).unwrap_or(0);
        // Counters were reserved for as many as there were then.
        let Some(gso) = packet
            .gso(&self.device.netdev)
            .filter(|gso| usize::from(gso.segments) == count)
        else {
            return Err((EINVAL, packet));
        };
        let mut messages = packet.seal_gso(
            &self.device.netdev,
            self.header().as_bytes(),
            padded_len(gso.full, mtu),
            padded_len(gso.last, mtu),
            self.next,
            self.keypair.sending_key(),
        )?;
        messages.for_each_mut(|message| message.set_cb(cb));
        Ok(messages)
    }

    /// Encrypts a packet, and with it those behind it in `batch` that can leave together with it:
    /// of one flow, and of one size but for the last.
    fn add_run(&mut self, packet: SkBuff, batch: &mut SkbChain) {
        let cb = packet.cb();
        let hash = packet.flow_hash();
        let full = text_len(&packet);
        self.has_data |= packet.len() != 0;
        let joins = !batch.is_empty() && full != 0 && self.trains && !packet.is_stamped();
        let mut last = full;
        let mut run = SkbChain::from(packet);
        if joins {
            let limit = run_limit(full);
            while run.len() < limit && last == full {
                let fits = batch.front().is_some_and(|next| {
                    next.cb().tag == 1
                        && next.cb().ds == cb.ds
                        && next.flow_hash() == hash
                        && text_len(next) <= full
                        && run.front().is_some_and(|first| next.leaves_with(first))
                });
                let Some(next) = fits.then(|| batch.pop_front()).flatten() else {
                    break;
                };
                last = text_len(&next);
                run.push_back(next);
            }
        }
        let count = run.len();
        if count > 1 {
            let key = self.keypair.sending_key();
            match run.seal_run(self.header().as_bytes(), full, last, self.next, key) {
                Ok(mut sealed) => {
                    sealed.set_cb(cb);
                    self.messages.push_back(sealed);
                    return self.used(count);
                }
                // Each for itself, then.
                Err(packets) => run = packets,
            }
        }
        for packet in run {
            self.add_single(packet);
        }
    }

    fn add_single(&mut self, mut packet: SkBuff) {
        let cb = packet.cb();
        let padding = text_len(&packet).saturating_sub(packet.len());
        let key = self.keypair.sending_key();
        match packet.seal(self.header().as_bytes(), padding, self.next, key) {
            Ok(()) => {
                packet.set_cb(cb);
                self.messages.push_back(packet);
            }
            Err(_) => self.device.discard(packet, Stat::TxSeal, self.peer),
        }
        self.used(1);
    }

    fn header(&self) -> DataHeader {
        DataHeader::new(self.keypair.remote(), Counter(self.next))
    }

    /// So many counters are used up.
    fn used(&mut self, count: usize) {
        self.next = self.next.saturating_add(u64::try_from(count).unwrap_or(0));
    }
}

/// Bytes of a packet with the padding that it gets.
fn text_len(packet: &SkBuff) -> usize {
    padded_len(packet.len(), usize::try_from(packet.cb().mtu).unwrap_or(0))
}
