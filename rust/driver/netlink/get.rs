// SPDX-License-Identifier: GPL-2.0

//! `GET_DEVICE`: an interface with all its peers, in as many messages as it takes.
//!
//! Between two messages only numbers are kept, no peer: peers and allowed IPs are listed in the
//! order of numbers that are never used twice, so a list goes on behind what is gone in the
//! meantime. User space is told by the generation that the list is not of one moment.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use wg_kapi::{
    genl::{Full, Message, Nest, Progress, Request},
    net::Rtnl,
    rcu, //
};

use super::policy::{allowed_ip, device, peer};
use crate::{
    allowed_ips::AllowedIp,
    config::{Config, PeerConfig},
    device::Device,
    peer::Peer, //
};

/// The only version of the protocol.
pub(super) const PROTOCOL_VERSION: u32 = 1;

/// A list of an interface.
pub(crate) struct Dump {
    device: Arc<Device>,
    cursor: Cursor,
}

/// How far a list has come.
#[derive(Default)]
struct Cursor {
    /// The last peer that has been listed with all its allowed IPs.
    completed: Option<u64>,
    /// A peer that has been listed in part, and the number of its next allowed IP.
    partial: Option<(u64, u64)>,
}

/// Begins a list.
pub(super) fn start(req: &Request<'_>) -> Result<KBox<Dump>> {
    let rtnl = Rtnl::lock();
    let dump = Dump {
        device: super::device(req, &rtnl)?,
        cursor: Cursor::default(),
    };
    Ok(KBox::new(dump, GFP_KERNEL)?)
}

impl Dump {
    /// Writes the next message (contract N17 to N20).
    pub(super) fn message(&mut self, out: &mut Message<'_>) -> Result<Progress> {
        let Self { device, cursor } = self;
        let _rtnl = Rtnl::lock();
        let config = device.lock();
        out.set_generation(config.generation);
        if cursor.completed.is_none() {
            put_device(out, device, &config)?;
        }
        if config.peer_from(cursor.next()).is_none() {
            return Ok(Progress::Done);
        }
        let mut peers = out.nest(device::PEERS)?;
        let progress = loop {
            let Some(entry) = config.peer_from(cursor.next()) else {
                break Progress::Done;
            };
            if cursor.put_peer(&mut peers, entry).is_err() {
                break Progress::More;
            }
        };
        peers.end();
        Ok(progress)
    }
}

impl Cursor {
    /// The number from which on peers are still to be listed.
    fn next(&self) -> u64 {
        self.completed.map_or(0, |number| number.saturating_add(1))
    }

    /// Writes `entry`, or as much of it as fits, and notes how far it came.
    fn put_peer(&mut self, peers: &mut Message<'_>, entry: &PeerConfig) -> Result<(), Full> {
        let number = entry.peer.number();
        let mut nest = peers.nest(0)?;
        nest.put_bytes(peer::PUBLIC_KEY, entry.peer.remote().as_bytes())?;
        let first = match self.partial {
            Some((partial, sequence)) if partial == number => sequence,
            _ => {
                put_peer_state(&mut nest, &entry.peer)?;
                0
            }
        };
        if let Some(sequence) = put_allowed_ips(&mut nest, entry, first)? {
            nest.end();
            self.partial = Some((number, sequence));
            return Err(Full);
        }
        nest.end();
        self.partial = None;
        self.completed = Some(number);
        Ok(())
    }
}

/// Writes what is known of the interface itself.
fn put_device(out: &mut Message<'_>, dev: &Device, config: &Config) -> Result<(), Full> {
    out.put_u16(device::LISTEN_PORT, dev.listen_port(config))?;
    out.put_u32(device::FWMARK, dev.fwmark())?;
    out.put_u32(device::IFINDEX, dev.netdev.ifindex())?;
    out.put_str(device::IFNAME, dev.netdev.name().as_c_str())?;
    let guard = rcu::read_lock();
    if let Some(identity) = dev.identity.load(&guard) {
        out.put_bytes(device::PRIVATE_KEY, identity.keys().private().as_bytes())?;
        out.put_bytes(device::PUBLIC_KEY, identity.public().as_bytes())?;
    }
    Ok(())
}

/// Writes what is known of a peer besides its public key and allowed IPs.
fn put_peer_state(nest: &mut Message<'_>, of: &Peer) -> Result<(), Full> {
    nest.put_bytes(
        peer::PRESHARED_KEY,
        of.handshake.lock().preshared_key().as_bytes(),
    )?;
    put_public_state(nest, of)
}

/// Writes what is known of a peer and no secret.
pub(super) fn put_public_state(nest: &mut Message<'_>, of: &Peer) -> Result<(), Full> {
    let (seconds, nanoseconds) = of.last_handshake();
    let mut stamp = [0; 16];
    let (front, back) = stamp.split_at_mut(8);
    front.copy_from_slice(&seconds.to_ne_bytes());
    back.copy_from_slice(&nanoseconds.to_ne_bytes());
    nest.put_bytes(peer::LAST_HANDSHAKE, &stamp)?;
    nest.put_u16(peer::KEEPALIVE, of.keepalive())?;
    let (received, sent) = of.transfer();
    nest.put_u64(peer::TX_BYTES, sent)?;
    nest.put_u64(peer::RX_BYTES, received)?;
    nest.put_u32(peer::PROTOCOL_VERSION, PROTOCOL_VERSION)?;
    if let Some(address) = of.endpoint().to_sockaddr() {
        nest.put_bytes(peer::ENDPOINT, address.as_bytes())?;
    }
    Ok(())
}

/// Writes the allowed IPs of a peer from number `first` on; returns the number of the first that
/// did not fit.
fn put_allowed_ips(
    nest: &mut Message<'_>,
    entry: &PeerConfig,
    first: u64,
) -> Result<Option<u64>, Full> {
    let mut list = entry.routes.from(first).peekable();
    if list.peek().is_none() {
        return Ok(None);
    }
    let mut nest = nest.nest(peer::ALLOWED_IPS)?;
    let left = list
        .find(|(_, ip)| put_allowed_ip(&mut nest, ip).is_err())
        .map(|(sequence, _)| sequence);
    nest.end();
    Ok(left)
}

/// Writes one allowed IP, whole or not at all.
fn put_allowed_ip(list: &mut Nest<'_, '_>, ip: &AllowedIp) -> Result<(), Full> {
    let mut nest = list.nest(0)?;
    match ip {
        AllowedIp::V4(prefix) => {
            nest.put_u8(allowed_ip::CIDR, prefix.cidr())?;
            nest.put_u16(allowed_ip::FAMILY, allowed_ip::IPV4)?;
            nest.put_bytes(allowed_ip::ADDRESS, &prefix.address().to_be_bytes())?;
        }
        AllowedIp::V6(prefix) => {
            nest.put_u8(allowed_ip::CIDR, prefix.cidr())?;
            nest.put_u16(allowed_ip::FAMILY, allowed_ip::IPV6)?;
            nest.put_bytes(allowed_ip::ADDRESS, &prefix.address().to_be_bytes())?;
        }
    }
    nest.end();
    Ok(())
}
