// SPDX-License-Identifier: GPL-2.0

//! WireGuard: the driver. It ties the protocol of `wg_proto` to the kernel through `wg_kapi`.
//!
//! One concept a file, named as in the C driver where the concept is the same: [`device`] and
//! [`config`] (what an interface is and how it is configured), [`netlink`], [`peer`], [`keypair`],
//! [`allowed_ips`], [`handshake`], [`timers`], [`tx`] and [`rx`] (the data path).
#![crate_name = "wireguard"]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod allowed_ips;
mod config;
mod crypto;
mod device;
mod handshake;
mod identity;
mod keypair;
mod netlink;
mod peer;
mod rx;
mod share;
mod spare;
mod stats;
mod timers;
mod tx;

use kernel::prelude::*;
use wg_kapi::{
    genl,
    netdev::{self, LinkConfig},
    rcu, //
};

use crate::device::Device;

module! {
    type: WireGuard,
    name: "wireguard",
    authors: ["WireGuard in Rust contributors"],
    description: "WireGuard secure network tunnel, in Rust",
    license: "GPL v2",
    alias: ["rtnl-link-wireguard", "net-pf-16-proto-16-family-wireguard"],
}

/// What is registered while the module is loaded.
///
/// Dropped in the order of the fields: first nobody can configure any more, then all interfaces
/// go, and at last everything that still waits for a grace period.
#[pin_data]
struct WireGuard {
    #[pin]
    family: genl::Registration<netlink::WireGuardFamily>,
    #[pin]
    links: netdev::Registration<Device>,
    _quiesce: Quiesce,
}

/// What an interface announces: the bytes that a message adds to a packet (header and tag of 16
/// bytes each, UDP, IPv6), and room for them.
const LINK: LinkConfig = LinkConfig {
    overhead: 16 + 16 + 8 + 40,
    multiple: 16,
    headroom: 16 + 8 + 40,
    tailroom: 32,
};

/// Waits, when dropped, until nothing of ours is left to be freed by RCU.
struct Quiesce;

impl Drop for Quiesce {
    fn drop(&mut self) {
        rcu::quiesce();
    }
}

impl kernel::InPlaceModule for WireGuard {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _quiesce: Quiesce,
            links: netdev::Registration::new(LINK)?,
            family <- genl::Registration::register(module),
            _: {
                pr_info!("WireGuard in Rust. See www.wireguard.com for the protocol.\n");
            },
        })
    }
}
