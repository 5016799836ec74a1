// SPDX-License-Identifier: GPL-2.0

//! Allowed IPs: a persistent trie from address prefixes to values.
//!
//! A binary trie with compressed paths: a node holds a prefix and up to two subtrees that begin
//! with it, one for each value of the bit that follows. A node without a value has two subtrees.
//!
//! *Persistent* means that a clone of a trie, which costs nothing, stays what it is. Inserting or
//! removing a prefix copies those nodes on the way to it (at most one for each bit of an address)
//! that another trie has as well, changes the others in place and shares everything else. In the
//! kernel a clone is published under RCU: a lookup walks a frozen tree without locks or writes, a
//! dump walks one snapshot, and a change that fails half-way for want of memory leaves no trace.
//!
//! Where nodes live is the caller's business ([`Store`]). They are freed when the last trie with
//! them is dropped; with a store that frees at once, this recurses as deep as the trie, which is
//! 129 levels at most.

mod address;
mod edit;
mod node;
mod walk;

pub use address::{Address, CidrError, Prefix};
pub use node::{AllocError, Store};

use node::Link;

/// A map from prefixes of `A` (`u32` for IPv4, `u128` for IPv6) to `V`. Cloning it is
/// cheap and takes no allocation; what is done to one does not show in the other.
pub struct Trie<A: Address, V: Value, S: Store> {
    root: Link<A, V, S>,
}

/// What a [`Trie`] may hold: cloning has to be cheap, as it happens when nodes are copied.
pub trait Value: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> Value for T {}

impl<A: Address, V: Value, S: Store> Trie<A, V, S> {
    /// Without any prefixes.
    pub const fn new() -> Self {
        Self { root: None }
    }

    /// Whether there are no prefixes.
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

impl<A: Address, V: Value, S: Store> Clone for Trie<A, V, S> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
        }
    }
}

impl<A: Address, V: Value, S: Store> Default for Trie<A, V, S> {
    fn default() -> Self {
        Self::new()
    }
}
