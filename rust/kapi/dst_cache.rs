// SPDX-License-Identifier: GPL-2.0
//! A cache of routes, one per CPU, for packets to one endpoint.
//!
//! C header: [`include/net/dst_cache.h`](srctree/include/net/dst_cache.h)

use crate::bindings;
use kernel::types::Opaque;

/// Remembers route and source address of the last packet on each CPU.
///
/// Takes no memory until the first packet was sent through it. Any context; so may Drop, which
/// gives all routes back.
///
/// # Invariants
///
/// The C structure is all zeroes or was written by `helpers/dst_cache.c` only.
#[repr(transparent)]
pub struct DstCache(Opaque<bindings::wg_dst_cache>);

// SAFETY: The C side exchanges its one pointer atomically and frees what it held after a grace
// period.
unsafe impl Send for DstCache {}
// SAFETY: As above.
unsafe impl Sync for DstCache {}

impl DstCache {
    /// An empty cache.
    pub fn new() -> Self {
        // INVARIANT: All zeroes.
        Self(Opaque::zeroed())
    }

    /// Forgets all routes. The references go after a grace period; nobody has to wait for it. Any
    /// context, at the same time as packets are sent.
    pub fn reset(&self) {
        // SAFETY: By the type invariant the structure is valid.
        unsafe { bindings::wg_dst_cache_reset(self.as_ptr()) }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::wg_dst_cache {
        self.0.get()
    }
}

impl Default for DstCache {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for DstCache {
    fn drop(&mut self) {
        self.reset();
    }
}
