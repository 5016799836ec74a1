// SPDX-License-Identifier: GPL-2.0

//! One interface: what it is made of and how it comes and goes.
//!
//! What the data path reads is published under RCU (the allowed-IPs roots, the identity, the
//! sockets, the index tables); what only configuration needs is in [`Config`] behind one mutex.

use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        Arc,
        ArcBorrow, //
    },
};
use wg_kapi::{
    chain::SkbChain,
    errno,
    lane::Lane,
    log,
    netdev::{self, NetDevice},
    new_spinlock_bh,
    percpu::Counters,
    rcu,
    shared,
    skb::SkBuff,
    sync::{new_mutex, Mutex, MutexGuard, SpinLockBh},
    table::Table,
    udp::UdpPort,
    work, //
};

use crate::{
    allowed_ips::AllowedIps,
    config::Config,
    handshake::Handshakes,
    identity::Identity,
    keypair::Keypair,
    netlink::notify::Events,
    peer::Peer,
    rx,
    spare::Spare,
    stats::{Stat, NO_PEER, STATS},
    tx, //
};

/// A WireGuard interface.
///
/// Lives from `newlink` until its last user lets go of it, which is after `release`: a netlink dump
/// may still hold it, and with it the `net_device`.
#[pin_data]
pub(crate) struct Device {
    /// The interface itself.
    pub(crate) netdev: ARef<NetDevice>,
    /// Configuration; first in the lock order, under RTNL where both are held.
    #[pin]
    config: Mutex<Config>,
    /// Who we are; nobody until a private key is set.
    pub(crate) identity: rcu::Slot<Identity>,
    /// The UDP sockets while the interface is up.
    pub(crate) port: rcu::BoxSlot<UdpPort>,
    /// Peers by their public key.
    pub(crate) peers: Table<[u8; 32], Peer>,
    /// Which peer a handshake in flight belongs to, by our index.
    pub(crate) in_flight: Table<u32, Peer>,
    /// Live keypairs by our index.
    pub(crate) keypairs: Table<u32, Keypair>,
    /// Serialises the choice of new indices, unique over both tables.
    #[pin]
    pub(crate) index_lock: SpinLockBh<()>,
    /// Longest-prefix match to peers.
    pub(crate) allowed_ips: AllowedIps,
    /// Mark for every outgoing packet; 0 for none.
    fwmark: Atomic<i32>,
    /// Whether the interface is up, for readers without the configuration lock.
    running: Atomic<i32>,
    /// Whether messages may leave as UDP GSO packets: the switch `udp-gso`.
    send_trains: Atomic<i32>,
    /// Peers whose memory is not yet free.
    pub(crate) live_peers: Atomic<i32>,
    /// Received handshake messages and what guards against floods of them.
    #[pin]
    pub(crate) handshakes: Handshakes,
    /// Where handshake work runs: it sleeps and takes its time, and must not delay data.
    pub(crate) kex: work::Queue,
    /// Where transmission goes on, on the CPU where it was.
    pub(crate) crypt: work::Queue,
    /// Where the data of busy peers is encrypted and decrypted: on CPUs that have nothing better to
    /// do.
    pub(crate) spread: work::Queue,
    /// Whether there are such CPUs.
    pub(crate) spare: Spare,
    /// Whether data of any peer goes there at the moment.
    pub(crate) diverted: rx::Diverted,
    /// What happened to peers and has to be told.
    #[pin]
    pub(crate) events: Events,
    /// Why packets were dropped, and how many.
    pub(crate) counters: Counters<STATS>,
}

impl Device {
    /// Takes the configuration lock. Process context.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Config> {
        self.config.lock()
    }

    /// Whether the interface is up. Any context; may be stale by the time it is used.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Relaxed) != 0
    }

    /// Whether messages may leave as UDP GSO packets. Any context.
    #[inline]
    pub(crate) fn may_send_trains(&self) -> bool {
        self.send_trains.load(Relaxed) != 0
    }

    /// The mark of outgoing packets. Any context.
    #[inline]
    pub(crate) fn fwmark(&self) -> u32 {
        u32::from_ne_bytes(self.fwmark.load(Relaxed).to_ne_bytes())
    }

    /// Sets the mark of outgoing packets; routes cached with the old one are forgotten.
    pub(crate) fn set_fwmark(&self, config: &mut Config, mark: u32) {
        self.fwmark
            .store(i32::from_ne_bytes(mark.to_ne_bytes()), Relaxed);
        for entry in config.peers() {
            entry.peer.forget_source();
        }
    }

    /// The port in use, or to be used by the next open; host order, 0 for any.
    pub(crate) fn listen_port(&self, config: &Config) -> u16 {
        config.port
    }

    /// Changes the port (contract N9): while up, the new sockets are made before the old go.
    ///
    /// Process context, RTNL held.
    ///
    /// # Errors
    ///
    /// Those of [`UdpPort::open`], with the old sockets still in use; `EPERM` where the namespace
    /// of the sockets is gone.
    pub(crate) fn set_listen_port(self: &Arc<Self>, config: &mut Config, port: u16) -> Result {
        if port == config.port {
            return Ok(());
        }
        for entry in config.peers() {
            entry.peer.forget_source();
        }
        if !config.up {
            config.port = port;
            return Ok(());
        }
        self.open_port(config, port)
    }

    /// Opens sockets on `port` in place of those there are.
    fn open_port(self: &Arc<Self>, config: &mut Config, port: u16) -> Result {
        let net = self.netdev.creating_net().ok_or_else(errno::ENONET)?;
        let new = UdpPort::open(&net, &self.netdev, port)?;
        config.port = new.port();
        drop(self.port.replace(Some(new)));
        Ok(())
    }

    /// Frees what an interface that goes down must not keep: sessions, staged packets, sockets
    /// (contract R14).
    fn go_down(&self, config: &mut Config) {
        config.up = false;
        self.running.store(0, Relaxed);
        // First what makes sessions: no message comes in any more, and none is being processed.
        drop(self.port.replace(None));
        let waiting = self.netdev.purge_received();
        let messages = waiting
            .iter()
            .fold(0, |sum: usize, skb| sum.saturating_add(skb.messages()));
        self.discard_all(waiting, Stat::RxDown, messages, NO_PEER);
        // What is in hand is dropped or put back, for want of a socket. One worker may have called
        // another one, in either queue; that one finds nothing that would make it call more.
        for _ in 0..2 {
            self.spread.flush();
            self.crypt.flush();
        }
        // No flush, which would wait for a queue that is frozen while the system sleeps.
        self.cancel_handshakes();
        self.purge_handshakes();
        for entry in config.peers() {
            let peer = &entry.peer;
            // Nobody sends any more. They are of the namespace of the sockets, which may go before
            // the peer does.
            peer.forget_routes();
            drop(peer.initiate.cancel_sync());
            drop(peer.wipe.cancel_sync());
            self.netdev.tx_dropped(peer.purge_staged(Stat::TxPurged));
            peer.stop_timers();
            Peer::forget_sessions(peer);
            peer.allow_initiation_now();
        }
    }
}

impl netdev::Driver for Device {
    fn create(netdev: ARef<NetDevice>) -> Result<Arc<Self>> {
        let kex = work::Queue::new(
            c"wg-kex",
            &netdev,
            work::Flags::UNBOUND | work::Flags::FREEZABLE,
            0,
        )?;
        let crypt = work::Queue::new(
            c"wg-crypt",
            &netdev,
            work::Flags::PERCPU | work::Flags::MEM_RECLAIM | work::Flags::CPU_INTENSIVE,
            0,
        )?;
        let spread = work::Queue::new(
            c"wg-spread",
            &netdev,
            work::Flags::UNBOUND | work::Flags::MEM_RECLAIM,
            0,
        )?;
        let device = Arc::pin_init(
            try_pin_init!(Self {
                config <- new_mutex!(Config::new()),
                identity: rcu::Slot::empty(),
                port: rcu::BoxSlot::new(None),
                peers: Table::new()?,
                in_flight: Table::new()?,
                keypairs: Table::new()?,
                index_lock <- new_spinlock_bh!(()),
                allowed_ips: AllowedIps::new(),
                fwmark: Atomic::new(0),
                running: Atomic::new(0),
                send_trains: Atomic::new(1),
                live_peers: Atomic::new(0),
                handshakes <- Handshakes::new(),
                kex,
                crypt,
                spread,
                spare: Spare::new(),
                diverted: rx::Diverted::new(),
                events <- Events::new(),
                counters: Counters::new()?,
                netdev,
            }),
            GFP_KERNEL,
        )?;
        log::interface_created(&device.netdev);
        Ok(device)
    }

    fn open(this: &Arc<Self>) -> Result {
        let mut config = this.lock();
        let port = config.port;
        // All of this before the first message is let in: a session without timers would never
        // end, and a handshake message that is not welcome yet would be sent again after 5 s only.
        for entry in config.peers() {
            entry.peer.start_timers();
        }
        this.running.store(1, Relaxed);
        if let Err(error) = this.open_port(&mut config, port) {
            this.running.store(0, Relaxed);
            for entry in config.peers() {
                entry.peer.stop_timers();
            }
            return Err(error);
        }
        config.up = true;
        for entry in config.peers() {
            let peer = entry.peer.as_shared_ref();
            tx::flush(peer);
            if peer.keepalive() != 0 {
                tx::send_keepalive(peer);
            }
        }
        Ok(())
    }

    fn stop(this: &Arc<Self>) {
        let mut config = this.lock();
        this.go_down(&mut config);
    }

    fn release(this: Arc<Self>) {
        // Not under the lock, which a dump may wait for with RTNL held.
        let peers = this.take_all_peers(&mut this.lock());
        this.retire_all(peers);
        drop(this.identity.replace(None));
        // Work in hand holds peers and the device. Some that began before the peers were removed
        // may have asked for more in the other queue, and that once again; after that nothing does.
        for _ in 0..2 {
            this.spread.flush();
            this.crypt.flush();
            this.kex.flush();
        }
        this.events.stop();
        // Peers hold the device and are freed by RCU callbacks. The last reference to the device
        // must not go there, in softirq: it destroys work queues.
        while this.live_peers.load(Relaxed) > 0 {
            shared::settle();
        }
        // The callback of the last of them may still be about to return.
        rcu::barrier();
        log::interface_destroyed(&this.netdev);
    }

    fn xmit(this: &Self, skb: SkBuff) -> Result {
        tx::xmit(this, skb)
    }

    fn receive(this: ArcBorrow<'_, Self>, lane: &Lane, chain: SkbChain) {
        rx::receive(this, lane, chain);
    }

    fn overflow(this: &Self, skb: SkBuff) {
        let messages = skb.messages();
        this.discard_all(skb.into(), Stat::RxQueue, messages, NO_PEER);
    }

    fn damaged(this: &Self, skb: SkBuff) {
        this.discard(skb, Stat::RxChecksum, NO_PEER);
    }

    fn creating_net_exit(this: &Arc<Self>) {
        log::creating_net_exiting(&this.netdev);
        this.netdev.carrier_off();
        let config = this.lock();
        drop(this.port.replace(None));
        for entry in config.peers() {
            entry.peer.forget_source();
        }
    }

    fn suspend(this: &Arc<Self>) {
        for entry in this.lock().peers() {
            Peer::forget_sessions(&entry.peer);
        }
    }

    fn vm_forked(this: &Arc<Self>) {
        for entry in this.lock().peers() {
            Peer::forget_handshake(&entry.peer);
            // First, so that what finds no key to send with may ask for one.
            entry.peer.allow_initiation_now();
            entry.peer.expire_sending_keys();
        }
    }

    fn counter_name(index: usize) -> Option<&'static CStr> {
        Stat::ALL.get(index).map(|stat| stat.name())
    }

    fn counter(this: &Self, index: usize) -> u64 {
        this.counters.sum(index)
    }

    fn switch_name(index: usize) -> Option<&'static CStr> {
        (index == 0).then_some(c"udp-gso")
    }

    fn switches(this: &Self) -> u32 {
        u32::from(this.may_send_trains())
    }

    fn set_switches(this: &Self, on: u32) {
        this.send_trains.store(i32::from(on & 1 != 0), Relaxed);
    }
}
