// SPDX-License-Identifier: GPL-2.0

//! `SET_DEVICE`: changes an interface, its peers and their allowed IPs.
//!
//! A request is carried out in the order of contract N7 and stops at the first refusal; what was
//! done before stays done. Every refusal is explained to user space.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use wg_kapi::{
    endpoint::Endpoint,
    errno,
    genl::Request,
    net::Rtnl,
    nla::{Attr, Attrs},
    rcu,
    shared::Shared, //
};
use wg_proto::{
    allowed_ips::Prefix,
    crypto::wipe_stack,
    keys::{PresharedKey, PrivateKey}, //
};

use super::{
    get::PROTOCOL_VERSION,
    policy::{self, allowed_ip, device, peer}, //
};
use crate::{
    allowed_ips::AllowedIp,
    config::Config,
    device::Device,
    peer::Peer,
    tx, //
};

/// Largest socket address that an endpoint may be, `struct sockaddr_in6`.
const SOCKADDR_MAX: usize = 28;

/// Carries out a request, and leaves no secret in it (contract N22).
pub(super) fn set(req: &Request<'_>) -> Result {
    let result = {
        let rtnl = Rtnl::lock();
        super::device(req, &rtnl).and_then(|device| set_device(req, &device))
    };
    wipe_secrets(req);
    wipe_stack();
    result
}

#[inline(never)]
fn set_device(req: &Request<'_>, dev: &Arc<Device>) -> Result {
    let mut config = dev.lock();
    may_touch_sockets(req, dev)?;
    config.sweep();
    // 0 would mean that lists cannot tell.
    config.generation = config.generation.wrapping_add(1).max(1);

    let changed = apply(req, dev, &mut config);
    // Also after a refusal: what came before it counts. Packets see all prefixes at once.
    let published = dev
        .publish_routes(&config)
        .map_err(|error| req.refuse(error, None, c"out of memory for allowed IPs"));
    changed.and(published)
}

/// Port and mark concern the namespace of the sockets, so one must be its administrator as well
/// (contract N3).
fn may_touch_sockets(req: &Request<'_>, dev: &Device) -> Result {
    let Some(at) = req
        .attr(device::LISTEN_PORT)
        .or_else(|| req.attr(device::FWMARK))
    else {
        return Ok(());
    };
    match dev.netdev.creating_net() {
        Some(net) if net.may_administer() => Ok(()),
        Some(_) => Err(req.refuse(
            EPERM,
            Some(&at),
            c"needs CAP_NET_ADMIN where the interface was created",
        )),
        None => Err(req.refuse(
            EPERM,
            Some(&at),
            c"the namespace in which the interface was created is gone",
        )),
    }
}

fn apply(req: &Request<'_>, dev: &Arc<Device>, config: &mut Config) -> Result {
    if let Some(mark) = req.attr(device::FWMARK) {
        dev.set_fwmark(config, mark.u32()?);
    }
    if let Some(port) = req.attr(device::LISTEN_PORT) {
        dev.set_listen_port(config, port.u16()?)
            .map_err(|error| req.refuse(error, Some(&port), c"cannot listen on this port"))?;
    }
    if flags(req.attr(device::FLAGS).as_ref())? & device::REPLACE_PEERS != 0 {
        dev.remove_all_peers(config);
    }
    if let Some(key) = req.attr(device::PRIVATE_KEY) {
        set_private_key(&key, dev, config)
            .map_err(|error| req.refuse(error, Some(&key), c"cannot change the private key"))?;
    }
    let Some(peers) = req.attr(device::PEERS) else {
        return Ok(());
    };
    for entry in peers.entries() {
        set_peer(req, dev, config, &entry)?;
    }
    Ok(())
}

/// The value of a flags attribute; none is no flags.
fn flags(attr: Option<&Attr<'_>>) -> Result<u32> {
    attr.map_or(Ok(0), Attr::u32)
}

/// Who the interface is; zeros for nobody (contract N11).
fn set_private_key(attr: &Attr<'_>, dev: &Device, config: &mut Config) -> Result {
    // Any secret would do here: what matters is that the copy erases itself.
    let mut bytes = PresharedKey::zeroed();
    attr.read(bytes.as_mut_bytes())?;
    dev.set_private_key(config, PrivateKey::new(bytes.as_bytes()))
}

/// Makes, changes or removes a peer (contract N12).
fn set_peer(req: &Request<'_>, dev: &Arc<Device>, config: &mut Config, entry: &Attr<'_>) -> Result {
    let attrs = entry.parse(&policy::PEER, req.extack())?;
    let Some(key) = attrs.get(peer::PUBLIC_KEY) else {
        return Err(req.extack().missing(
            Some(entry),
            peer::PUBLIC_KEY,
            c"peer without public key",
        ));
    };
    let key: [u8; 32] = key.array()?;
    if let Some(version) = attrs.get(peer::PROTOCOL_VERSION) {
        if version.u32()? != PROTOCOL_VERSION {
            return Err(req.refuse(
                errno::EPFNOSUPPORT(),
                Some(version),
                c"only version 1 of the protocol is known",
            ));
        }
    }
    let flags = flags(attrs.get(peer::FLAGS))?;
    let known = dev.peer_by_key(&key);
    if flags & peer::REMOVE_ME != 0 {
        if let Some(target) = known {
            dev.remove_peer(config, &target);
        }
        return Ok(());
    }
    match known {
        Some(target) => {
            if let Some(preshared) = attrs.get(peer::PRESHARED_KEY) {
                target.set_preshared_key(read_preshared(preshared)?);
            }
            let renew = flags & peer::REPLACE_ALLOWED_IPS != 0;
            configure(req, dev, config, &target, &attrs, renew)
        }
        None if flags & peer::UPDATE_ONLY != 0 || is_own_key(dev, &key) => Ok(()),
        None => {
            let preshared = match attrs.get(peer::PRESHARED_KEY) {
                Some(preshared) => read_preshared(preshared)?,
                None => PresharedKey::zeroed(),
            };
            let target = dev
                .create_peer(config, &key, preshared)
                .map_err(|error| req.refuse(error, Some(entry), c"cannot add another peer"))?;
            configure(req, dev, config, &target, &attrs, false)
        }
    }
}

fn read_preshared(attr: &Attr<'_>) -> Result<PresharedKey> {
    let mut key = PresharedKey::zeroed();
    attr.read(key.as_mut_bytes())?;
    Ok(key)
}

/// Whether `key` is the interface's own public key.
fn is_own_key(dev: &Device, key: &[u8; 32]) -> bool {
    dev.identity
        .load(&rcu::read_lock())
        .is_some_and(|identity| identity.public().as_bytes() == key)
}

/// Applies what a request says of a peer besides its keys.
fn configure(
    req: &Request<'_>,
    dev: &Device,
    config: &mut Config,
    target: &Shared<Peer>,
    attrs: &Attrs<'_, { policy::PEER.len() }>,
    renew: bool,
) -> Result {
    if let Some(endpoint) = attrs.get(peer::ENDPOINT).and_then(read_endpoint) {
        target.configure_endpoint(&endpoint);
    }
    if renew {
        Device::disallow_all_ips(config, target)
            .map_err(|error| req.refuse(error, None, c"out of memory for allowed IPs"))?;
    }
    if let Some(list) = attrs.get(peer::ALLOWED_IPS) {
        for entry in list.entries() {
            set_allowed_ip(req, config, target, &entry)?;
        }
    }
    if let Some(interval) = attrs.get(peer::KEEPALIVE) {
        Peer::set_keepalive(target.as_shared_ref(), interval.u16()?);
    }
    if dev.is_running() {
        tx::flush(target.as_shared_ref());
    }
    Ok(())
}

/// The endpoint that a socket address stands for. Others than those of IPv4 and IPv6 in their exact
/// lengths are ignored.
fn read_endpoint(attr: &Attr<'_>) -> Option<Endpoint> {
    let mut bytes = [0; SOCKADDR_MAX];
    let address = bytes.get_mut(..attr.len())?;
    attr.read(address).ok()?;
    Endpoint::from_sockaddr(address)
}

/// Gives a prefix to a peer, or takes it away (contract N14).
fn set_allowed_ip(
    req: &Request<'_>,
    config: &mut Config,
    target: &Shared<Peer>,
    entry: &Attr<'_>,
) -> Result {
    let attrs = entry.parse(&policy::ALLOWED_IP, req.extack())?;
    let required = |kind| {
        attrs.get(kind).ok_or_else(|| {
            req.extack().missing(
                Some(entry),
                kind,
                c"an allowed IP needs family, address and prefix length",
            )
        })
    };
    let family = required(allowed_ip::FAMILY)?;
    let address = required(allowed_ip::ADDRESS)?;
    let cidr = required(allowed_ip::CIDR)?;
    let ip = match family.u16()? {
        allowed_ip::IPV4 => {
            let bytes = address
                .array()
                .map_err(|_| req.refuse(EINVAL, Some(address), c"an IPv4 address has 4 bytes"))?;
            Prefix::new(u32::from_be_bytes(bytes), cidr.u8()?).map(AllowedIp::V4)
        }
        allowed_ip::IPV6 => {
            let bytes = address
                .array()
                .map_err(|_| req.refuse(EINVAL, Some(address), c"an IPv6 address has 16 bytes"))?;
            Prefix::new(u128::from_be_bytes(bytes), cidr.u8()?).map(AllowedIp::V6)
        }
        _ => return Err(req.refuse(EINVAL, Some(family), c"neither IPv4 nor IPv6")),
    }
    .map_err(|_| req.refuse(EINVAL, Some(cidr), c"prefix longer than the address"))?;
    let flags = flags(attrs.get(allowed_ip::FLAGS))?;
    let done = if flags & allowed_ip::REMOVE_ME != 0 {
        Device::disallow_ip(config, target, ip)
    } else {
        Device::allow_ip(config, target, ip)
    };
    done.map_err(|error| req.refuse(error, Some(entry), c"out of memory for allowed IPs"))
}

/// Erases all keys in the request, also those that were never looked at.
fn wipe_secrets(req: &Request<'_>) {
    for attr in req.attrs() {
        match attr.kind() {
            device::PRIVATE_KEY => attr.wipe(),
            device::PEERS => attr
                .entries()
                .flat_map(|entry| entry.entries())
                .filter(|attr| attr.kind() == peer::PRESHARED_KEY)
                .for_each(|attr| attr.wipe()),
            _ => (),
        }
    }
}
