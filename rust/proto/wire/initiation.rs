// SPDX-License-Identifier: GPL-2.0

//! Handshake initiation (whitepaper, section 5.4.2).

use core::mem::size_of;

use zerocopy::byteorder::little_endian::U32;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Index, Maced, Macs, Sealed};
use crate::keys::PublicKey;
use crate::time::Tai64n;

/// First message of a handshake.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Initiation {
    kind: U32,
    sender: U32,
    ephemeral: PublicKey,
    static_key: Sealed<32>,
    timestamp: Sealed<{ Tai64n::LEN }>,
    macs: Macs,
}

const _: () = assert!(size_of::<Initiation>() == Initiation::LEN);

impl Initiation {
    /// The type word.
    pub const TYPE: u32 = 1;
    /// Bytes of the message.
    pub const LEN: usize = 148;

    /// A message that still lacks its [`Macs`].
    pub(crate) fn new(
        sender: Index,
        ephemeral: PublicKey,
        static_key: Sealed<32>,
        timestamp: Sealed<{ Tai64n::LEN }>,
    ) -> Self {
        Self {
            kind: U32::new(Self::TYPE),
            sender: U32::new(sender.0),
            ephemeral,
            static_key,
            timestamp,
            macs: Macs::ZERO,
        }
    }

    /// The initiator's ephemeral key.
    #[inline]
    pub fn ephemeral(&self) -> &PublicKey {
        &self.ephemeral
    }

    /// The initiator's static key, encrypted.
    #[inline]
    pub fn static_key(&self) -> &Sealed<32> {
        &self.static_key
    }

    /// The time of sending, encrypted.
    #[inline]
    pub fn timestamp(&self) -> &Sealed<{ Tai64n::LEN }> {
        &self.timestamp
    }

    /// The message as a UDP payload.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }
}

impl Maced for Initiation {
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
