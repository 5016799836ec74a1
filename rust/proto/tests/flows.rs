// SPDX-License-Identifier: GPL-2.0

//! Counts of flows against a plain list of packets.

use proptest::prelude::*;
use wg_proto::flows::{FlowCounts, Flows};

/// Packets of up to three flows; few classes, so that they meet.
fn flows() -> impl Strategy<Value = Flows> {
    prop_oneof![
        1 => Just(Flows::ANY),
        1 => Just(Flows::NONE),
        8 => prop::collection::vec(0_u32..80, 1..4)
            .prop_map(|hashes| hashes.into_iter().fold(Flows::NONE, |all, hash| all.and(Flows::of(hash)))),
    ]
}

/// Whether two packets may be of one flow.
fn meet(a: Flows, b: Flows) -> bool {
    a.to_bits() & b.to_bits() != 0
}

proptest! {
    #[test]
    fn counts_are_those_of_a_list(steps in prop::collection::vec((0_u8..4, flows()), 1..200)) {
        let mut list: Vec<Flows> = Vec::new();
        let mut counts = FlowCounts::new();
        for (step, flows) in steps {
            match step {
                // Some leave at once, as those that a worker takes do.
                0 => {
                    let mut taken = FlowCounts::default();
                    for flows in list.drain(..list.len() / 2) {
                        taken.add(flows);
                    }
                    counts.remove_all(&taken);
                }
                1 if !list.is_empty() => counts.remove(list.remove(0)),
                _ => {
                    counts.add(flows);
                    list.push(flows);
                }
            }
            for hash in 0..64 {
                let flow = Flows::of(hash);
                prop_assert_eq!(counts.may_have(flow), list.iter().any(|other| meet(*other, flow)));
            }
        }
    }
}

#[test]
fn what_is_of_no_flow_meets_nothing_and_the_unknown_meets_all() {
    let mut counts = FlowCounts::new();
    assert!(counts.may_have(Flows::ANY));
    assert!(!counts.may_have(Flows::of(1)));
    counts.add(Flows::NONE);
    assert!(!counts.may_have(Flows::of(1)));
    counts.add(Flows::ANY);
    assert!(counts.may_have(Flows::of(1)));
    assert!(!counts.may_have(Flows::NONE));
    counts.remove(Flows::ANY);
    assert!(!counts.may_have(Flows::of(1)));
}

#[test]
fn within_is_no_more_than() {
    let two = Flows::of(1).and(Flows::of(2));
    assert!(Flows::of(1).within(two) && two.within(two) && Flows::NONE.within(Flows::of(1)));
    assert!(!two.within(Flows::of(1)) && !Flows::ANY.within(two) && two.within(Flows::ANY));
}

#[test]
fn one_hash_is_one_flow_whatever_its_high_bits() {
    assert_eq!(Flows::of(5), Flows::of(5 + 64));
    assert_ne!(Flows::of(5), Flows::of(6));
    assert_eq!(Flows::from_bits(Flows::of(9).to_bits()), Flows::of(9));
}
