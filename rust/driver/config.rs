// SPDX-License-Identifier: GPL-2.0

//! What configuration changes: peers, their allowed IPs, our identity.
//!
//! All of it under the device's mutex, process context. The data path never takes that lock; it
//! reads what is published under RCU.

use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::Arc, //
};
use wg_kapi::{
    rcu,
    shared::Shared,
    work::cond_resched, //
};
use wg_proto::{
    constants::MAX_PEERS_PER_DEVICE,
    keys::{PresharedKey, PrivateKey, PublicKey}, //
};

use crate::{
    allowed_ips::{AllowedIp, PeerRoutes, Routes},
    device::Device,
    identity::Identity,
    netlink::{event, notify},
    peer::Peer,
    tx, //
};

/// What configuration changes, all under the device's mutex.
pub(crate) struct Config {
    /// Peers by number, that is in order of creation.
    peers: RBTree<u64, PeerConfig>,
    /// How many there are.
    peer_count: usize,
    /// Removed peers of which prefixes are still in `routes`, as memory was short.
    leftovers: RBTree<u64, PeerConfig>,
    /// The next version of the allowed-IPs tables.
    routes: Routes,
    /// Configured or chosen port, host order; 0 for any.
    pub(crate) port: u16,
    /// Whether the interface is up.
    pub(crate) up: bool,
    /// Counts SET requests, so that a dump can tell that it is torn. Starts at 1.
    pub(crate) generation: u32,
    /// Counts identities; see [`Identity`].
    identities: u64,
}

/// Peers that are configured no more, on their way out.
pub(crate) struct AllPeers(RBTree<u64, PeerConfig>);

/// What configuration knows of one peer.
pub(crate) struct PeerConfig {
    /// The peer.
    pub(crate) peer: Shared<Peer>,
    /// Its allowed IPs in the order in which they came.
    pub(crate) routes: PeerRoutes,
}

impl Config {
    /// Of an interface just made.
    pub(crate) fn new() -> Self {
        Self {
            peers: RBTree::new(),
            peer_count: 0,
            leftovers: RBTree::new(),
            routes: Routes::new(),
            port: 0,
            up: false,
            generation: 1,
            identities: 0,
        }
    }

    /// All peers in order of creation.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &PeerConfig> {
        self.peers.values()
    }

    /// Tries again to take the prefixes of removed peers out of the tables. While one is there it
    /// hides shorter prefixes of living peers.
    pub(crate) fn sweep(&mut self) {
        while let Some(mut first) = self.leftovers.cursor_front_mut() {
            let PeerConfig { peer, routes } = first.current_mut().1;
            if self.routes.remove_all(peer, routes).is_err() {
                return;
            }
            drop(first.remove_current());
        }
    }

    /// The first peer with a number of at least `number`, in order of creation.
    pub(crate) fn peer_from(&self, number: u64) -> Option<&PeerConfig> {
        let found = *self.peers.cursor_lower_bound(&number)?.current().0;
        self.peers.get(&found)
    }
}

impl Device {
    /// The peer with this public key. Process context.
    pub(crate) fn peer_by_key(&self, key: &[u8; 32]) -> Option<Shared<Peer>> {
        self.peers.get(key, &rcu::read_lock())?.get()
    }

    /// Makes a peer.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where there are as many peers as an interface may have.
    pub(crate) fn create_peer(
        self: &Arc<Self>,
        config: &mut Config,
        key: &[u8; 32],
        preshared: PresharedKey,
    ) -> Result<Shared<Peer>> {
        if config.peer_count >= MAX_PEERS_PER_DEVICE {
            return Err(ENOMEM);
        }
        let peer = Peer::new(
            self,
            PublicKey::from_bytes(*key),
            preshared,
            config.identities,
        )?;
        if config.up {
            peer.start_timers();
        }
        let entry = PeerConfig {
            peer: peer.clone(),
            routes: PeerRoutes::new(),
        };
        config
            .peers
            .try_create_and_insert(peer.number(), entry, GFP_KERNEL)?;
        if let Err((error, _)) = self.peers.insert(*key, peer.clone(), GFP_KERNEL) {
            config.peers.remove(&peer.number());
            Peer::retire(&peer);
            return Err(error);
        }
        config.peer_count = config.peer_count.saturating_add(1);
        peer.notify(event::ADDED);
        Ok(peer)
    }

    /// Removes a peer: from now on nothing is sent to it and nothing accepted from it.
    pub(crate) fn remove_peer(&self, config: &mut Config, peer: &Shared<Peer>) {
        let Some(entry) = config.peers.remove_node(&peer.number()) else {
            return;
        };
        config.peer_count = config.peer_count.saturating_sub(1);
        self.retire(peer);
        notify::removed(self, core::iter::once(&**peer));
        // Where memory is short the tables keep prefixes of a peer that is dead, which the data
        // path takes for absent, until the next request.
        config.leftovers.insert(entry);
        config.sweep();
        let _ = self.allowed_ips.publish(&config.routes);
    }

    /// Removes all peers; the tables are published once.
    pub(crate) fn remove_all_peers(&self, config: &mut Config) {
        let peers = self.take_all_peers(config);
        self.retire_all(peers);
    }

    /// The first half of that: takes them out of what is configured. From then on no packet finds a
    /// way to or from them.
    pub(crate) fn take_all_peers(&self, config: &mut Config) -> AllPeers {
        let peers = core::mem::replace(&mut config.peers, RBTree::new());
        config.peer_count = 0;
        config.leftovers = RBTree::new();
        config.routes = Routes::new();
        // Cannot fail: empty tables need no memory.
        let _ = self.allowed_ips.publish(&config.routes);
        AllPeers(peers)
    }

    /// The second half.
    pub(crate) fn retire_all(&self, AllPeers(peers): AllPeers) {
        for entry in peers.values() {
            self.retire(&entry.peer);
            cond_resched();
        }
        notify::removed(self, peers.values().map(|entry| &*entry.peer));
    }

    fn retire(&self, peer: &Shared<Peer>) {
        drop(self.peers.remove(peer.remote().as_bytes(), peer));
        self.netdev.tx_dropped(Peer::retire(peer));
    }

    /// Gives `ip` to `peer`, from whomever has it now (contract N14).
    ///
    /// The data path sees it from the next [`Device::publish_routes`] on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn allow_ip(config: &mut Config, peer: &Shared<Peer>, ip: AllowedIp) -> Result {
        let room = PeerRoutes::reserve()?;
        let (sequence, before) = config.routes.insert(peer, ip)?;
        if let Some(before) = before {
            if let Some(entry) = config.peers.get_mut(&before.peer) {
                entry.routes.forget(before.sequence);
                entry.peer.notify(event::ALLOWED_IPS);
            }
        }
        if let Some(entry) = config.peers.get_mut(&peer.number()) {
            entry.routes.add(room, sequence, ip);
            entry.peer.notify(event::ALLOWED_IPS);
        }
        Ok(())
    }

    /// Takes `ip` away from `peer` if that very prefix is its own; else does nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn disallow_ip(config: &mut Config, peer: &Shared<Peer>, ip: AllowedIp) -> Result {
        if let Some(sequence) = config.routes.remove(peer, &ip)? {
            if let Some(entry) = config.peers.get_mut(&peer.number()) {
                entry.routes.forget(sequence);
                entry.peer.notify(event::ALLOWED_IPS);
            }
        }
        Ok(())
    }

    /// Takes all allowed IPs from `peer`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then some are left, and listed.
    pub(crate) fn disallow_all_ips(config: &mut Config, peer: &Shared<Peer>) -> Result {
        let Config { peers, routes, .. } = config;
        match peers.get_mut(&peer.number()) {
            Some(entry) => {
                entry.peer.notify(event::ALLOWED_IPS);
                routes.remove_all(peer, &mut entry.routes)
            }
            None => Ok(()),
        }
    }

    /// Lets the data path see the allowed IPs as they are configured now.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then it still sees those of before.
    pub(crate) fn publish_routes(&self, config: &Config) -> Result {
        self.allowed_ips.publish(&config.routes)
    }

    /// Becomes whoever has this private key, or nobody (contract N11).
    ///
    /// A peer with our own public key is removed; sessions under the old identity receive until
    /// they end, but no longer send.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn set_private_key(
        &self,
        config: &mut Config,
        private: Option<PrivateKey>,
    ) -> Result {
        let before = self
            .identity
            .load(&rcu::read_lock())
            .and_then(|identity| identity.get());
        let number = config.identities.wrapping_add(1);
        let identity = match private {
            Some(private) => {
                if before.as_ref().is_some_and(|old| old.has(&private)) {
                    return Ok(());
                }
                Some(Shared::new(Identity::new(private, number), GFP_KERNEL)?)
            }
            None if before.is_none() => return Ok(()),
            None => None,
        };
        if let Some(identity) = &identity {
            if let Some(ourselves) = self.peer_by_key(identity.public().as_bytes()) {
                self.remove_peer(config, &ourselves);
            }
        }
        config.identities = number;
        let initiates = config.up && identity.is_some();
        drop(self.identity.replace(identity));
        for entry in config.peers() {
            Peer::identity_changed(&entry.peer, number);
            entry.peer.expire_sending_keys();
            if initiates {
                // Also after another key: a worker that had seen only one of the two changes above
                // has made no initiation.
                tx::flush(entry.peer.as_shared_ref());
            }
        }
        Ok(())
    }
}
