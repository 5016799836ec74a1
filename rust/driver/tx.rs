// SPDX-License-Identifier: GPL-2.0

//! The way of a packet out.
//!
//! `xmit` finds the peer and adds the packet to the peer's queue; a GSO packet stays whole until
//! it is encrypted, and its messages leave as UDP GSO packets. Whoever
//! adds to a queue that nobody works on becomes its *driver*: it takes all there is as one batch,
//! reserves counters for it, encrypts and sends it, and looks again. So the work runs at once on
//! the CPU that has the data, the messages of a peer leave in the order of their counters, and no
//! lock is held while the network below runs (it may lead back here: tunnels nest). A driver that
//! has had its turn hands over to the work queue. For a busy peer other CPUs encrypt as well; the
//! driver sends what they have ready ([`crew`]).
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
    skb::{ecn_encapsulate, SkBuff},
    sync::with_bh_disabled,
    work::WorkHandler, //
};
use wg_proto::{
    timers::Event,
    wire::padded_len, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    peer::Peer,
    stats::{Stat, NO_PEER}, //
};

mod crew;
mod help;
mod load;
mod queue;
mod seal;
mod trains;

pub(crate) use help::Helpers;
pub(crate) use queue::TxQueue;
pub(crate) use trains::Trains;

use crew::Task;
use queue::{note, Duty, Haste};
use seal::{seal, Reserved, Sealed};

/// Room ahead of a message of our own making: its header, UDP, IP and the lower layers.
pub(crate) const HEADROOM: usize = 128;

/// Messages that make a batch, unless one packet alone is more.
const BATCH: usize = 128;

/// Batches that a driver sends before it makes way for others on its CPU.
const TURN: usize = 4;

/// Nanoseconds for which it counts that encryption for a peer took much time.
const BUSY_FOR: i64 = 20_000_000;

/// Levels of devices and tunnels on one stack beyond which a worker goes on: more than this device
/// is there. The kernel drops what comes to an IP tunnel beyond level 5, each tunnel is two, and
/// nobody knows how many are below.
const MAX_LEVEL: u32 = 1;

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
            let haste = if peer.tx_share.is_much_now(BUSY_FOR) && device.spare.is_there() {
                Haste::Spread
            } else {
                Haste::Now
            };
            transmit(peer, skb.into(), usize::from(gso.segments), haste);
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
            let sealed = peer.tx.lock().leave();
            discard(&peer, sealed);
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
        let guard = rcu::read_lock();
        let mut queue = peer.tx.lock();
        let helper = queue.call_first_helper();
        help::call(peer, &mut queue, helper);
        let task = queue.take(BATCH, |messages| reserve(&peer, messages, &guard));
        let helper = queue.call_another_helper();
        help::call(peer, &mut queue, helper);
        drop(queue);
        match task {
            Task::Leave => return,
            Task::Send(sealed) => send(&peer, sealed),
            Task::Seal(batch) => {
                let (number, is_turn) = (batch.number, batch.is_turn);
                let sealed = seal(&peer, batch);
                if is_turn {
                    send(&peer, sealed);
                } else {
                    // A helper has in hand what comes before it, and calls whoever is to send both.
                    let _ = peer.tx.lock().put(number, sealed, None);
                }
            }
            Task::Wait(mut packets, messages) => {
                // Nobody's socket waits for a handshake.
                packets.for_each_mut(SkBuff::orphan);
                if peer.tx.lock().put_back(&mut packets, messages) {
                    continue;
                }
                if peer.is_dead() || !peer.device().is_running() {
                    // Whoever purged the queue may have done so before these were back.
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

/// Goes on with a queue where a driver had to stop, where packets wait for more, or where a helper
/// has something ready.
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
fn reserve<'g>(peer: &Peer, count: usize, guard: &'g rcu::Guard) -> Option<Reserved<'g>> {
    let keypair = peer.current.load(guard)?;
    let first = keypair.reserve(u64::try_from(count).ok()?, crypto::now())?;
    Some(Reserved { keypair, first })
}

/// Whether it is time for a new session, judged once a batch (contract K4).
fn wants_renewal(peer: &Peer, guard: &rcu::Guard) -> bool {
    peer.current
        .load(guard)
        .is_some_and(|keypair| keypair.wants_rekey_on_send(crypto::now()))
}

/// Sends the messages of a batch, in its turn.
fn send(peer: &Peer, sealed: Sealed) {
    let Sealed { messages, has_data } = sealed;
    if peer.is_dead() {
        return discard(peer, messages);
    }
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

/// Drops finished messages of a peer that was removed.
fn discard(peer: &Peer, messages: SkbChain) {
    let count = messages
        .iter()
        .fold(0, |sum: usize, skb| sum.saturating_add(skb.messages()));
    peer.device()
        .discard_all(messages, Stat::TxPurged, count, peer.number());
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
