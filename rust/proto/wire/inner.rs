// SPDX-License-Identifier: GPL-2.0

//! What a decrypted data message carries: an IP packet with padding behind it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The parts of an IPv4 header (RFC 791) that matter here.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv4Header {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    unused: [u8; 8],
    source: [u8; 4],
    destination: [u8; 4],
}

/// The parts of an IPv6 header (RFC 8200) that matter here.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv6Header {
    version_class_label: [u8; 4],
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const _: () = assert!(core::mem::size_of::<Ipv4Header>() == IPV4_HEADER_LEN);
const _: () = assert!(core::mem::size_of::<Ipv6Header>() == IPV6_HEADER_LEN);

/// Version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What is known of a packet after a look at its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerPacket {
    /// Its protocol.
    pub version: Version,
    /// Its length in bytes by its own header; what follows in the plaintext is padding.
    pub len: usize,
    /// Its source address, which must belong to the sending peer.
    pub source: IpAddr,
}

/// Why a plaintext holds no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerError {
    /// Neither IPv4 nor IPv6, or not even a whole header (a framing error).
    NotIp,
    /// The header claims less than itself or more than there is (a length error).
    Length,
}

/// Looks at the header of the packet in a plaintext of `plaintext_len` bytes, of which `prefix`
/// holds the first ones: all of them, or at least the first 40.
#[inline]
pub fn inner_packet(prefix: &[u8], plaintext_len: usize) -> Result<InnerPacket, InnerError> {
    let (version, len, least, source) = match prefix.first().map(|byte| byte >> 4) {
        Some(4) => {
            let (ip, _) = Ipv4Header::ref_from_prefix(prefix).map_err(|_| InnerError::NotIp)?;
            let len = usize::from(ip.total_len.get());
            let source = IpAddr::V4(Ipv4Addr::from(ip.source));
            (Version::V4, len, IPV4_HEADER_LEN, source)
        }
        Some(6) => {
            let (ip, _) = Ipv6Header::ref_from_prefix(prefix).map_err(|_| InnerError::NotIp)?;
            let len = usize::from(ip.payload_len.get()).saturating_add(IPV6_HEADER_LEN);
            let source = IpAddr::V6(Ipv6Addr::from(ip.source));
            (Version::V6, len, IPV6_HEADER_LEN, source)
        }
        _ => return Err(InnerError::NotIp),
    };
    if len < least || len > plaintext_len {
        return Err(InnerError::Length);
    }
    Ok(InnerPacket {
        version,
        len,
        source,
    })
}

/// The beginning of an IP packet, as far as it tells flows apart.
pub type FlowPrefix = [u8; 44];

/// Whether two packets that begin so have the same addresses, protocol and ports (or whatever is in
/// their place). Quick, and wrong about IPv4 with options: for guesses.
#[inline]
pub fn same_flow(a: &FlowPrefix, b: &FlowPrefix) -> bool {
    let (protocol, rest) = match a.first().map(|byte| byte >> 4) {
        Some(6) => (6, 8..44),
        _ => (9, 12..24),
    };
    a.first().map(|byte| byte >> 4) == b.first().map(|byte| byte >> 4)
        && a.get(protocol) == b.get(protocol)
        && a.get(rest.clone()) == b.get(rest)
}
