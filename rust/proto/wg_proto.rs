// SPDX-License-Identifier: GPL-2.0
//! The WireGuard protocol, sans-IO.
#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
