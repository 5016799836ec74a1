// SPDX-License-Identifier: GPL-2.0
//! Clocks.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Nanoseconds since boot, suspended time included, as of the last timer tick.
///
/// Cheap: it reads no hardware.
///
/// C counterpart: `ktime_get_coarse_boottime_ns`. Context: any.
#[inline]
pub fn boottime_coarse_ns() -> u64 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_boottime_coarse_ns() }
}

/// Nanoseconds since boot without suspended time, the same on all CPUs.
///
/// Reads hardware: for what is rare, or takes microseconds itself.
///
/// C counterpart: `ktime_get_ns`. Context: any.
#[inline]
pub fn precise_ns() -> u64 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_precise_ns() }
}

/// Nanoseconds of this CPU's scheduler clock: for how long something took that stayed on this CPU.
///
/// C counterpart: `local_clock`. Context: any; the CPU must not change between two readings.
#[inline]
pub fn local_ns() -> u64 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_local_ns() }
}

/// Seconds since 1970 and nanoseconds (below 1,000,000,000) of the wall clock.
///
/// C counterpart: `ktime_get_real_ts64`. Context: any.
pub fn realtime() -> (i64, u32) {
    let (mut seconds, mut nanoseconds) = (0, 0);
    // SAFETY: Both are valid for writes.
    unsafe { bindings::wg_realtime(&mut seconds, &mut nanoseconds) };
    (seconds, nanoseconds)
}
