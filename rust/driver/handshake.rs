// SPDX-License-Identifier: GPL-2.0

//! Handshakes: their messages are sent and processed by workers, because they take hundreds of
//! microseconds of curve arithmetic; data is never behind them in a queue.

mod receive;
mod send;

use core::net::SocketAddr;

use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow}, //
};
use wg_kapi::{
    chain::SkbChain,
    endpoint::Endpoint,
    log,
    new_spinlock_bh,
    random,
    shared::Shared,
    skb::{Outer, SkBuff},
    sync::{new_mutex, Mutex, SpinLockBh},
    work::{cond_resched, Work, WorkHandler}, //
};
use wg_proto::{
    constants::MAX_QUEUED_HANDSHAKES,
    cookie::{CookieChecker, CookieJar, LoadMonitor},
    crypto::wipe_stack,
    keys::{PresharedKey, PublicKey},
    noise::Handshake,
    ratelimit::{self, RateLimiter},
    wire::Index, //
};

use crate::{
    crypto::{self, KernelCrypto, KernelRng},
    device::Device,
    netlink::event,
    peer::Peer,
    stats::{Stat, NO_PEER}, //
};

pub(crate) use send::{request, request_again, SendInitiation};

/// Sources that the rate limiter of an interface can follow at a time.
const LIMITED_SOURCES: usize = 8192;

/// The handshake side of a peer, behind a mutex.
pub(crate) struct PeerHandshake {
    noise: Handshake,
    jar: CookieJar,
    /// Number of the [`Identity`](crate::identity::Identity) that all this belongs to.
    identity: u64,
}

impl PeerHandshake {
    /// Nothing in flight yet.
    pub(crate) fn new(remote: &PublicKey, preshared: PresharedKey, identity: u64) -> Self {
        Self {
            noise: Handshake::new(*remote, preshared),
            jar: CookieJar::new(remote, &KernelCrypto),
            identity,
        }
    }

    /// The preshared key, zeros for none.
    pub(crate) fn preshared_key(&self) -> &PresharedKey {
        self.noise.preshared_key()
    }
}

impl Peer {
    /// Sets the preshared key of later handshakes. Process context.
    pub(crate) fn set_preshared_key(&self, key: PresharedKey) {
        self.handshake.lock().noise.set_preshared_key(key);
        self.notify(event::CHANGED);
    }

    /// From now on handshakes are under the identity with this number. Process context.
    pub(crate) fn identity_changed(this: &Shared<Self>, number: u64) {
        let mut handshake = this.handshake.lock();
        handshake.identity = number;
        let index = handshake.noise.identity_changed();
        this.end_quiet();
        drop(handshake);
        Self::free_in_flight(this, index);
    }

    /// Forgets the handshake in flight. Process context.
    pub(crate) fn forget_handshake(this: &Shared<Self>) {
        let index = this.handshake.lock().noise.clear();
        Self::free_in_flight(this, index);
    }

    /// The next initiation need not wait for the last to be 5 s ago. Process context.
    pub(crate) fn allow_initiation_now(&self) {
        let mut handshake = self.handshake.lock();
        handshake.noise.allow_initiation_now();
        self.end_quiet();
    }

    fn free_in_flight(this: &Shared<Self>, index: Option<Index>) {
        if let Some(index) = index {
            drop(this.device().in_flight.remove(&index.0, this));
        }
    }
}

/// The handshake side of an interface.
#[pin_data]
pub(crate) struct Handshakes {
    /// Received messages that wait for a worker.
    #[pin]
    queue: SpinLockBh<SkbChain>,
    #[pin]
    work: Work<Arc<Device>, ReceiveHandshakes>,
    #[pin]
    guard: Mutex<FloodGuard>,
}

/// What keeps a flood of handshake messages from using up the machine.
struct FloodGuard {
    cookies: CookieChecker,
    load: LoadMonitor,
    /// Made when first needed.
    limiter: Option<RateLimiter<LimiterSlots>>,
}

impl Handshakes {
    /// An empty queue.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_spinlock_bh!(SkbChain::new()),
            work <- Work::new(),
            guard <- new_mutex!(FloodGuard {
                cookies: CookieChecker::new(crypto::now(), &mut KernelRng),
                load: LoadMonitor::new(),
                limiter: None,
            }),
        })
    }

    fn next(&self) -> Option<(SkBuff, usize)> {
        let mut queue = self.queue.lock();
        let waiting = queue.len();
        Some((queue.pop_front()?, waiting))
    }
}

impl Device {
    /// Waits until no handshake message is being processed. Process context.
    pub(crate) fn cancel_handshakes(&self) {
        drop(self.handshakes.work.cancel_sync());
    }

    /// Drops all handshake messages that wait.
    pub(crate) fn purge_handshakes(&self) {
        let waiting = core::mem::replace(&mut *self.handshakes.queue.lock(), SkbChain::new());
        let n = waiting.len();
        self.discard_all(waiting, Stat::RxDown, n, NO_PEER);
    }

    /// Takes a handshake message from the network. Softirq.
    pub(crate) fn queue_handshake(&self, mut skb: SkBuff, outer: &Outer) {
        if !random::is_ready() {
            return self.discard(skb, Stat::RxNoRandomness, NO_PEER);
        }
        skb.note_sender(&outer.from);
        let mut queue = self.handshakes.queue.lock();
        if queue.len() >= MAX_QUEUED_HANDSHAKES {
            drop(queue);
            log::handshake_dropped(&self.netdev, &outer.from);
            return self.discard(skb, Stat::RxHandshakeQueue, NO_PEER);
        }
        queue.push_back(skb);
    }

    /// Has a worker look at the queued messages. Softirq.
    pub(crate) fn process_handshakes(this: ArcBorrow<'_, Self>) {
        this.handshakes.work.queue(&this.kex, this.into());
    }
}

/// Works through the received handshake messages of an interface.
pub(crate) struct ReceiveHandshakes;

impl WorkHandler<Arc<Device>> for ReceiveHandshakes {
    fn run(device: Arc<Device>) {
        while let Some((skb, waiting)) = device.handshakes.next() {
            receive::message(&device, skb, waiting);
            cond_resched();
        }
        wipe_stack();
    }
}

/// Memory for a rate limiter.
struct LimiterSlots(KVVec<ratelimit::Slot>);

impl AsMut<[ratelimit::Slot]> for LimiterSlots {
    fn as_mut(&mut self) -> &mut [ratelimit::Slot] {
        &mut self.0
    }
}

impl FloodGuard {
    /// The limiter, made now if there is none; `None` if memory is short.
    fn limiter(&mut self) -> Option<&mut RateLimiter<LimiterSlots>> {
        if self.limiter.is_none() {
            let slots =
                KVVec::from_elem(ratelimit::Slot::EMPTY, LIMITED_SOURCES, GFP_KERNEL).ok()?;
            let mut key = [0; 16];
            random::fill(&mut key);
            self.limiter = Some(RateLimiter::new(LimiterSlots(slots), key));
        }
        self.limiter.as_mut()
    }
}

/// The address of an endpoint as the protocol core wants it.
fn socket_address(endpoint: &Endpoint) -> Option<SocketAddr> {
    Some(SocketAddr::new(endpoint.address()?, endpoint.port()))
}
