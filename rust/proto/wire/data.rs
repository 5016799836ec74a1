// SPDX-License-Identifier: GPL-2.0

//! Data messages (whitepaper, section 5.4.6).

use core::mem::size_of;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Counter, Index, WireError};
use crate::constants::{PADDING_MULTIPLE, TAG_LEN};

/// What precedes the ciphertext of a data message.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    kind: U32,
    receiver: U32,
    counter: U64,
}

const _: () = assert!(size_of::<DataHeader>() == DataHeader::LEN);

impl DataHeader {
    /// The type word.
    pub const TYPE: u32 = 4;
    /// Bytes of the header.
    pub const LEN: usize = 16;

    /// The header of message `counter` to the session that the receiver calls `receiver`.
    #[inline]
    pub fn new(receiver: Index, counter: Counter) -> Self {
        Self {
            kind: U32::new(Self::TYPE),
            receiver: U32::new(receiver.0),
            counter: U64::new(counter.0),
        }
    }

    /// The index of the receiver's session.
    #[inline]
    pub fn receiver(&self) -> Index {
        Index(self.receiver.get())
    }

    /// The number of the message, which is the nonce.
    #[inline]
    pub fn counter(&self) -> Counter {
        Counter(self.counter.get())
    }

    /// The header as it goes on the wire.
    #[inline]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        zerocopy::transmute_ref!(self)
    }
}

/// A data message in place.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// The part in the clear.
    pub header: &'a DataHeader,
    /// Ciphertext and tag: at least 16 bytes.
    pub sealed: &'a [u8],
}

impl<'a> Data<'a> {
    /// Bytes of the shortest message, a keepalive.
    pub const MIN_LEN: usize = DataHeader::LEN + TAG_LEN;

    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() < Self::MIN_LEN {
            return Err(WireError::WrongSize);
        }
        let (header, sealed) =
            DataHeader::ref_from_prefix(bytes).map_err(|_| WireError::WrongSize)?;
        Ok(Self { header, sealed })
    }

    /// Whether the plaintext is empty: a keepalive, if it is authentic.
    #[inline]
    pub fn is_keepalive(&self) -> bool {
        self.sealed.len() == TAG_LEN
    }
}

/// Bytes of the plaintext of a packet of `len` bytes: the packet and its padding.
///
/// Padding fills up to a multiple of 16, but not beyond `mtu`, so that padding alone never makes a
/// message too large for the path. A packet larger than `mtu` will be split by somebody; then its
/// last piece counts. An `mtu` of 0 sets no limit.
#[inline]
pub const fn padded_len(len: usize, mtu: usize) -> usize {
    let last = match len.checked_rem(mtu) {
        Some(rest) if len > mtu => rest,
        _ => len,
    };
    let mut padded = last.saturating_add(PADDING_MULTIPLE - 1) & !(PADDING_MULTIPLE - 1);
    if mtu != 0 && padded > mtu {
        padded = mtu;
    }
    len.saturating_add(padded.saturating_sub(last))
}
