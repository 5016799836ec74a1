// SPDX-License-Identifier: GPL-2.0
//! Work items that run some time after they were queued.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings, log,
    work::{contains, Owner, WorkHandler},
};
use core::{
    marker::{PhantomData, PhantomPinned},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};
use kernel::{prelude::*, types::Opaque};

/// A delayed work item, a pinned field of the object that it works on. It runs on the system's own
/// work queue.
///
/// C counterpart: `struct delayed_work`. Ownership is that of [`Work`](crate::work::Work): a
/// pending item owns a reference to the object, which it hands to its handler.
///
/// # Invariants
///
/// - `raw` is null, or the raw form of the handles to the object that this item is a field of. It
///   is set before the item is queued for the first time, and the same ever after.
/// - The item is pending exactly as often as a reference in raw form is left for `run` or
///   `cancel_sync` to take over.
#[pin_data]
#[repr(C)]
pub struct Delayed<O, H> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    raw: AtomicPtr<()>,
    #[pin]
    _pin: PhantomPinned,
    _handler: PhantomData<fn(O) -> H>,
}

// SAFETY: Work items may be used from all threads at once. The handles that they pass on are
// `Send`, which all methods ask for.
unsafe impl<O, H> Send for Delayed<O, H> {}
// SAFETY: As above.
unsafe impl<O, H> Sync for Delayed<O, H> {}

impl<O: Owner, H: WorkHandler<O>> Delayed<O, H> {
    /// An initialiser of an item that is not pending.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes, and pinned. `run` is a work function.
            work <- Opaque::ffi_init(|work| unsafe {
                bindings::wg_delayed_init(work, Some(run::<O, H>))
            }),
            // INVARIANT: Null, and not pending.
            raw: AtomicPtr::new(ptr::null_mut()),
            _pin: PhantomPinned,
            _handler: PhantomData,
        })
    }

    /// Queues the item to run after `delay`; returns false if it is pending already, and drops
    /// `owner` then.
    ///
    /// An item that runs at the moment may be queued: it runs again. Refuses with false (and a
    /// warning) if the item is not a field of `owner`'s object.
    ///
    /// C counterpart: `queue_delayed_work`. Context: any, where the owner's drop is allowed.
    pub fn queue(&self, owner: O, delay: Duration) -> bool {
        if !contains(&owner.range(), self) {
            log::warn_once(c"delayed work queued with a wrong owner");
            return false;
        }
        let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let raw = owner.into_raw();
        // INVARIANT: Only one object contains this item, so this is the only value ever stored.
        // The work queue's own synchronisation orders it before the run.
        self.raw.store(raw, Ordering::Relaxed);
        // SAFETY: The item is live and initialised.
        if unsafe { bindings::wg_delayed_queue(self.work.get(), delay) } {
            // INVARIANT: The item is pending, and owns the reference. It may have run already.
            return true;
        }
        // SAFETY: The item did not become pending by this call, so the reference is still ours.
        drop(unsafe { O::from_raw(raw) });
        false
    }

    /// Takes a pending item out, waits until it does not run any more, and returns the reference
    /// that the pending item owned.
    ///
    /// C counterpart: `cancel_delayed_work_sync`. Context: process; not from the item's own
    /// handler.
    pub fn cancel_sync(&self) -> Option<O> {
        // SAFETY: The item is live and initialised.
        if !unsafe { bindings::wg_delayed_cancel_sync(self.work.get()) } {
            return None;
        }
        let raw = self.raw.load(Ordering::Relaxed);
        // SAFETY: The item was pending, so by the type invariant it owned a reference, which
        // nobody takes over now that it does not run.
        Some(unsafe { O::from_raw(raw) })
    }
}

/// The work function.
///
/// # Safety
///
/// Called by the work queue for an item that is the field `work` of a [`Delayed<O, H>`] and was
/// pending until now.
unsafe extern "C" fn run<O: Owner, H: WorkHandler<O>>(work: *mut bindings::work_struct) {
    // The helper checks that the work is the first field of `struct delayed_work`.
    let this = work.cast::<Delayed<O, H>>();
    // SAFETY: `Delayed` is `repr(C)` with `work` first, and the reference of the pending item keeps
    // it alive.
    let raw = unsafe { (*this).raw.load(Ordering::Relaxed) };
    // SAFETY: The item was pending, so by the type invariant it owned a reference, which nobody
    // else takes over. `this` is not used any more: the handler may drop the last reference.
    H::run(unsafe { O::from_raw(raw) });
}
