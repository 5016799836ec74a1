// SPDX-License-Identifier: GPL-2.0
//! Small packets that become the messages of one outgoing packet.

use super::SkBuff;
use crate::{
    bindings,
    chain::SkbChain, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// How many messages with texts of `text` bytes one outgoing packet can have; 0 if the text is too
/// long for a run.
#[inline]
pub fn run_limit(text: usize) -> usize {
    // SAFETY: No preconditions.
    u32::try_from(text).map_or(0, |text| unsafe {
        bindings::wg_skb_run_most(text) as usize
    })
}

impl SkBuff {
    /// Whether its socket wants to be told when just this packet has left, so that it must not
    /// become part of another one. C: `SKBTX_ANY_TSTAMP`.
    #[inline]
    pub fn is_stamped(&self) -> bool {
        // SAFETY: The packet is valid.
        unsafe { bindings::wg_skb_is_stamped(self.as_ptr()) }
    }

    /// Whether it may become part of the outgoing packet that `first` is in: it is not stamped
    /// ([`Self::is_stamped`]), and it is due when `first` is, within 100 us. C: `skb->tstamp`.
    #[inline]
    pub fn leaves_with(&self, first: &Self) -> bool {
        // SAFETY: Both packets are valid.
        unsafe { bindings::wg_skb_leaves_with(self.as_ptr(), first.as_ptr()) }
    }

    /// The hash of the packet's flow, as [`Self::segment`] or [`Self::gso`] computed it.
    #[inline]
    pub fn flow_hash(&self) -> u32 {
        // SAFETY: The packet is valid.
        unsafe { bindings::wg_skb_hash(self.as_ptr()) }
    }
}

impl SkbChain {
    /// Turns the packets of the chain into messages as [`SkBuff::seal`] would, but copies them into
    /// one UDP GSO packet that is ready for [`udp::send`](crate::udp::send).
    ///
    /// The texts have `full` bytes with padding, that of the last packet `last`, which is not more.
    /// There may be [`run_limit`] of them. The messages have nonces from `nonce` on; `header` goes
    /// in front of each, its last eight bytes being the nonce in little-endian order. The flow hash
    /// is that of the first packet. Process or BH context.
    ///
    /// # Errors
    ///
    /// The packets as they were if memory is short or the lengths do not fit. Some of the nonces
    /// may have been used then, for just these packets.
    pub fn seal_run(
        self,
        header: &[u8; 16],
        full: usize,
        last: usize,
        nonce: u64,
        key: &[u8; 32],
    ) -> Result<SkBuff, SkbChain> {
        let lengths = (
            u32::try_from(self.len()),
            u32::try_from(full),
            u32::try_from(last),
        );
        let (Ok(count), Ok(full), Ok(last)) = lengths else {
            return Err(self);
        };
        let list = self.into_list();
        // SAFETY: `list` has `count` packets of ours, header and key have the lengths that the
        // helper reads.
        let sealed = unsafe {
            bindings::wg_skb_seal_run(
                list,
                count,
                header.as_ptr(),
                full,
                last,
                nonce,
                key.as_ptr(),
            )
        };
        match (NonNull::new(sealed), NonNull::new(list)) {
            // SAFETY: On success the helper took the list and gives a packet of ours, which is on
            // no list and has no device and no route.
            (Some(sealed), _) => Ok(unsafe { SkBuff::from_raw(sealed) }),
            // SAFETY: On failure the list is ours as before.
            (None, Some(list)) => Err(unsafe { SkbChain::from_list(list) }),
            (None, None) => Err(SkbChain::new()),
        }
    }

    /// The first packet.
    #[inline]
    pub fn front(&self) -> Option<&SkBuff> {
        self.iter().next()
    }
}
