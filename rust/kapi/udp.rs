// SPDX-License-Identifier: GPL-2.0
//! UDP sockets of a tunnel and sending through them.
//!
//! C headers: [`include/net/udp_tunnel.h`](srctree/include/net/udp_tunnel.h),
//! [`include/net/route.h`](srctree/include/net/route.h)

use crate::{
    bindings,
    dst_cache::DstCache,
    endpoint::Endpoint,
    net::Net,
    netdev::NetDevice,
    skb::SkBuff, //
};
use core::ptr::{self, NonNull};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// The sockets of one port: IPv4, and IPv6 if the kernel has it.
///
/// They live in the namespace that they were opened in and do not keep it. What comes goes to the
/// driver of their device: [`Driver::receive`]. Drop (process context, may sleep, not within an RCU
/// read section) closes both; when it returns nothing is put into lanes any more, but what was may
/// still be there ([`NetDevice::purge_received`]).
///
/// # Invariants
///
/// `ptr` is valid and ours; `_dev` is the device that it puts datagrams into the lanes of.
///
/// [`Driver::receive`]: crate::netdev::Driver::receive
pub struct UdpPort {
    ptr: NonNull<bindings::wg_udp_port>,
    _dev: ARef<NetDevice>,
}

// SAFETY: The C structure belongs to no thread.
unsafe impl Send for UdpPort {}
// SAFETY: All of it may be called from several threads at once.
unsafe impl Sync for UdpPort {}

impl UdpPort {
    /// Binds `port` (0: the kernel chooses) on all addresses of `net`, for `dev`. A socket that
    /// cannot be made is told in the log, on behalf of `dev`.
    ///
    /// Process context, may sleep. C: `udp_sock_create`, `setup_udp_tunnel_sock`.
    ///
    /// # Errors
    ///
    /// That of the first socket that could not be made, like `EADDRINUSE`; then neither is.
    pub fn open(net: &Net, dev: &ARef<NetDevice>, port: u16) -> Result<Pin<KBox<Self>>> {
        let slot = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let mut opened = ptr::null_mut();
        // SAFETY: The namespace is valid, and so is the device as long as the port is open, as
        // that keeps a reference.
        to_result(unsafe { bindings::wg_udp_open(net.as_ptr(), dev.as_ptr(), port, &mut opened) })?;
        let ptr = NonNull::new(opened).ok_or(EINVAL)?;
        // INVARIANT: Just opened for this device, owned by us.
        Ok(KBox::into_pin(KBox::write(
            slot,
            Self {
                ptr,
                _dev: dev.clone(),
            },
        )))
    }

    /// The port number. Any context.
    pub fn port(&self) -> u16 {
        // SAFETY: By the type invariant the structure is valid.
        unsafe { bindings::wg_udp_number(self.ptr.as_ptr()) }
    }
}

impl Drop for UdpPort {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours to close.
        unsafe { bindings::wg_udp_close(self.ptr.as_ptr()) }
    }
}

/// What became of a packet given to [`send`].
#[must_use]
pub struct SendResult {
    /// Whether it was handed to the IP layer; if not, why, and the packet.
    pub result: Result<(), (Error, SkBuff)>,
    /// The local source of the endpoint is of no use any more: the caller should forget it
    /// ([`Endpoint::clear_source`]). The cache is reset already.
    pub source_lost: bool,
    /// The packet was handed over, but what is below did not take it: a filter, a queue that is
    /// full, a policer, a device. It is counted as dropped by the device.
    pub refused: bool,
}

/// Sends `skb` as the payload of one datagram to `to`, on behalf of `dev`, whose transmit counters
/// go up by the payload.
///
/// `cache` is that of the peer, `None` for messages to someone unknown; it must be reset when the
/// endpoint or `mark` changes. `ds` is the DS field of the outer header, `mark` the firewall mark.
///
/// Process or BH context, not hard interrupts; may be entered again from within, when the route
/// leads to another tunnel. C: `ip_route_output_flow`, `udp_tunnel_xmit_skb` and the IPv6 pendants.
///
/// Errors are `ENONET` (no socket of that family), `EDESTADDRREQ` (no endpoint), `EMSGSIZE` (no
/// datagram is that large), `ENOMEM` and those of the route lookup.
pub fn send(
    port: &UdpPort,
    dev: &NetDevice,
    skb: SkBuff,
    to: &Endpoint,
    cache: Option<&DstCache>,
    ds: u8,
    mark: u32,
) -> SendResult {
    let mut source_lost = false;
    let mut refused = false;
    // SAFETY: All pointers are valid for the call; on success the packet is given away.
    let result = to_result(unsafe {
        bindings::wg_udp_send(
            port.ptr.as_ptr(),
            dev.as_ptr(),
            skb.as_ptr(),
            to.as_raw(),
            cache.map_or(ptr::null_mut(), DstCache::as_ptr),
            ds,
            mark,
            &mut source_lost,
            &mut refused,
        )
    });
    let result = match result {
        Ok(()) => {
            let _ = skb.into_raw();
            Ok(())
        }
        Err(error) => Err((error, skb)),
    };
    SendResult {
        result,
        source_lost,
        refused,
    }
}
