// SPDX-License-Identifier: GPL-2.0

//! The way of a packet in.
//!
//! Datagrams come from lanes in softirq, alone or as *trains* of one sender that were put
//! together on the way. Handshake messages go to a worker; data is decrypted here and now, on the
//! CPU that has it in its cache. A *run* of messages under one keypair costs one lookup, one
//! endpoint comparison and one timer event.

use core::{
    mem,
    net::IpAddr, //
};

use kernel::{
    prelude::*,
    sync::ArcBorrow, //
};
use wg_kapi::{
    chain::SkbChain,
    endpoint::Endpoint,
    lane::Lane,
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
    share::Stopwatch,
    stats::{release, Stat, NO_PEER},
    tx, //
};

mod flows;
mod spread;

pub(crate) use flows::RxHabits;
pub(crate) use spread::{DecryptQueued, DecryptToo, Diverted, RxLoad, RxQueue};

use flows::note_flow;

/// In `cb`: the packet is the one that came from the network, or was made for the plaintext.
const USED: u8 = 0;
const FRESH: u8 = 1;

/// Takes datagrams from a lane. Softirq.
pub(crate) fn receive(device: ArcBorrow<'_, Device>, lane: &Lane, chain: SkbChain) {
    let guard = rcu::read_lock();
    let mut here = SkbChain::new();
    for skb in chain {
        spread::divert(device, lane, skb, &guard, &mut here);
    }
    if !here.is_empty() {
        receive_here(device, lane, here);
    }
}

/// Decrypts datagrams on this CPU and delivers what was in them. Softirq.
fn receive_here(device: ArcBorrow<'_, Device>, lane: &Lane, chain: SkbChain) {
    let datagrams = chain.into_iter().map(|skb| (skb, 0));
    let packets = open(device, datagrams, None).packets;
    if !packets.is_empty() {
        lane.deliver(packets);
    }
}

/// Decrypts datagrams, less so many messages at the front of each train. What was in them is not
/// delivered yet. BH disabled. Where others may open at the same time what came earlier, `later`
/// is the number of the peer whose move to another endpoint is left to the caller.
// What follows goes up the stack, on this one: not with these variables below it.
#[inline(never)]
fn open(
    device: ArcBorrow<'_, Device>,
    datagrams: impl Iterator<Item = (SkBuff, usize)>,
    later: Option<u64>,
) -> Opened {
    let guard = rcu::read_lock();
    let mut reception = Reception {
        device: &device,
        guard: &guard,
        run: None,
        later,
        opened: Opened::default(),
        handshakes: false,
    };
    for (skb, cut) in datagrams {
        reception.take(skb, cut);
    }
    let (opened, handshakes) = reception.finish();
    if handshakes {
        Device::process_handshakes(device);
    }
    opened
}

/// What datagrams have come to.
#[derive(Default)]
struct Opened {
    /// Inner packets for the network stack.
    packets: SkbChain,
    /// Where the last authentic message of the peer came from of which the caller sees to that.
    from: Option<Endpoint>,
}

/// What a refused message is to be counted as, and the number of its peer.
type Refused = (Stat, u64);

/// What a batch of datagrams has come to so far.
struct Reception<'g> {
    device: &'g Device,
    guard: &'g rcu::Guard,
    run: Option<Run<'g>>,
    /// The peer whose endpoint is noted in `opened` instead of here and now.
    later: Option<u64>,
    opened: Opened,
    /// Whether there is work for the handshake worker.
    handshakes: bool,
}

impl<'g> Reception<'g> {
    /// Takes one datagram, or a train of them, of which `cut` at the front have waited for too
    /// long.
    fn take(&mut self, mut skb: SkBuff, cut: usize) {
        let Some(outer) = skb.udp_payload() else {
            return self.device.discard(skb, Stat::RxOuterHeader, NO_PEER);
        };
        let Some(size) = skb.train_size() else {
            return self.single(skb, &outer);
        };
        self.device.count(Stat::RxTrains);
        let watch = Stopwatch::start();
        let mut refused = None;
        let mut accepted = false;
        let mut cars: usize = 0;
        let mut offset: usize = 0;
        let mut train = skb.train();
        while let Some(rest) = train.len().checked_sub(offset).filter(|rest| *rest != 0) {
            let len = rest.min(size.get());
            match self.car(&mut train, offset, len, &outer, cars < cut) {
                Ok(()) => accepted = true,
                Err((stat, peer)) => {
                    self.device.count_peer(stat, 1, peer);
                    refused = Some(stat);
                }
            }
            cars = cars.saturating_add(1);
            offset = offset.saturating_add(len);
        }
        self.settle(&outer);
        self.device.count_many(Stat::RxTrainMessages, cars);
        match refused {
            // A packet that nothing came of is a drop.
            Some(stat) if !accepted => release(skb, stat),
            _ => skb.consume(),
        }
        if let Some(run) = &self.run {
            watch.stop(&run.keypair.peer().rx_load.share);
        }
    }

    /// A datagram that came alone.
    fn single(&mut self, mut skb: SkBuff, outer: &Outer) {
        let len = skb.len();
        match skb.header().and_then(|head| kind(head, len)) {
            Some(Kind::Data(header)) => {
                let keypair = match self.keypair(header.receiver(), outer) {
                    Ok(keypair) => keypair,
                    Err((stat, peer)) => return self.device.discard(skb, stat, peer),
                };
                let counter = header.counter().0;
                match skb.open(DataHeader::LEN, counter, keypair.receiving_key()) {
                    Ok(()) => {
                        self.opened(skb, counter, USED);
                        self.settle(outer);
                    }
                    Err(error) => {
                        let peer = keypair.peer().number();
                        self.device.discard(skb, unopened(error), peer);
                    }
                }
            }
            Some(Kind::Handshake) => self.handshake(skb, outer),
            None => {
                log::invalid_message(&self.device.netdev, &outer.from);
                self.device.discard(skb, Stat::RxMalformed, NO_PEER);
            }
        }
    }

    /// The datagram that is `len` bytes of a train from `offset` on. A `late` one is dropped if it
    /// is data.
    ///
    /// # Errors
    ///
    /// What it is to be counted as, if it did not become a packet of its own.
    fn car(
        &mut self,
        train: &mut Train<'_>,
        offset: usize,
        len: usize,
        outer: &Outer,
        late: bool,
    ) -> Result<(), Refused> {
        match train.read_at(offset).and_then(|head| kind(&head, len)) {
            Some(Kind::Data(header)) => {
                let keypair = self.keypair(header.receiver(), outer)?;
                if late {
                    return Err((Stat::RxDelay, keypair.peer().number()));
                }
                let counter = header.counter().0;
                let skb = train
                    .open_at(
                        offset,
                        len,
                        DataHeader::LEN,
                        counter,
                        keypair.receiving_key(),
                    )
                    .map_err(|error| (unopened(error), keypair.peer().number()))?;
                self.opened(skb, counter, FRESH);
            }
            Some(Kind::Handshake) => {
                let skb = train
                    .extract(offset, len)
                    .ok_or((Stat::NoMemory, NO_PEER))?;
                self.handshake(skb, outer);
            }
            None => {
                log::invalid_message(&self.device.netdev, &outer.from);
                return Err((Stat::RxMalformed, NO_PEER));
            }
        }
        Ok(())
    }

    fn handshake(&mut self, skb: SkBuff, outer: &Outer) {
        self.device.queue_handshake(skb, outer);
        self.handshakes = true;
    }

    /// The keypair that we call `index`, if it may still receive. Ends the run of another.
    fn keypair(&mut self, index: Index, outer: &Outer) -> Result<SharedRef<'g, Keypair>, Refused> {
        let device = self.device;
        if self
            .run
            .as_ref()
            .is_none_or(|run| run.keypair.local() != index)
        {
            self.settle(outer);
            if let Some(run) = self.run.take() {
                run.finish(device, self.guard);
            }
            match device.keypairs.get(&index.0, self.guard) {
                Some(keypair) => self.run = Some(Run::new(keypair)),
                None => return Err((Stat::RxNoKeypair, NO_PEER)),
            }
        }
        let run = self.run.as_ref().ok_or((Stat::RxNoKeypair, NO_PEER))?;
        if !run.may_receive {
            return Err((Stat::RxExpired, run.keypair.peer().number()));
        }
        Ok(run.keypair)
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
        keypair.accept(&mut opened, |skb| {
            log::invalid_nonce(&device.netdev, peer.number(), skb.cb().nonce);
            device.discard(skb, Stat::RxReplay, peer.number());
        });
        if opened.is_empty() {
            return;
        }
        if run
            .endpoint
            .as_ref()
            .is_none_or(|known| !known.same(&outer.from))
        {
            if self.later == Some(peer.number()) {
                self.opened.from = Some(outer.from);
            } else {
                peer.set_endpoint(&outer.from);
            }
            run.endpoint = Some(outer.from);
        }
        if keypair.is_unconfirmed() {
            confirm(keypair);
        }
        let queued = peer.rx_load.is_queued();
        let mut last = None;
        for mut skb in opened {
            let len = skb.len().saturating_add(DataHeader::LEN + TAG_LEN);
            if skb.len() == 0 {
                log::received_keepalive(&device.netdev, peer.number(), &outer.from);
                run.account(len);
                device.discard(skb, Stat::RxKeepalive, peer.number());
                continue;
            }
            run.data = true;
            if queued {
                note_flow(peer, &skb, &mut last);
            }
            match run.prepare(device, &mut skb, outer, self.guard) {
                Ok(()) => {
                    run.account(len);
                    self.opened.packets.push_back(skb);
                }
                Err(stat) => device.discard(skb, stat, peer.number()),
            }
        }
    }

    /// Ends the batch; says as well whether there is work for the handshake worker.
    fn finish(self) -> (Opened, bool) {
        if let Some(run) = self.run {
            run.finish(self.device, self.guard);
        }
        (self.opened, self.handshakes)
    }
}

/// What a message counts as that could not be opened.
fn unopened(error: Error) -> Stat {
    if error == ENOMEM {
        Stat::NoMemory
    } else {
        Stat::RxDecrypt
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

    /// Makes a plaintext a packet of this interface, if its source may come from the peer; else
    /// says why not.
    fn prepare(
        &mut self,
        device: &Device,
        skb: &mut SkBuff,
        outer: &Outer,
        guard: &rcu::Guard,
    ) -> Result<(), Stat> {
        let peer = self.keypair.peer();
        let length = skb.len();
        let packet = match inner_packet(skb.plaintext_prefix(), length) {
            Ok(packet) => packet,
            Err(error) => {
                return Err(match error {
                    InnerError::NotIp => {
                        log::received_not_ip(&device.netdev, peer.number(), &outer.from);
                        device.netdev.rx_frame_error();
                        Stat::RxNotIp
                    }
                    InnerError::Length => {
                        log::received_bad_length(&device.netdev, peer.number(), &outer.from);
                        device.netdev.rx_length_error();
                        Stat::RxLength
                    }
                });
            }
        };
        // Those that come together are mostly of one source.
        if self.source != Some(packet.source) {
            let owner = device.allowed_ips.lookup(packet.source, guard);
            if owner.is_none_or(|owner| owner.number() != peer.number()) {
                log::received_bad_source(&device.netdev, peer.number(), &outer.from);
                device.netdev.rx_frame_error();
                return Err(Stat::RxSource);
            }
            self.source = Some(packet.source);
        }
        let inner = match packet.version {
            Version::V4 => Inner::V4,
            Version::V6 => Inner::V6,
        };
        let fresh = skb.cb().flags == FRESH;
        skb.set_inner(inner, packet.len, fresh)
            .map_err(|_| Stat::RxLength)?;
        skb.ecn_decapsulate(outer.ds);
        Ok(())
    }

    /// What has to be done once for all of them.
    fn finish(self, device: &Device, guard: &rcu::Guard) {
        if self.endpoint.is_none() {
            // Nothing was authentic.
            return;
        }
        let peer = self.keypair.peer();
        if self.messages != 0 {
            peer.received_bytes(self.bytes);
            device.netdev.tstats_rx(self.messages, self.bytes);
            if self.messages > 1 {
                device.count(Stat::RxBatches);
                device.count_many(
                    Stat::RxBatchMessages,
                    usize::try_from(self.messages).unwrap_or(0),
                );
            }
        }
        peer.timer_event(if self.data {
            Event::DataReceived
        } else {
            Event::KeepaliveReceived
        });
        // Of the keypair that is in use now: an older one that something still came under must not
        // claim the renewal of its successor (contract K5).
        let now = crypto::now();
        if peer
            .current
            .load(guard)
            .is_some_and(|keypair| keypair.wants_rekey_on_receive(now))
            && peer.claim_last_minute_rekey()
        {
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
