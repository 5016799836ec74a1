// SPDX-License-Identifier: GPL-2.0
//! Hash tables whose readers write nothing.
//!
//! C header: [`include/linux/rhashtable.h`](srctree/include/linux/rhashtable.h)

use crate::{
    bindings, errno,
    rcu::Guard,
    shared::{Inner, Shared, SharedRef},
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{
    alloc::{AllocError, Flags},
    error::to_result,
    prelude::*,
};

mod sealed {
    /// Keeps others from being keys.
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for [u8; 32] {}
}

/// What can be the key of a [`Table`]: a `u32`, or 32 bytes.
pub trait Key: Copy + sealed::Sealed + 'static {}
impl Key for u32 {}
impl Key for [u8; 32] {}

/// A resizable hash table from keys to [`Shared`] objects.
///
/// C counterpart: `struct rhashtable`, hashed by siphash with a secret of the module and a seed for
/// each bucket array, so that nobody outside can choose keys that collide. It grows and shrinks by
/// itself.
///
/// Context: process to make and to drop one (`Drop` waits for a resize to end, then drops the
/// references that the table owns); any for the rest.
///
/// # Invariants
///
/// `table` is a live table for keys of the size of `K`. The value of each entry is an `Inner<T>`
/// of which the table owns one reference.
pub struct Table<K: Key, T> {
    table: NonNull<bindings::wg_table>,
    _holds: PhantomData<(K, Shared<T>)>,
}

// SAFETY: The C side synchronises itself; what goes in and out are `Shared<T>`.
unsafe impl<K: Key, T: Send + Sync> Send for Table<K, T> {}
// SAFETY: As above.
unsafe impl<K: Key, T: Send + Sync> Sync for Table<K, T> {}

impl<K: Key, T: Send + Sync + 'static> Table<K, T> {
    /// Makes an empty table.
    ///
    /// Context: process.
    pub fn new() -> Result<Self, AllocError> {
        // SAFETY: Both sizes of keys are those that the C side knows.
        let table = unsafe { bindings::wg_table_new(size_of::<K>() as u32) };
        // INVARIANT: The table is new and empty.
        Ok(Self {
            table: NonNull::new(table).ok_or(AllocError)?,
            _holds: PhantomData,
        })
    }

    /// Looks a key up.
    ///
    /// C counterpart: `rhashtable_lookup`. Context: any.
    #[inline]
    pub fn get<'g>(&self, key: &K, guard: &'g Guard) -> Option<SharedRef<'g, T>> {
        let key: *const K = key;
        // SAFETY: The table is live, the key is of its size and aligned, and the guard is the RCU
        // section that the function wants.
        let value = unsafe { bindings::wg_table_get(self.table.as_ptr(), key.cast()) };
        let inner = NonNull::new(value.cast::<Inner<T>>())?;
        // SAFETY: By the type invariant the table owned a reference when the entry was found.
        Some(unsafe { SharedRef::from_inner(inner, guard) })
    }

    /// Adds an object.
    ///
    /// Fails, and returns the object, with `EEXIST` if the key is there, or if memory is short.
    ///
    /// C counterpart: `rhashtable_lookup_insert_fast`. Context: any, with flags to match.
    pub fn insert(
        &self,
        key: K,
        object: Shared<T>,
        flags: Flags,
    ) -> Result<(), (Error, Shared<T>)> {
        let inner = object.into_inner();
        let mut entry = bindings::wg_table_entry {
            link: [ptr::null_mut(); 3],
            value: inner.as_ptr().cast(),
            key: [0; bindings::WG_TABLE_KEY_MAX as usize],
        };
        // SAFETY: `key` is at most as long as the array, which is aligned for both kinds.
        unsafe { entry.key.as_mut_ptr().cast::<K>().write_unaligned(key) };
        // SAFETY: The reference given up above is taken back, as the table did not get it.
        let give_back = |e| (e, unsafe { Shared::from_inner(inner) });

        let entry = match KBox::new(entry, flags) {
            Ok(entry) => KBox::into_raw(entry),
            Err(_) => return Err(give_back(errno::ENOMEM())),
        };
        // SAFETY: The table is live; the entry is from kmalloc, and nobody else has it.
        let inserted = to_result(unsafe { bindings::wg_table_insert(self.table.as_ptr(), entry) });
        // INVARIANT: On success the table owns the entry, and the reference in it.
        inserted.map_err(|e| {
            // SAFETY: The table did not take the entry, so it is still the box from above.
            drop(unsafe { KBox::from_raw(entry) });
            give_back(e)
        })
    }

    /// Removes an object if it is the one that this key leads to, and returns the table's
    /// reference to it.
    ///
    /// Of several callers with the same arguments, one gets it.
    ///
    /// C counterpart: `rhashtable_remove_fast`. Context: any.
    pub fn remove(&self, key: &K, object: &T) -> Option<Shared<T>> {
        let key: *const K = key;
        // Only an address to compare with.
        let inner = Inner::address_of_box(object);
        // SAFETY: The table is live, the key is of its size and aligned.
        let value = unsafe { bindings::wg_table_remove(self.table.as_ptr(), key.cast(), inner) };
        // SAFETY: If an entry was removed, the reference that the table owned is ours.
        NonNull::new(value.cast::<Inner<T>>()).map(|inner| unsafe { Shared::from_inner(inner) })
    }

    /// The number of entries at this moment.
    ///
    /// Context: any.
    pub fn len(&self) -> usize {
        // SAFETY: The table is live.
        unsafe { bindings::wg_table_len(self.table.as_ptr()) as usize }
    }

    /// Tells whether there is no entry at this moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Drops the reference of one entry when its table goes.
///
/// # Safety
///
/// `value` is an `Inner<T>`; the caller owns one reference of it, and gives it up.
unsafe extern "C" fn put<T>(value: *mut c_void) {
    if let Some(inner) = NonNull::new(value.cast::<Inner<T>>()) {
        // SAFETY: By the requirements of this function.
        drop(unsafe { Shared::from_inner(inner) });
    }
}

impl<K: Key, T> Drop for Table<K, T> {
    fn drop(&mut self) {
        // SAFETY: The table is live, and nobody borrows it any more. Its values are `Inner<T>`, of
        // which it owns a reference each: `put` gets every one once.
        unsafe { bindings::wg_table_destroy(self.table.as_ptr(), Some(put::<T>)) };
    }
}
