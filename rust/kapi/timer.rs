// SPDX-License-Identifier: GPL-2.0
//! Timers that fire on an object only while it has owners.
//!
//! C header: [`include/linux/timer.h`](srctree/include/linux/timer.h)

use crate::{
    bindings, log,
    shared::{Inner, Shared},
    work::contains,
};
use core::{
    marker::{PhantomData, PhantomPinned},
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};
use kernel::{prelude::*, types::Opaque};

/// What happens when a [`Timer`] expires.
pub trait TimerHandler<T> {
    /// Runs once for every expiry.
    ///
    /// Context: BH (softirq). It may arm its timer again, and drop the last reference.
    fn expired(this: Shared<T>);
}

/// A timer, a pinned field of the object `T` in a [`Shared`].
///
/// C counterpart: `struct timer_list`. A pending timer owns **no** reference, so that objects can
/// die while their timers are armed. Instead:
///
/// - When it expires, it first takes a reference unless there is none left; then it returns without
///   a look at the object. It only reads the counter, which is in the box but outside of `T`.
/// - `Drop`, a part of `T`'s destructor, is `timer_shutdown_sync`: it waits for an expiry that runs
///   at the moment. The box is freed after the destructor, so it outlives every expiry.
/// - That destructor runs as an RCU callback. This is no hard interrupt, so waiting is allowed;
///   and it ends: the callback runs in softirq, or in a thread with bottom halves disabled, and so
///   never on top of a timer softirq of its own CPU, which it would wait for for ever. On
///   PREEMPT_RT callbacks run in threads, and waiting there is on a sleeping lock, as such threads
///   may. The handler in turn never waits for a grace period.
///
/// # Invariants
///
/// `inner` is null, or the box that this timer is within. The C timer is initialised, and not
/// armed while `inner` is null.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Timer<T, H> {
    #[pin]
    timer: Opaque<bindings::timer_list>,
    inner: AtomicPtr<Inner<T>>,
    #[pin]
    _pin: PhantomPinned,
    _handler: PhantomData<fn(Shared<T>) -> H>,
}

// SAFETY: Timers may be used from all threads at once. What the handler gets can be sent, which all
// methods ask for: not these impls, as whether `T` is `Send` depends on them.
unsafe impl<T, H> Send for Timer<T, H> {}
// SAFETY: As above.
unsafe impl<T, H> Sync for Timer<T, H> {}

impl<T: Send + Sync + 'static, H: TimerHandler<T>> Timer<T, H> {
    /// An initialiser of a timer that is not bound and not armed.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes, and pinned. `expired` is a timer function.
            timer <- Opaque::ffi_init(|timer| unsafe {
                bindings::wg_timer_init(timer, Some(expired::<T, H>))
            }),
            // INVARIANT: Null, and not armed.
            inner: AtomicPtr::new(ptr::null_mut()),
            _pin: PhantomPinned,
            _handler: PhantomData,
        })
    }

    /// Tells the timer what it is a field of. Until then it cannot be armed.
    ///
    /// Returns false (and warns) if it is not a field of this object.
    ///
    /// Context: any.
    pub fn bind(&self, owner: &Shared<T>) -> bool {
        if !contains(&Inner::value_range(owner.inner()), self) {
            log::warn_once(c"timer bound to a wrong object");
            return false;
        }
        // INVARIANT: The timer lies within the value of this box. There is only one such box, so
        // that this is the only value ever stored.
        self.inner.store(owner.inner().as_ptr(), Ordering::Release);
        true
    }

    fn is_bound(&self) -> bool {
        !self.inner.load(Ordering::Acquire).is_null()
    }

    /// Arms the timer, or moves its expiry, to `after` from now, rounded up to timer ticks.
    ///
    /// "Now" is the last tick, as for [`boottime_coarse_ns`](crate::clock::boottime_coarse_ns).
    /// Does nothing before `bind` and after `shutdown_sync`. Returns whether it was armed before.
    ///
    /// C counterpart: `mod_timer`. Context: any, hard interrupts too.
    pub fn arm(&self, after: Duration) -> bool {
        if !self.is_bound() {
            return false;
        }
        // SAFETY: The timer is initialised by the type invariant, and bound.
        unsafe { bindings::wg_timer_arm(self.timer.get(), nanoseconds(after)) }
    }

    /// Arms the timer, or moves its expiry if it would be earlier than it is.
    ///
    /// C counterpart: `timer_reduce`. The rest is as for [`Self::arm`].
    pub fn arm_if_earlier(&self, after: Duration) -> bool {
        if !self.is_bound() {
            return false;
        }
        // SAFETY: The timer is initialised by the type invariant, and bound.
        unsafe { bindings::wg_timer_reduce(self.timer.get(), nanoseconds(after)) }
    }

    /// Tells whether the timer is armed.
    ///
    /// C counterpart: `timer_pending`. Context: any.
    pub fn is_pending(&self) -> bool {
        // SAFETY: The timer is initialised.
        unsafe { bindings::wg_timer_pending(self.timer.get()) }
    }

    /// Disarms the timer. An expiry that runs at the moment goes on.
    ///
    /// C counterpart: `timer_delete`. Context: any, hard interrupts too. Returns whether it was
    /// armed.
    pub fn cancel(&self) -> bool {
        // SAFETY: The timer is initialised.
        unsafe { bindings::timer_delete(self.timer.get()) != 0 }
    }

    /// Disarms the timer for good, and waits for an expiry that runs at the moment.
    ///
    /// C counterpart: `timer_shutdown_sync`. Context: process or BH, but not from the timer's own
    /// handler, and with no lock held that the handler takes. Returns whether it was armed.
    pub fn shutdown_sync(&self) -> bool {
        // SAFETY: The timer is initialised.
        unsafe { bindings::timer_shutdown_sync(self.timer.get()) != 0 }
    }
}

#[pinned_drop]
impl<T, H> PinnedDrop for Timer<T, H> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is initialised. After this call it does not run and cannot be armed.
        unsafe { bindings::timer_shutdown_sync(self.timer.get()) };
    }
}

/// The whole nanoseconds, at most `u64::MAX` (584 years).
fn nanoseconds(after: Duration) -> u64 {
    u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)
}

/// The timer function.
///
/// # Safety
///
/// Called by the timer core for the field `timer` of a [`Timer<T, H>`] that was armed.
unsafe extern "C" fn expired<T: Send + Sync + 'static, H: TimerHandler<T>>(
    timer: *mut bindings::timer_list,
) {
    let this = timer.cast::<Timer<T, H>>();
    // SAFETY: `Timer` is `repr(C)` with `timer` first. Its memory is valid: a box is freed after
    // the timer's `Drop`, which waits for this function.
    let inner = unsafe { (*this).inner.load(Ordering::Acquire) };
    let Some(inner) = NonNull::new(inner) else {
        return;
    };
    // SAFETY: By the type invariant this is the box around the timer; see above.
    if unsafe { Inner::get_not_zero(inner) } {
        // SAFETY: The reference was just counted.
        H::expired(unsafe { Shared::from_inner(inner) });
    }
}
