// SPDX-License-Identifier: GPL-2.0
//! Handing received inner packets to the stack.
//!
//! C header: [`include/net/gro_cells.h`](srctree/include/net/gro_cells.h)

use crate::{
    bindings,
    chain::SkbChain,
    netdev::NetDevice,
    rcu,
    skb::SkBuff, //
};

impl NetDevice {
    /// Delivers an inner packet ([`SkBuff::set_inner`]) as received by this device, through generic
    /// receive offload. It is dropped (`rx_dropped`) if the device is down or this CPU's queue full.
    ///
    /// Process or BH context. Counts nothing else: see [`NetDevice::tstats_rx`]. C: `gro_cells_receive`.
    pub fn gro_receive(&self, skb: SkBuff) {
        self.gro_receive_chain(SkbChain::from(skb));
    }

    /// The same for a batch: in order, and on one CPU, so that its packets can be merged.
    pub fn gro_receive_chain(&self, chain: SkbChain) {
        // SAFETY: The device is valid, so its cells are; the list is given away.
        unsafe { bindings::wg_netdev_gro_receive(self.as_ptr(), chain.into_list()) }
    }

    /// The same, but all of the batch has gone up the stack, or been dropped, when this returns:
    /// whatever is delivered after it, on any CPU, comes later.
    ///
    /// Process context with BH disabled: the stack runs on the caller's, and a softirq may be deep in
    /// one already. C: `gro_receive_skb`, `netif_receive_skb_list`.
    pub fn deliver_chain(&self, chain: SkbChain, _guard: &rcu::Guard) {
        // SAFETY: The device is valid; the list is given away; within RCU by the guard.
        unsafe { bindings::wg_netdev_deliver(self.as_ptr(), chain.into_list()) }
    }
}
