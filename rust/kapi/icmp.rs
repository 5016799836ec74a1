// SPDX-License-Identifier: GPL-2.0
//! Telling a sender that its packet leads nowhere.
//!
//! C headers: [`include/net/icmp.h`](srctree/include/net/icmp.h),
//! [`include/linux/icmpv6.h`](srctree/include/linux/icmpv6.h)

use crate::{
    bindings,
    skb::SkBuff, //
};

/// Answers an inner packet, still as `ndo_start_xmit` got it, with "host unreachable" (IPv4) or
/// "address unreachable" (IPv6). A source address that connection tracking had rewritten is put back
/// first. Nothing happens for other packets.
///
/// BH disabled or process context. C: `icmp_ndo_send`, `icmpv6_ndo_send`.
pub fn host_unreachable(skb: &mut SkBuff) {
    // SAFETY: The packet is valid and ours.
    unsafe { bindings::wg_icmp_unreachable(skb.as_ptr()) }
}
