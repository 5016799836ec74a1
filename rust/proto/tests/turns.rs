// SPDX-License-Identifier: GPL-2.0

//! Whoever is ready first, turns follow the numbers.

use proptest::prelude::*;
use wg_proto::turns::Turns;

const N: usize = 4;

/// Some who work at the same time, and one who sees to the turns.
#[derive(Default)]
struct World {
    turns: Turns<u32, N>,
    /// What is in somebody's hands.
    working: Vec<u32>,
    begun: u32,
    /// What had its turn, in that order, and whether the last one still has it.
    had: Vec<u32>,
    has_turn: bool,
}

impl World {
    fn begin(&mut self) -> bool {
        let number = self.turns.begin();
        if let Some(number) = number {
            assert_eq!(number, self.begun);
            self.begun += 1;
            self.working.push(number);
        }
        number.is_some()
    }

    fn finish(&mut self, which: usize) {
        if !self.working.is_empty() {
            let number = self.working.remove(which % self.working.len());
            self.turns.put(number, number);
        }
    }

    fn turn(&mut self) {
        if self.has_turn {
            self.turns.end();
            self.has_turn = false;
        }
        let has_next = self.turns.has_next();
        let next = self.turns.take_next();
        assert_eq!(next.is_some(), has_next);
        if let Some(number) = next {
            assert!(self.turns.is_next(number));
            self.had.push(number);
            self.has_turn = true;
        }
    }

    fn open(&self) -> usize {
        usize::try_from(self.begun).unwrap() - self.had.len() + usize::from(self.has_turn)
    }
}

proptest! {
    #[test]
    fn they_end_in_the_order_in_which_they_began(steps in prop::collection::vec((0_u8..3, 0_usize..N), 1..300)) {
        let mut world = World::default();
        for (step, which) in steps {
            match step {
                0 => {
                    let room = world.open() < N;
                    prop_assert_eq!(world.begin(), room);
                }
                1 => world.finish(which),
                _ => world.turn(),
            }
            prop_assert_eq!(usize::try_from(world.turns.open()).unwrap(), world.open());
            prop_assert_eq!(world.turns.is_full(), world.open() == N);
        }
        // Nothing is lost: all that began has its turn in the end.
        while !world.working.is_empty() {
            world.finish(0);
        }
        for _ in 0..=N {
            world.turn();
        }
        prop_assert_eq!(world.had, (0..world.begun).collect::<Vec<_>>());
        prop_assert_eq!(world.turns.open(), 0);
    }
}

#[test]
fn a_turn_is_not_given_out_twice_and_nothing_ends_that_has_not_begun() {
    let mut turns = Turns::<u8, 2>::new();
    turns.end();
    assert_eq!(turns.open(), 0);
    let number = turns.begin().unwrap();
    assert!(turns.is_next(number));
    turns.put(number, 7);
    assert_eq!(turns.take_next(), Some(7));
    assert_eq!(turns.take_next(), None);
    assert_eq!(turns.open(), 1);
    turns.end();
    assert_eq!(turns.begin(), Some(1));
}

#[test]
fn places_are_used_anew() {
    let mut turns = Turns::<u32, 2>::new();
    for round in 0..5000 {
        let (first, second) = (turns.begin().unwrap(), turns.begin().unwrap());
        assert!(turns.is_full() && turns.begin().is_none());
        turns.put(second, round * 2 + 1);
        assert_eq!(turns.take_next(), None);
        turns.put(first, round * 2);
        assert_eq!(turns.take_next(), Some(round * 2));
        turns.end();
        assert_eq!(turns.take_next(), Some(round * 2 + 1));
        turns.end();
    }
}
