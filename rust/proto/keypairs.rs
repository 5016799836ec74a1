// SPDX-License-Identifier: GPL-2.0

//! The three keypairs of a peer and their rotation.
//!
//! A handshake gives both sides a new keypair, but not at the same moment. So a peer holds three:
//!
//! * **current** encrypts everything that is sent;
//! * **previous** still decrypts what was under way during the last change;
//! * **next** was derived by the responder, which must not use it before a message under it
//!   proves that the initiator has it too.
//!
//! | event | previous | current | next |
//! |---|---|---|---|
//! | [`Slots::install_initiator`], no next | old current | the new one | - |
//! | [`Slots::install_initiator`], with a next | old next | the new one | - |
//! | [`Slots::install_responder`] | - | unchanged | the new one |
//! | [`Slots::confirm_next`] | old current | old next | - |
//!
//! (Whitepaper, section 6.3.) The age and counter rules are in [`rules`].

pub mod rules;

/// Handles that left their slots, for the caller to drop outside its locks (and to free the
/// receiver indices of).
#[must_use = "the receiver indices of retired keypairs have to be freed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Retired<K>(pub [Option<K>; 3]);

impl<K> Retired<K> {
    const fn none() -> Self {
        Self([None, None, None])
    }

    /// Whether nothing was retired.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl<K> IntoIterator for Retired<K> {
    type Item = K;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<K>, 3>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// The keypair slots of one peer, generic over an owned handle `K` to a keypair.
///
/// No locks inside: the caller has one around it. No handle is ever dropped in here.
#[derive(Debug)]
pub struct Slots<K> {
    current: Option<K>,
    previous: Option<K>,
    next: Option<K>,
    closed: bool,
}

impl<K> Slots<K> {
    /// Empty and open.
    pub const fn new() -> Self {
        Self {
            current: None,
            previous: None,
            next: None,
            closed: false,
        }
    }

    /// The keypair that encrypts.
    #[inline]
    pub const fn current(&self) -> Option<&K> {
        self.current.as_ref()
    }

    /// The keypair that was current before.
    #[inline]
    pub const fn previous(&self) -> Option<&K> {
        self.previous.as_ref()
    }

    /// The responder's keypair that waits for its first message.
    #[inline]
    pub const fn next(&self) -> Option<&K> {
        self.next.as_ref()
    }

    /// All keypairs that may decrypt: current, previous and next.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        [&self.current, &self.previous, &self.next]
            .into_iter()
            .flatten()
    }

    /// Installs the keypair of a handshake that this side began: usable at once, because the
    /// response proved that the other side has it.
    ///
    /// A keypair in `next` is kept as `previous`, as the other side may use it already; the old
    /// current one then goes. After [`Slots::close`] nothing is installed and `keypair` comes back.
    pub fn install_initiator(&mut self, keypair: K) -> Result<Retired<K>, K> {
        if self.closed {
            return Err(keypair);
        }
        let current = self.current.replace(keypair);
        let mut retired = Retired::none();
        let [first, second, _] = &mut retired.0;
        match self.next.take() {
            Some(next) => {
                *first = self.previous.replace(next);
                *second = current;
            }
            None => *first = core::mem::replace(&mut self.previous, current),
        }
        Ok(retired)
    }

    /// Installs the keypair of a handshake that the other side began, as `next`.
    ///
    /// The old next and the previous keypair go. After [`Slots::close`] nothing is installed and
    /// `keypair` comes back.
    pub fn install_responder(&mut self, keypair: K) -> Result<Retired<K>, K> {
        if self.closed {
            return Err(keypair);
        }
        let next = self.next.replace(keypair);
        Ok(Retired([next, self.previous.take(), None]))
    }

    /// A message under `keypair` was authenticated. If that is the next keypair (as `same` says),
    /// it becomes current.
    ///
    /// `Some` exactly if it did: the handshake is complete now and staged packets may be sent.
    pub fn confirm_next(
        &mut self,
        keypair: &K,
        same: impl FnOnce(&K, &K) -> bool,
    ) -> Option<Retired<K>> {
        let next = self.next.take_if(|next| same(next, keypair))?;
        let current = self.current.replace(next);
        let previous = core::mem::replace(&mut self.previous, current);
        Some(Retired([previous, None, None]))
    }

    /// Empties all slots. New keypairs may be installed afterwards.
    pub fn take_all(&mut self) -> Retired<K> {
        Retired([self.current.take(), self.previous.take(), self.next.take()])
    }

    /// Empties all slots and refuses new keypairs until [`Slots::open`]: a handshake that finishes
    /// while its peer is being stopped leaves nothing behind.
    pub fn close(&mut self) -> Retired<K> {
        self.closed = true;
        self.take_all()
    }

    /// Accepts keypairs again.
    pub fn open(&mut self) {
        self.closed = false;
    }

    /// Whether new keypairs are refused.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn retired<K>(result: Result<Retired<K>, K>) -> Vec<K> {
        match result {
            Ok(gone) => gone.into_iter().collect(),
            Err(_) => panic!("refused"),
        }
    }

    fn shape(slots: &Slots<u32>) -> [Option<u32>; 3] {
        [slots.previous, slots.current, slots.next]
    }

    /// Contract: K1
    #[test]
    fn initiator_sessions_push_the_current_keypair_back() {
        let mut slots = Slots::new();
        assert_eq!(retired(slots.install_initiator(1)), []);
        assert_eq!(shape(&slots), [None, Some(1), None]);
        assert_eq!(retired(slots.install_initiator(2)), []);
        assert_eq!(shape(&slots), [Some(1), Some(2), None]);
        assert_eq!(retired(slots.install_initiator(3)), [1]);
        assert_eq!(shape(&slots), [Some(2), Some(3), None]);
    }

    /// Contract: K1
    #[test]
    fn initiator_session_keeps_a_pending_next_keypair() {
        let mut slots = Slots::new();
        let _ = slots.install_initiator(1);
        let _ = slots.install_initiator(2);
        assert_eq!(retired(slots.install_responder(3)), [1]);
        assert_eq!(shape(&slots), [None, Some(2), Some(3)]);
        assert_eq!(retired(slots.install_initiator(4)), [2]);
        assert_eq!(shape(&slots), [Some(3), Some(4), None]);
    }

    /// Contract: K1
    #[test]
    fn responder_session_waits_for_its_first_message() {
        let mut slots = Slots::new();
        assert_eq!(retired(slots.install_responder(1)), []);
        assert_eq!(shape(&slots), [None, None, Some(1)]);
        assert_eq!(retired(slots.install_responder(2)), [1]);
        assert_eq!(slots.confirm_next(&1, |a, b| a == b), None);
        assert_eq!(slots.confirm_next(&2, |a, b| a == b), Some(Retired::none()));
        assert_eq!(shape(&slots), [None, Some(2), None]);
        assert_eq!(slots.confirm_next(&2, |a, b| a == b), None);

        assert_eq!(retired(slots.install_responder(3)), []);
        assert!(slots.confirm_next(&3, |a, b| a == b).is_some());
        assert_eq!(shape(&slots), [Some(2), Some(3), None]);
        let _ = slots.install_initiator(4);
        assert_eq!(shape(&slots), [Some(3), Some(4), None]);
    }

    /// Contract: K3
    #[test]
    fn confirming_retires_the_previous_keypair() {
        let mut slots = Slots {
            previous: Some(1),
            current: Some(2),
            next: Some(3),
            closed: false,
        };
        let gone = slots.confirm_next(&3, |a, b| a == b);
        assert_eq!(gone, Some(Retired([Some(1), None, None])));
        assert_eq!(shape(&slots), [Some(2), Some(3), None]);
    }

    #[test]
    fn closed_slots_hand_the_keypair_back() {
        let mut slots = Slots::new();
        let _ = slots.install_initiator(1);
        let _ = slots.install_responder(2);
        assert_eq!(slots.iter().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(slots.close().into_iter().collect::<Vec<_>>(), [1, 2]);
        assert!(slots.is_closed());
        assert_eq!(slots.install_initiator(3), Err(3));
        assert_eq!(slots.install_responder(4), Err(4));
        assert!(slots.take_all().is_empty());
        slots.open();
        assert_eq!(retired(slots.install_initiator(5)), []);
    }
}
