// SPDX-License-Identifier: GPL-2.0

//! The way of a packet out.
//!
//! `xmit` finds the peer, cuts up GSO packets and adds the packets to the peer's queue. Whoever
//! adds to a queue that nobody works on becomes its *driver*: it takes all there is as one batch,
//! reserves counters for it, encrypts and sends it, and looks again. So the work runs at once on
//! the CPU that has the data, the messages of a peer leave in the order of their counters, and no
//! lock is held while the network below runs (it may lead back here: tunnels nest). A driver that
//! has had its turn hands over to the work queue.
//!
//! Without a session the packets stay in the queue and a handshake is asked for.

use core::net::IpAddr;

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    errno,
    icmp,
    rcu,
    shared::{Shared, SharedRef},
    skb::SkBuff,
    udp::{self, Endpoint},
    work::WorkHandler, //
};
use wg_proto::{
    constants::{MAX_QUEUED_PACKETS, MAX_STAGED_PACKETS},
    timers::Event,
    wire::{padded_len, DataHeader}, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    keypair::Keypair,
    peer::Peer,
    stats::Stat, //
};

/// Batches that a driver sends before it makes way for others on its CPU.
const TURN: usize = 16;

/// Packets that wait to be sent to one peer.
pub(crate) struct TxQueue {
    packets: SkbChain,
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
            driven: false,
            again: false,
        }
    }

    /// Drops the oldest packets until there are at most `limit`; says how many went.
    fn trim(&mut self, limit: usize) -> u64 {
        let mut dropped: u64 = 0;
        while self.packets.len() > limit {
            drop(self.packets.pop_front());
            dropped = dropped.saturating_add(1);
        }
        dropped
    }
}

/// `ndo_start_xmit`. Softirqs are off and RCU is held.
///
/// # Errors
///
/// `EPROTONOSUPPORT` for what is not IP, `ENOKEY` without a peer for the destination,
/// `EDESTADDRREQ` without an endpoint: they reach the sender's system call (contract X1 to X5).
pub(crate) fn xmit(device: &Device, mut skb: SkBuff) -> Result {
    let Some(ip) = skb.ip_header() else {
        return Err(refuse(device, Stat::TxNotIp, errno::EPROTONOSUPPORT()));
    };
    let guard = rcu::read_lock();
    let Some(peer) = device.allowed_ips.lookup(ip.destination, &guard) else {
        icmp::host_unreachable(&mut skb, &ip);
        return Err(refuse(device, Stat::TxNoPeer, errno::ENOKEY()));
    };
    if !peer.has_endpoint() {
        icmp::host_unreachable(&mut skb, &ip);
        return Err(refuse(device, Stat::TxNoEndpoint, errno::EDESTADDRREQ()));
    }
    let mtu = skb.route_mtu(&device.netdev);
    skb.drop_dst();
    let mut chain = match skb.segment() {
        Ok(chain) => chain,
        Err((error, mut skb)) => {
            icmp::host_unreachable(&mut skb, &ip);
            return Err(refuse(device, Stat::TxSegment, error));
        }
    };
    chain.for_each_mut(|packet| packet.set_cb(Cb { mtu, ..Cb::default() }));
    transmit(peer, chain);
    Ok(())
}

fn refuse(device: &Device, why: Stat, error: Error) -> Error {
    device.count(why);
    device.netdev.tx_error();
    error
}

/// Adds packets to the queue of `peer` and works on it unless somebody does. Any context but hard
/// interrupts.
pub(crate) fn transmit(peer: SharedRef<'_, Peer>, mut packets: SkbChain) {
    let mut queue = peer.tx.lock();
    let limit = if queue.driven {
        MAX_QUEUED_PACKETS
    } else {
        MAX_STAGED_PACKETS
    };
    let dropped = queue.trim(limit);
    queue.packets.append(&mut packets);
    queue.again = true;
    let driven = core::mem::replace(&mut queue.driven, true);
    drop(queue);
    if dropped != 0 {
        peer.device().netdev.tx_dropped(dropped);
        peer.device().count_many(Stat::TxStaged, dropped);
    }
    if !driven {
        drive(peer);
    }
}

/// Sends what waits for a session, now that there may be one.
pub(crate) fn flush(peer: SharedRef<'_, Peer>) {
    transmit(peer, SkbChain::new());
}

/// Sends a keepalive, unless there are packets waiting that serve as well (contract D5).
pub(crate) fn send_keepalive(peer: SharedRef<'_, Peer>) {
    let mut chain = SkbChain::new();
    if peer.tx.lock().packets.is_empty() {
        match SkBuff::alloc(0) {
            Ok(mut skb) => {
                let mtu = peer.device().netdev.mtu();
                skb.set_cb(Cb { mtu, ..Cb::default() });
                chain.push_back(skb);
            }
            Err(_) => peer.device().count(Stat::NoMemory),
        }
    }
    transmit(peer, chain);
}

/// Works on the queue of `peer`; the caller has set `driven`.
fn drive(peer: SharedRef<'_, Peer>) {
    for _ in 0..TURN {
        let mut batch = {
            let mut queue = peer.tx.lock();
            queue.again = false;
            if queue.packets.is_empty() {
                queue.driven = false;
                return;
            }
            core::mem::replace(&mut queue.packets, SkbChain::new())
        };
        let guard = rcu::read_lock();
        match reserve(&peer, batch.len(), &guard) {
            Some((keypair, first)) => send_batch(&peer, &keypair, first, batch),
            None => {
                // Nobody's socket waits for a handshake.
                batch.for_each_mut(SkBuff::orphan);
                let mut queue = peer.tx.lock();
                batch.append(&mut queue.packets);
                queue.packets = batch;
                if queue.again {
                    continue;
                }
                queue.driven = false;
                drop(queue);
                handshake::request(peer);
                return;
            }
        }
        if keypair_wants_renewal(&peer, &guard) {
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

/// Goes on with a queue where a driver had to stop.
pub(crate) struct ContinueTransmit;

impl WorkHandler<Shared<Peer>> for ContinueTransmit {
    fn run(peer: Shared<Peer>) {
        wg_kapi::sync::with_bh_disabled(|| drive(peer.as_shared_ref()));
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

fn keypair_wants_renewal(peer: &Peer, guard: &rcu::Guard) -> bool {
    peer.current
        .load(guard)
        .is_some_and(|keypair| keypair.wants_rekey_on_send(crypto::now()))
}

/// Encrypts and sends a batch of packets under one keypair, with counters from `first` on.
fn send_batch(peer: &Peer, keypair: &Keypair, first: u64, batch: SkbChain) {
    let device = peer.device();
    if peer.is_dead() {
        return;
    }
    let mut sealed = SkbChain::new();
    let mut has_data = false;
    for (mut skb, counter) in batch.into_iter().zip(first..) {
        let header = DataHeader::new(keypair.remote(), counter);
        let length = skb.len();
        let padding = padded_len(length, skb.cb().mtu).saturating_sub(length);
        let tos = skb.ecn_encapsulate();
        match skb.seal(header.as_bytes(), padding, counter, keypair.sending_key()) {
            Ok(()) => {
                has_data |= length != 0;
                skb.cb_mut().tos = tos;
                sealed.push_back(skb);
            }
            Err(_) => device.count(Stat::TxSeal),
        }
    }
    if sealed.is_empty() {
        return;
    }
    if send_messages(peer, sealed) {
        peer.timer_event(if has_data {
            Event::DataSent
        } else {
            Event::KeepaliveSent
        });
    }
}

/// Sends finished messages to the endpoint of `peer`; says whether any was sent.
pub(crate) fn send_messages(peer: &Peer, messages: SkbChain) -> bool {
    let device = peer.device();
    let guard = rcu::read_lock();
    let Some(port) = device.port.load(&guard) else {
        device.count_many(Stat::TxSend, u64::try_from(messages.len()).unwrap_or(0));
        return false;
    };
    let endpoint = peer.endpoint();
    let mut sent = false;
    for skb in messages {
        let tos = skb.cb().tos;
        let bytes = u64::from(skb.len());
        match peer.send_to(port, &endpoint, skb, tos, &guard) {
            Ok(()) => {
                sent = true;
                peer.sent_bytes(bytes);
            }
            Err(_) => device.count(Stat::TxSend),
        }
    }
    sent
}
