// SPDX-License-Identifier: GPL-2.0
//! Trains: datagrams of one sender that arrive as one UDP GSO packet.

use super::SkBuff;
use crate::{
    bindings,
    errno,
    netdev::NetDevice, //
};
use core::{
    num::NonZeroUsize,
    ptr::{self, NonNull}, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

impl SkBuff {
    /// The size of every datagram of a train but the last, which may be shorter; `None` for a
    /// single datagram.
    #[inline]
    pub fn train_size(&self) -> Option<NonZeroUsize> {
        // SAFETY: The packet is valid.
        NonZeroUsize::new(unsafe { bindings::wg_skb_train_size(self.as_ptr()) } as usize)
    }

    /// The packet as a train, to take its datagrams out of it.
    #[inline]
    pub fn train(&mut self) -> Train<'_> {
        let mut at: bindings::wg_train = pin_init::zeroed();
        // SAFETY: Both are valid.
        unsafe { bindings::wg_train_begin(self.as_ptr(), &mut at) };
        // INVARIANT: The packet is borrowed for as long as this lives.
        Train { skb: self, at }
    }
}

/// A train that is being taken apart.
///
/// # Invariants
///
/// `at` describes `skb`, which nobody changes meanwhile but through this object.
pub struct Train<'a> {
    skb: &'a mut SkBuff,
    at: bindings::wg_train,
}

impl Train<'_> {
    /// Bytes of all datagrams.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.skb.len()
    }

    /// Copies the `N` bytes of data from `offset` on; `None` if there are fewer.
    #[inline]
    pub fn read_at<const N: usize>(&mut self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let offset = u32::try_from(offset).ok()?;
        let len = u32::try_from(N).ok()?;
        let (skb, to) = (self.skb.as_ptr(), bytes.as_mut_ptr());
        // SAFETY: Packet and place are valid and belong together, and there are N bytes to be
        // written; the helper checks the rest.
        unsafe { bindings::wg_train_read(skb, &mut self.at, offset, to, len) }.then_some(bytes)
    }

    /// The hash of the flow of the packet in the message whose text, without header and tag, is
    /// `len` bytes of data from `offset` on; `None` if that cannot be told: a fragment, headers
    /// that are long or not known to the kernel. Nothing is authentic and nothing is written: good
    /// for a guess about what to do first. RCU read lock.
    ///
    /// C: `__skb_flow_dissect`, `flow_hash_from_keys`.
    pub fn flow_at(
        &mut self,
        offset: usize,
        len: usize,
        nonce: u64,
        key: &[u8; 32],
        dev: &NetDevice,
    ) -> Option<u32> {
        let (offset, len) = (u32::try_from(offset).ok()?, u32::try_from(len).ok()?);
        let mut hash = 0;
        // SAFETY: Packet and place are valid and belong together, the key has the length that the
        // helper reads, and the device exists; the helper checks the rest.
        unsafe {
            bindings::wg_train_flow(
                self.skb.as_ptr(),
                &mut self.at,
                offset,
                len,
                nonce,
                key.as_ptr(),
                dev.as_ptr(),
                &mut hash,
            )
        }
        .then_some(hash)
    }

    /// Makes a packet of its own of `len` bytes of data from `offset` on; `None` if there are fewer
    /// or memory is short. Any context.
    pub fn extract(&self, offset: usize, len: usize) -> Option<SkBuff> {
        let (offset, len) = (u32::try_from(offset).ok()?, u32::try_from(len).ok()?);
        // SAFETY: The packet is valid; the helper checks the rest.
        let copy = unsafe { bindings::wg_skb_extract(self.skb.as_ptr(), offset, len) };
        // SAFETY: A fresh packet on no list, which is ours.
        Some(unsafe { SkBuff::from_raw(NonNull::new(copy)?) })
    }

    /// As [`SkBuff::open`], for the message in `len` bytes of data from `offset` on: the plaintext
    /// comes as a packet of its own.
    ///
    /// The message and what is before it are arbitrary afterwards: open the messages of a train in
    /// order. Memory that others may see (clones, fragments of files) is never written. BH
    /// disabled.
    ///
    /// # Errors
    ///
    /// `EBADMSG` if the message is not authentic or too short, `ENOMEM`.
    pub fn open_at(
        &mut self,
        offset: usize,
        len: usize,
        header_len: usize,
        nonce: u64,
        key: &[u8; 32],
    ) -> Result<SkBuff> {
        let lengths = (
            u32::try_from(offset),
            u32::try_from(len),
            u32::try_from(header_len),
        );
        let (Ok(offset), Ok(len), Ok(header_len)) = lengths else {
            return Err(errno::EBADMSG());
        };
        let mut opened = ptr::null_mut();
        // SAFETY: Packet and place are valid and belong together, and the key has the length that
        // the helper reads; the helper checks the rest.
        to_result(unsafe {
            bindings::wg_train_open(
                self.skb.as_ptr(),
                &mut self.at,
                offset,
                len,
                header_len,
                nonce,
                key.as_ptr(),
                &mut opened,
            )
        })?;
        let opened = NonNull::new(opened).ok_or(ENOMEM)?;
        // SAFETY: A fresh packet on no list, which is ours.
        Ok(unsafe { SkBuff::from_raw(opened) })
    }
}
