// SPDX-License-Identifier: GPL-2.0

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use std::{vec, vec::Vec};

use super::*;

/// A message of `len` zero bytes but for the type word.
fn message(kind: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (to, from) in bytes.iter_mut().zip(kind.to_le_bytes()) {
        *to = from;
    }
    bytes
}

/// Contract: V1
#[test]
fn sizes_are_exact() {
    for (kind, size) in [(1, 148), (2, 92), (3, 64)] {
        assert!(Message::parse(&message(kind, size)).is_ok());
        for wrong in [4, size - 1, size + 1] {
            let error = Message::parse(&message(kind, wrong)).err();
            assert_eq!(error, Some(WireError::WrongSize));
        }
    }
    for size in 4..32 {
        let error = Message::parse(&message(4, size)).err();
        assert_eq!(error, Some(WireError::WrongSize));
    }
    assert!(Message::parse(&message(4, 32)).is_ok());
    assert!(Message::parse(&message(4, 65535)).is_ok());
}

/// Contract: V1
#[test]
fn the_whole_type_word_counts() {
    for kind in [0, 5, 0x0100_0001, 0x0001_0004, 0x0000_0104, u32::MAX] {
        let error = Message::parse(&message(kind, 148)).err();
        assert_eq!(error, Some(WireError::UnknownType));
    }
    for size in 0..4 {
        let error = Message::parse(&message(0, size)).err();
        assert_eq!(error, Some(WireError::TooShort));
    }
}

/// Contract: D1
#[test]
fn data_header_layout() {
    let header = DataHeader::new(Index(0x0403_0201), Counter(0x0807_0605_0403_0201));
    let expected = [4, 0, 0, 0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(*header.as_bytes(), expected);
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(&[9; 16]);
    match Message::parse(&bytes) {
        Ok(Message::Data(data)) => {
            assert_eq!(data.header.receiver(), Index(0x0403_0201));
            assert_eq!(data.header.counter(), Counter(0x0807_0605_0403_0201));
            assert_eq!(data.sealed, [9; 16]);
            assert!(data.is_keepalive());
        }
        _ => unreachable!(),
    }
}

/// Contract: C1
#[test]
fn macs_cover_everything_before_them() {
    let bytes = message(1, 148);
    match Message::parse(&bytes) {
        Ok(Message::Initiation(initiation)) => assert_eq!(initiation.covered().len(), 116),
        _ => unreachable!(),
    }
    let bytes = message(2, 92);
    match Message::parse(&bytes) {
        Ok(Message::Response(response)) => assert_eq!(response.covered().len(), 60),
        _ => unreachable!(),
    }
}

/// Contract: D2
#[test]
fn padding_stops_at_the_mtu() {
    assert_eq!(padded_len(0, 1420), 0);
    assert_eq!(padded_len(1, 1420), 16);
    assert_eq!(padded_len(16, 1420), 16);
    assert_eq!(padded_len(84, 1420), 96);
    assert_eq!(padded_len(1419, 1420), 1420);
    assert_eq!(padded_len(1420, 1420), 1420);
    // A path of 1299 bytes: the message is 1359 bytes with its headers, not 1360.
    assert_eq!(padded_len(1299, 1299) + 32 + 28, 1359);
    assert_eq!(padded_len(1300, 1299), 1300 + 15);
    assert_eq!(padded_len(2 * 1299, 1299), 2 * 1299);
    assert_eq!(padded_len(2 * 1299 - 1, 1299), 2 * 1299);
    assert_eq!(padded_len(5, 0), 16);
    assert_eq!(padded_len(5, 3), 5 + 1);
    assert_eq!(padded_len(1, 3), 3);
}

fn ipv4(total_len: u16, have: usize) -> Vec<u8> {
    let mut packet = vec![0; have];
    let header = [0x45, 0]
        .into_iter()
        .chain(total_len.to_be_bytes())
        .chain([0; 8])
        .chain([192, 0, 2, 1]);
    for (to, from) in packet.iter_mut().zip(header) {
        *to = from;
    }
    packet
}

/// Contract: V9
#[test]
fn inner_ipv4() {
    let check = |total_len, have| inner_packet(&ipv4(total_len, have), have);
    assert_eq!(
        check(84, 96),
        Ok(InnerPacket {
            version: Version::V4,
            len: 84,
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        })
    );
    assert!(check(96, 96).is_ok());
    assert!(check(20, 20).is_ok());
    assert_eq!(check(97, 96), Err(InnerError::Length));
    assert_eq!(check(19, 96), Err(InnerError::Length));
    assert_eq!(check(0, 96), Err(InnerError::Length));
    assert_eq!(check(19, 19), Err(InnerError::NotIp));
    // Only the header has to be at hand.
    assert!(inner_packet(&ipv4(1400, 40), 1408).is_ok());
}

/// Contract: V9
#[test]
fn inner_ipv6() {
    let mut packet = vec![0; 64];
    packet[0] = 0x60;
    packet[5] = 24;
    packet[23] = 1;
    let inner = inner_packet(&packet, 64).unwrap();
    assert_eq!(inner.version, Version::V6);
    assert_eq!(inner.len, 64);
    assert_eq!(inner.source, IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(inner_packet(&packet, 63), Err(InnerError::Length));
    assert_eq!(inner_packet(&packet[..39], 39), Err(InnerError::NotIp));
    packet[4] = 0xff;
    assert_eq!(inner_packet(&packet, 64), Err(InnerError::Length));
}

/// Contract: V9
#[test]
fn inner_must_be_ip() {
    assert_eq!(inner_packet(&[], 0), Err(InnerError::NotIp));
    assert_eq!(inner_packet(&[0x50; 64], 64), Err(InnerError::NotIp));
    assert_eq!(inner_packet(&[0x00; 64], 64), Err(InnerError::NotIp));
}
