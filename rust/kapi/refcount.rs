// SPDX-License-Identifier: GPL-2.0
//! The counter of [`Shared`](crate::shared::Shared), apart from the object: `rust/model` checks
//! this very file.
//!
//! C counterpart: `refcount_t`, with the same orders.

use crate::atomics::{fence, AtomicI32, Ordering};

/// Where a counter that was about to overflow is put: the object then lives for ever.
const SATURATED: i32 = i32::MIN / 2;

/// References to one object.
pub(crate) struct RefCount(AtomicI32);

/// The counter was about to overflow; the object lives for ever now.
pub(crate) struct Saturated;

impl RefCount {
    /// One reference.
    pub(crate) fn one() -> Self {
        Self(AtomicI32::new(1))
    }

    /// Adds a reference; the caller has one.
    #[inline]
    pub(crate) fn get(&self) -> Result<(), Saturated> {
        // Relaxed: the caller's reference, or how it came by it, orders its accesses already.
        let old = self.0.fetch_add(1, Ordering::Relaxed);
        if old < 1 || old == i32::MAX {
            return Err(self.saturate());
        }
        Ok(())
    }

    /// Adds a reference unless there is none left, and tells whether it did. The caller has found
    /// the object under RCU.
    #[inline]
    pub(crate) fn get_not_zero(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        while now != 0 {
            if now < 0 || now == i32::MAX {
                self.saturate();
                return true;
            }
            match self.0.compare_exchange_weak(
                now,
                now.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// Gives a reference up: true for the last one, once. The object is the caller's then, apart
    /// from readers under RCU.
    #[inline]
    pub(crate) fn put(&self) -> Result<bool, Saturated> {
        // Release: what this owner did with the object comes before its end.
        let old = self.0.fetch_sub(1, Ordering::Release);
        if old == 1 {
            // Acquire: and so does what the others did.
            fence(Ordering::Acquire);
            return Ok(true);
        }
        if old < 1 {
            return Err(self.saturate());
        }
        Ok(false)
    }

    /// Whether there is one reference, which is the caller's.
    #[inline]
    pub(crate) fn is_one(&self) -> bool {
        // Acquire: what other owners did with the object before they gave it up comes before what
        // the caller does next.
        self.0.load(Ordering::Acquire) == 1
    }

    #[cold]
    fn saturate(&self) -> Saturated {
        self.0.store(SATURATED, Ordering::Relaxed);
        Saturated
    }
}
