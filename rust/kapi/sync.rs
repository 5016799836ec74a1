// SPDX-License-Identifier: GPL-2.0
//! Locks.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::bindings;
use kernel::{
    prelude::*,
    sync::lock::{Backend, Guard, Lock},
};

pub use kernel::{
    new_mutex,
    sync::{Mutex, MutexGuard},
};

/// A spin lock that keeps bottom halves off its CPU while it is held.
///
/// C counterpart: `spin_lock_bh`, `spin_unlock_bh`. Context: process and BH, not hard interrupts.
/// Nothing may sleep while it is held. Make one with [`new_spinlock_bh!`](crate::new_spinlock_bh).
///
/// Guards of several of these may be dropped in any order: bottom halves stay off until the last
/// has gone.
pub type SpinLockBh<T> = Lock<T, SpinLockBhBackend>;

/// A held [`SpinLockBh`]; `Drop` releases it.
pub type SpinLockBhGuard<'a, T> = Guard<'a, T, SpinLockBhBackend>;

/// How [`SpinLockBh`] locks.
pub struct SpinLockBhBackend;

// SAFETY: A spin lock gives its holder exclusive access. `relock` is the default one, which locks
// by `lock` as well.
unsafe impl Backend for SpinLockBhBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const c_char,
        key: *mut kernel::bindings::lock_class_key,
    ) {
        // SAFETY: `ptr` is valid for writes, `name` and `key` for ever, by the requirements of
        // this function. Both `lock_class_key` types are the same C struct.
        unsafe { bindings::wg_spin_lock_init(ptr, name, key.cast()) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) {
        // SAFETY: The lock is initialised by the requirements of this function.
        unsafe { bindings::wg_spin_lock_bh(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<()> {
        // SAFETY: The lock is initialised by the requirements of this function.
        (unsafe { bindings::wg_spin_trylock_bh(ptr) } != 0).then_some(())
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, _state: &()) {
        // SAFETY: The caller holds the lock.
        unsafe { bindings::wg_spin_unlock_bh(ptr) }
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The lock is initialised by the requirements of this function.
        unsafe { bindings::wg_spin_assert_held(ptr) }
    }
}

/// Runs something with bottom halves disabled on this CPU, as in a softirq.
///
/// C counterpart: `local_bh_disable`, `local_bh_enable`. Context: process and BH; `f` must not
/// sleep. Nests.
#[inline]
pub fn with_bh_disabled<R>(f: impl FnOnce() -> R) -> R {
    /// Enables them again, on all ways out.
    struct Enable;
    impl Drop for Enable {
        fn drop(&mut self) {
            // SAFETY: Pairs with the call below, on the same thread.
            unsafe { bindings::wg_local_bh_enable() };
        }
    }

    // SAFETY: May be called in all contexts named above.
    unsafe { bindings::wg_local_bh_disable() };
    let _enable = Enable;
    f()
}

/// Makes an initialiser of a [`SpinLockBh`](crate::sync::SpinLockBh), with a lockdep class of its
/// own for each place in the source.
#[macro_export]
macro_rules! new_spinlock_bh {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::SpinLockBh::new(
            $inner,
            ::kernel::optional_name!($($name)?),
            ::kernel::static_lock_class!(),
        )
    };
}
