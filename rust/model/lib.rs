// SPDX-License-Identifier: GPL-2.0

//! Model checks of hand-overs between CPUs: see `Documentation/memory-ordering.md`.
//!
//! The files that are checked are those of the module, compiled once more over the atomics of
//! loom, which tries every order of events and every value that a load may return under the C11
//! memory model. Where a hand-over is spread over code that only the kernel can run, its steps
//! are repeated here with the same orders.

#![cfg(test)]
#![forbid(unsafe_code)]
#![allow(dead_code)] // Not all of a file is checked.

/// What stands in for `core::sync::atomic`.
mod atomics {
    pub(crate) use loom::sync::atomic::{
        fence, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering,
    };
}

#[path = "../proto/keypairs/counter.rs"]
mod counter;
#[path = "../kapi/published.rs"]
mod published;
#[path = "../kapi/refcount.rs"]
mod refcount;
/// For `counter`.
use wg_proto::keypairs::rules;

mod counters;
mod driver;
mod objects;
