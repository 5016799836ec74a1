// SPDX-License-Identifier: GPL-2.0
//! GSO packets that become many messages in one pass.

use super::SkBuff;
use crate::{
    bindings,
    chain::SkbChain,
    netdev::NetDevice, //
};
use core::ptr::{self, NonNull};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// How a GSO packet divides into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Number of segments, at least 2 and at most 65,535.
    pub segments: u16,
    /// Bytes of every segment but the last, from its IP header on.
    pub full: usize,
    /// Bytes of the last one.
    pub last: usize,
}

impl SkBuff {
    /// How the packet divides, if it is one that [`Self::seal_gso`] can take: TCP or UDP right
    /// behind an IP header without options, with checksums left open. Computes its flow hash, too.
    ///
    /// Others are for [`Self::segment`]. BH disabled or process context.
    pub fn gso(&mut self, dev: &NetDevice) -> Option<Gso> {
        let mut info = bindings::wg_gso_info {
            messages: 0,
            full: 0,
            last: 0,
        };
        // SAFETY: All are valid, and the packet is ours.
        if !unsafe { bindings::wg_skb_gso_info(self.as_ptr(), dev.as_ptr(), &mut info) } {
            return None;
        }
        Some(Gso {
            segments: u16::try_from(info.messages).ok()?,
            full: info.full as usize,
            last: info.last as usize,
        })
    }

    /// Has the TCP socket that a GSO packet comes from, if any, make its next ones so that they fit
    /// one outgoing packet, where they would need a second one for what little is left. `text` are
    /// the bytes of a segment with padding.
    ///
    /// Softirqs off. C: `sk->sk_gso_max_segs`.
    pub fn fit_train(&self, text: usize) {
        let Ok(text) = u32::try_from(text) else {
            return;
        };
        // SAFETY: The packet is valid and ours, and GSO or not; it keeps its socket alive.
        unsafe { bindings::wg_skb_fit_train(self.as_ptr(), text) }
    }

    /// Turns a GSO packet into messages as [`Self::seal`] would make them of its segments, but
    /// without a packet for each: they come as UDP GSO packets of many messages, all of one size
    /// but the last of each packet, and are ready for [`udp::send`](crate::udp::send).
    ///
    /// The texts have `full_text` bytes with padding, that of the last segment `last_text`. The
    /// messages have nonces from `nonce` on; `header` goes in front of each, its last eight bytes
    /// being the nonce in little-endian order. Process or BH context.
    ///
    /// # Errors
    ///
    /// The packet as it was, with `ENOMEM`, or `EINVAL` if [`Self::gso`] says nothing of it or the
    /// padding is more than 16 bytes. Some of the nonces may have been used.
    pub fn seal_gso(
        self,
        dev: &NetDevice,
        header: &[u8; 16],
        full_text: usize,
        last_text: usize,
        nonce: u64,
        key: &[u8; 32],
    ) -> Result<SkbChain, (Error, SkBuff)> {
        let (Ok(full), Ok(last)) = (u32::try_from(full_text), u32::try_from(last_text)) else {
            return Err((EINVAL, self));
        };
        let mut head = ptr::null_mut();
        // SAFETY: All are valid, header and key have the lengths that the helper reads, and the
        // packet is ours; on success the helper took our reference.
        let errno = unsafe {
            bindings::wg_skb_seal_gso(
                self.as_ptr(),
                dev.as_ptr(),
                header.as_ptr(),
                full,
                last,
                nonce,
                key.as_ptr(),
                &mut head,
            )
        };
        match (to_result(errno), NonNull::new(head)) {
            (Ok(()), Some(head)) => {
                let _ = self.into_raw();
                // SAFETY: On success `head` is a list of packets, linked by `next`, owned by us.
                Ok(unsafe { SkbChain::from_list(head) })
            }
            (Ok(()), None) => Err((EINVAL, self)),
            (Err(error), _) => Err((error, self)),
        }
    }

    /// Messages in a packet that is ready to be sent.
    #[inline]
    pub fn messages(&self) -> usize {
        // SAFETY: The packet is valid.
        unsafe { bindings::wg_skb_messages(self.as_ptr()) as usize }
    }
}
