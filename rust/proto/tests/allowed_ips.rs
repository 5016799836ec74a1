// SPDX-License-Identifier: GPL-2.0

//! The allowed-IPs trie against a list of prefixes that is searched from end to end.

mod host_store;

use std::net::{Ipv4Addr, Ipv6Addr};

use host_store::ArcStore;
use proptest::prelude::*;
use wg_proto::allowed_ips::{Address, AllocError, CidrError, Prefix, Trie};

type V4 = Trie<u32, u32, ArcStore>;
type V6 = Trie<u128, u32, ArcStore>;

fn p4(text: &str, cidr: u8) -> Prefix<u32> {
    Prefix::new(a4(text), cidr).unwrap()
}

fn a4(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().into()
}

fn p6(text: &str, cidr: u8) -> Prefix<u128> {
    Prefix::new(a6(text), cidr).unwrap()
}

fn a6(text: &str) -> u128 {
    text.parse::<Ipv6Addr>().unwrap().into()
}

fn with<A: Address>(
    trie: &Trie<A, u32, ArcStore>,
    prefix: Prefix<A>,
    value: u32,
) -> Trie<A, u32, ArcStore> {
    let mut trie = trie.clone();
    trie.insert(&ArcStore::default(), prefix, value).unwrap();
    trie
}

fn without<A: Address>(
    trie: &Trie<A, u32, ArcStore>,
    prefix: Prefix<A>,
) -> (Trie<A, u32, ArcStore>, Option<u32>) {
    let mut trie = trie.clone();
    let old = trie.remove(&ArcStore::default(), &prefix).unwrap();
    (trie, old)
}

/// A list of prefixes.
#[derive(Clone)]
struct Model<A> {
    list: Vec<(Prefix<A>, u32)>,
}

impl<A: Address> Model<A> {
    fn new() -> Self {
        Self { list: Vec::new() }
    }

    fn insert(&mut self, prefix: Prefix<A>, value: u32) -> Option<u32> {
        let old = self.remove(&prefix);
        self.list.push((prefix, value));
        old
    }

    fn remove(&mut self, prefix: &Prefix<A>) -> Option<u32> {
        let place = self.list.iter().position(|(p, _)| p == prefix)?;
        Some(self.list.remove(place).1)
    }

    fn lookup(&self, address: A) -> Option<&u32> {
        let matching = self.list.iter().filter(|(p, _)| p.contains(address));
        matching.max_by_key(|(p, _)| p.cidr()).map(|(_, v)| v)
    }

    fn sorted(&self) -> Vec<(Prefix<A>, u32)> {
        let mut list = self.list.clone();
        list.sort();
        list
    }

    /// Both hold the same and answer alike for every address next to a border of a prefix.
    fn compare(&self, trie: &Trie<A, u32, ArcStore>, probes: &[A]) -> Result<(), TestCaseError> {
        let found: Vec<_> = trie.iter().map(|(p, v)| (*p, *v)).collect();
        prop_assert_eq!(found, self.sorted());
        prop_assert_eq!(trie.is_empty(), self.list.is_empty());
        for probe in probes {
            prop_assert_eq!(trie.lookup(*probe), self.lookup(*probe));
        }
        for (prefix, value) in &self.list {
            prop_assert_eq!(trie.get_exact(prefix), Some(value));
        }
        Ok(())
    }
}

/// Contract: X2, V10, L1, L2
#[test]
fn longest_prefix_wins_v4() {
    let mut trie = V4::new();
    assert!(trie.is_empty());
    assert_eq!(trie.lookup(0), None);
    for (text, cidr, value) in [
        ("10.0.0.0", 8, 1),
        ("10.20.0.0", 16, 2),
        ("10.20.30.0", 24, 3),
        ("10.20.30.40", 32, 4),
        ("10.20.128.0", 17, 5),
        ("172.16.0.0", 12, 6),
    ] {
        trie = with(&trie, p4(text, cidr), value);
    }
    for (text, value) in [
        ("10.1.2.3", Some(1)),
        ("10.20.1.1", Some(2)),
        ("10.20.30.1", Some(3)),
        ("10.20.30.40", Some(4)),
        ("10.20.30.41", Some(3)),
        ("10.20.127.255", Some(2)),
        ("10.20.128.0", Some(5)),
        ("10.20.255.255", Some(5)),
        ("10.21.0.0", Some(1)),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("172.31.255.255", Some(6)),
        ("172.32.0.0", None),
        ("0.0.0.0", None),
        ("255.255.255.255", None),
    ] {
        assert_eq!(trie.lookup(a4(text)).copied(), value, "{text}");
    }
    let trie = with(&trie, p4("1.2.3.4", 0), 7);
    assert_eq!(trie.lookup(a4("11.0.0.0")), Some(&7));
    assert_eq!(trie.lookup(a4("10.20.30.41")), Some(&3));
}

/// Contract: X2, V10, L1, L2
#[test]
fn longest_prefix_wins_v6() {
    let mut trie = V6::new();
    for (text, cidr, value) in [
        ("2001:db8::", 32, 1),
        ("2001:db8:1::", 48, 2),
        ("2001:db8:1:2::", 64, 3),
        ("2001:db8:1:2:8000::", 65, 4),
        ("2001:db8:1:2:8000::1", 128, 5),
        ("fe80::", 10, 6),
        ("::", 0, 7),
    ] {
        trie = with(&trie, p6(text, cidr), value);
    }
    for (text, value) in [
        ("2001:db8:2::", 1),
        ("2001:db8:1:3::", 2),
        ("2001:db8:1:2::1", 3),
        ("2001:db8:1:2:8000::", 4),
        ("2001:db8:1:2:8000::1", 5),
        ("2001:db8:1:2:8000::2", 4),
        ("2001:db8:1:2:7fff::1", 3),
        ("febf:ffff::", 6),
        ("fec0::", 7),
        ("::", 7),
    ] {
        assert_eq!(trie.lookup(a6(text)), Some(&value), "{text}");
    }
}

/// Contract: N14
#[test]
fn host_bits_do_not_matter() {
    let mut trie = with(&V4::new(), p4("192.168.77.99", 16), 1);
    assert_eq!(trie.lookup(a4("192.168.1.1")), Some(&1));
    assert_eq!(trie.get_exact(&p4("192.168.0.0", 16)), Some(&1));
    assert_eq!(trie.get_exact(&p4("192.168.0.0", 17)), None);
    let old = trie
        .insert(&ArcStore::default(), p4("192.168.200.1", 16), 2)
        .unwrap();
    assert_eq!(old, Some(1), "an exact prefix moves to its new owner");
    assert_eq!(trie.iter().count(), 1);
}

/// Contract: N5, L2
#[test]
fn bad_lengths_are_refused() {
    assert_eq!(Prefix::new(0_u32, 33), Err(CidrError));
    assert_eq!(Prefix::new(0_u128, 129), Err(CidrError));
    assert!(Prefix::new(0_u32, 32).is_ok());
    assert!(Prefix::new(0_u128, 128).is_ok());
}

/// Contract: N14, L2
#[test]
fn only_the_exact_prefix_is_removed() {
    let trie = with(&V4::new(), p4("10.0.0.0", 8), 1);
    let trie = with(&trie, p4("10.1.0.0", 16), 2);
    for (text, cidr) in [
        ("10.0.0.0", 7),
        ("10.0.0.0", 9),
        ("10.0.0.0", 16),
        ("10.1.0.0", 17),
        ("11.0.0.0", 8),
        ("0.0.0.0", 0),
    ] {
        let (after, old) = without(&trie, p4(text, cidr));
        assert_eq!(old, None, "{text}/{cidr}");
        assert_eq!(after.iter().count(), 2);
    }
    let (trie, old) = without(&trie, p4("10.0.0.0", 8));
    assert_eq!(old, Some(1));
    assert_eq!(trie.lookup(a4("10.2.0.0")), None);
    assert_eq!(trie.lookup(a4("10.1.0.0")), Some(&2));
    let (trie, old) = without(&trie, p4("10.1.0.0", 16));
    assert_eq!(old, Some(2));
    assert!(trie.is_empty());
    assert_eq!(without(&trie, p4("10.1.0.0", 16)).1, None);
}

#[test]
fn a_fork_is_no_prefix() {
    // The two have 10.0.0.0/8 in common; the node between them must not answer for it.
    let trie = with(&V4::new(), p4("10.0.0.0", 9), 1);
    let trie = with(&trie, p4("10.128.0.0", 9), 2);
    assert_eq!(trie.get_exact(&p4("10.0.0.0", 8)), None);
    assert_eq!(without(&trie, p4("10.0.0.0", 8)).1, None);
    let trie = with(&trie, p4("10.0.0.0", 8), 3);
    let (trie, old) = without(&trie, p4("10.0.0.0", 8));
    assert_eq!(old, Some(3), "and may become one and cease to be one");
    assert_eq!(trie.iter().count(), 2);
}

/// Contract: L2
#[test]
fn removal_frees_every_node_that_is_not_needed() {
    // Removing a leaf takes the fork above it along; removing a node with one subtree closes up.
    let store = ArcStore::default();
    let mut trie = V4::new();
    let prefixes = [
        p4("10.0.0.0", 8),
        p4("10.0.0.0", 9),
        p4("10.128.0.0", 9),
        p4("10.64.0.0", 10),
        p4("192.0.2.1", 32),
        p4("192.0.2.2", 32),
        p4("192.0.2.3", 32),
    ];
    for (prefix, value) in prefixes.iter().zip(0..) {
        trie.insert(&store, *prefix, value).unwrap();
        assert!(store.live() < 2 * trie.iter().count());
    }
    for (gone, prefix) in prefixes.iter().enumerate() {
        trie.remove(&store, prefix).unwrap();
        let left = prefixes.len() - gone - 1;
        assert_eq!(trie.iter().count(), left);
        assert!(store.live() <= (2 * left).saturating_sub(1), "{prefix:?}");
    }
    assert!(trie.is_empty());
    assert_eq!(store.live(), 0);
}

/// Contract: L2
#[test]
fn the_deepest_trie() {
    let store = ArcStore::default();
    let address = a6("2001:db8:5a5a:a5a5:1234:8765:fedc:ba98");
    let mut trie = V6::new();
    for cidr in (0..=128).rev() {
        let prefix = Prefix::new(address, cidr).unwrap();
        trie.insert(&store, prefix, u32::from(cidr)).unwrap();
    }
    assert_eq!(store.live(), 129);
    assert_eq!(trie.iter().count(), 129);
    for bit in 0..128 {
        // Differing first in bit number `bit` leaves a match of that many bits.
        let probe = address ^ (1 << (127 - bit));
        assert_eq!(trie.lookup(probe), Some(&bit));
    }
    assert_eq!(trie.lookup(address), Some(&128));
    for cidr in 0..=128 {
        let prefix = Prefix::new(address, cidr).unwrap();
        let old = trie.remove(&store, &prefix).unwrap();
        assert_eq!(old, Some(u32::from(cidr)));
    }
    assert_eq!(store.live(), 0);
}

#[test]
fn old_tries_stay_what_they_were() {
    let store = ArcStore::default();
    let mut versions = vec![(V4::new(), Model::new())];
    for step in 0..200_u32 {
        let (mut trie, mut model) = versions.last().unwrap().clone();
        let prefix = Prefix::new(step.wrapping_mul(0x9e37_79b9), (step % 33) as u8).unwrap();
        if step % 3 == 2 {
            let victim = model.list[step as usize % model.list.len()].0;
            model.remove(&victim);
            trie.remove(&store, &victim).unwrap();
        } else {
            model.insert(prefix, step);
            trie.insert(&store, prefix, step).unwrap();
        }
        versions.push((trie, model));
    }
    for (trie, model) in &versions {
        model.compare(trie, &[0, u32::MAX, 0x8000_0000]).unwrap();
    }
    drop(versions);
    assert_eq!(store.live(), 0, "the last version takes everything along");
}

fn contents(trie: &V4) -> Vec<(Prefix<u32>, u32)> {
    trie.iter().map(|(p, v)| (*p, *v)).collect()
}

#[test]
fn failed_allocations_change_nothing() {
    let good = ArcStore::default();
    let mut trie = Trie::<u32, u32, ArcStore>::new();
    let prefixes: Vec<_> = (0..40_u32)
        .map(|n| Prefix::new(n.wrapping_mul(0x0101_4001), (n % 25 + 8) as u8).unwrap())
        .collect();
    for (prefix, value) in prefixes.iter().zip(0..) {
        trie.insert(&good, *prefix, value).unwrap();
    }
    let before = contents(&trie);
    let live = good.live();
    for allowed in 0..30 {
        let store = good.failing_after(allowed);
        let new = Prefix::new(0x0101_4003, 32).unwrap();
        // Of a trie that has all to itself; then of one with everything to copy.
        for snapshot in [false, true] {
            let mut one = Trie::new();
            for (prefix, value) in &before {
                one.insert(&good, *prefix, *value).unwrap();
            }
            let kept = snapshot.then(|| one.clone());
            let inserted = one.insert(&store, new, 99);
            if inserted.is_ok() {
                assert_eq!(one.remove(&good, &new), Ok(Some(99)));
            }
            assert_eq!(contents(&one), before);
            let removed = one.remove(&store, &prefixes[5]);
            if removed.is_ok() {
                assert_eq!(one.insert(&good, prefixes[5], 5), Ok(None));
            }
            assert_eq!(contents(&one), before);
            assert!(kept.is_none_or(|kept| contents(&kept) == before));
            match (allowed, snapshot) {
                (0, true) => assert_eq!((inserted, removed), (Err(AllocError), Err(AllocError))),
                (0, false) => assert_eq!((inserted, removed), (Err(AllocError), Ok(Some(5)))),
                (29, _) => assert_eq!((inserted, removed), (Ok(None), Ok(Some(5)))),
                _ => {}
            }
        }
        assert_eq!(good.live(), live, "nothing leaks");
    }
    assert_eq!(contents(&trie), before);
}

/// What nobody else has is changed where it is.
#[test]
fn a_trie_of_its_own_copies_nothing() {
    let good = ArcStore::default();
    let mut trie = V4::new();
    for n in 0..1000_u32 {
        let prefix = Prefix::new(n.wrapping_mul(0x9e37_79b9), 32).unwrap();
        // A leaf, and the fork above it.
        assert_eq!(trie.insert(&good.failing_after(2), prefix, n), Ok(None));
    }
    let snapshot = trie.clone();
    let prefix = Prefix::new(0x9e37_79b9, 32).unwrap();
    assert_eq!(
        trie.insert(&good.failing_after(2), prefix, 7),
        Err(AllocError)
    );
    assert_eq!(trie.insert(&good, prefix, 7), Ok(Some(1)));
    assert_eq!(trie.insert(&good.failing_after(0), prefix, 8), Ok(Some(7)));
    assert_eq!(snapshot.get_exact(&prefix), Some(&1));
    drop(snapshot);
    for n in 0..1000_u32 {
        let prefix = Prefix::new(n.wrapping_mul(0x9e37_79b9), 32).unwrap();
        let gone = trie.remove(&good.failing_after(0), &prefix);
        assert_eq!(gone, Ok(Some(if n == 1 { 8 } else { n })));
    }
    assert_eq!(good.live(), 0);
}

#[test]
fn next_goes_on_from_prefixes_that_are_not_there() {
    let trie = with(&V4::new(), p4("10.0.0.0", 8), 1);
    let trie = with(&trie, p4("10.0.0.0", 24), 2);
    let trie = with(&trie, p4("10.0.9.0", 24), 3);
    let trie = with(&trie, p4("12.0.0.0", 8), 4);
    for (text, cidr, next) in [
        ("0.0.0.0", 0, Some(1)),
        ("9.255.0.0", 16, Some(1)),
        ("10.0.0.0", 7, Some(1)),
        ("10.0.0.0", 8, Some(2)),
        ("10.0.0.0", 23, Some(2)),
        ("10.0.0.0", 25, Some(3)),
        ("10.0.5.0", 32, Some(3)),
        ("10.0.9.128", 25, Some(4)),
        ("12.0.0.0", 8, None),
        ("255.0.0.0", 8, None),
    ] {
        let found = trie.next(Some(&p4(text, cidr))).map(|(_, value)| *value);
        assert_eq!(found, next, "{text}/{cidr}");
    }
}

/// Prefixes that collide often: few distinct bits, every length.
fn crowded<A: Address>(make: impl Fn(u128) -> A + Clone) -> impl Strategy<Value = Prefix<A>> {
    let bits = prop_oneof![
        any::<u128>(),
        (0..16_u128).prop_map(|high| high << 124),
        (0..16_u128).prop_map(|low| low | (0xabcd << 112)),
        (0..128_u32).prop_map(|one| 1 << one),
    ];
    (bits, 0..=A::BITS).prop_map(move |(bits, cidr)| Prefix::new(make(bits), cidr).unwrap())
}

fn random_edits<A: Address>(
    edits: Vec<(bool, Prefix<A>)>,
    lowest_bit: A,
    xor: fn(A, A) -> A,
) -> Result<(), TestCaseError> {
    let store = ArcStore::default();
    let mut trie = Trie::new();
    let mut model = Model::new();
    let probes: Vec<A> = edits
        .iter()
        .flat_map(|(_, p)| [p.address(), xor(p.address(), lowest_bit)])
        .collect();
    for ((insert, prefix), value) in edits.into_iter().zip(0..) {
        if insert {
            prop_assert_eq!(trie.get_exact(&prefix), {
                let found = model.list.iter().find(|(p, _)| *p == prefix);
                found.map(|(_, v)| v)
            });
            let old = trie.insert(&store, prefix, value).unwrap();
            prop_assert_eq!(old, model.insert(prefix, value));
        } else {
            let old = trie.remove(&store, &prefix).unwrap();
            prop_assert_eq!(old, model.remove(&prefix));
        }
        model.compare(&trie, &probes)?;
        // Every node without a value is a fork.
        prop_assert!(store.live() <= (2 * model.list.len()).saturating_sub(1));
    }
    drop(trie);
    prop_assert_eq!(store.live(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Contract: L1
    #[test]
    fn v4_behaves_like_a_list(
        edits in proptest::collection::vec(
            (prop::bool::weighted(0.7), crowded(|bits| (bits >> 96) as u32)), 1..60),
    ) {
        random_edits(edits, 1, |a, b| a ^ b)?;
    }

    /// Contract: L1
    #[test]
    fn v6_behaves_like_a_list(
        edits in proptest::collection::vec(
            (prop::bool::weighted(0.7), crowded(|bits| bits)), 1..60),
    ) {
        random_edits(edits, 1, |a, b| a ^ b)?;
    }
}
