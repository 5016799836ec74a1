// SPDX-License-Identifier: GPL-2.0

//! The way of a packet in.
//!
//! Datagrams come as chains from the UDP sockets, in softirq. Handshake messages go to a worker;
//! data is decrypted here and now, on the CPU that has it in its cache. A *run* of messages of one
//! keypair costs one lookup, one endpoint comparison and one timer event.

use kernel::sync::Arc;
use wg_kapi::{
    chain::SkbChain,
    log,
    rcu,
    shared::SharedRef,
    skb::SkBuff,
    udp::Endpoint, //
};
use wg_proto::{
    timers::Event,
    wire::{inner_packet, DataHeader, Index, InnerError, Message, Version}, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    keypair::Keypair,
    peer::Peer,
    stats::Stat,
    tx, //
};

/// Bytes of the inner header that decide where a packet goes: an IPv6 header, the longer one.
const INNER_HEADER: usize = 40;

/// Takes datagrams from a socket. Softirq.
pub(crate) fn receive(device: &Arc<Device>, chain: SkbChain) {
    let guard = rcu::read_lock();
    let mut run: Option<Run<'_>> = None;
    let mut handshakes = false;
    for mut skb in chain {
        match sort(&mut skb) {
            Kind::Data(index, counter) => {
                if run.as_ref().is_none_or(|run| run.keypair.local() != index) {
                    if let Some(run) = run.take() {
                        run.finish();
                    }
                    run = Run::begin(device, index, &guard);
                }
                match &mut run {
                    Some(run) => run.take(device, skb, counter, &guard),
                    None => device.count(Stat::RxNoKeypair),
                }
            }
            Kind::Handshake => {
                device.queue_handshake(skb);
                handshakes = true;
            }
            Kind::Malformed => device.count(Stat::RxMalformed),
        }
    }
    if let Some(run) = run {
        run.finish();
    }
    if handshakes {
        device.process_handshakes();
    }
}

enum Kind {
    Data(Index, u64),
    Handshake,
    Malformed,
}

/// What a datagram is, by size and first word (contract V1).
fn sort(skb: &mut SkBuff) -> Kind {
    if !skb.pull_udp() {
        return Kind::Malformed;
    }
    let length = skb.len();
    match skb.head() {
        Some(head) => match DataHeader::parse(head, length) {
            Some(header) => Kind::Data(header.receiver(), header.counter().0),
            None if Message::is_handshake(head, length) => Kind::Handshake,
            None => Kind::Malformed,
        },
        None => Kind::Malformed,
    }
}

/// Messages under one keypair that came together.
struct Run<'g> {
    keypair: SharedRef<'g, Keypair>,
    /// Where the last authentic message came from.
    endpoint: Option<Endpoint>,
    data: bool,
    keepalive: bool,
}

impl<'g> Run<'g> {
    /// A run under our keypair `index`, if there is one.
    fn begin(device: &Device, index: Index, guard: &'g rcu::Guard) -> Option<Self> {
        let keypair = device.keypairs.get(&index.0, guard)?;
        Some(Self {
            keypair,
            endpoint: None,
            data: false,
            keepalive: false,
        })
    }

    /// Decrypts one message and delivers what is in it.
    fn take(&mut self, device: &Device, mut skb: SkBuff, counter: u64, guard: &rcu::Guard) {
        let keypair = self.keypair;
        let peer = keypair.peer();
        if !keypair.may_receive(crypto::now()) {
            return device.count(Stat::RxExpired);
        }
        let outer = skb.outer();
        let message_len = skb.len();
        if !skb.open(size_of::<DataHeader>(), counter, keypair.receiving_key()) {
            return device.count(Stat::RxDecrypt);
        }
        if keypair.accept(counter).is_err() {
            log::invalid_nonce(&device.netdev, peer.number(), counter);
            return device.count(Stat::RxReplay);
        }
        if self.endpoint.as_ref().is_none_or(|known| !known.same(&outer.source)) {
            peer.set_endpoint(&outer.source);
            self.endpoint = Some(outer.source);
        }
        if keypair.is_unconfirmed() {
            confirm(keypair);
        }
        if skb.len() == 0 {
            self.keepalive = true;
            device.count(Stat::RxKeepalive);
            log::received_keepalive(&device.netdev, peer.number(), &outer.source);
        } else {
            self.data = true;
            if !prepare(device, peer, &mut skb, guard) {
                return;
            }
            skb.ecn_decapsulate(outer.tos);
        }
        let bytes = u64::from(message_len);
        peer.received_bytes(bytes);
        device.netdev.tstats_rx(1, bytes);
        if skb.len() != 0 {
            device.netdev.gro_receive(skb);
        }
    }

    /// What one authenticated message is enough for.
    fn finish(self) {
        if self.endpoint.is_none() {
            // Nothing was authentic.
            return;
        }
        let peer = self.keypair.peer();
        peer.timer_event(if self.data {
            Event::DataReceived
        } else {
            Event::KeepaliveReceived
        });
        let now = crypto::now();
        if self.keypair.wants_rekey_on_receive(now) && peer.claim_last_minute_rekey() {
            handshake::request(peer.as_shared_ref());
        }
    }
}

/// The first message under a keypair of which we are the responder: it is proven, and becomes the
/// one to send with.
fn confirm(keypair: SharedRef<'_, Keypair>) {
    let Some(owned) = keypair.get() else {
        return;
    };
    let peer = keypair.peer();
    if peer.confirm(&owned) {
        peer.timer_event(Event::SessionConfirmed);
        peer.handshake_completed();
        tx::flush(peer.as_shared_ref());
    }
}

/// Makes a plaintext a packet of this interface, if its source may come from `peer`.
fn prepare(device: &Device, peer: &Peer, skb: &mut SkBuff, guard: &rcu::Guard) -> bool {
    let length = skb.len();
    let packet = match inner_packet(skb.head_upto(INNER_HEADER), length) {
        Ok(packet) => packet,
        Err(error) => {
            match error {
                InnerError::NotIp => device.netdev.rx_frame_error(),
                InnerError::Length => device.netdev.rx_length_error(),
            }
            device.count(Stat::RxNotIp);
            return false;
        }
    };
    let allowed = device
        .allowed_ips
        .lookup(packet.source, guard)
        .is_some_and(|owner| owner.number() == peer.number());
    if !allowed {
        device.netdev.rx_frame_error();
        device.count(Stat::RxSource);
        return false;
    }
    skb.make_inner(&device.netdev, packet.version == Version::V6, packet.len)
}
