// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets do with their input: one module a target.
//!
//! The input is a sequence of operations (decoded by `arbitrary`), carried out on the code of
//! `wg_proto` and on a model that is too simple to be wrong, or judged by invariants. A target
//! fails by panicking.

#![forbid(unsafe_code)]

pub mod allowed_ips;
pub mod cookies;
pub mod forger;
pub mod messages;
pub mod replay;
pub mod tunnel;

#[path = "../../rust/proto/tests/host_store/mod.rs"]
mod host_store;
#[path = "../../rust/proto/tests/world/mod.rs"]
mod world;
