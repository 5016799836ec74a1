// SPDX-License-Identifier: GPL-2.0

//! How an index is chosen: at random, so that it tells nothing, and unique within the device.

use crate::crypto::Rng;
use crate::wire::Index;

/// Random numbers tried before giving up. With 2^22 indices in use one try fails with 1 in 1024.
const TRIES: usize = 32;

/// Why there is no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError<E> {
    /// Every number tried was in use: the table is nearly full, or the random source is broken.
    Exhausted,
    /// The table failed for a reason of its own.
    Table(E),
}

/// Draws an index and claims it.
///
/// `claim` enters a number into the table of the device and returns what the caller needs to hold
/// it; `Ok(None)` if the number is in use already. Looking and entering must be one step.
pub fn allocate<T, E>(
    rng: &mut impl Rng,
    mut claim: impl FnMut(Index) -> Result<Option<T>, E>,
) -> Result<T, IndexError<E>> {
    for _ in 0..TRIES {
        let mut bytes = [0; 4];
        rng.fill(&mut bytes);
        let index = Index(u32::from_ne_bytes(bytes));
        if let Some(claimed) = claim(index).map_err(IndexError::Table)? {
            return Ok(claimed);
        }
    }
    Err(IndexError::Exhausted)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u8);

    impl Rng for Count {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(self.0);
            self.0 = self.0.wrapping_add(1);
        }
    }

    /// Contract: H6
    #[test]
    fn tries_until_unused() {
        let claimed = allocate(&mut Count(0), |index| {
            Ok::<_, ()>((index.0 > 0x0505_0505).then_some(index))
        });
        assert_eq!(claimed, Ok(Index(0x0606_0606)));
    }

    #[test]
    fn gives_up() {
        let mut tries = 0;
        let claimed = allocate(&mut Count(0), |_| {
            tries += 1;
            Ok::<Option<()>, ()>(None)
        });
        assert_eq!(claimed, Err(IndexError::Exhausted));
        assert_eq!(tries, TRIES);
    }

    #[test]
    fn passes_errors_on() {
        let claimed = allocate(&mut Count(0), |_| Err::<Option<()>, _>("full"));
        assert_eq!(claimed, Err(IndexError::Table("full")));
    }
}
