// SPDX-License-Identifier: GPL-2.0
//! Work queues, and work items that keep their owner alive.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings, log,
    netdev::NetDevice,
    shared::{Inner, Shared},
};
use core::{
    marker::{PhantomData, PhantomPinned},
    ops::{BitOr, Range},
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{alloc::AllocError, prelude::*, sync::Arc, types::Opaque};

/// How the work of a [`Queue`] is run; combine with `|`.
#[derive(Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    /// On the CPU that it was queued on or for. Either this or [`Self::UNBOUND`] must be given.
    pub const PERCPU: Self = Self(bindings::WG_QUEUE_PERCPU);
    /// On any CPU.
    pub const UNBOUND: Self = Self(bindings::WG_QUEUE_UNBOUND);
    /// Stopped while the system is suspended.
    pub const FREEZABLE: Self = Self(bindings::WG_QUEUE_FREEZABLE);
    /// Memory reclaim may depend on it: it always has a thread.
    pub const MEM_RECLAIM: Self = Self(bindings::WG_QUEUE_MEM_RECLAIM);
    /// Long computations, which do not hold up other work of the CPU.
    pub const CPU_INTENSIVE: Self = Self(bindings::WG_QUEUE_CPU_INTENSIVE);
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A work queue of our own.
///
/// C counterpart: `alloc_workqueue`. Context: process to make, flush and drop it.
///
/// `Drop` is `destroy_workqueue`: it runs what is queued and waits for it. So a queue must not be
/// dropped by work that runs on it, as the two would wait for each other for ever.
///
/// # Invariants
///
/// `queue` is a live work queue that this object owns.
pub struct Queue {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: Work queues may be used from all threads at once.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Makes a queue named after the interface, as in "wg-crypt-wg0" for a prefix of "wg-crypt".
    ///
    /// `max_active` limits the items that run at the same time (per CPU unless unbound); 0 is the
    /// kernel's default.
    ///
    /// Context: process.
    pub fn new(
        prefix: &CStr,
        interface: &NetDevice,
        flags: Flags,
        max_active: u32,
    ) -> Result<Self, AllocError> {
        // SAFETY: The prefix is a valid C string, the device is live; both names are copied.
        let queue = unsafe {
            bindings::wg_queue_alloc(
                prefix.as_char_ptr(),
                interface.as_ptr(),
                flags.0,
                max_active,
            )
        };
        // INVARIANT: It was just made.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(AllocError)?,
        })
    }

    /// Waits until everything that is queued now has run.
    ///
    /// C counterpart: `flush_workqueue`. Context: process, not from work of this queue.
    pub fn flush(&self) {
        // SAFETY: The queue is live.
        unsafe { bindings::wg_queue_flush(self.queue.as_ptr()) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The queue is live, and nobody can queue to it any more.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}

/// Lets others run if this thread has had its time; for long loops in work.
///
/// C counterpart: `cond_resched`. Context: process.
#[inline]
pub fn cond_resched() {
    // SAFETY: No requirement but the context.
    unsafe { bindings::wg_cond_resched() };
}

/// Has the scheduler choose anew who is to run, this thread being one of them; for work that takes
/// milliseconds at a time. Kernels that preempt lazily would ask only with the next tick, whoever
/// waits.
///
/// C counterpart: `schedule`. Context: process, and nothing that forbids to sleep.
#[inline]
pub fn reschedule() {
    // SAFETY: No requirement but the context.
    unsafe { bindings::wg_reschedule() };
}

mod sealed {
    /// Keeps others from being owners.
    pub trait Sealed {}
    impl<T> Sealed for crate::shared::Shared<T> {}
    impl<T> Sealed for kernel::sync::Arc<T> {}
}

/// A counted handle to an object that has work items in it: [`Shared`] or [`Arc`].
///
/// # Safety
///
/// `from_raw` undoes `into_raw`, which returns the same pointer for all handles of one object; the
/// value stays at `range` for as long as there is a handle.
pub unsafe trait Owner: Sized + Send + sealed::Sealed + 'static {
    /// Gives up the handle, not its reference.
    #[doc(hidden)]
    fn into_raw(self) -> *mut ();

    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// `raw` is from `into_raw`, and that reference has not been taken over yet.
    #[doc(hidden)]
    unsafe fn from_raw(raw: *mut ()) -> Self;

    /// The addresses of the value.
    #[doc(hidden)]
    fn range(&self) -> Range<usize>;
}

// SAFETY: The pointer is that of the box, of which there is one for an object; the value is
// pinned in it.
unsafe impl<T: Send + Sync + 'static> Owner for Shared<T> {
    fn into_raw(self) -> *mut () {
        self.into_inner().as_ptr().cast()
    }

    unsafe fn from_raw(raw: *mut ()) -> Self {
        // SAFETY: `raw` came from `into_inner` with its reference, so it is not null.
        unsafe { Self::from_inner(NonNull::new_unchecked(raw.cast::<Inner<T>>())) }
    }

    fn range(&self) -> Range<usize> {
        Inner::value_range(self.inner())
    }
}

// SAFETY: `Arc` is a handle to a pinned value, whose address is its raw form.
unsafe impl<T: Send + Sync + 'static> Owner for Arc<T> {
    fn into_raw(self) -> *mut () {
        Arc::into_raw(self).cast_mut().cast()
    }

    unsafe fn from_raw(raw: *mut ()) -> Self {
        // SAFETY: By the requirements of this function.
        unsafe { Arc::from_raw(raw.cast::<T>()) }
    }

    fn range(&self) -> Range<usize> {
        let start = Arc::as_ptr(self) as usize;
        start..start.wrapping_add(size_of::<T>())
    }
}

/// What a [`Work`] item does.
pub trait WorkHandler<O> {
    /// Runs once for every time that the item was queued with success.
    ///
    /// Context: process.
    fn run(this: O);
}

/// A work item, a pinned field of the object that it works on.
///
/// C counterpart: `struct work_struct`. A pending item owns a reference to the object, which it
/// hands to its handler: the object lives at least until the handler returns, and dropping the last
/// reference there is fine, as the work queue does not look at an item any more that it has
/// started. For the same reason `Drop` has nothing to do: an item that goes away is not pending.
///
/// # Invariants
///
/// - `raw` is null, or the raw form of the handles to the object that this item is a field of. It
///   is set before the item is queued for the first time, and the same ever after.
/// - The item is pending exactly as often as a reference in raw form is left for `run` or
///   `cancel_sync` to take over.
#[pin_data]
#[repr(C)]
pub struct Work<O, H> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    raw: AtomicPtr<()>,
    #[pin]
    _pin: PhantomPinned,
    _handler: PhantomData<fn(O) -> H>,
}

// SAFETY: Work items may be used from all threads at once. The handles that they pass on are
// `Send`, which all methods ask for: not these impls, as whether the object is `Send` depends on
// them.
unsafe impl<O, H> Send for Work<O, H> {}
// SAFETY: As above.
unsafe impl<O, H> Sync for Work<O, H> {}

impl<O: Owner, H: WorkHandler<O>> Work<O, H> {
    /// An initialiser of an item that is not pending.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes, and pinned. `run` is a work function.
            work <- Opaque::ffi_init(|work| unsafe {
                bindings::wg_work_init(work, Some(run::<O, H>))
            }),
            // INVARIANT: Null, and not pending.
            raw: AtomicPtr::new(ptr::null_mut()),
            _pin: PhantomPinned,
            _handler: PhantomData,
        })
    }

    /// Queues the item; returns false if it is pending already, and drops `owner` then.
    ///
    /// An item that runs at the moment may be queued: it runs again. Refuses with false (and a
    /// warning) if the item is not a field of `owner`'s object.
    ///
    /// C counterpart: `queue_work`. Context: any, where the owner's drop is allowed.
    pub fn queue(&self, queue: &Queue, owner: O) -> bool {
        // SAFETY: Queue and item are live and initialised.
        self.queue_by(owner, |work| unsafe {
            bindings::wg_work_queue(queue.queue.as_ptr(), work)
        })
    }

    /// As [`Self::queue`], on this CPU, or on any if it is not online.
    ///
    /// C counterpart: `queue_work_on`. Context: as for [`Self::queue`].
    pub fn queue_on(&self, cpu: u32, queue: &Queue, owner: O) -> bool {
        // SAFETY: Queue and item are live and initialised.
        self.queue_by(owner, |work| unsafe {
            bindings::wg_work_queue_on(cpu, queue.queue.as_ptr(), work)
        })
    }

    fn queue_by(&self, owner: O, queue: impl FnOnce(*mut bindings::work_struct) -> bool) -> bool {
        if !contains(&owner.range(), self) {
            log::warn_once(c"work queued with a wrong owner");
            return false;
        }
        let raw = owner.into_raw();
        // INVARIANT: Only one object contains this item, so this is the only value ever stored.
        // The work queue's own synchronisation orders it before the run.
        self.raw.store(raw, Ordering::Relaxed);
        if queue(self.work.get()) {
            // INVARIANT: The item is pending, and owns the reference. It may have run already.
            return true;
        }
        // SAFETY: The item did not become pending by this call, so the reference is still ours.
        drop(unsafe { O::from_raw(raw) });
        false
    }

    /// Takes a pending item out of its queue, waits until it does not run any more, and returns
    /// the reference that the pending item owned.
    ///
    /// C counterpart: `cancel_work_sync`. Context: process; not from the item's own handler.
    pub fn cancel_sync(&self) -> Option<O> {
        // SAFETY: The item is live and initialised.
        if !unsafe { bindings::cancel_work_sync(self.work.get()) } {
            return None;
        }
        let raw = self.raw.load(Ordering::Relaxed);
        // SAFETY: The item was pending, so by the type invariant it owned a reference, which
        // nobody takes over now that it does not run.
        Some(unsafe { O::from_raw(raw) })
    }
}

/// Tells whether the object lies within the range.
pub(crate) fn contains<T>(range: &Range<usize>, object: &T) -> bool {
    let start = ptr::from_ref(object) as usize;
    range.start <= start && start.saturating_add(size_of::<T>()) <= range.end
}

/// The work function.
///
/// # Safety
///
/// Called by the work queue for an item that is the field `work` of a [`Work<O, H>`] and was
/// pending until now.
unsafe extern "C" fn run<O: Owner, H: WorkHandler<O>>(work: *mut bindings::work_struct) {
    let this = work.cast::<Work<O, H>>();
    // SAFETY: `Work` is `repr(C)` with `work` first, and the reference of the pending item keeps it
    // alive.
    let raw = unsafe { (*this).raw.load(Ordering::Relaxed) };
    // SAFETY: The item was pending, so by the type invariant it owned a reference, which nobody
    // else takes over. `this` is not used any more: the handler may drop the last reference.
    H::run(unsafe { O::from_raw(raw) });
}
