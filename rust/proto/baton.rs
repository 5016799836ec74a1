// SPDX-License-Identifier: GPL-2.0

//! Who works on a queue: at most one at a time, and never nobody while there is something to do.
//!
//! Whoever adds to a queue calls [`Baton::take`] afterwards. If nobody works on the queue the
//! caller becomes its *driver*; else the driver there is will look again. The queue itself may be
//! anything that carries its own synchronisation: a list under a lock that is held only while
//! something is added or removed, or a lock-free one. The driver's loop:
//!
//! ```
//! # use wg_proto::baton::Baton;
//! # fn work_on_all_there_is() -> bool { false }
//! # let baton = Baton::new();
//! if baton.take() {
//!     loop {
//!         baton.begin();
//!         work_on_all_there_is();
//!         if baton.release() {
//!             break;
//!         }
//!     }
//! }
//! ```
//!
//! The order of things, which `rust/model` checks: *add, then take* on one side and *begin, then
//! look* on the other. Either the driver's look sees the addition, or the [`Baton::take`] came
//! after [`Baton::begin`], and then [`Baton::release`] refuses.

use crate::atomics::{AtomicU32, Ordering};

/// Somebody works on the queue.
const DRIVEN: u32 = 1;
/// Something was added that the driver may not have seen.
const NEWS: u32 = 2;

/// The right to work on one queue.
///
/// # Invariants
///
/// `NEWS` is set only together with `DRIVEN`.
#[derive(Debug)]
pub struct Baton(AtomicU32);

impl Baton {
    /// Nobody works on the queue.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// To be called after something was added: true if the caller is the driver now.
    #[inline]
    #[must_use]
    pub fn take(&self) -> bool {
        // Release: whoever sees `NEWS` sees what was added. (A new driver sees what the last one
        // did by the acquire of `begin`.)
        self.0.fetch_or(DRIVEN | NEWS, Ordering::Release) & DRIVEN == 0
    }

    /// The driver is about to look at the queue: what was added until now is no news any more.
    #[inline]
    pub fn begin(&self) {
        // Acquire: pairs with the release of those whose news this takes away, and with that of the
        // last driver. Not a store, which would see neither.
        self.0.swap(DRIVEN, Ordering::Acquire);
    }

    /// The driver has seen an empty queue, or one that it can do nothing about: true if it is the
    /// driver no longer, false if something was added since [`Self::begin`].
    #[inline]
    #[must_use]
    pub fn release(&self) -> bool {
        // Release: the next driver sees what this one did. Failing needs no order, as `begin` is
        // next.
        self.0
            .compare_exchange(DRIVEN, 0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives up although there may be news: for an owner that is going away with its queue.
    pub fn abandon(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether somebody works on the queue: a hint for those who add.
    #[inline]
    pub fn is_driven(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DRIVEN != 0
    }
}
