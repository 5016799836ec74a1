// SPDX-License-Identifier: GPL-2.0
//! Telling a sender that its packet leads nowhere.
//!
//! C headers: [`include/net/icmp.h`](srctree/include/net/icmp.h),
//! [`include/linux/icmpv6.h`](srctree/include/linux/icmpv6.h)

use crate::{
    bindings,
    netdev::NetDevice,
    skb::SkBuff, //
};

/// Answers an inner packet, still as `dev` was given it to send, with "host unreachable" (IPv4) or
/// "address unreachable" (IPv6). A source address that connection tracking had rewritten is put
/// back first. Nothing happens for other packets.
///
/// BH disabled or process context. C: `icmp_ndo_send`, `icmpv6_ndo_send`.
pub fn host_unreachable(skb: &mut SkBuff, dev: &NetDevice) {
    // SAFETY: Both are valid, and the packet is ours.
    unsafe { bindings::wg_icmp_unreachable(skb.as_ptr(), dev.as_ptr()) }
}
