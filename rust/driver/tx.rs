// SPDX-License-Identifier: GPL-2.0

//! The way of a packet out.
//!
//! `xmit` finds the peer and adds the packet to the peer's queue; a GSO packet stays whole until
//! it is encrypted, and its messages leave as UDP GSO packets. Whoever
//! adds to a queue that nobody works on becomes its *driver*: it takes all there is as one batch,
//! reserves counters for it, encrypts and sends it, and looks again. So the work runs at once on
//! the CPU that has the data, the messages of a peer leave in the order of their counters, and no
//! lock is held while the network below runs (it may lead back here: tunnels nest). A driver that
//! has had its turn hands over to the work queue.
//!
//! Without a session the packets stay in the queue and a handshake is asked for.

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    errno,
    icmp,
    log,
    netdev,
    rcu,
    shared::{Shared, SharedRef},
    skb::{ecn_encapsulate, run_limit, SkBuff},
    sync::with_bh_disabled,
    work::WorkHandler, //
};
use wg_proto::{
    timers::Event,
    wire::{padded_len, Counter, DataHeader}, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    keypair::Keypair,
    peer::Peer,
    stats::{Stat, NO_PEER}, //
};

mod queue;
mod trains;

pub(crate) use queue::TxQueue;
use queue::{messages_of, note, Duty, Haste};
pub(crate) use trains::Trains;

/// Room ahead of a message of our own making: its header, UDP, IP and the lower layers.
pub(crate) const HEADROOM: usize = 128;

/// Messages that make a batch, unless one packet alone is more.
const BATCH: usize = 128;

/// Batches that a driver sends before it makes way for others on its CPU.
const TURN: usize = 4;

/// Levels of devices and tunnels on one stack beyond which a worker goes on: the kernel drops what
/// comes to an IP tunnel beyond level 5, and each of ours is two.
const MAX_LEVEL: u32 = 4;

/// `ndo_start_xmit`. Softirqs are off and RCU is held.
///
/// # Errors
///
/// `EPROTONOSUPPORT` for what is not IP, `ENOKEY` without a peer for the destination,
/// `EDESTADDRREQ` without an endpoint: they reach the sender's system call (contract X1 to X5).
pub(crate) fn xmit(device: &Device, mut skb: SkBuff) -> Result {
    let Some(ip) = skb.ip_header() else {
        log::tx_not_ip(&device.netdev);
        return Err(refuse(device, skb, Stat::TxNotIp, errno::EPROTONOSUPPORT()));
    };
    let guard = rcu::read_lock();
    let Some(peer) = device.allowed_ips.lookup(ip.destination, &guard) else {
        icmp::host_unreachable(&mut skb, &device.netdev);
        log::tx_no_peer(&device.netdev);
        return Err(refuse(device, skb, Stat::TxNoPeer, errno::ENOKEY()));
    };
    if !peer.has_endpoint() {
        icmp::host_unreachable(&mut skb, &device.netdev);
        log::tx_no_endpoint(&device.netdev);
        let error = errno::EDESTADDRREQ();
        return Err(refuse(device, skb, Stat::TxNoEndpoint, error));
    }
    let mtu = skb.route_mtu(&device.netdev);
    let ds = ecn_encapsulate(ip.ds);
    let trains = device.may_send_trains() && peer.trains.are_taken();
    let gso = if trains {
        skb.gso(&device.netdev)
    } else {
        None
    };
    let chain = match gso {
        // Stays whole until it is encrypted.
        Some(gso) => {
            device.count(Stat::TxGso);
            skb.drop_dst();
            skb.fit_train(padded_len(gso.full, usize::try_from(mtu).unwrap_or(0)));
            note(&mut skb, mtu, ds, gso.segments);
            transmit(peer, skb.into(), usize::from(gso.segments), Haste::Now);
            return Ok(());
        }
        None => skb.segment(&device.netdev),
    };
    match chain {
        Ok(mut chain) => {
            chain.for_each_mut(|packet| {
                // Not earlier: an ICMP message is sent along it.
                packet.drop_dst();
                note(packet, mtu, ds, 1);
            });
            let messages = chain.len();
            if messages > 1 {
                device.count(Stat::TxGsoSegmented);
            }
            let haste = if trains {
                Haste::MayWait
            } else {
                Haste::InOrder
            };
            transmit(peer, chain, messages, haste);
            Ok(())
        }
        Err((error, mut skb)) => {
            icmp::host_unreachable(&mut skb, &device.netdev);
            Err(refuse(device, skb, Stat::TxSegment, error))
        }
    }
}

fn refuse(device: &Device, skb: SkBuff, why: Stat, error: Error) -> Error {
    device.discard(skb, why, NO_PEER);
    device.netdev.tx_error();
    error
}

/// Adds packets to the queue of `peer` and works on it unless somebody does. Any context but hard
/// interrupts.
fn transmit(peer: SharedRef<'_, Peer>, mut packets: SkbChain, messages: usize, haste: Haste) {
    let now = crypto::now();
    // From becoming the driver on: all others count on it and leave.
    let dropped = with_bh_disabled(|| {
        let (duty, dropped) = peer.tx.lock().add(&mut packets, messages, now, haste);
        match duty {
            Duty::Nothing => {}
            Duty::Await(cpu) => {
                peer.count(Stat::TxAwaited);
                await_worker(peer, cpu);
            }
            Duty::Drive if netdev::xmit_level() <= MAX_LEVEL => drive(peer),
            Duty::Drive => {
                peer.tx.lock().hand_over();
                peer.count(Stat::TxNested);
                await_worker(peer, None);
            }
        }
        dropped
    });
    if let Some((dropped, messages)) = dropped {
        let device = peer.device();
        device.netdev.tx_dropped(messages);
        device.discard_all(dropped, Stat::TxStaged, messages, peer.number());
    }
}

/// Has a worker go on with the queue of `peer`, which says that one is awaited; on this CPU unless
/// another one is named.
fn await_worker(peer: SharedRef<'_, Peer>, cpu: Option<u32>) {
    let queue = &peer.device().crypt;
    match (peer.get(), cpu) {
        (Some(owner), Some(cpu)) => {
            peer.transmit.queue_on(cpu, queue, owner);
        }
        (Some(owner), None) => {
            peer.transmit.queue(queue, owner);
        }
        // The peer is going away and its queue with it.
        (None, _) => {
            peer.tx.lock().leave();
            peer.purge_staged(Stat::TxPurged);
        }
    }
}

/// Sends what waits for a session, now that there may be one.
pub(crate) fn flush(peer: SharedRef<'_, Peer>) {
    peer.tx.lock().look_again();
    transmit(peer, SkbChain::new(), 0, Haste::Now);
}

/// Sends a keepalive, unless there are packets waiting that serve as well (contract D5).
pub(crate) fn send_keepalive(peer: SharedRef<'_, Peer>) {
    let mut chain = SkbChain::new();
    if peer.tx.lock().is_empty() {
        match SkBuff::alloc(0, HEADROOM) {
            Ok(mut skb) => {
                let mtu = peer.device().netdev.mtu();
                note(&mut skb, mtu, 0, 1);
                chain.push_back(skb);
                let device = peer.device();
                device.count(Stat::TxKeepalive);
                log::sending_keepalive(&device.netdev, peer.number(), &peer.endpoint());
            }
            Err(_) => {
                peer.count(Stat::NoMemory);
                peer.timer_event(Event::SendFailed);
            }
        }
    }
    let messages = chain.len();
    peer.tx.lock().look_again();
    transmit(peer, chain, messages, Haste::Now);
}

/// Works on the queue of `peer` as its driver.
fn drive(peer: SharedRef<'_, Peer>) {
    for _ in 0..TURN {
        let Some((mut batch, messages)) = peer.tx.lock().take(BATCH) else {
            return;
        };
        let guard = rcu::read_lock();
        match reserve(&peer, messages, &guard) {
            Some((keypair, first)) => {
                if messages > 1 {
                    let device = peer.device();
                    device.count(Stat::TxBatches);
                    device.count_many(Stat::TxBatchMessages, messages);
                }
                send_batch(&peer, &keypair, first, batch);
            }
            None => {
                // Nobody's socket waits for a handshake.
                batch.for_each_mut(SkBuff::orphan);
                if peer.tx.lock().put_back(&mut batch, messages) {
                    continue;
                }
                if peer.is_dead() {
                    // Removal may have looked before these were back.
                    peer.device()
                        .netdev
                        .tx_dropped(peer.purge_staged(Stat::TxPurged));
                }
                handshake::request(peer);
                return;
            }
        }
        if wants_renewal(&peer, &guard) {
            handshake::request(peer);
        }
    }
    peer.tx.lock().hand_over();
    peer.count(Stat::TxQueued);
    await_worker(peer, None);
}

impl Peer {
    /// Drops the packets that wait, counted as `why`, and returns how many there were.
    pub(crate) fn purge_staged(&self, why: Stat) -> usize {
        let (trimmed, dropped) = self.tx.lock().trim(0);
        self.device()
            .discard_all(trimmed, why, dropped, self.number());
        dropped
    }
}

/// Goes on with a queue where a driver had to stop, or where packets wait for more.
pub(crate) struct ContinueTransmit;

impl WorkHandler<Shared<Peer>> for ContinueTransmit {
    fn run(peer: Shared<Peer>) {
        let peer = peer.as_shared_ref();
        with_bh_disabled(|| {
            if peer.tx.lock().begin_awaited(crypto::now()) {
                drive(peer);
            }
        });
    }
}

/// The current keypair and the first of `count` counters under it.
fn reserve<'g>(
    peer: &Peer,
    count: usize,
    guard: &'g rcu::Guard,
) -> Option<(SharedRef<'g, Keypair>, u64)> {
    let keypair = peer.current.load(guard)?;
    let first = keypair.reserve(u64::try_from(count).ok()?, crypto::now())?;
    Some((keypair, first))
}

/// Whether it is time for a new session, judged once a batch (contract K4).
fn wants_renewal(peer: &Peer, guard: &rcu::Guard) -> bool {
    peer.current
        .load(guard)
        .is_some_and(|keypair| keypair.wants_rekey_on_send(crypto::now()))
}

/// Encrypts and sends a batch of packets under one keypair, with counters from `first` on.
fn send_batch(peer: &Peer, keypair: &Keypair, first: u64, batch: SkbChain) {
    let device = peer.device();
    if peer.is_dead() {
        let messages = batch
            .iter()
            .fold(0, |sum: usize, skb| sum.saturating_add(messages_of(skb)));
        return device.discard_all(batch, Stat::TxPurged, messages, peer.number());
    }
    let mut sealed = Sealed {
        device,
        peer: peer.number(),
        trains: device.may_send_trains() && peer.trains.are_taken(),
        keypair,
        messages: SkbChain::new(),
        has_data: false,
        next: first,
    };
    let mut batch = batch;
    while let Some(packet) = batch.pop_front() {
        if messages_of(&packet) > 1 {
            sealed.add_gso(packet);
        } else {
            sealed.add_run(packet, &mut batch);
        }
    }
    let Sealed {
        messages, has_data, ..
    } = sealed;
    if messages.is_empty() {
        return peer.timer_event(Event::SendFailed);
    }
    // Before they leave: an answer may be here before we go on, and is to be answered itself.
    // Persistent keepalives must outlive a network that is away: an event in every case.
    peer.timer_event(if has_data {
        Event::DataSent
    } else {
        Event::KeepaliveSent
    });
    if !send_messages(peer, messages) && has_data {
        peer.timer_event(Event::DataRefused);
    }
}

/// Messages of a batch that are ready to be sent.
struct Sealed<'a> {
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

impl Sealed<'_> {
    /// Encrypts a GSO packet: the messages of its segments.
    fn add_gso(&mut self, packet: SkBuff) {
        let count = messages_of(&packet);
        match self.seal_gso(packet, count) {
            Ok(mut messages) => {
                self.has_data = true;
                self.messages.append(&mut messages);
            }
            Err(packet) => {
                let device = self.device;
                device.discard_all(packet.into(), Stat::TxSeal, count, self.peer);
            }
        }
        self.used(count);
    }

    fn seal_gso(&self, mut packet: SkBuff, count: usize) -> Result<SkbChain, SkBuff> {
        let cb = packet.cb();
        let mtu = usize::try_from(cb.mtu).unwrap_or(0);
        // Counters were reserved for as many as there were then.
        let Some(gso) = packet
            .gso(&self.device.netdev)
            .filter(|gso| usize::from(gso.segments) == count)
        else {
            return Err(packet);
        };
        let mut messages = packet
            .seal_gso(
                &self.device.netdev,
                self.header().as_bytes(),
                padded_len(gso.full, mtu),
                padded_len(gso.last, mtu),
                self.next,
                self.keypair.sending_key(),
            )
            .map_err(|(_, packet)| packet)?;
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
        let mut last = full;
        let mut run = SkbChain::from(packet);
        if !batch.is_empty() && full != 0 && self.trains {
            let limit = run_limit(full);
            while run.len() < limit && last == full {
                let fits = batch.front().is_some_and(|next| {
                    next.cb().tag == 1
                        && next.cb().ds == cb.ds
                        && next.flow_hash() == hash
                        && text_len(next) <= full
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

/// Sends finished messages to the endpoint of `peer`; says whether any was sent.
pub(crate) fn send_messages(peer: &Peer, messages: SkbChain) -> bool {
    let device = peer.device();
    let guard = rcu::read_lock();
    let Some(port) = device.port.load(&guard) else {
        for skb in messages {
            let count = skb.messages();
            device.discard_all(skb.into(), Stat::TxNoSocket, count, peer.number());
        }
        return false;
    };
    let endpoint = peer.endpoint();
    let mut sent = false;
    for skb in messages {
        let ds = skb.cb().ds;
        let bytes = u64::try_from(skb.len()).unwrap_or(0);
        let count = skb.messages();
        match peer.send_to(port, &endpoint, skb, ds) {
            Ok(taken) => {
                sent = true;
                peer.sent_bytes(bytes);
                if !taken {
                    device.count_peer(Stat::TxRefused, count, peer.number());
                    device.netdev.tx_dropped(count.saturating_sub(1));
                    peer.judge_train(count, taken);
                    continue;
                }
                if peer.trains.are_watched() {
                    peer.judge_train(count, taken);
                }
                if let Some(more) = count.checked_sub(1).filter(|more| *more != 0) {
                    // The stack has counted one packet.
                    device.netdev.tstats_tx(u64::try_from(more).unwrap_or(0), 0);
                    device.count(Stat::TxTrains);
                    device.count_many(Stat::TxTrainMessages, count);
                }
            }
            Err((error, skb)) => {
                log::no_route(&device.netdev, peer.number(), &endpoint);
                let why = unsent(error);
                device.discard_all(skb.into(), why, count, peer.number());
            }
        }
    }
    sent
}

/// What a message counts as that UDP did not take.
pub(crate) fn unsent(error: Error) -> Stat {
    if error == ENOMEM {
        Stat::NoMemory
    } else if error == EMSGSIZE {
        Stat::TxTooLong
    } else if error == errno::ENONET() {
        Stat::TxNoSocket
    } else {
        Stat::TxNoRoute
    }
}
