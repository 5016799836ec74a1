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
    rcu,
    shared::{Shared, SharedRef},
    skb::{ecn_encapsulate, Cb, SkBuff},
    sync::with_bh_disabled,
    work::WorkHandler, //
};
use wg_proto::{
    constants::MAX_STAGED_PACKETS,
    timers::Event,
    wire::{padded_len, Counter, DataHeader}, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    keypair::Keypair,
    peer::Peer,
    stats::Stat, //
};

/// Packets that may wait while the queue is being worked on. More than [`MAX_STAGED_PACKETS`], as
/// these are sure to leave soon.
const MAX_QUEUED_PACKETS: usize = 4096;

/// Room ahead of a message of our own making: its header, UDP, IP and the lower layers.
pub(crate) const HEADROOM: usize = 128;

/// Messages that make a batch, unless one packet alone is more.
const BATCH: usize = 128;

/// Batches that a driver sends before it makes way for others on its CPU.
const TURN: usize = 4;

/// Packets that wait to be sent to one peer.
pub(crate) struct TxQueue {
    packets: SkbChain,
    /// How many messages they will be.
    messages: usize,
    /// Somebody works on the queue.
    driven: bool,
    /// Something changed (a new session) that the driver may not have seen.
    again: bool,
}

impl TxQueue {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            packets: SkbChain::new(),
            messages: 0,
            driven: false,
            again: false,
        }
    }

    /// Adds packets that will be `messages` messages.
    fn push(&mut self, packets: &mut SkbChain, messages: usize) {
        self.packets.append(packets);
        self.messages = self.messages.saturating_add(messages);
    }

    /// Takes the first packets, of at most `limit` messages but at least one packet, and the number
    /// of messages that they will be.
    fn take(&mut self, limit: usize) -> (SkbChain, usize) {
        if self.messages <= limit {
            let packets = core::mem::replace(&mut self.packets, SkbChain::new());
            return (packets, core::mem::take(&mut self.messages));
        }
        let mut taken = SkbChain::new();
        let mut messages: usize = 0;
        while messages < limit {
            let Some(packet) = self.packets.pop_front() else {
                break;
            };
            messages = messages.saturating_add(messages_of(&packet));
            taken.push_back(packet);
        }
        self.messages = self.messages.saturating_sub(messages);
        (taken, messages)
    }

    /// Drops the oldest packets until at most `limit` messages are left; says how many went.
    fn trim(&mut self, limit: usize) -> usize {
        let before = self.messages;
        while self.messages > limit {
            let Some(packet) = self.packets.pop_front() else {
                self.messages = 0;
                break;
            };
            self.messages = self.messages.saturating_sub(messages_of(&packet));
        }
        before.saturating_sub(self.messages)
    }
}

/// How many messages a packet of the queue will be, as noted by [`note`].
fn messages_of(packet: &SkBuff) -> usize {
    usize::from(packet.cb().tag)
}

/// Notes what a packet will need when it is its turn.
fn note(packet: &mut SkBuff, mtu: u32, messages: u16) {
    packet.set_cb(Cb {
        mtu,
        tag: messages,
        ..Cb::default()
    });
}

/// `ndo_start_xmit`. Softirqs are off and RCU is held.
///
/// # Errors
///
/// `EPROTONOSUPPORT` for what is not IP, `ENOKEY` without a peer for the destination,
/// `EDESTADDRREQ` without an endpoint: they reach the sender's system call (contract X1 to X5).
pub(crate) fn xmit(device: &Device, mut skb: SkBuff) -> Result {
    let Some(ip) = skb.ip_header() else {
        log::tx_not_ip(&device.netdev);
        return Err(refuse(device, Stat::TxNotIp, errno::EPROTONOSUPPORT()));
    };
    let guard = rcu::read_lock();
    let Some(peer) = device.allowed_ips.lookup(ip.destination, &guard) else {
        icmp::host_unreachable(&mut skb, &device.netdev);
        log::tx_no_peer(&device.netdev);
        return Err(refuse(device, Stat::TxNoPeer, errno::ENOKEY()));
    };
    if !peer.has_endpoint() {
        icmp::host_unreachable(&mut skb, &device.netdev);
        log::tx_no_endpoint(&device.netdev);
        return Err(refuse(device, Stat::TxNoEndpoint, errno::EDESTADDRREQ()));
    }
    let mtu = skb.route_mtu(&device.netdev);
    skb.drop_dst();
    let gso = if device.may_send_trains() {
        skb.gso(&device.netdev)
    } else {
        None
    };
    let chain = match gso {
        // Stays whole until it is encrypted.
        Some(gso) => {
            note(&mut skb, mtu, gso.segments);
            transmit(peer, skb.into(), usize::from(gso.segments), false);
            return Ok(());
        }
        None => skb.segment(&device.netdev),
    };
    match chain {
        Ok(mut chain) => {
            chain.for_each_mut(|packet| note(packet, mtu, 1));
            let messages = chain.len();
            transmit(peer, chain, messages, false);
            Ok(())
        }
        Err((error, mut skb)) => {
            icmp::host_unreachable(&mut skb, &device.netdev);
            Err(refuse(device, Stat::TxSegment, error))
        }
    }
}

fn refuse(device: &Device, why: Stat, error: Error) -> Error {
    device.count(why);
    device.netdev.tx_error();
    error
}

/// Adds packets to the queue of `peer` and works on it unless somebody does. `again`: there may be
/// a session where there was none. Any context but hard interrupts.
fn transmit(peer: SharedRef<'_, Peer>, mut packets: SkbChain, messages: usize, again: bool) {
    let mut queue = peer.tx.lock();
    let limit = if queue.driven {
        MAX_QUEUED_PACKETS
    } else {
        MAX_STAGED_PACKETS
    };
    let dropped = queue.trim(limit);
    queue.push(&mut packets, messages);
    queue.again |= again;
    let driven = core::mem::replace(&mut queue.driven, true);
    drop(queue);
    if dropped != 0 {
        peer.device().netdev.tx_dropped(dropped);
        peer.device().count_many(Stat::TxStaged, dropped);
    }
    if !driven {
        with_bh_disabled(|| drive(peer));
    }
}

/// Sends what waits for a session, now that there may be one.
pub(crate) fn flush(peer: SharedRef<'_, Peer>) {
    transmit(peer, SkbChain::new(), 0, true);
}

/// Sends a keepalive, unless there are packets waiting that serve as well (contract D5).
pub(crate) fn send_keepalive(peer: SharedRef<'_, Peer>) {
    let mut chain = SkbChain::new();
    if peer.tx.lock().packets.is_empty() {
        match SkBuff::alloc(0, HEADROOM) {
            Ok(mut skb) => {
                let mtu = peer.device().netdev.mtu();
                note(&mut skb, mtu, 1);
                chain.push_back(skb);
                let device = peer.device();
                log::sending_keepalive(&device.netdev, peer.number(), &peer.endpoint());
            }
            Err(_) => {
                peer.device().count(Stat::NoMemory);
                peer.timer_event(Event::SendFailed);
            }
        }
    }
    let messages = chain.len();
    transmit(peer, chain, messages, true);
}

/// Works on the queue of `peer`; the caller has set `driven`.
fn drive(peer: SharedRef<'_, Peer>) {
    for _ in 0..TURN {
        let (mut batch, messages) = {
            let mut queue = peer.tx.lock();
            queue.again = false;
            if queue.packets.is_empty() {
                queue.driven = false;
                return;
            }
            queue.take(BATCH)
        };
        let guard = rcu::read_lock();
        match reserve(&peer, messages, &guard) {
            Some((keypair, first)) => send_batch(&peer, &keypair, first, batch),
            None => {
                // Nobody's socket waits for a handshake.
                batch.for_each_mut(SkBuff::orphan);
                let mut queue = peer.tx.lock();
                // Back to the front.
                let (mut newer, newer_messages) = queue.take(usize::MAX);
                queue.push(&mut batch, messages);
                queue.push(&mut newer, newer_messages);
                if queue.again {
                    continue;
                }
                queue.driven = false;
                drop(queue);
                handshake::request(peer);
                return;
            }
        }
        if wants_renewal(&peer, &guard) {
            handshake::request(peer);
        }
    }
    match peer.get() {
        Some(owner) => {
            peer.transmit.queue(&peer.device().crypt, owner);
        }
        // The peer is going away and its queue with it.
        None => peer.tx.lock().driven = false,
    }
}

impl Peer {
    /// Drops the packets that wait and returns how many there were.
    pub(crate) fn purge_staged(&self) -> usize {
        let dropped = self.tx.lock().trim(0);
        self.device().count_many(Stat::TxStaged, dropped);
        dropped
    }
}

/// Goes on with a queue where a driver had to stop.
pub(crate) struct ContinueTransmit;

impl WorkHandler<Shared<Peer>> for ContinueTransmit {
    fn run(peer: Shared<Peer>) {
        with_bh_disabled(|| drive(peer.as_shared_ref()));
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
            .into_iter()
            .fold(0, |sum: usize, skb| sum.saturating_add(messages_of(&skb)));
        return device.count_many(Stat::TxStaged, messages);
    }
    let mut sealed = SkbChain::new();
    let mut has_data = false;
    let mut next = first;
    for skb in batch {
        let counter = next;
        let messages = messages_of(&skb);
        next = next.saturating_add(u64::try_from(messages).unwrap_or(0));
        let has_packet = skb.len() != 0;
        match seal(device, keypair, skb, counter) {
            Some(mut messages) => {
                has_data |= has_packet;
                sealed.append(&mut messages);
            }
            None => device.count_many(Stat::TxSeal, messages),
        }
    }
    if sealed.is_empty() {
        return peer.timer_event(Event::SendFailed);
    }
    // Persistent keepalives must outlive a network that is away: an event in every case.
    let sent = send_messages(peer, sealed);
    peer.timer_event(if sent && has_data {
        Event::DataSent
    } else {
        Event::KeepaliveSent
    });
}

/// Encrypts one packet: the messages of its segments, with counters from `counter` on.
fn seal(device: &Device, keypair: &Keypair, mut skb: SkBuff, counter: u64) -> Option<SkbChain> {
    let header = DataHeader::new(keypair.remote(), Counter(counter));
    let mut cb = skb.cb();
    let mtu = usize::try_from(cb.mtu).unwrap_or(0);
    cb.ds = skb.ip_header().map_or(0, |ip| ecn_encapsulate(ip.ds));
    let key = keypair.sending_key();
    if messages_of(&skb) > 1 {
        // Counters were reserved for as many as there were then.
        let gso = skb
            .gso(&device.netdev)
            .filter(|gso| usize::from(gso.segments) == messages_of(&skb))?;
        let (full, last) = (padded_len(gso.full, mtu), padded_len(gso.last, mtu));
        let mut messages = skb
            .seal_gso(&device.netdev, header.as_bytes(), full, last, counter, key)
            .ok()?;
        messages.for_each_mut(|message| message.set_cb(cb));
        return Some(messages);
    }
    let length = skb.len();
    let padding = padded_len(length, mtu).saturating_sub(length);
    skb.seal(header.as_bytes(), padding, counter, key).ok()?;
    skb.set_cb(cb);
    Some(skb.into())
}

/// Sends finished messages to the endpoint of `peer`; says whether any was sent.
pub(crate) fn send_messages(peer: &Peer, messages: SkbChain) -> bool {
    let device = peer.device();
    let guard = rcu::read_lock();
    let Some(port) = device.port.load(&guard) else {
        for skb in messages {
            device.count_many(Stat::TxSend, skb.messages());
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
            Ok(()) => {
                sent = true;
                peer.sent_bytes(bytes);
                if let Some(more) = count.checked_sub(1).filter(|more| *more != 0) {
                    // The stack has counted one packet.
                    device.netdev.tstats_tx(u64::try_from(more).unwrap_or(0), 0);
                    device.count(Stat::TxTrains);
                    device.count_many(Stat::TxTrainMessages, count);
                }
            }
            Err(_) => {
                log::no_route(&device.netdev, peer.number(), &endpoint);
                device.count_many(Stat::TxSend, count);
            }
        }
    }
    sent
}
