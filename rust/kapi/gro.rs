// SPDX-License-Identifier: GPL-2.0
//! Handing received inner packets to the stack.
//!
//! C header: [`include/net/gro_cells.h`](srctree/include/net/gro_cells.h)

use core::time::Duration;

use crate::{
    bindings,
    chain::SkbChain,
    netdev::NetDevice,
    rcu,
    skb::SkBuff, //
};

impl NetDevice {
    /// Delivers an inner packet ([`SkBuff::set_inner`]) as received by this device, through generic
    /// receive offload. It is dropped (`rx_dropped`) if the device is down or this CPU's queue
    /// full.
    ///
    /// Process or BH context. Counts nothing else: see [`NetDevice::tstats_rx`]. C:
    /// `gro_cells_receive`.
    pub fn gro_receive(&self, skb: SkBuff) {
        self.gro_receive_chain(SkbChain::from(skb));
    }

    /// The same for a batch: in order, and on one CPU, so that its packets can be merged.
    pub fn gro_receive_chain(&self, chain: SkbChain) {
        // SAFETY: The device is valid, so its cells are; the list is given away.
        unsafe { bindings::wg_netdev_gro_receive(self.as_ptr(), chain.into_list()) }
    }

    /// Waits until what other CPUs were given to deliver that way before has gone up the stack, for
    /// at most `limit`. False if that was not enough.
    ///
    /// Where this device does without generic receive offload, it does not wait for what is in the
    /// backlog of a CPU. Process context, and nothing that forbids to sleep. C:
    /// `napi_struct.state`.
    pub fn settle(&self, limit: Duration) -> bool {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        // SAFETY: The device is valid, so its cells are.
        unsafe { bindings::wg_netdev_gro_settle(self.as_ptr(), limit) }
    }

    /// The same as [`Self::gro_receive_chain`], but all of the batch has gone up the stack, or been
    /// dropped, when this returns: whatever is delivered after it, on any CPU, comes later.
    ///
    /// Process context with BH disabled: the stack runs on the caller's, and a softirq may be deep
    /// in one already. C: `gro_receive_skb`, `netif_receive_skb_list`.
    pub fn deliver_chain(&self, chain: SkbChain, _guard: &rcu::Guard) {
        // SAFETY: The device is valid; the list is given away; within RCU by the guard.
        unsafe { bindings::wg_netdev_deliver(self.as_ptr(), chain.into_list()) }
    }
}
