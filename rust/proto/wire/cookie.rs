// SPDX-License-Identifier: GPL-2.0

//! Cookie reply (whitepaper, section 5.4.7).

use core::mem::size_of;

use zerocopy::byteorder::little_endian::U32;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Index, Sealed};
use crate::constants::{COOKIE_NONCE_LEN, MAC_LEN};

/// What a loaded receiver sends instead of doing the work of a handshake message.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CookieReply {
    kind: U32,
    receiver: U32,
    nonce: [u8; COOKIE_NONCE_LEN],
    cookie: Sealed<MAC_LEN>,
}

const _: () = assert!(size_of::<CookieReply>() == CookieReply::LEN);

impl CookieReply {
    /// The type word.
    pub const TYPE: u32 = 3;
    /// Bytes of the message.
    pub const LEN: usize = 64;

    pub(crate) fn new(
        receiver: Index,
        nonce: [u8; COOKIE_NONCE_LEN],
        cookie: Sealed<MAC_LEN>,
    ) -> Self {
        Self {
            kind: U32::new(Self::TYPE),
            receiver: U32::new(receiver.0),
            nonce,
            cookie,
        }
    }

    /// The index of the sender of the message that this answers.
    #[inline]
    pub fn receiver(&self) -> Index {
        Index(self.receiver.get())
    }

    /// The nonce of the encryption.
    #[inline]
    pub fn nonce(&self) -> &[u8; COOKIE_NONCE_LEN] {
        &self.nonce
    }

    /// The cookie, encrypted.
    #[inline]
    pub fn cookie(&self) -> &Sealed<MAC_LEN> {
        &self.cookie
    }

    /// The message as a UDP payload.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }
}
