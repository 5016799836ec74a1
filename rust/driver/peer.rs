// SPDX-License-Identifier: GPL-2.0

//! A peer: its place in the interface, its keys and its endpoint.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use wg_kapi::{
    clock,
    dst_cache::DstCache,
    endpoint::Endpoint,
    log,
    new_spinlock_bh,
    percpu::Counters,
    rcu,
    shared::{Shared, SharedRef},
    skb::SkBuff,
    sync::{new_mutex, Mutex, SpinLockBh},
    timer::Timer,
    trace,
    udp::{self, UdpPort},
    work::Work, //
};
use wg_proto::{
    constants::REKEY_TIMEOUT,
    keypairs::{Retired, Slots},
    keys::{PresharedKey, PublicKey},
    noise::Role,
    time::Instant,
    timers, //
};

use crate::{
    crypto,
    device::Device,
    handshake::{PeerHandshake, SendInitiation},
    keypair::Keypair,
    netlink::{event, notify::Pending},
    rx::{DecryptQueued, DecryptToo, RxHabits, RxLoad, RxQueue},
    share::Share,
    stats::Stat,
    timers::{PeerTimers, TimerExpired, WipeKeys},
    tx::{self, ContinueTransmit, Helpers, Trains, TxQueue}, //
};

/// Numbers peers over the life of the module, for the log and for the order of lists.
static NUMBERS: Atomic<i64> = Atomic::new(0);

/// Places in [`Peer::traffic`].
const RX_BYTES: usize = 0;
const TX_BYTES: usize = 1;

/// A peer.
///
/// Found through the tables of its [`Device`]; used by softirqs, workers and timers, each with a
/// reference or under RCU. Removal ([`Peer::retire`]) makes it inert at once; the memory goes when
/// the last of them is done and a grace period has passed.
#[pin_data]
pub(crate) struct Peer {
    remote: PublicKey,
    dead: Atomic<i32>,
    has_endpoint: Atomic<i32>,
    /// When the next initiation may leave, in nanoseconds of the clock of [`crypto::now`]: a hint
    /// that spares the worker; what counts is under the handshake's lock.
    quiet_until: Atomic<i64>,
    /// Seconds between persistent keepalives, 0 for none.
    keepalive: Atomic<i32>,
    /// The keypair to send with, for readers without the lock.
    pub(crate) current: rcu::Slot<Keypair>,
    /// All keypairs; the rules of their rotation are in `wg_proto`.
    #[pin]
    slots: SpinLockBh<Slots<Shared<Keypair>>>,
    /// Packets that wait to be sent.
    #[pin]
    pub(crate) tx: SpinLockBh<TxQueue>,
    /// What their encryption takes, and who helps with it.
    pub(crate) tx_share: Share,
    #[pin]
    pub(crate) helpers: Helpers,
    /// Whether they may leave as trains.
    #[pin]
    pub(crate) trains: Trains,
    /// Datagrams that wait to be decrypted by a worker, and what decides on that.
    #[pin]
    pub(crate) rx: SpinLockBh<RxQueue>,
    pub(crate) rx_load: RxLoad,
    pub(crate) rx_habits: RxHabits,
    #[pin]
    endpoint: SpinLockBh<Endpoint>,
    /// Routes to the endpoint.
    routes: DstCache,
    #[pin]
    pub(crate) timers: SpinLockBh<PeerTimers>,
    #[pin]
    pub(crate) timer: Timer<Peer, TimerExpired>,
    /// The handshake in flight and what it needs; process context.
    #[pin]
    pub(crate) handshake: Mutex<PeerHandshake>,
    #[pin]
    pub(crate) initiate: Work<Shared<Peer>, SendInitiation>,
    #[pin]
    pub(crate) wipe: Work<Shared<Peer>, WipeKeys>,
    #[pin]
    pub(crate) transmit: Work<Shared<Peer>, ContinueTransmit>,
    #[pin]
    pub(crate) decrypt: Work<Shared<Peer>, DecryptQueued>,
    #[pin]
    pub(crate) decrypt_too: Work<Shared<Peer>, DecryptToo>,
    /// What happened to it and is not told yet.
    pub(crate) events: Pending,
    /// Bytes received and sent.
    traffic: Counters<2>,
    /// When the last handshake was completed: nanoseconds since 1970, 0 for never.
    last_handshake: Atomic<i64>,
    life: Life,
}

/// What a peer counts for in its interface: dropped last.
struct Life {
    number: u64,
    device: Arc<Device>,
}

impl Life {
    fn new(device: &Arc<Device>) -> Self {
        let number = NUMBERS.fetch_add(1, Relaxed).wrapping_add(1);
        device.live_peers.add(1, Relaxed);
        Self {
            number: u64::try_from(number).unwrap_or(0),
            device: device.clone(),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        log::peer_destroyed(&self.device.netdev, self.number);
        self.device.live_peers.add(-1, Relaxed);
    }
}

impl Peer {
    /// A new peer of `device`, in no table yet.
    ///
    /// `identity` is the number of the identity that `device` has now.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        device: &Arc<Device>,
        remote: PublicKey,
        preshared: PresharedKey,
        identity: u64,
    ) -> Result<Shared<Self>> {
        let peer = Shared::pin_init(
            try_pin_init!(Self {
                dead: Atomic::new(0),
                has_endpoint: Atomic::new(0),
                quiet_until: Atomic::new(0),
                keepalive: Atomic::new(0),
                current: rcu::Slot::empty(),
                slots <- new_spinlock_bh!(Slots::new()),
                tx <- new_spinlock_bh!(TxQueue::new()),
                tx_share: Share::new(),
                helpers <- Helpers::new(),
                trains <- Trains::new(),
                rx <- new_spinlock_bh!(None),
                rx_load: RxLoad::new(),
                rx_habits: RxHabits::new(),
                endpoint <- new_spinlock_bh!(Endpoint::default()),
                routes: DstCache::new(),
                timers <- new_spinlock_bh!(PeerTimers::new()),
                timer <- Timer::new(),
                handshake <- new_mutex!(PeerHandshake::new(&remote, preshared, identity)),
                initiate <- Work::new(),
                wipe <- Work::new(),
                transmit <- Work::new(),
                decrypt <- Work::new(),
                decrypt_too <- Work::new(),
                events: Pending::new(),
                traffic: Counters::new()?,
                last_handshake: Atomic::new(0),
                life: Life::new(device),
                remote,
            }? Error),
            GFP_KERNEL,
        )?;
        peer.timer.bind(&peer);
        log::peer_created(&device.netdev, peer.number());
        Ok(peer)
    }

    /// Its number: lists are in this order.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.life.number
    }

    /// Its public key.
    #[inline]
    pub(crate) fn remote(&self) -> &PublicKey {
        &self.remote
    }

    /// Its interface.
    #[inline]
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.life.device
    }

    /// Whether it has been removed.
    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Relaxed) != 0
    }

    /// Makes a removed peer inert, and returns how many staged packets were dropped with it.
    ///
    /// It must not be in the peer table any more. What still runs on other CPUs finishes with the
    /// message it has in hand. Process context; does not wait for a grace period.
    pub(crate) fn retire(this: &Shared<Self>) -> usize {
        this.dead.store(1, Relaxed);
        this.stop_timers();
        this.timer.shutdown_sync();
        // Closed slots take no new keypair: a handshake that completes at this moment is refused.
        let mut slots = this.slots.lock();
        let retired = slots.close();
        this.publish_current(&slots);
        drop(slots);
        this.free_keypairs(retired);
        Self::forget_handshake(this);
        this.routes.reset();
        this.purge_staged(Stat::TxPurged)
    }

    /// Whether an initiation asked for now would only be held back.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let now = crypto::now_ns();
        now < self.quiet_until.load(Relaxed)
    }

    /// A handshake message leaves at `now`: the next initiation has to wait.
    pub(crate) fn keep_quiet(&self, now: Instant) {
        let until = now.saturating_add(REKEY_TIMEOUT).as_nanos();
        self.quiet_until
            .store(i64::try_from(until).unwrap_or(i64::MAX), Relaxed);
    }

    /// The next initiation need not wait.
    pub(crate) fn end_quiet(&self) {
        self.quiet_until.store(0, Relaxed);
    }

    // Keypairs.

    /// Adds the keypair of a new session; the rules of rotation are those of the role.
    ///
    /// False if the peer was removed in the meantime.
    pub(crate) fn install(&self, keypair: Shared<Keypair>) -> bool {
        let table = &self.device().keypairs;
        if table
            .insert(keypair.local().0, keypair.clone(), GFP_KERNEL)
            .is_err()
        {
            self.count(Stat::NoMemory);
            return false;
        }
        let mut slots = self.slots.lock();
        let outcome = match keypair.role() {
            Role::Initiator => slots.install_initiator(keypair),
            Role::Responder => slots.install_responder(keypair),
        };
        self.publish_current(&slots);
        drop(slots);
        match outcome {
            Ok(retired) => {
                self.free_keypairs(retired);
                true
            }
            Err(refused) => {
                drop(table.remove(&refused.local().0, &refused));
                false
            }
        }
    }

    /// Makes `keypair` the current one if it is the one that waits for confirmation.
    pub(crate) fn confirm(&self, keypair: &Shared<Keypair>) -> bool {
        let mut slots = self.slots.lock();
        let Some(retired) = slots.confirm_next(keypair, Shared::ptr_eq) else {
            return false;
        };
        self.publish_current(&slots);
        drop(slots);
        self.free_keypairs(retired);
        keypair.trace(trace::Key::Confirmed);
        true
    }

    /// Nothing is sent any more under the keys there are; what was sent under them may still come.
    pub(crate) fn expire_sending_keys(&self) {
        let slots = self.slots.lock();
        for keypair in [slots.current(), slots.next()].into_iter().flatten() {
            keypair.stop_sending();
            keypair.trace(trace::Key::Expired);
        }
    }

    /// Drops all keypairs and the handshake in flight. Process context.
    ///
    /// In this order: a session that comes to be meanwhile arms the timer that wipes it after that
    /// was cancelled; a handshake that is being completed installs its keypair before its lock is
    /// free, and so before the keypairs go.
    pub(crate) fn forget_sessions(this: &Shared<Self>) {
        this.timers.lock().keys_wiped();
        Self::forget_handshake(this);
        let mut slots = this.slots.lock();
        let retired = slots.take_all();
        this.publish_current(&slots);
        drop(slots);
        this.free_keypairs(retired);
    }

    fn publish_current(&self, slots: &Slots<Shared<Keypair>>) {
        drop(self.current.replace(slots.current().cloned()));
    }

    /// Frees the indices of keypairs that are out of use, and then the keypairs.
    fn free_keypairs(&self, retired: Retired<Shared<Keypair>>) {
        for keypair in retired {
            drop(self.device().keypairs.remove(&keypair.local().0, &keypair));
        }
    }

    // Endpoint.

    /// Where to send to.
    #[inline]
    pub(crate) fn endpoint(&self) -> Endpoint {
        *self.endpoint.lock()
    }

    /// Whether it is known where to send to.
    #[inline]
    pub(crate) fn has_endpoint(&self) -> bool {
        self.has_endpoint.load(Relaxed) != 0
    }

    /// Notes where an authenticated message came from (contract E2, E3).
    pub(crate) fn set_endpoint(&self, endpoint: &Endpoint) {
        let mut known = self.endpoint.lock();
        if known.same(endpoint) {
            return;
        }
        let moved = !known.same_remote(endpoint);
        *known = *endpoint;
        drop(known);
        self.has_endpoint.store(1, Relaxed);
        // The routes know whose they are: a peer in two places at once must not cost a cache a
        // packet.
        if !moved {
            return;
        }
        self.trace_endpoint(trace::EndpointChange::Moved, endpoint);
        self.notify(event::ENDPOINT);
    }

    fn trace_endpoint(&self, what: trace::EndpointChange, endpoint: &Endpoint) {
        trace::endpoint(&self.device().netdev, self.number(), what, endpoint);
    }

    /// Sets where to send to, as configured; the source address is chosen anew.
    pub(crate) fn configure_endpoint(&self, endpoint: &Endpoint) {
        *self.endpoint.lock() = *endpoint;
        self.has_endpoint.store(1, Relaxed);
        self.routes.reset();
        self.trace_endpoint(trace::EndpointChange::Configured, endpoint);
        self.notify(event::CHANGED);
    }

    /// Forgets routes: with the next packet they are looked up anew.
    pub(crate) fn forget_routes(&self) {
        self.routes.reset();
    }

    /// Forgets the source address and routes: the kernel chooses anew (contract E5).
    pub(crate) fn forget_source(&self) {
        let mut known = self.endpoint.lock();
        known.clear_source();
        let endpoint = *known;
        drop(known);
        self.routes.reset();
        self.trace_endpoint(trace::EndpointChange::SourceForgotten, &endpoint);
    }

    /// Sends one message to `endpoint`, which is what [`Peer::endpoint`] said. True if what is
    /// below took it.
    pub(crate) fn send_to(
        &self,
        port: &UdpPort,
        endpoint: &Endpoint,
        skb: SkBuff,
        ds: u8,
    ) -> Result<bool, (Error, SkBuff)> {
        let device = self.device();
        let sent = udp::send(
            port,
            &device.netdev,
            skb,
            endpoint,
            Some(&self.routes),
            ds,
            device.fwmark(),
        );
        if sent.source_lost {
            let mut known = self.endpoint.lock();
            // Unless a message from elsewhere came meanwhile.
            if known.same(endpoint) {
                known.clear_source();
            }
        }
        sent.result.map(|()| !sent.refused)
    }

    // Statistics.

    /// Counts a message of `bytes` received and authenticated.
    #[inline]
    pub(crate) fn received_bytes(&self, bytes: u64) {
        self.traffic.add(RX_BYTES, bytes);
    }

    /// Counts messages of `bytes` together that were sent.
    #[inline]
    pub(crate) fn sent_bytes(&self, bytes: u64) {
        self.traffic.add(TX_BYTES, bytes);
    }

    /// Bytes received, bytes sent.
    pub(crate) fn transfer(&self) -> (u64, u64) {
        (self.traffic.sum(RX_BYTES), self.traffic.sum(TX_BYTES))
    }

    /// Notes that a handshake was completed now.
    pub(crate) fn handshake_completed(&self) {
        let (seconds, nanoseconds) = clock::realtime();
        let stamp = seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(nanoseconds));
        self.last_handshake.store(stamp, Relaxed);
        self.count(Stat::HandshakeCompleted);
        self.notify(event::HANDSHAKE);
        trace::handshake(
            &self.device().netdev,
            self.number(),
            trace::Handshake::Completed,
            &self.endpoint(),
        );
    }

    /// When the last handshake was completed: seconds and nanoseconds since 1970, zeros for never.
    pub(crate) fn last_handshake(&self) -> (i64, i64) {
        let stamp = self.last_handshake.load(Relaxed);
        (stamp / 1_000_000_000, stamp % 1_000_000_000)
    }

    /// Seconds between persistent keepalives, 0 for none.
    #[inline]
    pub(crate) fn keepalive(&self) -> u16 {
        u16::try_from(self.keepalive.load(Relaxed)).unwrap_or(0)
    }

    /// Sets the interval of persistent keepalives; sends one at once if they were off (N15).
    pub(crate) fn set_keepalive(this: SharedRef<'_, Self>, seconds: u16) {
        let before = this.keepalive.xchg(i32::from(seconds), Relaxed);
        if before != i32::from(seconds) {
            this.notify(event::CHANGED);
        }
        if before == 0 && seconds != 0 && this.device().is_running() {
            tx::send_keepalive(this);
        }
    }

    /// What the timers have to know.
    #[inline]
    pub(crate) fn timer_config(&self) -> timers::Config {
        let seconds = self.keepalive();
        timers::Config {
            persistent_keepalive: (seconds != 0)
                .then(|| core::time::Duration::from_secs(u64::from(seconds))),
        }
    }
}
