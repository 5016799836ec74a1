// SPDX-License-Identifier: GPL-2.0
//! Counters that CPUs do not share.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::bindings;
use core::num::NonZeroUsize;
use kernel::{alloc::AllocError, prelude::*};

/// `N` counters of 64 bits, each kept once per CPU.
///
/// C counterpart: `alloc_percpu`, `this_cpu_add`, `free_percpu`.
///
/// Context: process to make one; any, hard interrupts too, to add and to sum. `Drop` frees the
/// memory, in any context that may free (not hard interrupts).
///
/// # Invariants
///
/// `counters` is a live per-CPU allocation of `N` `u64`, owned by this object.
pub struct Counters<const N: usize> {
    counters: NonZeroUsize,
}

impl<const N: usize> Counters<N> {
    /// Allocates them, all zero.
    ///
    /// Context: process.
    pub fn new() -> Result<Self, AllocError> {
        const { assert!(N > 0) };
        let n = u32::try_from(N).map_err(|_| AllocError)?;
        // SAFETY: No requirement but the context.
        let counters = unsafe { bindings::wg_percpu_alloc(n) };
        // INVARIANT: Not null, so the allocation of N counters is there.
        Ok(Self {
            counters: NonZeroUsize::new(counters).ok_or(AllocError)?,
        })
    }

    /// Adds to a counter of this CPU; nothing if there is no such counter.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        if index < N {
            // SAFETY: The allocation is live and the counter is in it, by the type invariant. N
            // fits `u32`, as checked in `new`.
            unsafe { bindings::wg_percpu_add(self.counters.get(), index as u32, n) };
        }
    }

    /// The sum over all CPUs; 0 if there is no such counter.
    ///
    /// Exact for everything that was added before, wraps at 2^64.
    pub fn sum(&self, index: usize) -> u64 {
        if index >= N {
            return 0;
        }
        // SAFETY: As in `add`.
        unsafe { bindings::wg_percpu_sum(self.counters.get(), index as u32) }
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: The allocation is live, and nobody borrows it any more.
        unsafe { bindings::wg_percpu_free(self.counters.get()) };
    }
}
