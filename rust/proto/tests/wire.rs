// SPDX-License-Identifier: GPL-2.0

//! Whatever arrives: parsing never fails in a way other than by an error, and what is parsed is
//! what was there.

use std::net::IpAddr;

use proptest::prelude::*;
use wg_proto::wire::{inner_packet, padded_len, Counter, DataHeader, Index, Maced as _, Message};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Contract: V1
    #[test]
    fn any_bytes_parse_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn parsed_messages_are_the_bytes(
        kind in 0u8..6,
        len in prop_oneof![Just(148usize), Just(92), Just(64), 28usize..200],
        fill in any::<u8>(),
        reserved in prop_oneof![9 => Just(0u8), 1 => any::<u8>()],
    ) {
        let mut bytes = vec![fill; len];
        bytes[..4].copy_from_slice(&[kind, reserved, 0, 0]);
        let expected = reserved == 0
            && matches!((kind, len), (1, 148) | (2, 92) | (3, 64) | (4, 32..));
        let parsed = Message::parse(&bytes);
        prop_assert_eq!(parsed.is_ok(), expected);
        let word = u32::from_le_bytes([fill; 4]);
        match parsed {
            Ok(Message::Initiation(message)) => {
                prop_assert_eq!(message.as_bytes(), &bytes[..]);
                prop_assert_eq!(message.sender(), Index(word));
            }
            Ok(Message::Response(message)) => {
                prop_assert_eq!(message.as_bytes(), &bytes[..]);
                prop_assert_eq!(message.receiver(), Index(word));
            }
            Ok(Message::CookieReply(message)) => {
                prop_assert_eq!(message.as_bytes(), &bytes[..]);
                prop_assert_eq!(message.receiver(), Index(word));
            }
            Ok(Message::Data(data)) => {
                prop_assert_eq!(data.header.as_bytes(), &bytes[..16]);
                prop_assert_eq!(data.sealed, &bytes[16..]);
                prop_assert_eq!(data.is_keepalive(), len == 32);
            }
            Err(_) => {}
        }
    }

    /// Contract: D1
    #[test]
    fn data_headers_round_trip(index in any::<u32>(), counter in any::<u64>()) {
        let mut bytes = DataHeader::new(Index(index), Counter(counter)).as_bytes().to_vec();
        bytes.extend_from_slice(&[0; 16]);
        let Ok(Message::Data(data)) = Message::parse(&bytes) else {
            return Err(TestCaseError::fail("no data message"));
        };
        prop_assert_eq!(data.header.receiver(), Index(index));
        prop_assert_eq!(data.header.counter(), Counter(counter));
    }

    /// Contract: D2
    #[test]
    fn padding_is_short_and_stays_below_the_mtu(len in 0usize..70_000, mtu in 0usize..70_000) {
        let padded = padded_len(len, mtu);
        prop_assert!(padded >= len && padded < len + 16);
        if len <= mtu {
            prop_assert!(padded <= mtu);
            prop_assert!(padded % 16 == 0 || padded == mtu);
        }
        if mtu == 0 {
            prop_assert_eq!(padded, len.div_ceil(16) * 16);
        }
    }

    #[test]
    fn extreme_lengths_do_not_overflow(len in any::<usize>(), mtu in any::<usize>()) {
        prop_assert!(padded_len(len, mtu) >= len);
    }

    /// Contract: V9
    #[test]
    fn inner_packets_fit(mut bytes in prop::collection::vec(any::<u8>(), 0..100), six in any::<bool>()) {
        if let Some(first) = bytes.first_mut() {
            *first = if six { 0x60 } else { 0x40 } | (*first & 0x0f);
        }
        // Plausible lengths more often than chance would give.
        for high in [2, 4] {
            if let Some(byte) = bytes.get_mut(high) {
                *byte = 0;
            }
        }
        let inner = inner_packet(&bytes, bytes.len());
        if let Ok(inner) = inner {
            prop_assert!(inner.len <= bytes.len());
            let header = if six { 40 } else { 20 };
            prop_assert!(inner.len >= header);
            match inner.source {
                IpAddr::V4(ip) => prop_assert_eq!(&ip.octets()[..], &bytes[12..16]),
                IpAddr::V6(ip) => prop_assert_eq!(&ip.octets()[..], &bytes[8..24]),
            }
        }
    }
}
