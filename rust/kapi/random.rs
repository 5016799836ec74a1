// SPDX-License-Identifier: GPL-2.0
//! Random numbers, fit for keys.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;
use kernel::{error::to_result, prelude::*};

/// Fills the buffer.
///
/// Before [`is_ready`] the numbers may be guessable.
///
/// C counterpart: `get_random_bytes`. Context: any.
pub fn fill(buffer: &mut [u8]) {
    // SAFETY: The buffer is valid for writes of its length.
    unsafe { bindings::get_random_bytes(buffer.as_mut_ptr().cast(), buffer.len()) };
}

/// A number out of all of them.
///
/// C counterpart: `get_random_u32`. Context: any.
pub fn u32() -> u32 {
    // SAFETY: No requirement.
    unsafe { bindings::get_random_u32() }
}

/// A number below `ceiling`, each as likely as the others; 0 if `ceiling` is 0.
///
/// C counterpart: `get_random_u32_below`. Context: any.
pub fn u32_below(ceiling: u32) -> u32 {
    if ceiling == 0 {
        return 0;
    }
    // SAFETY: The ceiling is not 0.
    unsafe { bindings::wg_random_below(ceiling) }
}

/// Tells whether the kernel's generator has been seeded.
///
/// C counterpart: `rng_is_initialized`. Context: any.
pub fn is_ready() -> bool {
    // SAFETY: No requirement.
    unsafe { bindings::rng_is_initialized() }
}

/// Waits until the kernel's generator has been seeded.
///
/// C counterpart: `wait_for_random_bytes`. Context: process. Fails with `ERESTARTSYS` if a signal
/// comes first.
pub fn wait_ready() -> Result {
    // SAFETY: No requirement but the context.
    to_result(unsafe { bindings::wait_for_random_bytes() })
}
