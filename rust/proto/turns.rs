// SPDX-License-Identifier: GPL-2.0

//! Pieces of work that several do at the same time, and that are to end in the order in which they
//! began.

/// Up to `N` pieces of work that have begun and whose turn is not over; `N` is a power of two.
///
/// Each is numbered when it begins. What came of it is put here unless it is its turn. Turns follow
/// the numbers: one piece has its turn at a time, from when [`Self::take_next`] gave it out (or the one who
/// had it in hand found that [`it was next`](Self::is_next)) until [`Self::end`].
#[derive(Debug)]
pub struct Turns<T, const N: usize> {
    begun: u32,
    ended: u32,
    ready: [Option<T>; N],
}

impl<T, const N: usize> Turns<T, N> {
    const N: u32 = {
        assert!(N.is_power_of_two() && N <= 1 << 16);
        #[allow(clippy::as_conversions)] // Checked by the line above.
        {
            N as u32
        }
    };

    /// Nothing has begun.
    pub const fn new() -> Self {
        Self {
            begun: 0,
            ended: 0,
            ready: [const { None }; N],
        }
    }

    /// How many have begun and not ended.
    #[inline]
    pub const fn open(&self) -> u32 {
        self.begun.wrapping_sub(self.ended)
    }

    /// Whether no more may begin.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.open() >= Self::N
    }

    /// Another one begins: its number. `None` if there are too many.
    #[inline]
    pub fn begin(&mut self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let number = self.begun;
        self.begun = number.wrapping_add(1);
        Some(number)
    }

    /// Whether all that began before this one have ended.
    #[inline]
    pub const fn is_next(&self, number: u32) -> bool {
        number == self.ended
    }

    /// This is what came of a piece of work that has begun; it is kept until its turn.
    #[inline]
    pub fn put(&mut self, number: u32, result: T) {
        if let Some(place) = self.place(number) {
            *place = Some(result);
        }
    }

    /// Whether [`Self::take_next`] has something.
    #[inline]
    pub fn has_next(&self) -> bool {
        let place = self.ended & Self::N.wrapping_sub(1);
        usize::try_from(place).is_ok_and(|place| self.ready.get(place).is_some_and(Option::is_some))
    }

    /// What came of the one whose turn it is, if it is ready and was not given out yet.
    #[inline]
    pub fn take_next(&mut self) -> Option<T> {
        self.place(self.ended)?.take()
    }

    /// The turn of the one that had it is over.
    #[inline]
    pub fn end(&mut self) {
        if self.open() != 0 {
            self.ended = self.ended.wrapping_add(1);
        }
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        let place = number & Self::N.wrapping_sub(1);
        self.ready.get_mut(usize::try_from(place).ok()?)
    }
}

impl<T, const N: usize> Default for Turns<T, N> {
    fn default() -> Self {
        Self::new()
    }
}
