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

/// Nanoseconds that CPUs have been idle since they were booted, all together that are online and not
/// isolated. The sum jumps when one of them goes or comes; each is read on its own, and is as exact as
/// the kernel's accounting (`CONFIG_NO_HZ_COMMON`: exact, else whole ticks).
///
/// C counterpart: `kcpustat_field_idle`, `housekeeping_cpumask(HK_TYPE_DOMAIN)`. Context: any. Reads
/// a cache line of each CPU, so for what is rare.
pub fn idle_ns() -> u64 {
    // SAFETY: No requirement.
    unsafe { bindings::wg_cpus_idle_ns() }
}
