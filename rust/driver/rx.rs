// SPDX-License-Identifier: GPL-2.0

//! The way of a packet in.
//!
//! Datagrams come from the UDP sockets in softirq, alone or as *trains* of one sender that were put
//! together on the way. Handshake messages go to a worker; data is decrypted here and now, on the
//! CPU that has it in its cache. A *run* of messages under one keypair costs one lookup, one
//! endpoint comparison and one timer event.

use core::{
    mem,
    net::IpAddr, //
};

use kernel::sync::ArcBorrow;
use wg_kapi::{
    chain::SkbChain,
    endpoint::Endpoint,
    log,
    rcu,
    shared::SharedRef,
    skb::{Cb, Inner, Outer, SkBuff, Train}, //
};
use wg_proto::{
    constants::TAG_LEN,
    timers::Event,
    wire::{inner_packet, kind, DataHeader, Index, InnerError, Kind, Version}, //
};

use crate::{
    crypto,
    device::Device,
    handshake,
    keypair::Keypair,
    stats::Stat,
    tx, //
};

mod spread;

pub(crate) use spread::{DecryptQueued, RxLoad, RxQueue};

use spread::Stopwatch;

/// In `cb`: the packet is the one that came from the network, or was made for the plaintext.
const USED: u8 = 0;
const FRESH: u8 = 1;

/// Takes datagrams from a socket. Softirq.
pub(crate) fn receive(device: ArcBorrow<'_, Device>, mut chain: SkbChain) {
    {
        let guard = rcu::read_lock();
        let mut here = SkbChain::new();
        for skb in chain {
            if let Some(skb) = spread::divert(&device, skb, &guard) {
                here.push_back(skb);
            }
        }
        chain = here;
    }
    if !chain.is_empty() {
        Reception::of(device, chain);
    }
}

/// What a batch of datagrams has come to so far.
struct Reception<'g> {
    device: &'g Device,
    guard: &'g rcu::Guard,
    run: Option<Run<'g>>,
    /// Inner packets for the network stack.
    delivery: SkbChain,
    /// Whether there is work for the handshake worker.
    handshakes: bool,
}

impl<'g> Reception<'g> {
    /// Takes datagrams in, decrypts and delivers them. BH disabled.
    fn of(device: ArcBorrow<'g, Device>, chain: SkbChain) {
        let guard = rcu::read_lock();
        let mut reception = Reception {
            device: &device,
            guard: &guard,
            run: None,
            delivery: SkbChain::new(),
            handshakes: false,
        };
        for skb in chain {
            reception.take(skb);
        }
        if reception.finish() {
            Device::process_handshakes(device);
        }
    }

    /// Takes one datagram, or a train of them.
    fn take(&mut self, mut skb: SkBuff) {
        let Some(outer) = skb.udp_payload() else {
            return self.device.count(Stat::RxMalformed);
        };
        let Some(size) = skb.train_size() else {
            return self.single(skb, &outer);
        };
        self.device.count(Stat::RxTrains);
        let watch = Stopwatch::start();
        let mut offset: usize = 0;
        let mut train = skb.train();
        while let Some(rest) = train.len().checked_sub(offset).filter(|rest| *rest != 0) {
            let len = rest.min(size.get());
            self.car(&mut train, offset, len, &outer);
            offset = offset.saturating_add(len);
        }
        self.settle(&outer);
        skb.consume();
        if let Some(run) = &self.run {
            watch.stop(run.keypair.peer());
        }
    }

    /// A datagram that came alone.
    fn single(&mut self, mut skb: SkBuff, outer: &Outer) {
        let len = skb.len();
        match skb.header().and_then(|head| kind(head, len)) {
            Some(Kind::Data(header)) => {
                let Some(keypair) = self.keypair(header.receiver(), outer) else {
                    return;
                };
                let counter = header.counter().0;
                if skb.open(DataHeader::LEN, counter, keypair.receiving_key()) {
                    self.opened(skb, counter, USED);
                    self.settle(outer);
                } else {
                    self.device.count(Stat::RxDecrypt);
                }
            }
            Some(Kind::Handshake) => self.handshake(skb, outer),
            None => self.malformed(outer),
        }
    }

    /// The datagram that is `len` bytes of a train from `offset` on.
    fn car(&mut self, train: &mut Train<'_>, offset: usize, len: usize, outer: &Outer) {
        match train.read_at(offset).and_then(|head| kind(&head, len)) {
            Some(Kind::Data(header)) => {
                let Some(keypair) = self.keypair(header.receiver(), outer) else {
                    return;
                };
                let counter = header.counter().0;
                let key = keypair.receiving_key();
                match train.open_at(offset, len, DataHeader::LEN, counter, key) {
                    Some(skb) => self.opened(skb, counter, FRESH),
                    None => self.device.count(Stat::RxDecrypt),
                }
            }
            Some(Kind::Handshake) => match train.extract(offset, len) {
                Some(skb) => self.handshake(skb, outer),
                None => self.device.count(Stat::NoMemory),
            },
            None => self.malformed(outer),
        }
    }

    fn handshake(&mut self, skb: SkBuff, outer: &Outer) {
        self.device.queue_handshake(skb, outer);
        self.handshakes = true;
    }

    fn malformed(&self, outer: &Outer) {
        log::invalid_message(&self.device.netdev, &outer.from);
        self.device.count(Stat::RxMalformed);
    }

    /// The keypair that we call `index`, if it may still receive. Ends the run of another.
    fn keypair(&mut self, index: Index, outer: &Outer) -> Option<SharedRef<'g, Keypair>> {
        let device = self.device;
        if self
            .run
            .as_ref()
            .is_none_or(|run| run.keypair.local() != index)
        {
            self.settle(outer);
            if let Some(run) = self.run.take() {
                run.finish(device);
            }
            match device.keypairs.get(&index.0, self.guard) {
                Some(keypair) => self.run = Some(Run::new(keypair)),
                None => device.count(Stat::RxNoKeypair),
            }
        }
        let run = self.run.as_ref()?;
        if !run.may_receive {
            device.count(Stat::RxExpired);
            return None;
        }
        Some(run.keypair)
    }

    /// A message of the current run was authentic; `skb` is what was in it.
    fn opened(&mut self, mut skb: SkBuff, counter: u64, flags: u8) {
        let Some(run) = &mut self.run else {
            return;
        };
        skb.set_cb(Cb {
            nonce: counter,
            flags,
            ..Cb::default()
        });
        run.opened.push_back(skb);
    }

    /// What was opened and came from one place: what is new is delivered.
    fn settle(&mut self, outer: &Outer) {
        let device = self.device;
        let Some(run) = &mut self.run else {
            return;
        };
        let mut opened = mem::replace(&mut run.opened, SkbChain::new());
        if opened.is_empty() {
            return;
        }
        let keypair = run.keypair;
        let peer = keypair.peer();
        keypair.accept(&mut opened, |counter| {
            log::invalid_nonce(&device.netdev, peer.number(), counter);
            device.count(Stat::RxReplay);
        });
        if opened.is_empty() {
            return;
        }
        if run
            .endpoint
            .as_ref()
            .is_none_or(|known| !known.same(&outer.from))
        {
            peer.set_endpoint(&outer.from);
            run.endpoint = Some(outer.from);
        }
        if keypair.is_unconfirmed() {
            confirm(keypair);
        }
        for mut skb in opened {
            let len = skb.len().saturating_add(DataHeader::LEN + TAG_LEN);
            if skb.len() == 0 {
                device.count(Stat::RxKeepalive);
                log::received_keepalive(&device.netdev, peer.number(), &outer.from);
                run.account(len);
                continue;
            }
            run.data = true;
            if run.prepare(device, &mut skb, outer, self.guard) {
                run.account(len);
                self.delivery.push_back(skb);
            }
        }
    }

    /// Ends the batch; says whether there is work for the handshake worker.
    fn finish(self) -> bool {
        if let Some(run) = self.run {
            run.finish(self.device);
        }
        if !self.delivery.is_empty() {
            self.device.netdev.gro_receive_chain(self.delivery);
        }
        self.handshakes
    }
}

/// Messages under one keypair that came together.
struct Run<'g> {
    keypair: SharedRef<'g, Keypair>,
    may_receive: bool,
    /// Where the last authentic message came from.
    endpoint: Option<Endpoint>,
    /// Whether one of them had a packet inside.
    data: bool,
    /// What was in messages that are authentic, but not yet checked otherwise; their counters are
    /// in `cb`.
    opened: SkbChain,
    /// The last inner source that was found to be allowed.
    source: Option<IpAddr>,
    /// Messages that count as received, and their bytes.
    messages: u64,
    bytes: u64,
}

impl<'g> Run<'g> {
    fn new(keypair: SharedRef<'g, Keypair>) -> Self {
        Self {
            keypair,
            may_receive: keypair.may_receive(crypto::now()),
            endpoint: None,
            data: false,
            opened: SkbChain::new(),
            source: None,
            messages: 0,
            bytes: 0,
        }
    }

    /// A message of `len` bytes was received for good.
    fn account(&mut self, len: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(len).unwrap_or(0));
    }

    /// Makes a plaintext a packet of this interface, if its source may come from the peer.
    fn prepare(
        &mut self,
        device: &Device,
        skb: &mut SkBuff,
        outer: &Outer,
        guard: &rcu::Guard,
    ) -> bool {
        let peer = self.keypair.peer();
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
        // Those that come together are mostly of one source.
        if self.source != Some(packet.source) {
            let owner = device.allowed_ips.lookup(packet.source, guard);
            if owner.is_none_or(|owner| owner.number() != peer.number()) {
                log::received_bad_source(&device.netdev, peer.number(), &outer.from);
                device.netdev.rx_frame_error();
                device.count(Stat::RxSource);
                return false;
            }
            self.source = Some(packet.source);
        }
        let inner = match packet.version {
            Version::V4 => Inner::V4,
            Version::V6 => Inner::V6,
        };
        let fresh = skb.cb().flags == FRESH;
        if skb.set_inner(inner, packet.len, fresh).is_err() {
            device.count(Stat::RxNotIp);
            return false;
        }
        skb.ecn_decapsulate(outer.ds);
        true
    }

    /// What has to be done once for all of them.
    fn finish(self, device: &Device) {
        if self.endpoint.is_none() {
            // Nothing was authentic.
            return;
        }
        let peer = self.keypair.peer();
        if self.messages != 0 {
            peer.received_bytes(self.bytes);
            device.netdev.tstats_rx(self.messages, self.bytes);
        }
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
