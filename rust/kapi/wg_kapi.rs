// SPDX-License-Identifier: GPL-2.0
//! Safe wrappers over the kernel interfaces that a network tunnel needs.
//!
//! This is the only crate of the module with `unsafe` in it. It knows nothing of the protocol.
//! Every wrapper names its C counterpart, the contexts it may be called in, and what its `Drop`
//! does. Contexts are: *process* (may sleep), *BH* (softirq, or bottom halves disabled), *any*
//! (both; not hard interrupts unless said).

mod bindings;

/// The atomics of counters and published pointers: `rust/model` puts others in their place.
mod atomics {
    pub(crate) use core::sync::atomic::{fence, AtomicI32, AtomicPtr, Ordering};
}

pub mod chain;
pub mod clock;
pub mod cpu;
pub mod crypto;
pub mod delayed;
pub mod dst_cache;
pub mod endpoint;
pub mod errno;
pub mod genl;
pub mod icmp;
pub mod lane;
pub mod log;
mod message;
pub mod net;
pub mod netdev;
pub mod nla;
pub mod percpu;
pub mod policy;
mod published;
pub mod queue;
pub mod random;
pub mod rcu;
mod refcount;
pub mod shared;
pub mod skb;
pub mod sync;
pub mod table;
pub mod timer;
pub mod trace;
pub mod udp;
pub mod work;
