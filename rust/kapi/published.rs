// SPDX-License-Identifier: GPL-2.0
//! The pointer of [`rcu::Slot`](crate::rcu::Slot) and [`rcu::BoxSlot`](crate::rcu::BoxSlot), apart
//! from what it points to: `rust/model` checks this very file.
//!
//! C counterpart: a `T __rcu *` field.

use crate::atomics::{AtomicPtr, Ordering};

/// A published pointer.
pub(crate) struct Published<T>(AtomicPtr<T>);

impl<T> Published<T> {
    /// With this in it.
    pub(crate) fn new(pointer: *mut T) -> Self {
        Self(AtomicPtr::new(pointer))
    }

    /// What is published now. C counterpart: `rcu_dereference`.
    #[inline]
    pub(crate) fn load(&self) -> *mut T {
        // Acquire: what was written before the object was published is seen.
        self.0.load(Ordering::Acquire)
    }

    /// Whether nothing is published, for those who do not look at it.
    #[inline]
    pub(crate) fn is_null(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Publishes another object and returns the one before. C counterpart: `xchg`.
    #[inline]
    pub(crate) fn replace(&self, pointer: *mut T) -> *mut T {
        // Release: publishes what was written to the new object; acquire: pairs with the publisher
        // of the old one.
        self.0.swap(pointer, Ordering::AcqRel)
    }
}
