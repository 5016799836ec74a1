// SPDX-License-Identifier: GPL-2.0

//! The nodes of a trie and where they live.

use core::ops::Deref;

use super::address::{Address, Prefix};
use super::Value;

/// No memory for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// Where nodes live: something that makes shared pointers to values.
///
/// In the kernel a counted box that a worker frees, on a host an `Arc`.
pub trait Store: 'static {
    /// A shared pointer. Cloning it neither allocates nor fails.
    type Ptr<T: Send + Sync + 'static>: Deref<Target = T> + Clone + Send + Sync + 'static;

    /// Moves a value into the store.
    fn alloc<T: Send + Sync + 'static>(&self, value: T) -> Result<Self::Ptr<T>, AllocError>;

    /// The value to be changed, if this is the only pointer to it and nobody looks at it.
    fn get_mut<T: Send + Sync + 'static>(ptr: &mut Self::Ptr<T>) -> Option<&mut T>;
}

/// A subtree, if there is one.
pub(super) type Link<A, V, S> = Option<<S as Store>::Ptr<Node<A, V, S>>>;

/// A prefix, its value, and the longer prefixes that begin with it.
///
/// # Invariants
///
/// * Every prefix in `zero` and `one` is longer than `prefix` and begins with it; the bit that
///   follows is 0 or 1, respectively.
/// * Without a `value` both subtrees exist.
pub(super) struct Node<A: Address, V: Value, S: Store> {
    pub(super) prefix: Prefix<A>,
    pub(super) value: Option<V>,
    pub(super) zero: Link<A, V, S>,
    pub(super) one: Link<A, V, S>,
}

impl<A: Address, V: Value, S: Store> Node<A, V, S> {
    pub(super) fn leaf(prefix: Prefix<A>, value: V) -> Self {
        Self {
            prefix,
            value: Some(value),
            zero: None,
            one: None,
        }
    }

    /// The subtree for addresses with this bit after the prefix.
    #[inline]
    pub(super) fn child(&self, bit: bool) -> &Link<A, V, S> {
        if bit {
            &self.one
        } else {
            &self.zero
        }
    }

    /// The subtree for addresses with this bit after the prefix, to be exchanged.
    #[inline]
    pub(super) fn child_mut(&mut self, bit: bool) -> &mut Link<A, V, S> {
        if bit {
            &mut self.one
        } else {
            &mut self.zero
        }
    }

    /// Whether no longer prefix begins with this one.
    pub(super) fn is_leaf(&self) -> bool {
        self.zero.is_none() && self.one.is_none()
    }

    /// This node with another subtree.
    pub(super) fn with_child(mut self, bit: bool, child: Link<A, V, S>) -> Self {
        *self.child_mut(bit) = child;
        self
    }
}

impl<A: Address, V: Value, S: Store> Clone for Node<A, V, S> {
    fn clone(&self) -> Self {
        Self {
            prefix: self.prefix,
            value: self.value.clone(),
            zero: self.zero.clone(),
            one: self.one.clone(),
        }
    }
}
