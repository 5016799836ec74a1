// SPDX-License-Identifier: GPL-2.0
//! Endpoints: where a peer is, and from which of our addresses we talk to it.

use crate::bindings;
use core::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr, //
};

/// The far end of a tunnel and how this end was addressed by it.
///
/// Plain data, to be copied and replaced whole. The default value is no endpoint.
///
/// # Invariants
///
/// `family` is `AF_INET`, `AF_INET6` or, in the default value only, 0.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Endpoint(bindings::wg_endpoint);

const AF_INET: u16 = bindings::WG_AF_INET as u16;
const AF_INET6: u16 = bindings::WG_AF_INET6 as u16;

/// The bytes of a `struct sockaddr_in` or `sockaddr_in6`.
pub struct SockAddr {
    bytes: [u8; Endpoint::SOCKADDR_IN6],
    len: usize,
}

impl SockAddr {
    /// Exactly the bytes of the structure.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        // INVARIANT: The default value.
        Self(pin_init::zeroed())
    }
}

impl Endpoint {
    /// Bytes of a `struct sockaddr_in`.
    pub const SOCKADDR_IN: usize = 16;
    /// Bytes of a `struct sockaddr_in6`.
    pub const SOCKADDR_IN6: usize = 28;

    /// Reads a `struct sockaddr_in` or `sockaddr_in6` as user space gives it. `None` unless length
    /// and family agree. The source stays open.
    pub fn from_sockaddr(bytes: &[u8]) -> Option<Self> {
        let (family, rest) = bytes.split_first_chunk::<2>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let mut raw = bindings::wg_endpoint {
            family: u16::from_ne_bytes(*family),
            port: u16::from_ne_bytes(*port),
            ..pin_init::zeroed()
        };
        match (raw.family, bytes.len()) {
            (AF_INET, Self::SOCKADDR_IN) => {
                raw.address
                    .first_chunk_mut::<4>()?
                    .copy_from_slice(rest.first_chunk::<4>()?);
            }
            (AF_INET6, Self::SOCKADDR_IN6) => {
                let (flowinfo, rest) = rest.split_first_chunk::<4>()?;
                let (address, rest) = rest.split_first_chunk::<16>()?;
                raw.flowinfo = u32::from_ne_bytes(*flowinfo);
                raw.address = *address;
                raw.scope_id = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
            }
            _ => return None,
        }
        // INVARIANT: One of the two families.
        Some(Self(raw))
    }

    /// The remote address as user space wants it; `None` for the default value.
    pub fn to_sockaddr(&self) -> Option<SockAddr> {
        let raw = &self.0;
        let mut bytes = [0; Self::SOCKADDR_IN6];
        let (family, rest) = bytes.split_first_chunk_mut::<2>()?;
        *family = raw.family.to_ne_bytes();
        let (port, rest) = rest.split_first_chunk_mut::<2>()?;
        *port = raw.port.to_ne_bytes();
        let len = match raw.family {
            AF_INET => {
                rest.first_chunk_mut::<4>()?
                    .copy_from_slice(raw.address.first_chunk::<4>()?);
                Self::SOCKADDR_IN
            }
            AF_INET6 => {
                let (flowinfo, rest) = rest.split_first_chunk_mut::<4>()?;
                *flowinfo = raw.flowinfo.to_ne_bytes();
                let (address, rest) = rest.split_first_chunk_mut::<16>()?;
                *address = raw.address;
                *rest.first_chunk_mut::<4>()? = raw.scope_id.to_ne_bytes();
                Self::SOCKADDR_IN6
            }
            _ => return None,
        };
        Some(SockAddr { bytes, len })
    }

    /// Whether there is an address at all.
    pub fn is_known(&self) -> bool {
        self.0.family != 0
    }

    /// The remote address.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.family {
            AF_INET => {
                let [a, b, c, d, ..] = self.0.address;
                Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(self.0.address))),
            _ => None,
        }
    }

    /// The remote address as 4 or 16 bytes in network order; none for the default value.
    pub fn address_bytes(&self) -> &[u8] {
        let len = match self.0.family {
            AF_INET => 4,
            AF_INET6 => 16,
            _ => 0,
        };
        self.0.address.get(..len).unwrap_or(&[])
    }

    /// The remote port as two bytes in network order.
    pub fn port_bytes(&self) -> [u8; 2] {
        self.0.port.to_ne_bytes()
    }

    /// The remote port.
    pub fn port(&self) -> u16 {
        u16::from_be(self.0.port)
    }

    /// Whether a packet that came from `other` says nothing new: same remote address and port, same
    /// local address, and same interface (IPv4) or scope (IPv6). The IPv6 flow information that
    /// user space may give takes no part.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        self.same_remote(other) && a.source_ifindex == b.source_ifindex && a.source == b.source
    }

    /// Whether both are the same address and port of the other end, however it reaches us.
    #[inline]
    pub fn same_remote(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.family == b.family
            && a.port == b.port
            && a.scope_id == b.scope_id
            && a.address == b.address
    }

    /// Forgets our own address: the next route lookup chooses it.
    pub fn clear_source(&mut self) {
        self.0.source = [0; 16];
        self.0.source_ifindex = 0;
    }

    /// Whether our own address is chosen already.
    pub fn has_source(&self) -> bool {
        self.0.source != [0; 16]
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *const bindings::wg_endpoint {
        &self.0
    }

    /// The endpoint that a packet's notes hold; none if the family is unknown.
    pub(crate) fn from_raw(raw: bindings::wg_endpoint) -> Self {
        if raw.family == AF_INET || raw.family == AF_INET6 {
            // INVARIANT: Just checked.
            Self(raw)
        } else {
            Self::default()
        }
    }

    /// For C to fill; it must keep the type invariant.
    #[inline]
    pub(crate) fn as_mut_raw(&mut self) -> *mut bindings::wg_endpoint {
        &mut self.0
    }
}
