// SPDX-License-Identifier: GPL-2.0

//! Handshake response (whitepaper, section 5.4.3).

use core::mem::size_of;

use zerocopy::byteorder::little_endian::U32;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Index, Maced, Macs, Sealed};
use crate::keys::PublicKey;

/// Second message of a handshake.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Response {
    kind: U32,
    sender: U32,
    receiver: U32,
    ephemeral: PublicKey,
    empty: Sealed<0>,
    macs: Macs,
}

const _: () = assert!(size_of::<Response>() == Response::LEN);

impl Response {
    /// The type word.
    pub const TYPE: u32 = 2;
    /// Bytes of the message.
    pub const LEN: usize = 92;

    /// A message that still lacks its [`Macs`].
    pub(crate) fn new(
        sender: Index,
        receiver: Index,
        ephemeral: PublicKey,
        empty: Sealed<0>,
    ) -> Self {
        Self {
            kind: U32::new(Self::TYPE),
            sender: U32::new(sender.0),
            receiver: U32::new(receiver.0),
            ephemeral,
            empty,
            macs: Macs::ZERO,
        }
    }

    /// The initiator's index, which the initiation carried.
    #[inline]
    pub fn receiver(&self) -> Index {
        Index(self.receiver.get())
    }

    /// The responder's ephemeral key.
    #[inline]
    pub fn ephemeral(&self) -> &PublicKey {
        &self.ephemeral
    }

    /// Nothing, encrypted: the proof that the responder has the right keys.
    #[inline]
    pub fn empty(&self) -> &Sealed<0> {
        &self.empty
    }

    /// The message as a UDP payload.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }
}

impl Maced for Response {
    #[inline]
    fn covered(&self) -> &[u8] {
        super::before_macs(self.as_bytes())
    }

    #[inline]
    fn macs(&self) -> &Macs {
        &self.macs
    }

    #[inline]
    fn macs_mut(&mut self) -> &mut Macs {
        &mut self.macs
    }

    #[inline]
    fn sender(&self) -> Index {
        Index(self.sender.get())
    }
}
