// SPDX-License-Identifier: GPL-2.0

//! Who encrypts what waits for a peer, and the order in which it leaves.
//!
//! The driver of a queue encrypts and sends. While much waits behind what it has in hand, helpers
//! encrypt as well, on other CPUs; and if encryption takes much of a sender's time, it leaves all of
//! it to them. Batches are numbered as they are taken, under the lock of the queue and together with
//! their counters. What helpers have encrypted the driver sends, when it is its turn: so everything
//! leaves in order, and on one CPU.

use core::{
    mem,
    time::Duration, //
};

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    clock,
    cpu, //
};
use wg_proto::turns::Turns;

use super::{
    queue::{Duty, State, TxQueue},
    seal::Sealed, //
};
use crate::crypto;

/// Messages that wait behind a batch from which on a helper is called.
const WORTH_HELP: usize = 64;

/// Batches that may be in somebody's hands or wait for their turn.
const AHEAD: usize = 8;

/// Nanoseconds that a helper may be late, and for how long the driver encrypts itself if one was
/// later: the other CPUs have enough to do.
const LATE: u64 = 5_000_000;
const KEPT_HERE: Duration = Duration::from_millis(50);

/// How many helpers there are.
pub(super) const HELPERS: usize = 3;

/// Those who encrypt for one peer at the same time.
pub(super) struct Crew {
    /// Batches in hand, and those that are ready.
    turns: Turns<Sealed, AHEAD>,
    /// The driver has the turn of one.
    sending: bool,
    /// The helpers that are at work or will be: a bit for each.
    helpers: u8,
    /// Since when each is expected to look at the queue: when it was called, or when it was done with
    /// what it had taken.
    due: [Option<u64>; HELPERS],
}

/// What the driver is to do next.
pub(super) enum Task<R> {
    /// Leave: nobody drives any more. A helper that has something in hand sees to it that somebody
    /// does again.
    Leave,
    /// Send this batch, which a helper has encrypted: it has its turn.
    Send(Sealed),
    /// Encrypt this one.
    Seal(Batch<R>),
    /// Put these back, so many messages: there is no session.
    Wait(SkbChain, usize),
}

/// Packets to be encrypted together.
pub(super) struct Batch<R> {
    pub(super) packets: SkbChain,
    /// How many messages they will be.
    pub(super) messages: usize,
    /// What they are encrypted with.
    pub(super) reserved: R,
    /// Batches leave in the order of their numbers.
    pub(super) number: u32,
    /// Whether it is its turn, so that the driver sends it next.
    pub(super) is_turn: bool,
}

impl Crew {
    const fn new() -> Self {
        Self {
            turns: Turns::new(),
            sending: false,
            helpers: 0,
            due: [None; HELPERS],
        }
    }

    /// Whether a helper will look at the queue.
    pub(super) fn has_helper(&self) -> bool {
        self.helpers != 0
    }

    /// Whether a batch is in somebody's hands or waits for its turn.
    pub(super) fn has_batch(&self) -> bool {
        self.turns.open() != 0
    }

    /// Whether a batch is ready whose turn it is.
    pub(super) fn has_next(&self) -> bool {
        self.turns.has_next()
    }

    /// One more helper, if there is one and it can take something.
    fn call(&mut self) -> Option<usize> {
        if self.turns.is_full() {
            return None;
        }
        let helper = (0..HELPERS).find(|helper| self.helpers & bit(*helper) == 0)?;
        self.helpers |= bit(helper);
        self.set_due(helper, true);
        Some(helper)
    }

    /// From now on a helper is expected to look at the queue; or it is not any more.
    fn set_due(&mut self, helper: usize, is_due: bool) {
        if let Some(due) = self.due.get_mut(helper) {
            *due = is_due.then(clock::precise_ns);
        }
    }

    /// The driver has sent what it had the turn of.
    fn sent(&mut self) {
        if mem::take(&mut self.sending) {
            self.turns.end();
        }
    }
}

impl TxQueue {
    /// What the driver does next; what it had to send before has been sent. A batch is the first
    /// packets, of at most `limit` messages but at least one packet. `reserve` gets what they are
    /// encrypted with, for so many messages.
    pub(super) fn take<R>(
        &mut self,
        limit: usize,
        reserve: impl FnOnce(usize) -> Option<R>,
    ) -> Task<R> {
        self.again = false;
        self.note_late();
        let left = self.is_left_to_helpers();
        let mut leaves = self.packets.is_empty();
        if let Some(crew) = &mut self.crew {
            crew.sent();
            if let Some(sealed) = crew.turns.take_next() {
                crew.sending = true;
                return Task::Send(sealed);
            }
            leaves |= crew.turns.is_full() || (left && crew.helpers != 0);
        }
        if leaves {
            self.state = State::Idle;
            self.spreading &= self.is_worked_on();
            return Task::Leave;
        }
        let (packets, messages) = self.take_first(limit);
        if self.crew.is_none() && self.messages >= WORTH_HELP && cpu::online() > 1 {
            self.crew = KBox::new(Crew::new(), GFP_ATOMIC).ok();
        }
        let begun = reserve(messages).and_then(|reserved| match &mut self.crew {
            Some(crew) => {
                let number = crew.turns.begin()?;
                crew.sending = crew.turns.is_next(number);
                Some((reserved, number, crew.sending))
            }
            // Who is alone needs no number.
            None => Some((reserved, 0, true)),
        });
        let Some((reserved, number, is_turn)) = begun else {
            self.halted = true;
            return Task::Wait(packets, messages);
        };
        Task::Seal(Batch {
            packets,
            messages,
            reserved,
            number,
            is_turn,
        })
    }

    /// What the helper `me` is to encrypt, as [`Self::take`].
    ///
    /// # Errors
    ///
    /// There is nothing for it, and it is not at work any more: what it has to do before it leaves.
    pub(super) fn take_too<R>(
        &mut self,
        me: usize,
        limit: usize,
        reserve: impl FnOnce(usize) -> Option<R>,
    ) -> Result<Batch<R>, Duty> {
        self.note_late();
        let Some(crew) = &mut self.crew else {
            return Err(Duty::Nothing);
        };
        crew.set_due(me, false);
        if crew.turns.is_full() || self.halted || self.packets.is_empty() {
            self.dismiss(me);
            return Err(Duty::Nothing);
        }
        let (mut packets, messages) = self.take_first(limit);
        let begun = reserve(messages).and_then(|reserved| {
            let number = self.crew.as_mut()?.turns.begin()?;
            Some((reserved, number))
        });
        let Some((reserved, number)) = begun else {
            // Without a session. The driver asks for one.
            self.keep_here();
            self.prepend(&mut packets, messages);
            self.dismiss(me);
            return Err(self.call_driver());
        };
        Ok(Batch {
            packets,
            messages,
            reserved,
            number,
            is_turn: false,
        })
    }

    /// A batch is ready that was not to be sent at once. Says what to do so that it is sent: nothing
    /// if it was the driver's own, or if there is one.
    pub(super) fn put(&mut self, number: u32, sealed: Sealed, helper: Option<usize>) -> Duty {
        let Some(crew) = &mut self.crew else {
            return Duty::Nothing;
        };
        if let Some(helper) = helper {
            crew.set_due(helper, true);
        }
        crew.turns.put(number, sealed);
        if crew.turns.is_next(number) {
            return self.call_driver();
        }
        Duty::Nothing
    }

    /// The driver has to stop; what is there waits until somebody adds to it. Returned is what was
    /// ready to be sent.
    pub(super) fn leave(&mut self) -> SkbChain {
        self.state = State::Idle;
        let mut ready = SkbChain::new();
        if let Some(crew) = &mut self.crew {
            crew.sent();
            while let Some(mut sealed) = crew.turns.take_next() {
                ready.append(&mut sealed.messages);
                crew.turns.end();
            }
        }
        ready
    }

    /// If a helper is late the driver does not count on helpers for a while.
    pub(super) fn note_late(&mut self) {
        let due = self
            .crew
            .as_ref()
            .map(|crew| crew.due.iter().flatten().min());
        let Some(Some(since)) = due.filter(|_| self.spreading) else {
            return;
        };
        if clock::precise_ns().saturating_sub(*since) > LATE {
            self.keep_here();
        }
    }

    /// For a while the driver encrypts itself.
    fn keep_here(&mut self) {
        self.spreading = false;
        self.kept_here = crypto::now().saturating_add(KEPT_HERE);
    }

    /// A helper that is worth calling: it counts as being at work from now on. For a driver that has
    /// nothing in hand.
    pub(super) fn call_first_helper(&mut self) -> Option<usize> {
        if !self.is_left_to_helpers() || self.packets.is_empty() {
            return None;
        }
        if self.crew.is_none() {
            self.crew = KBox::new(Crew::new(), GFP_ATOMIC).ok();
        }
        let crew = self.crew.as_mut().filter(|crew| crew.helpers == 0)?;
        crew.call()
    }

    /// One that is worth calling as much waits behind what others have in hand.
    pub(super) fn call_another_helper(&mut self) -> Option<usize> {
        if self.messages < WORTH_HELP || self.halted {
            return None;
        }
        self.crew.as_mut()?.call()
    }

    /// A helper has left.
    pub(super) fn dismiss(&mut self, helper: usize) {
        if let Some(crew) = &mut self.crew {
            crew.helpers &= !bit(helper);
            crew.set_due(helper, false);
            self.spreading &= crew.helpers != 0 || self.state != State::Idle;
        }
    }
}

/// The bit of a helper.
const fn bit(helper: usize) -> u8 {
    1_u8 << (helper & 7)
}
