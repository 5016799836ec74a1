// SPDX-License-Identifier: GPL-2.0

//! Replay protection: which message counters have been seen (RFC 6479).
//!
//! The window is a ring of 64-bit words, one bit a counter. When a higher counter arrives, whole
//! words are cleared on the way to it, never shifted; so the word that holds the highest counter
//! is only partly in use, and the guaranteed window is one word shorter than the ring.

use crate::constants::{REJECT_AFTER_MESSAGES, REPLAY_BITS, REPLAY_WINDOW};

const WORD_BITS: u64 = 64;
const WORDS: usize = 128;
/// Words of the ring, less one: the ring is indexed modulo its size.
const WORD_MASK: u64 = 127;
const _: () = assert!(REPLAY_BITS == WORD_BITS * (WORD_MASK + 1));
const _: () = assert!(REPLAY_WINDOW == REPLAY_BITS - WORD_BITS);

/// Why a counter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Further behind the highest counter than the window remembers.
    TooOld,
    /// Seen before.
    Duplicate,
    /// At or beyond `REJECT_AFTER_MESSAGES`: no key is used that long.
    Exhausted,
}

/// The counters accepted under one receiving key. Plain data of about 1 KiB.
///
/// # Invariants
///
/// A bit of the ring is set exactly if its counter was accepted, for every counter from
/// `next - 1 - REPLAY_WINDOW` on; bits of counters from `next` on are clear in the word of `next -
/// 1`.
pub struct ReplayWindow {
    /// One more than the highest accepted counter; 0 before the first.
    next: u64,
    ring: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen nothing.
    #[inline]
    pub const fn new() -> Self {
        Self {
            next: 0,
            ring: [0; WORDS],
        }
    }

    /// One more than the highest counter accepted so far; 0 before the first.
    #[inline]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Accepts `counter` and remembers it, or says why it must not be accepted.
    ///
    /// Call it only after the message was authenticated: a forged counter would move the window.
    #[inline]
    pub fn check_and_update(&mut self, counter: u64) -> Result<(), ReplayError> {
        if counter >= REJECT_AFTER_MESSAGES {
            return Err(ReplayError::Exhausted);
        }
        if counter < self.next.saturating_sub(1).saturating_sub(REPLAY_WINDOW) {
            return Err(ReplayError::TooOld);
        }
        if counter >= self.next {
            self.advance(counter);
        }
        let bit = bit(counter);
        match self.word(counter) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return Err(ReplayError::Duplicate),
        }
        Ok(())
    }

    /// Accepts a run of consecutive counters, `first` and the `count - 1` after it, as messages
    /// of one batch usually have.
    ///
    /// Returns whether all of them were new and have been accepted. Otherwise nothing has changed,
    /// and the caller asks for each counter on its own.
    #[inline]
    pub fn accept_run(&mut self, first: u64, count: u64) -> bool {
        let Some(last) = count
            .checked_sub(1)
            .and_then(|more| first.checked_add(more))
        else {
            return count == 0;
        };
        // Beyond the highest counter everything is new: the common case, and the only one here.
        if first < self.next || last >= REJECT_AFTER_MESSAGES || count > REPLAY_WINDOW {
            return false;
        }
        self.advance(last);
        let mut counter = first;
        while counter <= last {
            // Fill up to the end of the word, or to the end of the run.
            let end = last.min(counter | (WORD_BITS - 1));
            let bits = end.saturating_sub(counter).saturating_add(1);
            let ones = u64::MAX >> (WORD_BITS.saturating_sub(bits) & (WORD_BITS - 1));
            if let Some(word) = self.word(counter) {
                *word |= ones.wrapping_mul(bit(counter));
            }
            counter = end.saturating_add(1);
        }
        true
    }

    /// Makes `counter` the highest one: the words entered on the way to it become empty.
    #[inline]
    fn advance(&mut self, counter: u64) {
        let to = counter / WORD_BITS;
        // Nothing accepted yet means that the ring is empty already.
        let from = self.next.saturating_sub(1) / WORD_BITS;
        let entered = to.saturating_sub(from).min(WORD_MASK + 1);
        for back in 0..entered {
            let word = self.word(to.saturating_sub(back).saturating_mul(WORD_BITS));
            if let Some(word) = word {
                *word = 0;
            }
        }
        self.next = counter.saturating_add(1);
    }

    /// The word of the ring that holds `counter`. There always is one: the compiler knows, too.
    #[inline]
    fn word(&mut self, counter: u64) -> Option<&mut u64> {
        let index = usize::try_from((counter / WORD_BITS) & WORD_MASK);
        self.ring.get_mut(index.unwrap_or(0))
    }
}

/// The bit of `counter` in its word.
#[inline]
fn bit(counter: u64) -> u64 {
    1 << (counter % WORD_BITS)
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}
