// SPDX-License-Identifier: GPL-2.0
//! Lanes: where datagrams wait for the driver, and how inner packets go up the stack.
//!
//! The sockets of a device put what comes into one of some dozen lanes, each of which has a NAPI
//! instance. What one sender sent is in one lane, in order, and one CPU at a time works on it:
//! [`Driver::receive`].
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/gro.h`](srctree/include/net/gro.h)
//!
//! [`Driver::receive`]: crate::netdev::Driver::receive

use core::ptr::NonNull;

use kernel::types::{
    NotThreadSafe,
    Opaque, //
};

use crate::{
    bindings,
    chain::SkbChain,
    netdev::NetDevice,
    rcu, //
};

/// The lane that [`Driver::receive`] is called for.
///
/// It cannot leave that call: it is lent, and neither `Send` nor `Sync`.
///
/// # Invariants
///
/// The caller is within the poll function of its NAPI instance: BH disabled, RCU read lock, and
/// nobody else works on it.
///
/// [`Driver::receive`]: crate::netdev::Driver::receive
#[repr(transparent)]
pub struct Lane(Opaque<bindings::wg_lane>, NotThreadSafe);

impl Lane {
    /// # Safety
    ///
    /// `ptr` must be the lane whose poll function calls, and `'a` end before that returns.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::wg_lane) -> &'a Self {
        // INVARIANT: By the contract.
        // SAFETY: By the contract, and `Lane` is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }

    /// Delivers inner packets ([`SkBuff::set_inner`]) as received by the device, through generic
    /// receive offload: what can be put together goes up the stack later, at the end of the poll
    /// or with [`Lane::flush`]. They are dropped (`rx_dropped`) if the device is down.
    ///
    /// Counts nothing else: see [`NetDevice::tstats_rx`]. C: `napi_gro_receive`.
    ///
    /// [`SkBuff::set_inner`]: crate::skb::SkBuff::set_inner
    pub fn deliver(&self, chain: SkbChain) {
        // SAFETY: By the type invariant we are within its poll function; the list is given away.
        unsafe { bindings::wg_lane_deliver(self.0.get(), chain.into_list()) }
    }

    /// Passes up the stack what was delivered before and is still here: whatever is delivered
    /// after it, on any CPU, comes later. Costs nothing if there is nothing. C: `napi_gro_flush`.
    pub fn flush(&self) {
        // SAFETY: By the type invariant we are within its poll function.
        unsafe { bindings::wg_lane_flush(self.0.get()) }
    }
}

impl NetDevice {
    /// Delivers inner packets through generic receive offload; all of them have gone up the stack,
    /// or been dropped, when this returns: whatever is delivered after it, on any CPU, comes later.
    ///
    /// Process context with BH disabled: the stack runs on the caller's, and a softirq may be deep
    /// in one already. C: `gro_receive_skb`, `netif_receive_skb_list`.
    pub fn deliver_chain(&self, chain: SkbChain, _guard: &rcu::Guard) {
        // SAFETY: The device is valid; the list is given away; within RCU by the guard.
        unsafe { bindings::wg_netdev_deliver(self.as_ptr(), chain.into_list()) }
    }

    /// Takes out the datagrams that wait in lanes. When it returns no [`Driver::receive`] runs or
    /// will before there are sockets again; there must be none now.
    ///
    /// Process context, may sleep, not within an RCU read section. C: `napi_synchronize`.
    ///
    /// [`Driver::receive`]: crate::netdev::Driver::receive
    pub fn purge_received(&self) -> SkbChain {
        // SAFETY: The device is valid, so its lanes are.
        let head = unsafe { bindings::wg_netdev_purge_received(self.as_ptr()) };
        NonNull::new(head).map_or_else(SkbChain::new, |head| {
            // SAFETY: A list of packets that is given to us.
            unsafe { SkbChain::from_list(head) }
        })
    }
}
