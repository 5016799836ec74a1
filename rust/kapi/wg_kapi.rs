// SPDX-License-Identifier: GPL-2.0
//! Safe wrappers over the kernel interfaces that a network tunnel needs.
//!
//! This is the only crate of the module with `unsafe` in it. It knows nothing of the protocol.
//! Every wrapper names its C counterpart, the contexts it may be called in, and what its `Drop`
//! does.

mod bindings;
mod message;

pub mod genl;
pub mod nla;
pub mod policy;
