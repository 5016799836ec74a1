// SPDX-License-Identifier: GPL-2.0
//! What a tunnel does to a packet on its way in.

use super::{
    transmit::IpInfo,
    SkBuff, //
};
use crate::{
    bindings,
    endpoint::Endpoint,
    errno, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What the outer headers of a received packet said.
#[derive(Clone, Copy)]
pub struct Outer {
    /// Who sent it, and how this end was addressed.
    pub from: Endpoint,
    /// DS field of the outer IP header.
    pub ds: u8,
}

/// A checked inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl SkBuff {
    /// Checks the IP and UDP headers of a packet that a UDP socket received, notes what they say
    /// and leaves the UDP payload, exactly, as the packet's data.
    ///
    /// `None`: malformed; drop it. BH disabled.
    pub fn udp_payload(&mut self) -> Option<Outer> {
        let mut from = Endpoint::default();
        let mut ds = 0;
        // SAFETY: The packet is valid and ours, the out parameters are writable.
        unsafe { bindings::wg_skb_udp_payload(self.as_ptr(), from.as_mut_raw(), &mut ds) }
            .then_some(Outer { from, ds })
    }

    /// Notes who sent the packet, in the place of [`SkBuff::cb`], for a later look at it.
    pub fn note_sender(&mut self, sender: &Endpoint) {
        const { assert!(size_of::<bindings::wg_endpoint>() <= 48) };
        const { assert!(align_of::<bindings::wg_endpoint>() <= 8) };
        // SAFETY: `cb` has 48 bytes at alignment 8, which is enough as asserted, and the packet is
        // ours to write; the endpoint is valid for reads.
        unsafe {
            self.as_ptr()
                .byte_add(bindings::wg_skb_layout_WG_SKB_CB as usize)
                .cast::<bindings::wg_endpoint>()
                .write(*sender.as_raw())
        }
    }

    /// What [`Self::note_sender`] noted; arbitrary, but an endpoint, if that was not called.
    pub fn noted_sender(&self) -> Endpoint {
        // SAFETY: As above; the structure is made of integers, so any bytes will do.
        let raw = unsafe {
            self.as_ptr()
                .byte_add(bindings::wg_skb_layout_WG_SKB_CB as usize)
                .cast::<bindings::wg_endpoint>()
                .read()
        };
        Endpoint::from_raw(raw)
    }

    /// The first `N` bytes of data, pulled into the linear part where needed; `None` if there are
    /// fewer or memory is short. C: `pskb_may_pull`.
    #[inline]
    pub fn header<const N: usize>(&mut self) -> Option<&[u8; N]> {
        if self.head().len() < N {
            self.pull_check(N)?;
        }
        self.head().first_chunk()
    }

    /// All the data in one piece; `None` if memory is short. For handshake messages: large packets
    /// would be copied. C: `pskb_may_pull`.
    pub fn payload(&mut self) -> Option<&[u8]> {
        let len = self.len();
        if self.head().len() < len {
            self.pull_check(len)?;
        }
        Some(self.head())
    }

    fn pull_check(&mut self, len: usize) -> Option<()> {
        let len = u32::try_from(len).ok()?;
        // SAFETY: The packet is valid and ours.
        unsafe { bindings::wg_skb_pull_check(self.as_ptr(), len) }.then_some(())
    }

    /// Opens a message: authenticates and decrypts what follows the first `header_len` bytes
    /// (ChaCha20-Poly1305, no additional data), then strips header and tag.
    ///
    /// The data is now the plaintext, linear. Memory that others may see (clones, fragments) is
    /// never written: then the plaintext lands in a buffer of its own. [`SkBuff::cb`] is kept. Any
    /// context but hard interrupts.
    ///
    /// # Errors
    ///
    /// `EBADMSG` if the message is not authentic or too short, `ENOMEM`: drop the packet.
    pub fn open(&mut self, header_len: usize, nonce: u64, key: &[u8; 32]) -> Result {
        let header_len = u32::try_from(header_len).map_err(|_| errno::EBADMSG())?;
        let mut result = 0;
        // SAFETY: The packet is valid and ours, `key` has the length that the helper reads. The
        // helper takes our reference and returns one, of the same packet or of its replacement.
        let ptr = unsafe {
            bindings::wg_skb_open(self.as_ptr(), header_len, nonce, key.as_ptr(), &mut result)
        };
        if let Some(ptr) = NonNull::new(ptr) {
            // SAFETY: As above; the returned packet is on no list.
            unsafe { self.replace_raw(ptr) };
        }
        to_result(result)
    }

    /// The first bytes of the plaintext: at most 40, enough for an IPv6 header.
    #[inline]
    pub fn plaintext_prefix(&self) -> &[u8] {
        let head = self.plaintext();
        head.get(..40).unwrap_or(head)
    }

    /// The plaintext of a message that was opened, which is in one piece.
    #[inline]
    pub fn plaintext(&self) -> &[u8] {
        self.head()
    }

    /// Makes an opened message the inner packet that it carries: `len` bytes of `inner`, clean of
    /// everything that the outer packet left behind, marked as already checked. `fresh`: it comes
    /// from [`Train::open_at`](super::Train::open_at), so there is nothing to clean.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the data is shorter than `len` or `len` shorter than an IP header.
    pub fn set_inner(&mut self, inner: Inner, len: usize, fresh: bool) -> Result {
        let len = u32::try_from(len).map_err(|_| EINVAL)?;
        let version = match inner {
            Inner::V4 => 4,
            Inner::V6 => 6,
        };
        // SAFETY: The packet is valid and ours.
        if unsafe { bindings::wg_skb_set_inner(self.as_ptr(), version, len, fresh) } {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// The addresses of an inner packet after [`Self::set_inner`].
    pub fn inner_header(&self) -> Option<IpInfo> {
        self.ip_header()
    }

    /// Carries congestion marks of the outer header over to the inner one by RFC 6040, after
    /// [`Self::set_inner`]. A combination that the RFC would drop leaves the packet as it is.
    ///
    /// C: `INET_ECN_decapsulate`.
    #[inline]
    pub fn ecn_decapsulate(&mut self, outer_ds: u8) {
        // A sender that does not take part has nothing to say.
        if outer_ds & 3 == 0 {
            return;
        }
        // SAFETY: The packet is valid and ours.
        unsafe { bindings::wg_skb_ecn_decapsulate(self.as_ptr(), outer_ds) }
    }
}
