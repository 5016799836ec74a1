// SPDX-License-Identifier: GPL-2.0

//! Allowed IPs: which peer an inner address belongs to.
//!
//! Writers hold the configuration lock and change a persistent trie of their own ([`Routes`]);
//! [`AllowedIps::publish`] shows a clone of it, which stays what it is, and lookups walk a frozen
//! tree under RCU without a lock or a write. Each peer's own prefixes are listed in [`PeerRoutes`],
//! so that removing or listing a peer touches nothing else.

use core::net::IpAddr;

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation}, //
};
use wg_kapi::{
    rcu::{self, Slot},
    shared::{Part, Shared, SharedRef}, //
};
use wg_proto::allowed_ips::{AllocError, Prefix, Store, Trie};

use crate::peer::Peer;

/// An IPv4 or IPv6 prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedIp {
    /// IPv4; the address in host order.
    V4(Prefix<u32>),
    /// IPv6; the address in host order.
    V6(Prefix<u128>),
}

/// What the trie says of a prefix.
#[derive(Clone)]
struct Owner {
    peer: Shared<Peer>,
    /// Key of the prefix in the peer's [`PeerRoutes`].
    sequence: u64,
}

/// Trie nodes live in boxes that are freed after a grace period.
struct Nodes;

impl Store for Nodes {
    type Ptr<T: Send + Sync + 'static> = Part<T>;

    fn alloc<T: Send + Sync + 'static>(&self, value: T) -> Result<Part<T>, AllocError> {
        Part::new(value, GFP_KERNEL).map_err(|_| AllocError)
    }

    fn get_mut<T: Send + Sync + 'static>(ptr: &mut Part<T>) -> Option<&mut T> {
        ptr.get_mut()
    }
}

type Trie4 = Trie<u32, Owner, Nodes>;
type Trie6 = Trie<u128, Owner, Nodes>;

/// The tables that the data path sees.
pub(crate) struct AllowedIps {
    v4: Slot<Trie4>,
    v6: Slot<Trie6>,
}

impl AllowedIps {
    /// Empty tables.
    pub(crate) fn new() -> Self {
        Self {
            v4: Slot::new(None),
            v6: Slot::new(None),
        }
    }

    /// The living peer with the longest prefix of `address`. Any context.
    #[inline]
    pub(crate) fn lookup<'g>(
        &self,
        address: IpAddr,
        guard: &'g rcu::Guard,
    ) -> Option<SharedRef<'g, Peer>> {
        let owner = match address {
            IpAddr::V4(v4) => self
                .v4
                .load(guard)?
                .into_ref()
                .lookup(u32::from_be_bytes(v4.octets()))?,
            IpAddr::V6(v6) => self
                .v6
                .load(guard)?
                .into_ref()
                .lookup(u128::from_be_bytes(v6.octets()))?,
        };
        Some(owner.peer.as_shared_ref()).filter(|peer| !peer.is_dead())
    }

    /// Lets the data path see `routes`. Process context, configuration lock held.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then the data path still sees the version before, and the next call tries again.
    /// A removed peer that is still in there is as good as absent.
    pub(crate) fn publish(&self, routes: &Routes) -> Result {
        let v4 = share(&routes.v4, Trie::is_empty)?;
        let v6 = share(&routes.v6, Trie::is_empty)?;
        drop(self.v4.replace(v4));
        drop(self.v6.replace(v6));
        Ok(())
    }
}

/// `trie` in a box of its own; nothing for an empty one, so that emptying cannot fail.
fn share<T: Clone + Send + Sync + 'static>(
    trie: &T,
    is_empty: impl Fn(&T) -> bool,
) -> Result<Option<Shared<T>>> {
    if is_empty(trie) {
        return Ok(None);
    }
    Ok(Some(Shared::new(trie.clone(), GFP_KERNEL)?))
}

/// The version of the tables that configuration works on.
pub(crate) struct Routes {
    v4: Trie4,
    v6: Trie6,
    /// Number of the next prefix to be inserted; lists are in this order.
    next: u64,
}

/// The prefixes of one peer in the order in which they came to it.
pub(crate) struct PeerRoutes(RBTree<u64, AllowedIp>);

/// Where a prefix was before, if some peer had it.
pub(crate) struct Previous {
    /// Number of that peer.
    pub(crate) peer: u64,
    /// Key in its [`PeerRoutes`].
    pub(crate) sequence: u64,
}

impl Owner {
    fn previous(self) -> Previous {
        Previous {
            peer: self.peer.number(),
            sequence: self.sequence,
        }
    }
}

impl Routes {
    /// Empty tables.
    pub(crate) fn new() -> Self {
        Self {
            v4: Trie::new(),
            v6: Trie::new(),
            next: 0,
        }
    }

    /// Makes `peer` the owner of `ip`, and says who was before.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn insert(
        &mut self,
        peer: &Shared<Peer>,
        ip: AllowedIp,
    ) -> Result<(u64, Option<Previous>)> {
        let sequence = self.next;
        let owner = Owner {
            peer: peer.clone(),
            sequence,
        };
        let before = match ip {
            AllowedIp::V4(prefix) => self.v4.insert(&Nodes, prefix, owner),
            AllowedIp::V6(prefix) => self.v6.insert(&Nodes, prefix, owner),
        }
        .map_err(no_memory)?;
        self.next = self.next.wrapping_add(1);
        Ok((sequence, before.map(Owner::previous)))
    }

    /// Removes `ip` if it is exactly a prefix of `peer`; says where it was in the peer's list.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn remove(&mut self, peer: &Peer, ip: &AllowedIp) -> Result<Option<u64>> {
        let owner = match ip {
            AllowedIp::V4(prefix) => self.v4.get_exact(prefix),
            AllowedIp::V6(prefix) => self.v6.get_exact(prefix),
        };
        let Some(sequence) = owner
            .filter(|owner| owner.peer.number() == peer.number())
            .map(|owner| owner.sequence)
        else {
            return Ok(None);
        };
        match ip {
            AllowedIp::V4(prefix) => self.v4.remove(&Nodes, prefix),
            AllowedIp::V6(prefix) => self.v6.remove(&Nodes, prefix),
        }
        .map_err(no_memory)?;
        Ok(Some(sequence))
    }

    /// Removes all prefixes of `peer`, which are those in `list`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then those that are still in `list` have not been removed.
    pub(crate) fn remove_all(&mut self, peer: &Peer, list: &mut PeerRoutes) -> Result {
        loop {
            let first = list.from(0).next();
            let Some((sequence, ip)) = first else {
                return Ok(());
            };
            self.remove(peer, &ip)?;
            list.0.remove(&sequence);
        }
    }
}

impl PeerRoutes {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Room for one more entry.
    pub(crate) fn reserve() -> Result<RBTreeNodeReservation<u64, AllowedIp>> {
        RBTreeNodeReservation::new(GFP_KERNEL)
    }

    /// Adds `ip` under the key that [`Routes::insert`] gave.
    pub(crate) fn add(
        &mut self,
        room: RBTreeNodeReservation<u64, AllowedIp>,
        sequence: u64,
        ip: AllowedIp,
    ) {
        self.0.insert(room.into_node(sequence, ip));
    }

    /// Removes the entry with this key.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.0.remove(&sequence);
    }

    /// The entries with a key of at least `sequence`, in order.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = (u64, AllowedIp)> + '_ {
        let mut next = Some(sequence);
        core::iter::from_fn(move || {
            let cursor = self.0.cursor_lower_bound(&next?)?;
            let (key, ip) = cursor.current();
            next = key.checked_add(1);
            Some((*key, *ip))
        })
    }
}

fn no_memory(_: AllocError) -> Error {
    ENOMEM
}
