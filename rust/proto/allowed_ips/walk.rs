// SPDX-License-Identifier: GPL-2.0

//! Reading a trie.

use super::address::{Address, Prefix};
use super::node::{Node, Store};
use super::{Trie, Value};

impl<A: Address, V: Value, S: Store> Trie<A, V, S> {
    /// The value of the longest prefix that `address` begins with.
    #[inline]
    pub fn lookup(&self, address: A) -> Option<&V> {
        let mut best = None;
        let mut link = self.root.as_deref();
        while let Some(node) = link {
            if !node.prefix.contains(address) {
                break;
            }
            if node.value.is_some() {
                best = node.value.as_ref();
            }
            // Full-length nodes have no children, whatever bit this asks for.
            link = node.child(address.bit(node.prefix.cidr())).as_deref();
        }
        best
    }

    /// The value of exactly this prefix.
    pub fn get_exact(&self, prefix: &Prefix<A>) -> Option<&V> {
        let mut link = self.root.as_deref();
        while let Some(node) = link {
            if node.prefix == *prefix {
                return node.value.as_ref();
            }
            if node.prefix.cidr() >= prefix.cidr() || !node.prefix.contains(prefix.address()) {
                return None;
            }
            link = step(node, prefix);
        }
        None
    }

    /// The first prefix after `after` (or of all), in the order of [`Prefix`], and its value.
    pub fn next(&self, after: Option<&Prefix<A>>) -> Option<(&Prefix<A>, &V)> {
        let Some(after) = after else {
            return first(self.root.as_deref());
        };
        // The nearest subtree to the right of the path to `after`.
        let mut right = None;
        let mut link = self.root.as_deref();
        while let Some(node) = link {
            if node.prefix > *after {
                // The whole subtree comes after, and before everything seen on the right.
                return first(Some(node));
            }
            if node.prefix == *after {
                let below = node.zero.as_deref().or(node.one.as_deref());
                return first(below.or(right));
            }
            if !node.prefix.contains(after.address()) {
                // The whole subtree comes before.
                break;
            }
            if !after.address().bit(node.prefix.cidr()) && node.one.is_some() {
                right = node.one.as_deref();
            }
            link = step(node, after);
        }
        first(right)
    }

    /// All prefixes and their values, in the order of [`Prefix`].
    pub fn iter(&self) -> impl Iterator<Item = (&Prefix<A>, &V)> {
        let mut after = None;
        core::iter::from_fn(move || {
            let (prefix, value) = self.next(after)?;
            after = Some(prefix);
            Some((prefix, value))
        })
    }
}

/// The subtree of `node` that a longer `prefix` is in.
#[inline]
fn step<'a, A: Address, V: Value, S: Store>(
    node: &'a Node<A, V, S>,
    prefix: &Prefix<A>,
) -> Option<&'a Node<A, V, S>> {
    node.child(prefix.address().bit(node.prefix.cidr()))
        .as_deref()
}

/// The first prefix with a value of a subtree.
fn first<A: Address, V: Value, S: Store>(
    mut link: Option<&Node<A, V, S>>,
) -> Option<(&Prefix<A>, &V)> {
    while let Some(node) = link {
        if let Some(value) = &node.value {
            return Some((&node.prefix, value));
        }
        link = node.zero.as_deref().or(node.one.as_deref());
    }
    None
}
