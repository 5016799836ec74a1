// SPDX-License-Identifier: GPL-2.0
//! Chains of packets: the batches of the data path.
//!
//! A chain is linked through `skb->next` and costs no memory of its own.

use crate::{
    bindings,
    skb::SkBuff, //
};
use core::{
    marker::PhantomData,
    mem::{self, ManuallyDrop},
    ptr::{self, NonNull}, //
};

/// The place of `next` within a packet.
#[inline]
fn next_of(ptr: NonNull<bindings::sk_buff>) -> *mut *mut bindings::sk_buff {
    ptr.as_ptr()
        .wrapping_byte_add(bindings::wg_skb_layout_WG_SKB_NEXT as usize)
        .cast()
}

/// An owned list of packets in order.
///
/// Any context. Dropping it frees all of the packets as dropped (`kfree_skb_list`).
///
/// # Invariants
///
/// `head` is null if and only if `len` is 0. Otherwise following `next` from `head` visits exactly
/// `len` packets, each owned by this chain like a [`SkBuff`], of which the last is `tail` with a
/// null `next`.
pub struct SkbChain {
    head: *mut bindings::sk_buff,
    tail: *mut bindings::sk_buff,
    len: usize,
}

// SAFETY: Packets are `Send`, and the chain owns its packets.
unsafe impl Send for SkbChain {}
// SAFETY: Through `&SkbChain` packets can only be read.
unsafe impl Sync for SkbChain {}

impl SkbChain {
    /// An empty chain.
    pub const fn new() -> Self {
        // INVARIANT: Empty.
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            len: 0,
        }
    }

    /// Takes over a list linked by `next`.
    ///
    /// # Safety
    ///
    /// `head` must start a null-terminated list of packets, each fulfilling
    /// [`SkBuff::from_raw`] but for being on this list.
    pub(crate) unsafe fn from_list(head: NonNull<bindings::sk_buff>) -> Self {
        let mut tail = head;
        let mut len: usize = 1;
        // SAFETY: By the contract all packets of the list are valid.
        while let Some(next) = NonNull::new(unsafe { *next_of(tail) }) {
            tail = next;
            len = len.wrapping_add(1);
        }
        // INVARIANT: Just counted.
        Self {
            head: head.as_ptr(),
            tail: tail.as_ptr(),
            len,
        }
    }

    /// Gives the list away; null if empty.
    pub(crate) fn into_list(self) -> *mut bindings::sk_buff {
        self.into_ends().0
    }

    /// Gives the list away: its first and last packet, both null if empty.
    pub(crate) fn into_ends(self) -> (*mut bindings::sk_buff, *mut bindings::sk_buff) {
        let chain = ManuallyDrop::new(self);
        (chain.head, chain.tail)
    }

    /// Packets in the chain.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a packet.
    #[inline]
    pub fn push_back(&mut self, skb: SkBuff) {
        let ptr = skb.into_raw();
        if let Some(tail) = NonNull::new(self.tail) {
            // SAFETY: By the type invariant `tail` is valid and ours.
            unsafe { *next_of(tail) = ptr };
        } else {
            self.head = ptr;
        }
        // INVARIANT: The packet's `next` is null by the invariant of `SkBuff`.
        self.tail = ptr;
        self.len = self.len.wrapping_add(1);
    }

    /// Takes the first packet.
    #[inline]
    pub fn pop_front(&mut self) -> Option<SkBuff> {
        let head = NonNull::new(self.head)?;
        // SAFETY: By the type invariant `head` is valid and ours.
        self.head = unsafe { mem::replace(&mut *next_of(head), ptr::null_mut()) };
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        // INVARIANT: One packet fewer.
        self.len = self.len.wrapping_sub(1);
        // SAFETY: The packet was ours and is on no list any more.
        Some(unsafe { SkBuff::from_raw(head) })
    }

    /// Moves all packets of `other` to the end of this chain.
    pub fn append(&mut self, other: &mut SkbChain) {
        if other.is_empty() {
            return;
        }
        if let Some(tail) = NonNull::new(self.tail) {
            // SAFETY: By the type invariant `tail` is valid and ours.
            unsafe { *next_of(tail) = other.head };
        } else {
            self.head = other.head;
        }
        // INVARIANT: Both lists joined; `other` is empty.
        self.tail = other.tail;
        self.len = self.len.wrapping_add(other.len);
        other.head = ptr::null_mut();
        other.tail = ptr::null_mut();
        other.len = 0;
    }

    /// The packets, in order.
    pub fn iter(&self) -> Iter<'_> {
        // SAFETY: By the type invariant a list of packets of ours; the chain is borrowed.
        unsafe { Iter::of_list(&self.head) }
    }

    /// Calls `f` with each packet in order and keeps those for which it returns `true`; the others
    /// are dropped, unless `f` has exchanged them.
    ///
    /// There is no `iter_mut`: a packet that is linked into a chain must not be exchanged or handed
    /// to the network stack, so each one leaves the chain while `f` has it.
    #[inline]
    pub fn retain_mut(&mut self, mut f: impl FnMut(&mut SkBuff) -> bool) {
        let mut kept = SkbChain::new();
        while let Some(mut skb) = self.pop_front() {
            if f(&mut skb) {
                kept.push_back(skb);
            }
        }
        *self = kept;
    }

    /// Calls `f` with each packet in order.
    #[inline]
    pub fn for_each_mut(&mut self, mut f: impl FnMut(&mut SkBuff)) {
        self.retain_mut(|skb| {
            f(skb);
            true
        });
    }

    /// Splits the chain after the first `count` packets and returns those.
    pub fn take_front(&mut self, count: usize) -> SkbChain {
        let mut front = SkbChain::new();
        while front.len < count {
            match self.pop_front() {
                Some(skb) => front.push_back(skb),
                None => break,
            }
        }
        front
    }
}

impl Default for SkbChain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SkbChain {
    fn drop(&mut self) {
        if !self.head.is_null() {
            // SAFETY: We own every packet of the list and give all of them away.
            unsafe { bindings::wg_skb_free_list(self.head) }
        }
    }
}

impl From<SkBuff> for SkbChain {
    fn from(skb: SkBuff) -> Self {
        let mut chain = Self::new();
        chain.push_back(skb);
        chain
    }
}

/// The packets of a list by reference.
///
/// # Invariants
///
/// `slot` points to the head of a list or to the `next` of one of its packets, which are valid and
/// do not change for `'a`; the last has a null `next`.
pub struct Iter<'a> {
    slot: *const *mut bindings::sk_buff,
    chain: PhantomData<&'a SkbChain>,
}

impl<'a> Iter<'a> {
    /// The packets of the list that begins at `head`, which may be null.
    ///
    /// # Safety
    ///
    /// Following `next` from there must visit valid packets that nobody changes for `'a`, the last
    /// of which has a null `next`.
    pub(crate) unsafe fn of_list(head: &'a *mut bindings::sk_buff) -> Self {
        // INVARIANT: By the contract.
        Self {
            slot: head,
            chain: PhantomData,
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a SkBuff;

    fn next(&mut self) -> Option<&'a SkBuff> {
        // SAFETY: By the type invariant the slot is valid and does not change.
        let ptr = NonNull::new(unsafe { *self.slot })?;
        let slot = self.slot;
        // INVARIANT: The `next` of a packet of the list.
        self.slot = next_of(ptr);
        // SAFETY: The slot holds a non-null pointer to a valid packet, and `SkBuff` is a
        // transparent wrapper of such a pointer. Through `&SkBuff` the packet can only be read,
        // which does not depend on its `next`.
        Some(unsafe { &*slot.cast::<SkBuff>() })
    }
}

/// The packets of a chain by value.
pub struct IntoIter(SkbChain);

impl Iterator for IntoIter {
    type Item = SkBuff;

    fn next(&mut self) -> Option<SkBuff> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len, Some(self.0.len))
    }
}

impl IntoIterator for SkbChain {
    type Item = SkBuff;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self)
    }
}

impl<'a> IntoIterator for &'a SkbChain {
    type Item = &'a SkBuff;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
