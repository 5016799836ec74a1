// SPDX-License-Identifier: GPL-2.0

//! A first look at a datagram, for a receiver that has only its first bytes in one piece.

use core::mem::size_of;

use zerocopy::FromBytes as _;

use super::{CookieReply, Data, DataHeader, Initiation, Response};

/// What a datagram is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A data message with this header.
    Data(DataHeader),
    /// An initiation, a response or a cookie reply: see [`Message::parse`](super::Message::parse).
    Handshake,
}

/// Sorts a datagram of `len` bytes that begins with `head`, by the same rules as
/// [`Message::parse`](super::Message::parse). `None` if it is no message.
///
/// No message is shorter than `head`.
#[inline]
pub fn kind(head: &[u8; DataHeader::LEN], len: usize) -> Option<Kind> {
    let (word, _) = head.split_first_chunk()?;
    match u32::from_le_bytes(*word) {
        DataHeader::TYPE if len >= Data::MIN_LEN => {
            DataHeader::read_from_bytes(head).ok().map(Kind::Data)
        }
        Initiation::TYPE if len == size_of::<Initiation>() => Some(Kind::Handshake),
        Response::TYPE if len == size_of::<Response>() => Some(Kind::Handshake),
        CookieReply::TYPE if len == size_of::<CookieReply>() => Some(Kind::Handshake),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn agrees_with_parse() {
        for word in [0u32, 1, 2, 3, 4, 5, 0x0100_0004, 0x0000_0104, u32::MAX] {
            for len in 16..200usize {
                let mut bytes = std::vec![0xa5; len];
                bytes[..4].copy_from_slice(&word.to_le_bytes());
                let head = bytes.first_chunk().unwrap();
                match (kind(head, len), Message::parse(&bytes)) {
                    (None, Err(_)) => {}
                    (Some(Kind::Data(header)), Ok(Message::Data(data))) => {
                        assert_eq!(header.as_bytes(), data.header.as_bytes());
                    }
                    (
                        Some(Kind::Handshake),
                        Ok(Message::Initiation(_) | Message::Response(_) | Message::CookieReply(_)),
                    ) => {}
                    _ => panic!("word {word:#x}, {len} bytes"),
                }
            }
        }
    }
}
