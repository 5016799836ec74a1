// SPDX-License-Identifier: GPL-2.0

//! The netlink family `wireguard`: peers of an interface, and events about them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use base64::{engine::general_purpose::STANDARD, Engine};
use neli::{
    consts::{
        nl::{NlmF, NlmFFlags},
        socket::NlFamily,
    },
    genl::{Genlmsghdr, Nlattr},
    neli_enum,
    nl::{NlPayload, Nlmsghdr},
    socket::NlSocketHandle,
    types::{Buffer, GenlBuffer},
};

use crate::Failure;

const FAMILY: &str = "wireguard";
const GROUP: &str = "peers";

/// Commands of the family.
#[neli_enum(serialized_type = "u8")]
pub enum Command {
    Get = 0,
    Event = 2,
}

impl neli::consts::genl::Cmd for Command {}

/// Attributes of an interface.
#[neli_enum(serialized_type = "u16")]
pub enum Attribute {
    Ifname = 2,
    Peers = 8,
}

impl neli::consts::genl::NlAttrType for Attribute {}

/// Attributes of a peer.
const PUBLIC_KEY: u16 = 1;
const ENDPOINT: u16 = 4;
const LAST_HANDSHAKE: u16 = 6;
const RX_BYTES: u16 = 7;
const TX_BYTES: u16 = 8;
const EVENTS: u16 = 11;

/// Names of the bits of [`EVENTS`], lowest first.
const EVENT_NAMES: [&str; 8] = [
    "added",
    "removed",
    "changed",
    "allowed-ips",
    "handshake",
    "endpoint",
    "given-up",
    "wiped",
];

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Public key in base64.
    pub key: String,
    /// Where it is, if that is known.
    pub endpoint: Option<SocketAddr>,
    /// Last handshake, in seconds since 1970; 0 for never.
    pub handshake: u64,
    /// Bytes received and sent.
    pub received: u64,
    pub sent: u64,
    /// What has happened to it: bits, in events only.
    pub events: u32,
}

impl Peer {
    /// The names of [`Self::events`].
    pub fn event_names(&self) -> Vec<&'static str> {
        EVENT_NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| (self.events >> bit) & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.event_names().join(" "))?;
        match self.endpoint {
            Some(endpoint) => write!(f, " {endpoint}"),
            None => Ok(()),
        }
    }
}

type Payload = Genlmsghdr<Command, Attribute>;

/// Lists the peers of an interface.
pub struct Lister {
    socket: NlSocketHandle,
    family: u16,
}

impl Lister {
    /// A socket for lists.
    pub fn new() -> Result<Self, Failure> {
        let mut socket = NlSocketHandle::connect(NlFamily::Generic, None, &[])?;
        let family = socket.resolve_genl_family(FAMILY).map_err(|error| {
            format!("no netlink family {FAMILY}; is the module loaded? ({error})")
        })?;
        Ok(Self { socket, family })
    }

    /// The peers of the interface `name`, in order.
    pub fn peers(&mut self, name: &str) -> Result<Vec<Peer>, Failure> {
        let mut attributes = GenlBuffer::<Attribute, Buffer>::new();
        attributes.push(Nlattr::new(false, false, Attribute::Ifname, name)?);
        self.socket.send(Nlmsghdr::new(
            None,
            self.family,
            NlmFFlags::new(&[NlmF::Request, NlmF::Dump]),
            None,
            None,
            NlPayload::Payload(Genlmsghdr::new(Command::Get, 1, attributes)),
        ))?;
        let mut peers: Vec<Peer> = Vec::new();
        for message in self.socket.iter::<u16, Payload>(false) {
            let message = message.map_err(|error| format!("{name}: {error}"))?;
            let NlPayload::Payload(payload) = message.nl_payload else {
                continue;
            };
            for peer in read_peers(&payload) {
                // A peer with many allowed IPs goes on in the next message with its key alone.
                if peers.last().is_none_or(|last| last.key != peer.key) {
                    peers.push(peer);
                }
            }
        }
        Ok(peers)
    }
}

/// Hears of events, of the interfaces of this network namespace.
pub struct Listener {
    socket: NlSocketHandle,
}

impl Listener {
    /// Joins the group. `None` if the module has none: the C driver.
    pub fn new() -> Result<Option<Self>, Failure> {
        let mut socket = NlSocketHandle::connect(NlFamily::Generic, None, &[])?;
        let Ok(group) = socket.resolve_nl_mcast_group(FAMILY, GROUP) else {
            return Ok(None);
        };
        socket.add_mcast_membership(&[group])?;
        Ok(Some(Self { socket }))
    }

    /// Waits for the next message; says of which interface and peers it is.
    pub fn hear(&mut self) -> Result<(String, Vec<Peer>), Failure> {
        loop {
            let message = self
                .socket
                .recv::<u16, Payload>()
                .map_err(|error| error.to_string())?;
            let Some(NlPayload::Payload(payload)) = message.map(|message| message.nl_payload)
            else {
                continue;
            };
            if payload.cmd == Command::Event {
                return Ok((read_name(&payload), read_peers(&payload)));
            }
        }
    }
}

fn read_name(payload: &Payload) -> String {
    payload
        .get_attr_handle()
        .get_attribute(Attribute::Ifname)
        .map(|name| {
            let text = String::from_utf8_lossy(name.nla_payload.as_ref());
            text.trim_end_matches('\0').to_owned()
        })
        .unwrap_or_default()
}

fn read_peers(payload: &Payload) -> Vec<Peer> {
    let handle = payload.get_attr_handle();
    let Some(list) = handle.get_attribute(Attribute::Peers) else {
        return Vec::new();
    };
    attributes(list.nla_payload.as_ref())
        .map(|(_, inside)| read_peer(inside))
        .collect()
}

fn read_peer(bytes: &[u8]) -> Peer {
    let mut peer = Peer::default();
    for (kind, value) in attributes(bytes) {
        match kind {
            PUBLIC_KEY => peer.key = STANDARD.encode(value),
            ENDPOINT => peer.endpoint = socket_address(value),
            LAST_HANDSHAKE => peer.handshake = number(value),
            RX_BYTES => peer.received = number(value),
            TX_BYTES => peer.sent = number(value),
            EVENTS => peer.events = u32::try_from(number(value)).unwrap_or(0),
            _ => (),
        }
    }
    peer
}

/// The attributes in `bytes`: type without flags, and payload.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// An unsigned integer in host order: the first 8 or 4 bytes.
fn number(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>()) {
        (Some(bytes), _) => u64::from_ne_bytes(*bytes),
        (None, Some(bytes)) => u64::from(u32::from_ne_bytes(*bytes)),
        (None, None) => 0,
    }
}

/// What a `struct sockaddr_in` or `sockaddr_in6` says.
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let address = if bytes.len() < 28 {
        IpAddr::V4(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?))
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_as_the_kernel_writes_it() {
        let mut bytes = vec![36, 0, 1, 0];
        bytes.extend([0xff; 32]);
        bytes.extend([20, 0, 4, 0, 2, 0, 0x1f, 0x90, 192, 0, 2, 7]);
        bytes.extend([0; 8]);
        bytes.extend([8, 0, 11, 0, 0x30, 0, 0, 0]);
        bytes.extend([12, 0, 7, 0, 1, 2, 0, 0, 0, 0, 0, 0]);
        let peer = read_peer(&bytes);
        assert_eq!(peer.key, STANDARD.encode([0xff; 32]));
        assert_eq!(peer.endpoint, Some("192.0.2.7:8080".parse().unwrap()));
        assert_eq!(peer.received, 513);
        assert_eq!(peer.event_names(), ["handshake", "endpoint"]);
        // What is cut short ends the list.
        assert_eq!(attributes(&bytes[..30]).count(), 0);
    }
}
