// SPDX-License-Identifier: GPL-2.0
//! Queues that do not grow long.
//!
//! C headers: [`include/net/codel.h`](srctree/include/net/codel.h),
//! [`include/net/codel_impl.h`](srctree/include/net/codel_impl.h)

use crate::{
    bindings,
    chain::{self, SkbChain},
    skb::{Cb, SkBuff}, //
};
use core::{
    mem::{self, MaybeUninit},
    ptr::{self, NonNull}, //
};

/// Packets that wait for their turn, at most for some milliseconds in the long run: CoDel (RFC
/// 8289), with the usual 5 ms of wait in 100 ms.
///
/// Packets are UDP datagrams or trains of them as they came from the network, headers in place.
/// They keep their [`Cb`](crate::skb::Cb). Any context but hard interrupts. `Drop` frees the
/// packets as dropped.
///
/// # Invariants
///
/// Following `next` from `raw.head` visits packets that are each owned by this queue like a
/// [`SkBuff`], the last of which is `raw.tail` with a null `next`; both are null if there is none.
/// `raw.bytes` is the sum of their lengths.
pub struct DelayQueue {
    raw: bindings::wg_delay_queue,
}

// SAFETY: Packets are `Send`, and the queue owns its packets.
unsafe impl Send for DelayQueue {}

impl DelayQueue {
    /// Empty.
    pub fn new() -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: Valid for writing.
        unsafe { bindings::wg_delay_queue_init(raw.as_mut_ptr()) };
        // INVARIANT: Empty.
        Self {
            // SAFETY: Just initialised.
            raw: unsafe { raw.assume_init() },
        }
    }

    /// Bytes that wait.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.raw.bytes as usize
    }

    /// Appends a packet.
    ///
    /// # Errors
    ///
    /// The packet, if there would be more than `u32::MAX` bytes.
    #[inline]
    pub fn push(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        const { assert!(size_of::<Cb>() <= bindings::wg_skb_layout_WG_SKB_CB_NOTE as usize) };
        let fits = u32::try_from(skb.len())
            .ok()
            .and_then(|len| self.raw.bytes.checked_add(len));
        if fits.is_none() {
            return Err(skb);
        }
        // INVARIANT: It becomes the last one, its `next` being null by the invariant of `SkBuff`.
        // SAFETY: The queue is consistent by the type invariant and ours alone; the packet is on no
        // list and given away.
        unsafe { bindings::wg_delay_queue_push(&mut self.raw, skb.into_raw()) };
        Ok(())
    }

    /// Takes the first packet that is not to be dropped, and appends those that are to `dropped`.
    /// The number says how many messages at the front of that packet, which is a train of more if
    /// it is not 0, are to be dropped as well: by the caller. Packets of senders that know of
    /// congestion marks (ECN) are marked instead.
    #[inline]
    pub fn pop(&mut self, dropped: &mut SkbChain) -> Option<(SkBuff, usize)> {
        let mut list = ptr::null_mut();
        let mut cut = 0;
        // INVARIANT: Packets leave from the front.
        // SAFETY: The queue is consistent by the type invariant and ours alone. It has IP headers
        // in its packets, as the type demands.
        let skb = unsafe { bindings::wg_delay_queue_pop(&mut self.raw, &mut list, &mut cut) };
        if let Some(list) = NonNull::new(list) {
            // SAFETY: A list of packets of ours, which have left the queue.
            dropped.append(&mut unsafe { SkbChain::from_list(list) });
        }
        // SAFETY: A packet of ours that has left the queue and is on no list.
        let skb = unsafe { SkBuff::from_raw(NonNull::new(skb)?) };
        Some((skb, cut as usize))
    }

    /// The packets that wait, in order.
    #[inline]
    pub fn iter(&self) -> chain::Iter<'_> {
        // SAFETY: By the type invariant a list of packets of ours; the queue is borrowed.
        unsafe { chain::Iter::of_list(&self.raw.head) }
    }

    /// Takes out those packets that `pick` says, in order. The others keep their place and their
    /// age. Visits all.
    pub fn extract(&mut self, mut pick: impl FnMut(&SkBuff) -> bool) -> SkbChain {
        let mut picked = SkbChain::new();
        let mut kept = SkbChain::new();
        let mut bytes = self.raw.bytes;
        // INVARIANT: Empty, until what is kept comes back below.
        let head = mem::replace(&mut self.raw.head, ptr::null_mut());
        self.raw.tail = ptr::null_mut();
        self.raw.bytes = 0;
        if let Some(head) = NonNull::new(head) {
            // SAFETY: A list of packets of ours, which have left the queue.
            for skb in unsafe { SkbChain::from_list(head) } {
                if pick(&skb) {
                    // The sum had the length of each, which fits (`push`).
                    bytes = bytes.wrapping_sub(skb.len() as u32);
                    picked.push_back(skb);
                } else {
                    kept.push_back(skb);
                }
            }
        }
        self.raw.shared &= !kept.is_empty();
        // INVARIANT: A list of packets that are given to the queue, and the sum of their lengths.
        (self.raw.head, self.raw.tail) = kept.into_ends();
        self.raw.bytes = bytes;
        picked
    }
}

impl Default for DelayQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for DelayQueue {
    fn drop(&mut self) {
        if let Some(head) = NonNull::new(self.raw.head) {
            // SAFETY: By the type invariant a list of packets of ours.
            drop(unsafe { SkbChain::from_list(head) });
        }
    }
}
