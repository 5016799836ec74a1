// SPDX-License-Identifier: GPL-2.0
//! What a tunnel does to a packet on its way out.

use super::SkBuff;
use crate::{
    bindings,
    chain::SkbChain,
    netdev::NetDevice, //
};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr::{self, NonNull}, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What the IP header of an inner packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpInfo {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// DS field: DSCP in the upper six bits, ECN in the lower two.
    pub ds: u8,
}

impl IpInfo {
    /// Whether the packet is IPv4 (else IPv6).
    pub fn is_ipv4(&self) -> bool {
        self.destination.is_ipv4()
    }

    pub(super) fn from_raw(raw: &bindings::wg_ip_info) -> Self {
        let address = |bytes: [u8; 16]| {
            if raw.version == 4 {
                let [a, b, c, d, ..] = bytes;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            } else {
                IpAddr::V6(Ipv6Addr::from(bytes))
            }
        };
        Self {
            source: address(raw.source),
            destination: address(raw.destination),
            ds: raw.ds,
        }
    }
}

/// The outer DS field for an inner one: DSCP 0, ECN by RFC 6040 (congestion experienced inside
/// becomes ECT(0) outside). C: `INET_ECN_encapsulate(0, inner)`.
#[inline]
pub fn ecn_encapsulate(inner_ds: u8) -> u8 {
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    match inner_ds & 3 {
        CE => ECT_0,
        ecn => ecn,
    }
}

impl SkBuff {
    /// The IP header of a packet to be sent, if there is a whole one in the linear part and its
    /// version agrees with `skb->protocol`.
    ///
    /// C: `ip_tunnel_parse_protocol`.
    pub fn ip_header(&self) -> Option<IpInfo> {
        let mut raw: bindings::wg_ip_info = pin_init::zeroed();
        // SAFETY: Both pointers are valid.
        if unsafe { bindings::wg_skb_ip_info(self.as_ptr(), &mut raw) } {
            Some(IpInfo::from_raw(&raw))
        } else {
            None
        }
    }

    /// The MTU of the route that led the packet here, or of the device if it has no real route.
    ///
    /// C: `dst_mtu`, `skb_valid_dst`.
    pub fn route_mtu(&self, dev: &NetDevice) -> u32 {
        // SAFETY: Both pointers are valid.
        unsafe { bindings::wg_skb_route_mtu(self.as_ptr(), dev.as_ptr()) }
    }

    /// Forgets the route. C: `skb_dst_drop`.
    pub fn drop_dst(&mut self) {
        // SAFETY: The packet is valid and ours.
        unsafe { bindings::wg_skb_drop_dst(self.as_ptr()) }
    }

    /// Detaches the packet from its socket. C: `skb_orphan`.
    pub fn orphan(&mut self) {
        // SAFETY: The packet is valid and ours.
        unsafe { bindings::wg_skb_orphan(self.as_ptr()) }
    }

    /// Makes plain packets of a GSO packet that `dev` was given to send (all checksums complete),
    /// in order; a packet that is not GSO comes back alone. Each one carries the hash of its flow.
    ///
    /// BH disabled. C: `skb_gso_segment(skb, 0)`, `skb_get_hash`.
    ///
    /// # Errors
    ///
    /// The reason and the untouched packet.
    pub fn segment(self, dev: &NetDevice) -> Result<SkbChain, (Error, SkBuff)> {
        let mut head = ptr::null_mut();
        // SAFETY: Both are valid, and the packet is ours; on success the helper took our reference.
        let errno = unsafe { bindings::wg_skb_segment(self.as_ptr(), dev.as_ptr(), &mut head) };
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

    /// Computes a checksum that was left to the device. C: `skb_checksum_help`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINVAL` for a packet whose checksum fields make no sense.
    pub fn checksum_complete(&mut self) -> Result {
        // SAFETY: The packet is valid and ours.
        to_result(unsafe { bindings::wg_skb_checksum_complete(self.as_ptr()) })
    }

    /// Turns the packet into a message: completes its checksum, pads it with `pad` zero bytes,
    /// encrypts and authenticates it (ChaCha20-Poly1305, no additional data) and puts `header` in
    /// front. Afterwards the packet is clean for the outer stack: of the inner packet only the flow
    /// hash, the owning socket and [`SkBuff::cb`] remain.
    ///
    /// Works in place when the packet is linear, private and has the room, else its content is
    /// copied once into a buffer that does. Any context but hard interrupts.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EMSGSIZE` (no such packet can exist), `EINVAL` (a GSO packet). The content is
    /// unspecified then: drop the packet.
    pub fn seal(&mut self, header: &[u8; 16], pad: usize, nonce: u64, key: &[u8; 32]) -> Result {
        let pad = u32::try_from(pad).map_err(|_| EMSGSIZE)?;
        // SAFETY: The packet is valid and ours; header and key have the lengths that the helper
        // reads.
        to_result(unsafe {
            bindings::wg_skb_seal(self.as_ptr(), header.as_ptr(), pad, nonce, key.as_ptr())
        })
    }
}
