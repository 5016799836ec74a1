// SPDX-License-Identifier: GPL-2.0
//! CPUs.
//!
//! C header: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h)

use crate::bindings;

/// How many are online, which may have changed by the time it is used.
///
/// C counterpart: `num_online_cpus`. Context: any.
#[inline]
pub fn online() -> u32 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_cpus_online() }
}

/// The number of this CPU, which the caller may have left by the time it is used, unless BH are
/// disabled.
///
/// C counterpart: `raw_smp_processor_id`. Context: any.
#[inline]
pub fn current() -> u32 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_cpu_current() }
}
