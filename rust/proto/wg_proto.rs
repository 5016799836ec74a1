// SPDX-License-Identifier: GPL-2.0

//! The WireGuard protocol, without I/O, clock, random source, locks or allocation.
//!
//! Everything that the protocol decides lives here; everything that it needs from the outside
//! (the time, random bytes, cryptographic primitives, storage) comes in as an argument, and
//! everything that has to happen comes out as data. The same source is built twice: by Kbuild as
//! an object of the kernel module, and by cargo as an ordinary library for tests.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// Tests may fail by panicking.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

#[cfg(test)]
extern crate std;

/// The atomics of this crate: `rust/model` puts others in their place.
mod atomics {
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

pub mod allowed_ips;
pub mod constants;
pub mod cookie;
pub mod crypto;
pub mod flows;
pub mod index;
pub mod keypairs;
pub mod keys;
pub mod noise;
pub mod peer;
pub mod ratelimit;
pub mod replay;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
pub mod time;
pub mod timers;
pub mod turns;
pub mod wire;
