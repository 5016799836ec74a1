// SPDX-License-Identifier: GPL-2.0
//! WireGuard: the driver.
#![crate_name = "wireguard"]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: WireGuard,
    name: "wireguard",
    authors: ["WireGuard in Rust contributors"],
    description: "WireGuard secure network tunnel, in Rust",
    license: "GPL v2",
    alias: ["rtnl-link-wireguard", "net-pf-16-proto-16-family-wireguard"],
}

/// The module: what is registered with the kernel while it is loaded.
struct WireGuard;

impl kernel::Module for WireGuard {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
