// SPDX-License-Identifier: GPL-2.0
//! `struct net_device` as the driver sees it.

use crate::{
    bindings,
    net::Net, //
};
use core::{
    ptr::NonNull,
    str, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};

/// A network device of our link kind.
///
/// References are counted by `dev_hold` and `dev_put`. A device that is being unregistered waits
/// until all of them are gone: hold one only as long as there is a reason.
///
/// # Invariants
///
/// The device was registered by `helpers/netdev.c` (its private area is a `struct wg_priv`), and
/// has at least one reference as long as the `&NetDevice` lives.
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: `dev_put` may be called in any context.
unsafe impl Send for NetDevice {}
// SAFETY: All methods may be called from several threads at once.
unsafe impl Sync for NetDevice {}

// SAFETY: The count is that of the `net_device`, which is freed only after it has gone down.
unsafe impl AlwaysRefCounted for NetDevice {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant the device is valid.
        unsafe { bindings::wg_netdev_hold(self.as_ptr()) }
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference to a valid device.
        unsafe { bindings::wg_netdev_put(obj.as_ptr().cast()) }
    }
}

impl NetDevice {
    /// # Safety
    ///
    /// `ptr` must point to a registered device of our kind, which keeps a reference for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By the contract, and `NetDevice` is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// The current name. Any context; a rename at the same time may be seen halfway.
    pub fn name(&self) -> Name {
        let mut name = Name([0; Name::SIZE]);
        // SAFETY: The device is valid, the buffer has `IFNAMSIZ` bytes.
        unsafe { bindings::wg_netdev_name(self.as_ptr(), name.0.as_mut_ptr()) };
        name
    }

    /// The interface index. Any context.
    pub fn ifindex(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_ifindex(self.as_ptr()) }
    }

    /// The MTU in bytes. Any context.
    #[inline]
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_mtu(self.as_ptr()) }
    }

    /// Whether the device is up. Any context; certain only under RTNL. C: `netif_running`.
    pub fn is_running(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_running(self.as_ptr()) }
    }

    /// Marks the link as without carrier. C: `netif_carrier_off`.
    pub fn carrier_off(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_carrier_off(self.as_ptr()) }
    }

    /// The namespace that the device is in. Any context. `None` when it is going away. C:
    /// `dev_net_rcu`, `maybe_get_net`.
    pub fn net(&self) -> Option<Net> {
        // SAFETY: The device is valid; the helper returns a reference of ours or null.
        let net = unsafe { bindings::wg_netdev_net(self.as_ptr()) };
        // SAFETY: As above.
        unsafe { Net::from_raw_owned(net) }
    }

    /// The namespace that the UDP sockets belong to: the one that the device was created from. Any
    /// context. `None` when it is gone or going. C: `maybe_get_net`.
    pub fn creating_net(&self) -> Option<Net> {
        // SAFETY: The device is valid; the helper returns a reference of ours or null.
        let net = unsafe { bindings::wg_netdev_creating_net(self.as_ptr()) };
        // SAFETY: As above.
        unsafe { Net::from_raw_owned(net) }
    }

    /// Counts a packet that could not be sent (`tx_errors`). Any context.
    pub fn tx_error(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_tx_error(self.as_ptr()) }
    }

    /// Counts `count` packets dropped before they were sent (`tx_dropped`). Any context.
    pub fn tx_dropped(&self, count: usize) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_tx_dropped(self.as_ptr(), count) }
    }

    /// Counts `count` received packets dropped for lack of room (`rx_dropped`). Any context.
    pub fn rx_dropped(&self, count: usize) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_rx_dropped(self.as_ptr(), count) }
    }

    /// Counts a malformed inner packet (`rx_errors` and `rx_frame_errors`). Any context.
    pub fn rx_frame_error(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_rx_frame_error(self.as_ptr()) }
    }

    /// Counts an inner packet whose length is wrong (`rx_errors` and `rx_length_errors`). Any
    /// context.
    pub fn rx_length_error(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::wg_netdev_rx_length_error(self.as_ptr()) }
    }

    /// Adds to the per-CPU receive counters. Process or BH context.
    pub fn tstats_rx(&self, packets: u64, bytes: u64) {
        // SAFETY: The device is valid and has per-CPU statistics.
        unsafe { bindings::wg_netdev_rx_stats(self.as_ptr(), packets, bytes) }
    }

    /// Adds to the per-CPU transmit counters. Process or BH context. Not for packets that go
    /// through [`crate::udp::send`], which counts by itself.
    pub fn tstats_tx(&self, packets: u64, bytes: u64) {
        // SAFETY: The device is valid and has per-CPU statistics.
        unsafe { bindings::wg_netdev_tx_stats(self.as_ptr(), packets, bytes) }
    }
}

/// The name of a device, copied.
///
/// # Invariants
///
/// The last byte is 0.
#[derive(Clone, Copy)]
pub struct Name([u8; Name::SIZE]);

impl Name {
    const SIZE: usize = bindings::WG_IFNAMSIZ as usize;

    /// The name as a C string.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"?")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.split(|byte| *byte == 0).next().unwrap_or(&[]);
        f.write_str(str::from_utf8(bytes).unwrap_or("?"))
    }
}
