// SPDX-License-Identifier: GPL-2.0

//! Noise.

/// Which side of a handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Began the handshake.
    Initiator,
    /// Answered.
    Responder,
}
