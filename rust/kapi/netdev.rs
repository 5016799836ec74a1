// SPDX-License-Identifier: GPL-2.0
//! Network devices of our own link kind.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)
//!
//! # Lifetimes
//!
//! `ip link add` registers the `net_device` and then creates the driver's object
//! ([`Driver::create`]); the device keeps one reference to it. When the device is unregistered
//! (deleted, its namespace dies, the module goes) that reference is handed to [`Driver::release`],
//! after all calls through it have ended. The object in turn may hold [`ARef<NetDevice>`]s: the
//! `net_device` is freed only after the last of them is gone, and whoever unregistered the device
//! waits for that.

use crate::bindings;

mod device;
mod link;

pub use self::{
    device::{Name, NetDevice},
    link::{find, for_each, Driver, LinkConfig, Registration, Selector}, //
};

/// How many devices and tunnels are being sent through on this stack, one inside the other, from
/// the outermost call on. IP tunnels drop what comes to them beyond level 5, devices beyond 8.
/// [`u32::MAX`] where a filter has redirected the packet (`act_mirred`): the lock of its queueing
/// discipline may be held, so nothing may be sent from here.
///
/// BH disabled. C: `dev_recursion_level`, `struct netdev_xmit`.
#[inline]
pub fn xmit_level() -> u32 {
    // SAFETY: No requirement but the context, and elsewhere only the answer is of no use.
    unsafe { bindings::wg_xmit_level() }
}
