// SPDX-License-Identifier: GPL-2.0

//! Events: what happens to peers is told to whoever has joined the multicast group.
//!
//! The data path only sets bits of a peer, and only while somebody listens. A delayed work item of
//! the interface collects them, so a peer is in at most one message in [`INTERVAL`], with all that
//! happened to it since the last. Nothing in them is secret.

use core::time::Duration;

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full as FullOrder, Relaxed},
        Arc, //
    },
};
use wg_kapi::{
    delayed::Delayed,
    genl::{self, Event, Full, Message},
    work::{cond_resched, WorkHandler}, //
};

use super::{
    get::put_public_state,
    policy::{device, event, peer},
    PEER_EVENT, //
};
use crate::{
    crypto,
    device::Device,
    peer::Peer, //
};

/// Between two rounds of messages about one interface.
const INTERVAL: Duration = Duration::from_millis(100);

/// The events of an interface.
#[pin_data]
pub(crate) struct Events {
    #[pin]
    work: Delayed<Arc<Device>, SendEvents>,
    /// When the last round was, in nanoseconds of the clock of [`crypto::now`].
    last: Atomic<i64>,
}

impl Events {
    /// Nothing to tell.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            work <- Delayed::new(),
            last: Atomic::new(0),
        })
    }

    /// Tells nothing any more. Process context; nobody may cause events now.
    pub(crate) fn stop(&self) {
        drop(self.work.cancel_sync());
    }

    /// How long the next round has to wait.
    fn delay(&self) -> Duration {
        let last = u64::try_from(self.last.load(Relaxed)).unwrap_or(0);
        let passed = crypto::now().as_nanos().saturating_sub(last);
        INTERVAL.saturating_sub(Duration::from_nanos(passed))
    }
}

/// What has happened to a peer and is not told yet: bits of [`event`].
pub(crate) struct Pending(Atomic<i32>);

impl Pending {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds `bits`.
    fn add(&self, bits: u32) {
        let bits = i32::from_ne_bytes(bits.to_ne_bytes());
        let mut known = self.0.load(Relaxed);
        while let Err(other) = self.0.cmpxchg(known, known | bits, FullOrder) {
            known = other;
        }
    }

    /// All of it.
    fn take(&self) -> u32 {
        if self.0.load(Relaxed) == 0 {
            return 0;
        }
        u32::from_ne_bytes(self.0.xchg(0, FullOrder).to_ne_bytes())
    }
}

impl Peer {
    /// Tells those who listen of an event of [`event`], soon. Any context.
    pub(crate) fn notify(&self, event: u32) {
        let device = self.device();
        if !genl::has_listeners(&device.netdev) {
            return;
        }
        self.events.add(event);
        device
            .events
            .work
            .queue(device.clone(), device.events.delay());
    }
}

/// Tells that peers are removed, with what was not told of them yet. Process context.
pub(crate) fn removed<'a>(device: &Device, peers: impl Iterator<Item = &'a Peer>) {
    if genl::has_listeners(&device.netdev) {
        send(
            device,
            peers.map(|peer| (peer, peer.events.take() | event::REMOVED)),
        );
    }
}

/// Sends what there is to tell.
pub(crate) struct SendEvents;

impl WorkHandler<Arc<Device>> for SendEvents {
    fn run(device: Arc<Device>) {
        let now = crypto::now_ns();
        device.events.last.store(now, Relaxed);
        let config = device.lock();
        let pending = config
            .peers()
            .map(|entry| (&*entry.peer, entry.peer.events.take()))
            .filter(|(_, events)| *events != 0);
        send(&device, pending);
    }
}

/// Sends events of peers, as many in a message as fit. What there is no memory for is lost.
fn send<'a>(device: &Device, peers: impl Iterator<Item = (&'a Peer, u32)>) {
    let Some(net) = device.netdev.net() else {
        return;
    };
    let mut peers = peers.peekable();
    while peers.peek().is_some() {
        let Ok(mut event) = Event::new(PEER_EVENT) else {
            return;
        };
        let Ok(true) = event.write(|message| put_peers(device, message, &mut peers)) else {
            return;
        };
        event.send(&net);
        cond_resched();
    }
}

/// Writes peers until the message is full; says whether there was room for any.
fn put_peers<'a>(
    device: &Device,
    message: &mut Message<'_>,
    peers: &mut core::iter::Peekable<impl Iterator<Item = (&'a Peer, u32)>>,
) -> Result<bool, Full> {
    message.put_u32(device::IFINDEX, device.netdev.ifindex())?;
    message.put_str(device::IFNAME, device.netdev.name().as_c_str())?;
    let mut list = message.nest(device::PEERS)?;
    let mut any = false;
    while let Some((of, events)) = peers.peek() {
        if put_peer(&mut list, of, *events).is_err() {
            break;
        }
        any = true;
        peers.next();
    }
    list.end();
    Ok(any)
}

fn put_peer(list: &mut Message<'_>, of: &Peer, events: u32) -> Result<(), Full> {
    let mut nest = list.nest(0)?;
    nest.put_bytes(peer::PUBLIC_KEY, of.remote().as_bytes())?;
    nest.put_u32(peer::EVENTS, events)?;
    put_public_state(&mut nest, of)?;
    nest.end();
    Ok(())
}
