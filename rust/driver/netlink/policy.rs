// SPDX-License-Identifier: GPL-2.0

//! The attributes of the `wireguard` family and what they must look like.
//!
//! Numbers and types are those of `include/uapi/linux/wireguard.h`. Integers are in host order
//! unless said otherwise; keys are 32 raw bytes.

use wg_kapi::policy::Policy;

/// Bytes of a key.
const KEY: u16 = 32;
/// Bytes of an interface name ahead of its NUL, at most.
const NAME_MAX: u16 = 15;
/// Bytes of the smaller socket address, `struct sockaddr_in`.
const SOCKADDR_MIN: u16 = 16;
/// Bytes of `struct __kernel_timespec`.
const TIMESPEC: u16 = 16;
/// Bytes of the smaller address, IPv4.
const ADDRESS_MIN: u16 = 4;

/// `enum wgdevice_attribute`: an interface.
pub(super) mod device {
    /// Interface index, u32.
    pub(crate) const IFINDEX: u16 = 1;
    /// Interface name, a string.
    pub(crate) const IFNAME: u16 = 2;
    /// Private key; zeros for none.
    pub(crate) const PRIVATE_KEY: u16 = 3;
    /// Public key; given, never taken.
    pub(crate) const PUBLIC_KEY: u16 = 4;
    /// Flags of a change, u32.
    pub(crate) const FLAGS: u16 = 5;
    /// UDP port, u16; 0 to choose one.
    pub(crate) const LISTEN_PORT: u16 = 6;
    /// Mark of outgoing packets, u32; 0 for none.
    pub(crate) const FWMARK: u16 = 7;
    /// List of peers.
    pub(crate) const PEERS: u16 = 8;

    /// In [`FLAGS`]: remove all peers first.
    pub(crate) const REPLACE_PEERS: u32 = 1;
}

/// `enum wgpeer_attribute`: a peer.
pub(super) mod peer {
    /// Public key: which peer it is.
    pub(crate) const PUBLIC_KEY: u16 = 1;
    /// Preshared key; zeros for none.
    pub(crate) const PRESHARED_KEY: u16 = 2;
    /// Flags of a change, u32.
    pub(crate) const FLAGS: u16 = 3;
    /// Endpoint, `struct sockaddr_in` or `struct sockaddr_in6`.
    pub(crate) const ENDPOINT: u16 = 4;
    /// Seconds between persistent keepalives, u16; 0 for none.
    pub(crate) const KEEPALIVE: u16 = 5;
    /// When the last handshake was completed, `struct __kernel_timespec`; zeros for never.
    pub(crate) const LAST_HANDSHAKE: u16 = 6;
    /// Bytes received, u64.
    pub(crate) const RX_BYTES: u16 = 7;
    /// Bytes sent, u64.
    pub(crate) const TX_BYTES: u16 = 8;
    /// List of allowed IPs.
    pub(crate) const ALLOWED_IPS: u16 = 9;
    /// Version of the protocol, u32; always 1.
    pub(crate) const PROTOCOL_VERSION: u16 = 10;

    /// What has happened, u32 of the bits of [`event`](super::event); in events only.
    pub(crate) const EVENTS: u16 = 11;

    /// In [`FLAGS`]: remove the peer.
    pub(crate) const REMOVE_ME: u32 = 1;
    /// In [`FLAGS`]: take all allowed IPs from the peer first.
    pub(crate) const REPLACE_ALLOWED_IPS: u32 = 2;
    /// In [`FLAGS`]: do nothing if there is no such peer.
    pub(crate) const UPDATE_ONLY: u32 = 4;
}

/// What can happen to a peer.
pub(crate) mod event {
    /// It was added.
    pub(crate) const ADDED: u32 = 1;
    /// It was removed.
    pub(crate) const REMOVED: u32 = 2;
    /// Its preshared key, endpoint or keepalive interval was configured.
    pub(crate) const CHANGED: u32 = 4;
    /// Its allowed IPs were changed.
    pub(crate) const ALLOWED_IPS: u32 = 8;
    /// A handshake was completed.
    pub(crate) const HANDSHAKE: u32 = 16;
    /// An authentic message came from another place than before.
    pub(crate) const ENDPOINT: u32 = 32;
    /// A handshake was given up.
    pub(crate) const GIVEN_UP: u32 = 64;
    /// All its keys were wiped, as there was no new session for long.
    pub(crate) const WIPED: u32 = 128;
}

/// `enum wgallowedip_attribute`: an allowed IP.
pub(super) mod allowed_ip {
    /// Address family, u16.
    pub(crate) const FAMILY: u16 = 1;
    /// Address, 4 or 16 bytes in network order.
    pub(crate) const ADDRESS: u16 = 2;
    /// Length of the prefix in bits, u8.
    pub(crate) const CIDR: u16 = 3;
    /// Flags of a change, u32.
    pub(crate) const FLAGS: u16 = 4;

    /// In [`FLAGS`]: take it from the peer.
    pub(crate) const REMOVE_ME: u32 = 1;

    /// `AF_INET` in [`FAMILY`].
    pub(crate) const IPV4: u16 = 2;
    /// `AF_INET6` in [`FAMILY`].
    pub(crate) const IPV6: u16 = 10;
}

/// A request to list says which interface, and nothing else.
pub(super) static GET: [Policy; 3] = [
    Policy::REJECT,
    Policy::u32(),            // IFINDEX
    Policy::string(NAME_MAX), // IFNAME
];

/// A request to change an interface.
pub(super) static SET: [Policy; 9] = [
    Policy::REJECT,
    Policy::u32(),                           // IFINDEX
    Policy::string(NAME_MAX),                // IFNAME
    Policy::exact(KEY),                      // PRIVATE_KEY
    Policy::exact(KEY),                      // PUBLIC_KEY
    Policy::u32_mask(device::REPLACE_PEERS), // FLAGS
    Policy::u16(),                           // LISTEN_PORT
    Policy::u32(),                           // FWMARK
    Policy::nested_array(&PEER),             // PEERS
];

/// An entry of the list of peers.
pub(super) static PEER: [Policy; 11] = [
    Policy::REJECT,
    Policy::exact(KEY), // PUBLIC_KEY
    Policy::exact(KEY), // PRESHARED_KEY
    Policy::u32_mask(peer::REMOVE_ME | peer::REPLACE_ALLOWED_IPS | peer::UPDATE_ONLY), // FLAGS
    Policy::min(SOCKADDR_MIN), // ENDPOINT
    Policy::u16(),      // KEEPALIVE
    Policy::exact(TIMESPEC), // LAST_HANDSHAKE
    Policy::u64(),      // RX_BYTES
    Policy::u64(),      // TX_BYTES
    Policy::nested_array(&ALLOWED_IP), // ALLOWED_IPS
    Policy::u32(),      // PROTOCOL_VERSION
];

/// An entry of the list of allowed IPs.
pub(super) static ALLOWED_IP: [Policy; 5] = [
    Policy::REJECT,
    Policy::u16(),                           // FAMILY
    Policy::min(ADDRESS_MIN),                // ADDRESS
    Policy::u8(),                            // CIDR
    Policy::u32_mask(allowed_ip::REMOVE_ME), // FLAGS
];
