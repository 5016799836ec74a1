// SPDX-License-Identifier: GPL-2.0

//! The way of a packet in.
//!
//! Datagrams come as chains from the UDP sockets, in softirq. Handshake messages go to a worker;
//! data is decrypted here and now, on the CPU that has it in its cache. A *run* of messages of one
//! keypair costs one lookup, one endpoint comparison and one timer event.

use kernel::sync::ArcBorrow;
use wg_kapi::{
    chain::SkbChain,
    endpoint::Endpoint,
    log,
    rcu,
    shared::SharedRef,
    skb::{Inner, Outer, SkBuff}, //
};
use wg_proto::{
    timers::Event,
    wire::{inner_packet, kind, DataHeader, Index, InnerError, Kind, Version}, //
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

/// Takes datagrams from a socket. Softirq.
pub(crate) fn receive(device: ArcBorrow<'_, Device>, chain: SkbChain) {
    let guard = rcu::read_lock();
    let mut run: Option<Run<'_>> = None;
    let mut handshakes = false;
    for mut skb in chain {
        let Some(outer) = skb.udp_payload() else {
            device.count(Stat::RxMalformed);
            continue;
        };
        match sort(&mut skb) {
            Sorted::Data(index, counter) => {
                if run.as_ref().is_none_or(|run| run.keypair.local() != index) {
                    if let Some(run) = run.take() {
                        run.finish();
                    }
                    run = Run::begin(&device, index, &guard);
                }
                match &mut run {
                    Some(run) => run.take(&device, skb, &outer, counter, &guard),
                    None => device.count(Stat::RxNoKeypair),
                }
            }
            Sorted::Handshake => {
                device.queue_handshake(skb, &outer);
                handshakes = true;
            }
            Sorted::Malformed => {
                log::invalid_message(&device.netdev, &outer.from);
                device.count(Stat::RxMalformed);
            }
        }
    }
    if let Some(run) = run {
        run.finish();
    }
    if handshakes {
        Device::process_handshakes(device);
    }
}

enum Sorted {
    Data(Index, u64),
    Handshake,
    Malformed,
}

/// What a UDP payload is, by its size and first words (contract V1).
fn sort(skb: &mut SkBuff) -> Sorted {
    let length = skb.len();
    match skb.header().and_then(|head| kind(head, length)) {
        Some(Kind::Data(header)) => Sorted::Data(header.receiver(), header.counter().0),
        Some(Kind::Handshake) => Sorted::Handshake,
        None => Sorted::Malformed,
    }
}

/// Messages under one keypair that came together.
struct Run<'g> {
    keypair: SharedRef<'g, Keypair>,
    /// Where the last authentic message came from.
    endpoint: Option<Endpoint>,
    /// Whether one of them had a packet inside.
    data: bool,
}

impl<'g> Run<'g> {
    /// A run under our keypair `index`, if there is one.
    fn begin(device: &Device, index: Index, guard: &'g rcu::Guard) -> Option<Self> {
        let keypair = device.keypairs.get(&index.0, guard)?;
        Some(Self {
            keypair,
            endpoint: None,
            data: false,
        })
    }

    /// Decrypts one message and delivers what is in it.
    fn take(
        &mut self,
        device: &Device,
        mut skb: SkBuff,
        outer: &Outer,
        counter: u64,
        guard: &rcu::Guard,
    ) {
        let keypair = self.keypair;
        let peer = keypair.peer();
        if !keypair.may_receive(crypto::now()) {
            return device.count(Stat::RxExpired);
        }
        let message_len = skb.len();
        if !skb.open(size_of::<DataHeader>(), counter, keypair.receiving_key()) {
            return device.count(Stat::RxDecrypt);
        }
        if keypair.accept(counter).is_err() {
            log::invalid_nonce(&device.netdev, peer.number(), counter);
            return device.count(Stat::RxReplay);
        }
        if self
            .endpoint
            .as_ref()
            .is_none_or(|known| !known.same(&outer.from))
        {
            peer.set_endpoint(&outer.from);
            self.endpoint = Some(outer.from);
        }
        if keypair.is_unconfirmed() {
            confirm(keypair);
        }
        if skb.len() == 0 {
            device.count(Stat::RxKeepalive);
            log::received_keepalive(&device.netdev, peer.number(), &outer.from);
        } else {
            self.data = true;
            if !prepare(device, peer, &mut skb, outer, guard) {
                return;
            }
            skb.ecn_decapsulate(outer.ds);
        }
        let bytes = u64::try_from(message_len).unwrap_or(0);
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
    keypair.set_confirmed();
    if peer.confirm(&owned) {
        peer.timer_event(Event::SessionConfirmed);
        peer.handshake_completed();
        tx::flush(peer.as_shared_ref());
    }
}

/// Makes a plaintext a packet of this interface, if its source may come from `peer`.
fn prepare(
    device: &Device,
    peer: &Peer,
    skb: &mut SkBuff,
    outer: &Outer,
    guard: &rcu::Guard,
) -> bool {
    let length = skb.len();
    let packet = match inner_packet(skb.plaintext_prefix(), length) {
        Ok(packet) => packet,
        Err(error) => {
            match error {
                InnerError::NotIp => {
                    log::received_not_ip(&device.netdev, peer.number(), &outer.from);
                    device.netdev.rx_frame_error();
                }
                InnerError::Length => {
                    log::received_bad_length(&device.netdev, peer.number(), &outer.from);
                    device.netdev.rx_length_error();
                }
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
        log::received_bad_source(&device.netdev, peer.number(), &outer.from);
        device.netdev.rx_frame_error();
        device.count(Stat::RxSource);
        return false;
    }
    let inner = match packet.version {
        Version::V4 => Inner::V4,
        Version::V6 => Inner::V6,
    };
    skb.set_inner(inner, packet.len).is_ok()
}
