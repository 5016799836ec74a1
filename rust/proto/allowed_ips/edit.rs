// SPDX-License-Identifier: GPL-2.0

//! Changing a trie.

use super::address::{Address, Prefix};
use super::node::{AllocError, Link, Node, Store};
use super::{Trie, Value};

/// The node of `link` to be changed: itself if nobody else refers to it, else a copy in its place.
fn own<'a, A: Address, V: Value, S: Store>(
    store: &S,
    link: &'a mut Link<A, V, S>,
) -> Result<&'a mut Node<A, V, S>, AllocError> {
    // There is a node, and a copy is ours alone: neither `ok_or` happens.
    let ptr = link.as_mut().ok_or(AllocError)?;
    if S::get_mut(ptr).is_none() {
        *ptr = store.alloc(Node::clone(ptr))?;
    }
    S::get_mut(ptr).ok_or(AllocError)
}

impl<A: Address, V: Value, S: Store> Trie<A, V, S> {
    /// Puts `value` at `prefix`, and returns the value that was there before.
    ///
    /// Takes two allocations, and one for each node above that a clone of this trie has as well. If
    /// one fails, the trie holds what it did.
    pub fn insert(
        &mut self,
        store: &S,
        prefix: Prefix<A>,
        value: V,
    ) -> Result<Option<V>, AllocError> {
        let mut link = &mut self.root;
        loop {
            let Some(child) = link else {
                *link = Some(store.alloc(Node::leaf(prefix, value))?);
                return Ok(None);
            };
            let node: &Node<A, V, S> = child;
            let common = prefix.common_bits(&node.prefix);
            let above = match (common == node.prefix.cidr(), common == prefix.cidr()) {
                (true, true) => return Ok(own(store, link)?.value.replace(value)),
                (true, false) => {
                    link = own(store, link)?.child_mut(prefix.address().bit(common));
                    continue;
                }
                (false, true) => {
                    let bit = node.prefix.address().bit(common);
                    Node::leaf(prefix, value).with_child(bit, Some(child.clone()))
                }
                (false, false) => {
                    let leaf = store.alloc(Node::leaf(prefix, value))?;
                    let (zero, one) = if prefix.address().bit(common) {
                        (child.clone(), leaf)
                    } else {
                        (leaf, child.clone())
                    };
                    Node {
                        prefix: Prefix::truncated(prefix.address(), common),
                        value: None,
                        zero: Some(zero),
                        one: Some(one),
                    }
                }
            };
            *link = Some(store.alloc(above)?);
            return Ok(None);
        }
    }

    /// Removes `prefix`, and returns the value that was there. Only exactly this prefix goes; if it
    /// is not there, nothing happens.
    ///
    /// Takes one allocation for each node on the way that a clone of this trie has as well. If one
    /// fails, the trie holds what it did.
    pub fn remove(&mut self, store: &S, prefix: &Prefix<A>) -> Result<Option<V>, AllocError> {
        if self.get_exact(prefix).is_none() {
            // So that nothing is copied for nothing.
            return Ok(None);
        }
        let mut link = &mut self.root;
        loop {
            let Some(node) = link.as_deref() else {
                return Ok(None);
            };
            if node.prefix == *prefix {
                let old = node.value.clone();
                match (&node.zero, &node.one) {
                    (Some(_), Some(_)) => own(store, link)?.value = None,
                    (None, rest) | (rest, None) => *link = rest.clone(),
                }
                return Ok(old);
            }
            let bit = prefix.address().bit(node.prefix.cidr());
            if node.value.is_none() {
                // It is there for its two subtrees only, of which one may end here.
                let leaf = node.child(bit).as_deref();
                if let Some(leaf) = leaf.filter(|leaf| leaf.prefix == *prefix && leaf.is_leaf()) {
                    let old = leaf.value.clone();
                    *link = node.child(!bit).clone();
                    return Ok(old);
                }
            }
            link = own(store, link)?.child_mut(bit);
        }
    }
}
