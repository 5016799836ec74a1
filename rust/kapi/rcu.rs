// SPDX-License-Identifier: GPL-2.0
//! RCU: read-side sections, published pointers, grace periods.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! A thread that holds a [`Guard`] must not sleep; in particular it must not call anything here
//! that waits for a grace period.

use crate::{
    bindings,
    published::Published,
    shared::{self, Inner, Shared, SharedRef},
};
use core::{
    marker::PhantomData,
    pin::Pin,
    ptr::{self, NonNull},
};
use kernel::{prelude::*, types::NotThreadSafe};

/// Evidence of an RCU read-side section.
///
/// C counterpart: `rcu_read_lock` and `rcu_read_unlock`. Context: any. `Drop` ends the section.
///
/// # Invariants
///
/// The section lasts for as long as the guard exists.
pub struct Guard(NotThreadSafe);

impl Guard {
    /// Begins a section.
    #[inline]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        // SAFETY: May be called anywhere, and nests.
        unsafe { bindings::wg_rcu_read_lock() };
        // INVARIANT: It just began.
        Self(NotThreadSafe)
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Ends the section that `new` began, on the same thread.
        unsafe { bindings::wg_rcu_read_unlock() };
    }
}

/// Begins a read-side section; the same as [`Guard::new`].
#[inline]
pub fn read_lock() -> Guard {
    Guard::new()
}

/// Waits until every read-side section that has begun is over.
///
/// C counterpart: `synchronize_rcu`. Context: process.
pub fn synchronize() {
    // SAFETY: No requirement but the context.
    unsafe { bindings::synchronize_rcu() };
}

/// Waits for a grace period as networking does it: quickly while RTNL is held.
///
/// C counterpart: `synchronize_net`. Context: process.
pub fn synchronize_net() {
    // SAFETY: No requirement but the context.
    unsafe { bindings::synchronize_net() };
}

/// Waits until all RCU callbacks that are queued have run.
///
/// C counterpart: `rcu_barrier`. Context: process.
pub fn barrier() {
    // SAFETY: No requirement but the context.
    unsafe { bindings::rcu_barrier() };
}

/// Waits until all [`Shared`] objects are freed, and all [`Part`](shared::Part)s; the last thing
/// that the module does.
///
/// Destructors may drop other objects and so queue more callbacks: goes on for as long as objects
/// go away. Returns false, and says so in the log, if some are left that nobody frees. After this
/// call no RCU callback of this module runs any more, unless something leaked.
///
/// Context: process; nothing makes or drops objects any more.
pub fn quiesce() -> bool {
    let mut before = shared::live();
    loop {
        shared::settle();
        let now = shared::live();
        if now == 0 {
            // The callback of the last object, or the worker that called it, may still be about to
            // return.
            shared::settle();
            return true;
        }
        if now >= before {
            // SAFETY: No requirement.
            unsafe { bindings::wg_log_leak(now as u64) };
            return false;
        }
        before = now;
    }
}

/// A place where a [`Shared`] object is published to RCU readers.
///
/// C counterpart: a `T __rcu *` field. `Drop` drops the reference, in any context.
///
/// # Invariants
///
/// The pointer is null, or a box of which the slot owns one reference.
pub struct Slot<T> {
    inner: Published<Inner<T>>,
    _owns: PhantomData<Option<Shared<T>>>,
}

impl<T> Slot<T> {
    /// An empty slot.
    pub fn empty() -> Self {
        // INVARIANT: Null.
        Self {
            inner: Published::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// A slot with this in it.
    pub fn new(object: Option<Shared<T>>) -> Self {
        // INVARIANT: The slot takes the reference over.
        Self {
            inner: Published::new(into_raw(object)),
            _owns: PhantomData,
        }
    }

    /// What is published now, usable until the guard goes.
    ///
    /// C counterpart: `rcu_dereference`. Context: any.
    #[inline]
    pub fn load<'g>(&self, guard: &'g Guard) -> Option<SharedRef<'g, T>> {
        let inner = NonNull::new(self.inner.load())?;
        // SAFETY: The slot owned a reference when the pointer was loaded under the guard.
        Some(unsafe { SharedRef::from_inner(inner, guard) })
    }

    /// A counted reference to what is published now.
    ///
    /// Context: any.
    pub fn get(&self) -> Option<Shared<T>> {
        self.load(&Guard::new())?.get()
    }

    /// Tells whether nothing is published, without looking at it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inner.is_null()
    }

    /// Publishes another object, and returns the reference to the one before.
    ///
    /// Readers may go on using the old one for a while: dropping it takes care of that.
    ///
    /// C counterpart: `xchg`. Context: any.
    pub fn replace(&self, object: Option<Shared<T>>) -> Option<Shared<T>> {
        // INVARIANT: The slot takes over the new reference and gives up the old one.
        let old = self.inner.replace(into_raw(object));
        // SAFETY: The slot owned this reference, and no longer does.
        NonNull::new(old).map(|inner| unsafe { Shared::from_inner(inner) })
    }
}

/// The pointer form of an optional reference.
fn into_raw<T>(object: Option<Shared<T>>) -> *mut Inner<T> {
    object.map_or(ptr::null_mut(), |object| object.into_inner().as_ptr())
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

/// A place where a boxed object is published to RCU readers; there are no counted references.
///
/// C counterpart: a `T __rcu *` field whose writers use `synchronize_net` before they free.
///
/// `Drop` drops the object at once: readers borrow the slot, so there are none.
///
/// # Invariants
///
/// The pointer is null, or came from a pinned `KBox<T>` that the slot owns.
pub struct BoxSlot<T> {
    value: Published<T>,
    _owns: PhantomData<Option<Pin<KBox<T>>>>,
}

// SAFETY: Threads share `&T` through `load` (`Sync`), and take the box out with `replace` (`Send`).
unsafe impl<T: Send + Sync> Sync for BoxSlot<T> {}
// SAFETY: Sending the slot sends the box.
unsafe impl<T: Send> Send for BoxSlot<T> {}

impl<T> BoxSlot<T> {
    /// A slot with this in it.
    pub fn new(object: Option<Pin<KBox<T>>>) -> Self {
        // INVARIANT: The slot takes the box over.
        Self {
            value: Published::new(into_raw_box(object)),
            _owns: PhantomData,
        }
    }

    /// What is published now, usable until the guard or the slot goes.
    ///
    /// C counterpart: `rcu_dereference`. Context: any.
    #[inline]
    pub fn load<'g>(&'g self, _guard: &'g Guard) -> Option<&'g T> {
        let value = self.value.load();
        // SAFETY: The slot owned the box when the pointer was loaded under the guard. Whoever
        // takes it out waits for the end of the guard's section before anything else.
        unsafe { value.as_ref() }
    }

    /// Tells whether nothing is published, without looking at it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.value.is_null()
    }

    /// Publishes another object, waits until nobody can see the one before, and returns it.
    ///
    /// Waits only if there was one. Whoever calls this must not hold a [`Guard`].
    ///
    /// C counterpart: `xchg`, `synchronize_net`. Context: process.
    pub fn replace(&self, object: Option<Pin<KBox<T>>>) -> Option<Pin<KBox<T>>> {
        // INVARIANT: The slot takes over the new box and gives up the old one.
        let old = self.value.replace(into_raw_box(object));
        if old.is_null() {
            return None;
        }
        synchronize_net();
        // SAFETY: The pointer came from such a box, and readers that loaded it are gone. The
        // value was pinned all the time.
        Some(unsafe { Pin::new_unchecked(KBox::from_raw(old)) })
    }
}

/// The pointer form of an optional box, whose value stays where it is.
fn into_raw_box<T>(object: Option<Pin<KBox<T>>>) -> *mut T {
    object.map_or(ptr::null_mut(), |object| {
        // SAFETY: The value is not moved until it is in a pinned box again.
        KBox::into_raw(unsafe { Pin::into_inner_unchecked(object) })
    })
}

impl<T> Drop for BoxSlot<T> {
    fn drop(&mut self) {
        let value = self.value.load();
        if !value.is_null() {
            // SAFETY: The slot owned this box. Readers borrow the slot, which nobody does now.
            drop(unsafe { Pin::new_unchecked(KBox::from_raw(value)) });
        }
    }
}
