// SPDX-License-Identifier: GPL-2.0

//! Which flows have packets in a queue, as far as a few classes tell them apart.
//!
//! Only packets of one flow have an order that matters. A packet of a flow that has nothing in a
//! queue may pass it: nobody can notice, but that it comes sooner.

/// Flows of equal class count as one.
const CLASSES: usize = 64;

/// Classes of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flows(u64);

impl Flows {
    /// No flow: nothing has to keep its order.
    pub const NONE: Self = Self(0);
    /// It could be any flow.
    pub const ANY: Self = Self(u64::MAX);

    /// The flow with this hash.
    #[inline]
    pub const fn of(hash: u32) -> Self {
        Self(1 << (hash & 63))
    }

    /// These and the others.
    #[inline]
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether one may be among both.
    #[inline]
    pub const fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether there are none but of the others.
    #[inline]
    pub const fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// As a number, to be kept somewhere.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From [`Self::to_bits`].
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// How many packets of each class there are. Packets that could be of any flow count apart.
///
/// At most `u16::MAX` packets in all.
#[derive(Clone, Debug)]
pub struct FlowCounts {
    any: u16,
    classes: [u16; CLASSES],
}

impl FlowCounts {
    /// No packet.
    pub const fn new() -> Self {
        Self {
            any: 0,
            classes: [0; CLASSES],
        }
    }

    /// A packet with these flows comes.
    #[inline]
    pub fn add(&mut self, flows: Flows) {
        self.change(flows, |count| *count = count.saturating_add(1));
    }

    /// A packet with these flows, which was added, goes.
    #[inline]
    pub fn remove(&mut self, flows: Flows) {
        self.change(flows, |count| *count = count.saturating_sub(1));
    }

    #[inline]
    fn change(&mut self, flows: Flows, change: impl Fn(&mut u16)) {
        if flows == Flows::ANY {
            return change(&mut self.any);
        }
        let mut rest = flows.0;
        while let Ok(class) = usize::try_from(rest.trailing_zeros()) {
            match self.classes.get_mut(class) {
                Some(count) => change(count),
                None => break,
            }
            rest &= rest.wrapping_sub(1);
        }
    }

    /// All packets go that are counted in `others`.
    pub fn remove_all(&mut self, others: &Self) {
        self.any = self.any.saturating_sub(others.any);
        for (count, other) in self.classes.iter_mut().zip(&others.classes) {
            *count = count.saturating_sub(*other);
        }
    }

    /// Whether one of the packets may be of one of these flows.
    #[inline]
    pub fn may_have(&self, flows: Flows) -> bool {
        if flows == Flows::NONE {
            return false;
        }
        if flows == Flows::ANY || self.any != 0 {
            return true;
        }
        self.classes
            .iter()
            .enumerate()
            .any(|(class, count)| (flows.0 >> class) & 1 != 0 && *count != 0)
    }
}

impl Default for FlowCounts {
    fn default() -> Self {
        Self::new()
    }
}
