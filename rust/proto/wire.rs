// SPDX-License-Identifier: GPL-2.0

//! Messages as they travel: layouts, parsing, padding.
//!
//! Layouts have alignment 1, so that a message is read where it lies.

mod cookie;
mod data;
mod initiation;
mod inner;
mod kind;
mod response;

use core::mem::size_of;

use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::constants::{MAC_LEN, TAG_LEN};

pub use cookie::CookieReply;
pub use data::{padded_len, Data, DataHeader};
pub use initiation::Initiation;
pub use inner::{inner_packet, same_flow, FlowPrefix, InnerError, InnerPacket, Version};
pub use kind::{kind, Kind};
pub use response::Response;

/// The number by which a receiver knows a handshake or a session; chosen at random by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u32);

/// The number of a data message within its session; also the nonce of its encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(pub u64);

/// The two authenticators at the end of an initiation or a response.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Macs {
    /// Proves that the sender knows the receiver's public key.
    pub mac1: [u8; MAC_LEN],
    /// Proves that the sender owns its address; zero without a cookie.
    pub mac2: [u8; MAC_LEN],
}

impl Macs {
    /// What a message carries until it is authenticated.
    pub(crate) const ZERO: Self = Self {
        mac1: [0; MAC_LEN],
        mac2: [0; MAC_LEN],
    };
}

/// An initiation or a response: a message that ends in [`Macs`].
pub trait Maced {
    /// The bytes that `mac1` covers: all before it.
    fn covered(&self) -> &[u8];
    /// The authenticators.
    fn macs(&self) -> &Macs;
    /// The authenticators, to be filled in.
    fn macs_mut(&mut self) -> &mut Macs;
    /// The sender's own index.
    fn sender(&self) -> Index;
}

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Shorter than the type word.
    TooShort,
    /// The first four bytes are not a type: unknown, or reserved bytes not zero.
    UnknownType,
    /// The length does not fit the type.
    WrongSize,
}

/// A datagram that has the form of a message. Nothing about it is authentic yet.
#[derive(Clone, Copy)]
pub enum Message<'a> {
    /// First message of a handshake.
    Initiation(&'a Initiation),
    /// Second message of a handshake.
    Response(&'a Response),
    /// Answer of a loaded receiver to either of them.
    CookieReply(&'a CookieReply),
    /// A packet, or nothing (keepalive), under a session's key.
    Data(Data<'a>),
}

impl<'a> Message<'a> {
    /// Sorts a UDP payload. Sizes must match exactly, data messages have at least 32 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let word = bytes.first_chunk().ok_or(WireError::TooShort)?;
        match u32::from_le_bytes(*word) {
            DataHeader::TYPE => Data::parse(bytes).map(Self::Data),
            Initiation::TYPE => exact(Initiation::ref_from_bytes(bytes)).map(Self::Initiation),
            Response::TYPE => exact(Response::ref_from_bytes(bytes)).map(Self::Response),
            CookieReply::TYPE => exact(CookieReply::ref_from_bytes(bytes)).map(Self::CookieReply),
            _ => Err(WireError::UnknownType),
        }
    }
}

/// A message without the [`Macs`] at its end.
fn before_macs(message: &[u8]) -> &[u8] {
    message
        .split_last_chunk::<{ size_of::<Macs>() }>()
        .map_or(message, |(covered, _)| covered)
}

/// All layouts have alignment 1, so the only possible failure is the size.
fn exact<T, E>(result: Result<T, E>) -> Result<T, WireError> {
    result.map_err(|_| WireError::WrongSize)
}

/// `N` bytes and a tag: an encrypted field.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Sealed<const N: usize> {
    ciphertext: [u8; N],
    tag: [u8; TAG_LEN],
}

impl<const N: usize> Sealed<N> {
    /// All zeros, to be filled through [`Self::as_mut_bytes`].
    pub const ZERO: Self = Self {
        ciphertext: [0; N],
        tag: [0; TAG_LEN],
    };

    /// Ciphertext and tag.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }

    /// Ciphertext and tag, to be written.
    #[inline]
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        zerocopy::IntoBytes::as_mut_bytes(self)
    }
}

#[cfg(test)]
mod tests;
