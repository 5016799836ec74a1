// SPDX-License-Identifier: GPL-2.0
//! Network namespaces and the RTNL mutex.
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h),
//! [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::types::NotThreadSafe;

/// A counted reference to a namespace: `struct net`.
///
/// Holding one keeps the whole namespace alive with all of its devices, so never keep one in
/// anything that a device owns: the two would keep each other forever. Any context; Drop is
/// `put_net`.
///
/// # Invariants
///
/// `ptr` is valid, and one of its references is ours.
pub struct Net {
    ptr: NonNull<bindings::net>,
}

// SAFETY: Namespaces belong to no thread.
unsafe impl Send for Net {}
// SAFETY: All methods may be called from several threads at once.
unsafe impl Sync for Net {}

impl Net {
    /// # Safety
    ///
    /// `ptr` must be null or a valid namespace of which the caller gives one reference away.
    pub(crate) unsafe fn from_raw_owned(ptr: *mut bindings::net) -> Option<Self> {
        // INVARIANT: By the contract.
        NonNull::new(ptr).map(|ptr| Self { ptr })
    }

    /// Takes a reference. C: `get_net`.
    ///
    /// # Safety
    ///
    /// `ptr` must be a valid namespace that someone holds a reference to during the call.
    pub(crate) unsafe fn get(ptr: NonNull<bindings::net>) -> Self {
        // SAFETY: By the contract.
        unsafe { bindings::wg_net_get(ptr.as_ptr()) };
        // INVARIANT: The reference that was just taken.
        Self { ptr }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.ptr.as_ptr()
    }

    /// A number that no other namespace has or will have until the next boot. C: `net_cookie`.
    pub fn cookie(&self) -> u64 {
        // SAFETY: By the type invariant the namespace is valid.
        unsafe { bindings::wg_net_cookie(self.as_ptr()) }
    }

    /// Whether the current process may administer the namespace: `CAP_NET_ADMIN` in the user
    /// namespace that owns it. Process context. C: `ns_capable`.
    pub fn may_administer(&self) -> bool {
        // SAFETY: By the type invariant the namespace is valid.
        unsafe { bindings::wg_net_admin(self.as_ptr()) }
    }
}

impl Clone for Net {
    fn clone(&self) -> Self {
        // SAFETY: Our own reference keeps the namespace.
        unsafe { Self::get(self.ptr) }
    }
}

impl PartialEq for Net {
    fn eq(&self, other: &Self) -> bool {
        self.ptr == other.ptr
    }
}

impl Eq for Net {}

impl Drop for Net {
    fn drop(&mut self) {
        // SAFETY: We give our reference away.
        unsafe { bindings::wg_net_put(self.as_ptr()) }
    }
}

/// The RTNL mutex, held: proof that the configuration of devices stands still.
///
/// Process context. Drop is `rtnl_unlock`, which also finishes devices that were unregistered.
///
/// # Invariants
///
/// The current thread holds RTNL.
pub struct Rtnl {
    owned: bool,
    _not_send: NotThreadSafe,
}

impl Rtnl {
    /// Locks. C: `rtnl_lock`.
    pub fn lock() -> Self {
        // SAFETY: No preconditions but process context.
        unsafe { bindings::wg_rtnl_lock() };
        // INVARIANT: Just locked.
        Self {
            owned: true,
            _not_send: NotThreadSafe,
        }
    }

    /// A token for code that is called with RTNL held; gives nothing back when dropped.
    ///
    /// # Safety
    ///
    /// The current thread must hold RTNL as long as the token lives.
    #[allow(dead_code)]
    pub(crate) unsafe fn assume_held() -> Self {
        // INVARIANT: By the contract.
        Self {
            owned: false,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for Rtnl {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: By the type invariant we hold it.
            unsafe { bindings::wg_rtnl_unlock() }
        }
    }
}
