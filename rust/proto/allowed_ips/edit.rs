// SPDX-License-Identifier: GPL-2.0

//! Making a new trie out of an old one.

use super::address::{Address, Prefix};
use super::node::{AllocError, Link, Node, Store};
use super::{Trie, Value};

/// Nodes with different prefix lengths on one path: an IPv6 address has lengths 0 to 128.
const MAX_DEPTH: usize = 129;

/// The nodes above a place in a trie, from the root down.
struct Path<'a, A: Address, V: Value, S: Store> {
    nodes: [Option<&'a Node<A, V, S>>; MAX_DEPTH],
    len: usize,
}

impl<'a, A: Address, V: Value, S: Store> Path<'a, A, V, S> {
    fn new() -> Self {
        Self {
            nodes: [None; MAX_DEPTH],
            len: 0,
        }
    }

    fn push(&mut self, node: &'a Node<A, V, S>) {
        // Prefix lengths grow along a path, so there always is a place.
        if let Some(place) = self.nodes.get_mut(self.len) {
            *place = Some(node);
            self.len = self.len.saturating_add(1);
        }
    }

    fn pop(&mut self) -> Option<&'a Node<A, V, S>> {
        self.len = self.len.checked_sub(1)?;
        self.nodes.get(self.len).copied().flatten()
    }

    /// Copies the path, from the bottom up, around a new subtree for `prefix`; it is empty then.
    ///
    /// (By reference, because a move would be another kilobyte of stack.)
    fn rebuild(
        &mut self,
        store: &S,
        prefix: &Prefix<A>,
        mut subtree: Link<A, V, S>,
    ) -> Result<Trie<A, V, S>, AllocError> {
        while let Some(node) = self.pop() {
            let bit = prefix.address().bit(node.prefix.cidr());
            subtree = Some(store.alloc(node.with_child(bit, subtree))?);
        }
        Ok(Trie { root: subtree })
    }
}

impl<A: Address, V: Value, S: Store> Trie<A, V, S> {
    /// This trie with `value` at `prefix`, and the value that was there before.
    ///
    /// Takes at most as many allocations as there are nodes above, and two.
    pub fn insert(
        &self,
        store: &S,
        prefix: Prefix<A>,
        value: V,
    ) -> Result<(Self, Option<V>), AllocError> {
        let mut path = Path::new();
        let mut link = &self.root;
        let mut old = None;
        let subtree = loop {
            let Some(child) = link else {
                break Node::leaf(prefix, value);
            };
            let node: &Node<A, V, S> = child;
            let common = prefix.common_bits(&node.prefix);
            match (common == node.prefix.cidr(), common == prefix.cidr()) {
                (true, true) => {
                    old.clone_from(&node.value);
                    break node.with_value(Some(value));
                }
                (true, false) => {
                    path.push(node);
                    link = node.child(prefix.address().bit(common));
                }
                (false, true) => {
                    let bit = node.prefix.address().bit(common);
                    break Node::leaf(prefix, value).with_child(bit, Some(child.clone()));
                }
                (false, false) => {
                    let leaf = store.alloc(Node::leaf(prefix, value))?;
                    let (zero, one) = if prefix.address().bit(common) {
                        (child.clone(), leaf)
                    } else {
                        (leaf, child.clone())
                    };
                    break Node {
                        prefix: Prefix::truncated(prefix.address(), common),
                        value: None,
                        zero: Some(zero),
                        one: Some(one),
                    };
                }
            }
        };
        let subtree = store.alloc(subtree)?;
        Ok((path.rebuild(store, &prefix, Some(subtree))?, old))
    }

    /// This trie without `prefix`, and the value that was there. Only exactly this prefix goes;
    /// if it is not there, the trie stays what it is.
    ///
    /// Takes at most as many allocations as there are nodes above, and one.
    pub fn remove(&self, store: &S, prefix: &Prefix<A>) -> Result<(Self, Option<V>), AllocError> {
        let mut path = Path::new();
        let mut link = &self.root;
        let node = loop {
            let Some(child) = link else {
                return Ok((self.clone(), None));
            };
            let node: &Node<A, V, S> = child;
            if node.prefix == *prefix {
                break node;
            }
            if node.prefix.cidr() >= prefix.cidr() || !node.prefix.contains(prefix.address()) {
                return Ok((self.clone(), None));
            }
            path.push(node);
            link = node.child(prefix.address().bit(node.prefix.cidr()));
        };
        if node.value.is_none() {
            return Ok((self.clone(), None));
        }
        let subtree = match (&node.zero, &node.one) {
            (Some(_), Some(_)) => Some(store.alloc(node.with_value(None))?),
            (Some(only), None) | (None, Some(only)) => Some(only.clone()),
            (None, None) => match path.pop() {
                None => None,
                Some(parent) => {
                    let bit = prefix.address().bit(parent.prefix.cidr());
                    if parent.value.is_some() {
                        Some(store.alloc(parent.with_child(bit, None))?)
                    } else {
                        // A node without a value is there for its two subtrees only.
                        parent.child(!bit).clone()
                    }
                }
            },
        };
        Ok((path.rebuild(store, prefix, subtree)?, node.value.clone()))
    }
}
