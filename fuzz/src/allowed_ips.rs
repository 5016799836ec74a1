// SPDX-License-Identifier: GPL-2.0

//! The trie of allowed IPs against a sorted map, with snapshots and failing allocations.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use wg_proto::allowed_ips::{Address, AllocError, Prefix, Trie};

use crate::host_store::ArcStore;

/// An address: bits of a pattern, a few of them turned, so that prefixes meet at every depth.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Bits {
    pattern: u8,
    turned: [u8; 2],
}

/// What to do with the trie.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    /// Sets a prefix to a value.
    Insert(Bits, u8, u8),
    /// Removes a prefix.
    Remove(Bits, u8),
    /// Removes the prefix of this number in the order of all.
    RemoveNth(u8),
    /// The same, but memory ends after so many allocations.
    InsertFailing(Bits, u8, u8, u8),
    /// The same, but memory ends after so many allocations.
    RemoveFailing(u8, u8),
    /// Looks an address up.
    Lookup(Bits),
    /// Looks a prefix up.
    Exact(Bits, u8),
    /// The prefix after this one.
    Next(Bits, u8),
    /// Keeps the trie of now until the end.
    Snapshot,
}

/// Operations in order, on IPv6 or IPv4 addresses.
#[derive(Arbitrary, Debug)]
pub struct Input {
    v6: bool,
    ops: Vec<Op>,
}

/// Every answer must be that of the map.
pub fn run(input: Input) {
    if input.v6 {
        play(&input.ops, |address: u128| address);
    } else {
        play(&input.ops, |address: u128| (address >> 96) as u32);
    }
}

type Model<A> = BTreeMap<(A, u8), u8>;

fn play<A: Address>(ops: &[Op], cut: impl Fn(u128) -> A) {
    let store = ArcStore::default();
    {
        let mut trie: Trie<A, u8, ArcStore> = Trie::new();
        let mut model = Model::new();
        let mut kept = Vec::new();
        let prefix = |bits: Bits, cidr: u8| {
            // One more than there are: must be refused.
            let cidr = cidr % (A::BITS + 2);
            let made = Prefix::new(cut(address(bits)), cidr);
            assert_eq!(made.is_err(), cidr > A::BITS);
            made.ok()
        };
        for op in ops.iter().copied().take(256) {
            match op {
                Op::Insert(bits, cidr, value) => {
                    let Some(prefix) = prefix(bits, cidr) else {
                        continue;
                    };
                    let old = trie.insert(&store, prefix, value).unwrap();
                    assert_eq!(old, model.insert(key(&prefix), value));
                }
                Op::Remove(bits, cidr) => {
                    let Some(prefix) = prefix(bits, cidr) else {
                        continue;
                    };
                    let old = trie.remove(&store, &prefix).unwrap();
                    assert_eq!(old, model.remove(&key(&prefix)));
                }
                Op::RemoveNth(number) => {
                    let Some(prefix) = nth::<A>(&model, number) else {
                        continue;
                    };
                    let old = trie.remove(&store, &prefix).unwrap();
                    assert_eq!(old, model.remove(&key(&prefix)));
                }
                Op::InsertFailing(bits, cidr, value, after) => {
                    let Some(prefix) = prefix(bits, cidr) else {
                        continue;
                    };
                    let before = store.live();
                    let store = store.failing_after(usize::from(after % 8));
                    match trie.insert(&store, prefix, value) {
                        Ok(old) => assert_eq!(old, model.insert(key(&prefix), value)),
                        // What snapshots have may have been copied.
                        Err(AllocError) if kept.is_empty() => {
                            assert_eq!(store.live(), before, "leaked");
                        }
                        Err(AllocError) => {}
                    }
                }
                Op::RemoveFailing(number, after) => {
                    let Some(prefix) = nth::<A>(&model, number) else {
                        continue;
                    };
                    let before = store.live();
                    let store = store.failing_after(usize::from(after % 4));
                    match trie.remove(&store, &prefix) {
                        Ok(old) => assert_eq!(old, model.remove(&key(&prefix))),
                        Err(AllocError) if kept.is_empty() => {
                            assert_eq!(store.live(), before, "leaked");
                        }
                        Err(AllocError) => {}
                    }
                }
                Op::Lookup(bits) => {
                    let address = cut(address(bits));
                    assert_eq!(trie.lookup(address), longest(&model, address));
                }
                Op::Exact(bits, cidr) => {
                    if let Some(prefix) = prefix(bits, cidr) {
                        assert_eq!(trie.get_exact(&prefix), model.get(&key(&prefix)));
                    }
                }
                Op::Next(bits, cidr) => {
                    if let Some(prefix) = prefix(bits, cidr) {
                        let next = trie.next(Some(&prefix)).map(|(p, v)| (key(p), *v));
                        let after = (
                            std::ops::Bound::Excluded(key(&prefix)),
                            std::ops::Bound::Unbounded,
                        );
                        let expected = model.range(after).next().map(|(k, v)| (*k, *v));
                        assert_eq!(next, expected);
                    }
                }
                Op::Snapshot if kept.len() < 8 => kept.push((trie.clone(), model.clone())),
                Op::Snapshot => {}
            }
            assert_eq!(trie.is_empty(), model.is_empty());
            // A node holds a value, or joins two subtrees.
            if kept.is_empty() {
                assert!(store.live() <= model.len() * 2, "nodes are left over");
            }
        }
        kept.push((trie, model));
        for (trie, model) in &kept {
            let all: Vec<_> = trie.iter().map(|(p, v)| (key(p), *v)).collect();
            let expected: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(all, expected);
            for (address, _) in model.keys() {
                assert_eq!(trie.lookup(*address), longest(model, *address));
            }
        }
    }
    assert_eq!(store.live(), 0, "nodes have leaked");
}

fn key<A: Address>(prefix: &Prefix<A>) -> (A, u8) {
    (prefix.address(), prefix.cidr())
}

fn nth<A: Address>(model: &Model<A>, number: u8) -> Option<Prefix<A>> {
    let number = usize::from(number).checked_rem(model.len())?;
    let ((address, cidr), _) = model.iter().nth(number)?;
    Prefix::new(*address, *cidr).ok()
}

/// By looking at all of them.
fn longest<A: Address>(model: &Model<A>, address: A) -> Option<&u8> {
    let mut best = None;
    for ((prefix, cidr), value) in model {
        let inside = (0..*cidr).all(|bit| prefix.bit(bit) == address.bit(bit));
        if inside && best.is_none_or(|(len, _)| len < *cidr) {
            best = Some((*cidr, value));
        }
    }
    best.map(|(_, value)| value)
}

fn address(bits: Bits) -> u128 {
    let start = u128::from_be_bytes([bits.pattern; 16]);
    bits.turned
        .iter()
        .fold(start, |address, bit| address ^ (1 << (bit % 128)))
}
