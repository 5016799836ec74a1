// SPDX-License-Identifier: GPL-2.0
//! Reference-counted objects that RCU readers may look at.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! [`Shared`] is to RCU what `Arc` is to plain code: when the last reference goes, destructor and
//! free wait for a grace period (`call_rcu`). So whoever found the object under an
//! [`rcu::Guard`](crate::rcu::Guard) may use it until the guard goes, without counting.
//!
//! # Atomics
//!
//! The counter is a `core` atomic, not a kernel one: those are out-of-line calls from a module. On
//! x86 and arm64, the architectures this module supports, both compile to the same instructions on
//! the same kind of memory. Its orders are in `refcount.rs`.

use crate::{bindings, log, rcu, refcount::RefCount};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering},
};
use kernel::{
    alloc::{AllocError, Flags},
    prelude::*,
    types::Opaque,
};

/// Boxes that exist, of all types: what [`rcu::quiesce`] waits for.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The number of [`Shared`] boxes that have not been freed yet.
///
/// Context: any.
pub(crate) fn live() -> usize {
    // Acquire: whoever sees a box gone also sees what its destructor did.
    LIVE.load(Ordering::Acquire)
}

/// The heap box behind [`Shared`].
#[pin_data]
#[repr(C)]
pub(crate) struct Inner<T> {
    /// Used once, when the counter has reached zero.
    rcu: Opaque<bindings::callback_head>,
    /// References; zero means that the object waits for its grace period.
    refs: RefCount,
    #[pin]
    value: T,
}

impl<T> Inner<T> {
    /// Adds a reference unless there is none left, and tells whether it did.
    ///
    /// # Safety
    ///
    /// `this` points to a box whose memory has not been freed, and stays so during the call.
    #[inline]
    pub(crate) unsafe fn get_not_zero(this: NonNull<Self>) -> bool {
        // SAFETY: The memory is valid, and `refs` is atomic.
        unsafe { &*ptr::addr_of!((*this.as_ptr()).refs) }.get_not_zero()
    }

    /// The address of the box if this value is in one.
    pub(crate) fn address_of_box(value: &T) -> usize {
        (ptr::from_ref(value) as usize).wrapping_sub(core::mem::offset_of!(Self, value))
    }

    /// The addresses that the value occupies.
    pub(crate) fn value_range(this: NonNull<Self>) -> core::ops::Range<usize> {
        // Only address arithmetic: nothing is read through the pointer.
        let start = (this.as_ptr() as usize).wrapping_add(core::mem::offset_of!(Self, value));
        start..start.wrapping_add(size_of::<T>())
    }
}

/// Waits until what was given up before is freed: [`Shared`] objects by their RCU callbacks, and the
/// [`Part`]s that were in them. Their destructors may have given up more.
///
/// C counterpart: `rcu_barrier`, `flush_work`. Context: process.
pub fn settle() {
    rcu::barrier();
    // SAFETY: No requirement but the context.
    unsafe { bindings::wg_reclaim_flush() };
}

/// Runs the destructor and frees the memory, when the last reference and the last reader are gone.
///
/// # Safety
///
/// `head` is the first field of an [`Inner<T>`] whose counter has reached zero and that no RCU
/// reader can see any more. Called once.
unsafe extern "C" fn reclaim<T>(head: *mut bindings::callback_head) {
    let inner = head.cast::<Inner<T>>();
    // SAFETY: `Inner` is `repr(C)` with the head first, and the box came from `KBox::into_raw`.
    // Nobody else refers to it any more, so the box is ours again. It is pinned, and it is
    // dropped in place.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw(inner)) });
    LIVE.fetch_sub(1, Ordering::Release);
}

/// A counted reference to a pinned `T`, whose end waits for RCU readers.
///
/// C counterpart: an object with a `struct kref` and a `struct rcu_head`, released by `call_rcu`.
///
/// Context: any, apart from construction with flags that may sleep. `Drop` may be called in any
/// context, too: the last one only queues the RCU callback. **`T`'s own `Drop` then runs in
/// softirq context and must not sleep**: no mutex, no `synchronize_*`, nothing that frees with
/// sleeping functions.
///
/// # Invariants
///
/// `inner` points to a live box, and this handle owns one of its references.
pub struct Shared<T> {
    inner: NonNull<Inner<T>>,
    _owns: PhantomData<Inner<T>>,
}

// SAFETY: Like `Arc`: handles on several threads share `&T` (`Sync`), and the last of them may
// drop `T` anywhere (`Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

// A handle may be moved: what it points to stays.
impl<T> Unpin for Shared<T> {}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Allocates the box and initialises the value in place.
    ///
    /// Context: what `flags` allow. Fails with `ENOMEM`, or as `init` does.
    pub fn pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self>
    where
        Error: From<E>,
    {
        // Counted first: a count of zero means that there is nothing left for certain.
        LIVE.fetch_add(1, Ordering::Relaxed);
        let made = KBox::try_pin_init(
            try_pin_init!(Inner {
                rcu: Opaque::uninit(),
                refs: RefCount::one(),
                value <- init,
            }? Error),
            flags,
        );
        match made {
            Ok(inner) => {
                // SAFETY: The value stays where it is until `reclaim` drops it in place.
                let inner = KBox::into_raw(unsafe { Pin::into_inner_unchecked(inner) });
                // INVARIANT: The box was made with one reference, which is ours.
                // SAFETY: `into_raw` never returns a null pointer.
                Ok(unsafe { Self::from_inner(NonNull::new_unchecked(inner)) })
            }
            Err(e) => {
                LIVE.fetch_sub(1, Ordering::Release);
                Err(e)
            }
        }
    }

    /// Moves a value into a new box.
    ///
    /// Context: what `flags` allow. Drops the value if memory is short.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        // SAFETY: On success the closure has initialised all of the slot, which needs no pinning
        // for a plain move. It cannot fail.
        let init = unsafe {
            pin_init::pin_init_from_closure(|slot: *mut T| {
                slot.write(value);
                Ok::<(), Error>(())
            })
        };
        Self::pin_init(init, flags).map_err(|_| AllocError)
    }
}

impl<T> Shared<T> {
    /// Takes over one reference.
    ///
    /// # Safety
    ///
    /// The caller owns one reference of the box and gives it up.
    #[inline]
    pub(crate) unsafe fn from_inner(inner: NonNull<Inner<T>>) -> Self {
        // INVARIANT: By the requirement above.
        Self {
            inner,
            _owns: PhantomData,
        }
    }

    /// Gives up the handle, but not its reference.
    #[inline]
    pub(crate) fn into_inner(self) -> NonNull<Inner<T>> {
        ManuallyDrop::new(self).inner
    }

    /// The box, still owned by this handle.
    #[inline]
    pub(crate) fn inner(&self) -> NonNull<Inner<T>> {
        self.inner
    }

    /// Hands the object to RCU.
    ///
    /// # Safety
    ///
    /// The counter has reached zero, and this is called once for that.
    #[inline(never)]
    unsafe fn last(&mut self) {
        let head = self.inner.as_ptr().cast::<bindings::callback_head>();
        // SAFETY: The head is the first field and not in use. `reclaim` is called once, after a
        // grace period, as it wants: nobody gets a reference when the counter is zero, and readers
        // that saw the object are gone by then.
        unsafe { bindings::call_rcu(head, Some(reclaim::<T>)) };
    }

    /// Tells whether both are references to the same object.
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }

    /// The object as readers see it, for as long as this handle is borrowed.
    #[inline]
    pub fn as_shared_ref(&self) -> SharedRef<'_, T> {
        // INVARIANT: `self` keeps the object alive for as long as it is borrowed.
        SharedRef {
            inner: self.inner,
            _life: PhantomData,
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the box is alive; only shared references are handed out.
        unsafe { &*ptr::addr_of!((*self.inner.as_ptr()).value) }
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: The box is alive by the type invariant.
        let refs = unsafe { &*ptr::addr_of!((*self.inner.as_ptr()).refs) };
        if refs.get().is_err() {
            warn_saturated();
        }
        // INVARIANT: The new reference was counted, or the object lives for ever.
        Self {
            inner: self.inner,
            _owns: PhantomData,
        }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The box is alive by the type invariant.
        let refs = unsafe { &*ptr::addr_of!((*self.inner.as_ptr()).refs) };
        match refs.put() {
            Ok(false) => {}
            // SAFETY: The counter went from one to zero, which happens once.
            Ok(true) => unsafe { self.last() },
            Err(_) => warn_saturated(),
        }
    }
}

/// A counted reference to a `T` that is never published by itself: RCU readers get to it only
/// through the object that this reference is in, as to a node of a tree.
///
/// So whoever looks at the `T` has borrowed one of its references for that time, and whoever has
/// the only one may change it ([`Part::get_mut`]). Of a [`Shared`], which a
/// [`Slot`](crate::rcu::Slot) hands out to readers that borrow the guard instead, one cannot say
/// that. For the same reason its end waits for nobody: when the last reference goes, the destructor
/// is a worker's next task. A tree of parts goes at once, one after the other whatever its depth,
/// a grace period after the object that it was in.
///
/// Context: any, apart from construction with flags that may sleep; `T`'s `Drop` runs in process
/// context.
///
/// # Invariants
///
/// - No [`SharedRef`] of the object exists, nor any other `Shared` than those in a `Part`: each
///   `&T` borrows a `Part`.
/// - The `Shared` is there until `drop`, which gives its reference up.
pub struct Part<T>(ManuallyDrop<Shared<T>>);

impl<T: Send + Sync + 'static> Part<T> {
    /// Moves a value into a new box.
    ///
    /// Context: what `flags` allow. Drops the value if memory is short.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        // INVARIANT: Nobody has seen it.
        Shared::new(value, flags).map(|shared| Self(ManuallyDrop::new(shared)))
    }

    /// The value, if this is the only reference to it.
    ///
    /// C counterpart: `refcount_read(...) == 1`. Context: any.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: The box is alive by the type invariant of `Shared`.
        let refs = unsafe { &*ptr::addr_of!((*self.0.inner.as_ptr()).refs) };
        if !refs.is_one() {
            return None;
        }
        // SAFETY: By the type invariant each `&T` borrows a `Part`. There is no other than this
        // one, whose borrow is exclusive: a reference that others had was given up by them, or by a
        // destructor that ran when the readers of what it was in were gone. No `Part` ever gave out
        // a pinned reference, so the value may be moved.
        Some(unsafe { &mut *ptr::addr_of_mut!((*self.0.inner.as_ptr()).value) })
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Part<T> {
    #[inline]
    fn clone(&self) -> Self {
        // INVARIANT: The new reference is in a `Part` as well.
        Self(ManuallyDrop::new(Shared::clone(&self.0)))
    }
}

impl<T> Drop for Part<T> {
    #[inline]
    fn drop(&mut self) {
        let inner = self.0.inner();
        // SAFETY: The box is alive by the type invariant of `Shared`. The handle is not used after
        // this, so its reference is ours to give up.
        let refs = unsafe { &*ptr::addr_of!((*inner.as_ptr()).refs) };
        match refs.put() {
            Ok(false) => {}
            Ok(true) => {
                let head = inner.as_ptr().cast::<bindings::callback_head>();
                // SAFETY: The head is the first field and not in use. `reclaim` is called once, as
                // it wants: the counter went from one to zero, which happens once, and nobody gets
                // a reference from there. By the type invariant each `&T` borrows a `Part`; there
                // is none left, so no reader either (see `get_mut`).
                unsafe { bindings::wg_reclaim_later(head, Some(reclaim::<T>)) };
            }
            Err(_) => warn_saturated(),
        }
    }
}

/// An object is immortal now whose counter was about to overflow: a leak is better than a use
/// after free.
#[cold]
fn warn_saturated() {
    log::warn_once(c"reference counter saturated, object leaked");
}

/// A [`Shared`] object seen by a reader that owns no reference.
///
/// C counterpart: what `rcu_dereference` returns.
///
/// # Invariants
///
/// The box of `inner`, and the value in it, stay alive for `'g`: an RCU guard or an owner lives
/// that long.
pub struct SharedRef<'g, T> {
    inner: NonNull<Inner<T>>,
    _life: PhantomData<&'g Inner<T>>,
}

impl<'g, T> SharedRef<'g, T> {
    /// Makes a reader's reference.
    ///
    /// # Safety
    ///
    /// `inner` was published while it had a reference, was loaded under the guard, and that
    /// guard's section has not ended.
    #[inline]
    pub(crate) unsafe fn from_inner(inner: NonNull<Inner<T>>, _guard: &'g rcu::Guard) -> Self {
        // INVARIANT: The object is freed a grace period after its last reference went, so not
        // before the guard goes.
        Self {
            inner,
            _life: PhantomData,
        }
    }

    /// A counted reference, unless the last one has gone already.
    ///
    /// C counterpart: `kref_get_unless_zero`. Context: any.
    #[inline]
    pub fn get(self) -> Option<Shared<T>> {
        // SAFETY: The box is alive for `'g`.
        if !unsafe { Inner::get_not_zero(self.inner) } {
            return None;
        }
        // SAFETY: The reference was just counted.
        Some(unsafe { Shared::from_inner(self.inner) })
    }

    /// Tells whether this is the object of `other`.
    #[inline]
    pub fn is(self, other: &Shared<T>) -> bool {
        self.inner == other.inner
    }

    /// The object, for as long as the guard lives.
    #[inline]
    pub fn into_ref(self) -> &'g T {
        // SAFETY: By the type invariant.
        unsafe { &*ptr::addr_of!((*self.inner.as_ptr()).value) }
    }
}

impl<T> Deref for SharedRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.into_ref()
    }
}

impl<T> Clone for SharedRef<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedRef<'_, T> {}
