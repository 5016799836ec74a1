// SPDX-License-Identifier: GPL-2.0
//! Messages about an interface in the kernel log, as "wireguard: NAME: text".
//!
//! C header: [`include/linux/printk.h`](srctree/include/linux/printk.h)
//!
//! Debug messages are printed once dynamic debug is told `module wireguard +p`, which knows
//! formats of C call sites only. So each is a C function; texts are in `include/wg_log.h`. With
//! debugging off a message costs a call and a patched branch.
//!
//! Context: any.

use crate::bindings;
use core::ffi::c_void;
use kernel::{fmt, prelude::*};

/// What has messages printed about it: a network interface.
///
/// # Safety
///
/// `as_net_device` returns a `struct net_device` that lives at least as long as `self`.
pub unsafe trait Interface {
    /// The C object.
    #[doc(hidden)]
    fn as_net_device(&self) -> *const c_void;
}

/// An address that can be printed.
///
/// # Safety
///
/// `as_sockaddr` returns a pointer to a `struct sockaddr_in`, a `struct sockaddr_in6`, or a
/// `struct sockaddr` of another family, as its first field says, that lives as long as `self`.
pub unsafe trait SocketAddress {
    /// The C object.
    #[doc(hidden)]
    fn as_sockaddr(&self) -> *const c_void;
}

macro_rules! messages {
    (interface: $($(#[$doc:meta])* $name:ident => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &impl Interface) {
            // SAFETY: The device is live.
            unsafe { bindings::$c(interface.as_net_device().cast()) };
        }
    )*};
    (peer: $($(#[$doc:meta])* $name:ident => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &impl Interface, peer: u64) {
            // SAFETY: The device is live.
            unsafe { bindings::$c(interface.as_net_device().cast(), peer) };
        }
    )*};
    (keypair: $($(#[$doc:meta])* $name:ident => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &impl Interface, keypair: u64, peer: u64) {
            // SAFETY: The device is live.
            unsafe { bindings::$c(interface.as_net_device().cast(), keypair, peer) };
        }
    )*};
    (peer_at: $($(#[$doc:meta])* $name:ident => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &impl Interface, peer: u64, at: &impl SocketAddress) {
            // SAFETY: The device and the address are live.
            unsafe {
                bindings::$c(interface.as_net_device().cast(), peer, at.as_sockaddr().cast())
            };
        }
    )*};
    (from: $($(#[$doc:meta])* $name:ident => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &impl Interface, from: &impl SocketAddress) {
            // SAFETY: The device and the address are live.
            unsafe { bindings::$c(interface.as_net_device().cast(), from.as_sockaddr().cast()) };
        }
    )*};
}

messages! { interface:
    /// The interface was made.
    interface_created => wg_log_interface_created;
    /// The interface is gone.
    interface_destroyed => wg_log_interface_destroyed;
    /// The namespace that the sockets are in goes away.
    creating_netns_gone => wg_log_creating_netns_gone;
    /// A packet to send is neither IPv4 nor IPv6. Rate limited.
    tx_not_ip => wg_log_tx_not_ip;
    /// No peer has the destination of a packet among its allowed IPs. Rate limited.
    tx_no_peer => wg_log_tx_no_peer;
    /// The peer of a packet has no endpoint. Rate limited.
    tx_no_endpoint => wg_log_tx_no_endpoint;
}

messages! { peer:
    /// A peer was made.
    peer_created => wg_log_peer_created;
    /// A peer is gone.
    peer_destroyed => wg_log_peer_destroyed;
    /// The keys of a peer were wiped, as there was no new session for too long.
    keys_wiped => wg_log_keys_wiped;
}

messages! { keypair:
    /// A keypair was made.
    keypair_created => wg_log_keypair_created;
    /// A keypair is gone.
    keypair_destroyed => wg_log_keypair_destroyed;
}

messages! { peer_at:
    /// A handshake initiation is sent. Rate limited, as are all that follow.
    sending_initiation => wg_log_sending_initiation;
    /// A handshake response is sent.
    sending_response => wg_log_sending_response;
    /// A keepalive is sent.
    sending_keepalive => wg_log_sending_keepalive;
    /// A valid handshake initiation came.
    received_initiation => wg_log_received_initiation;
    /// A valid handshake response came.
    received_response => wg_log_received_response;
    /// A keepalive came.
    received_keepalive => wg_log_received_keepalive;
    /// A message was replayed or is too old.
    received_bad_counter => wg_log_received_bad_counter;
    /// The length of an inner packet is wrong.
    received_bad_length => wg_log_received_bad_length;
    /// An inner packet is neither IPv4 nor IPv6.
    received_not_ip => wg_log_received_not_ip;
    /// The source of an inner packet is not among the allowed IPs of the peer.
    received_bad_source => wg_log_received_bad_source;
    /// There is no route to the endpoint.
    no_route => wg_log_no_route;
    /// An initiation was not answered and is sent again.
    handshake_retry => wg_log_handshake_retry;
    /// Initiations were not answered too often.
    handshake_given_up => wg_log_handshake_given_up;
    /// Data was sent, but nothing came back.
    peer_silent => wg_log_peer_silent;
}

messages! { from:
    /// A cookie reply is sent.
    sending_cookie => wg_log_sending_cookie;
    /// The kind or the length of a message is wrong.
    bad_message => wg_log_bad_message;
    /// The MAC of a handshake message is wrong.
    bad_mac => wg_log_bad_mac;
    /// A handshake initiation is invalid.
    bad_initiation => wg_log_bad_initiation;
    /// A handshake response is invalid.
    bad_response => wg_log_bad_response;
    /// A cookie reply is invalid.
    bad_cookie => wg_log_bad_cookie;
    /// A valid cookie reply came.
    received_cookie => wg_log_received_cookie;
    /// A handshake message was dropped, as too many wait.
    handshake_dropped => wg_log_handshake_dropped;
}

/// Prints a text at level *info*: `log::info(&dev, fmt!("..."))`. Rate limited.
pub fn info(interface: &impl Interface, text: fmt::Arguments<'_>) {
    let text: *const fmt::Arguments<'_> = &text;
    // SAFETY: The device is live; the text is what `%pA` wants, and lives during the call.
    unsafe { bindings::wg_log_info(interface.as_net_device().cast(), text.cast()) };
}

/// Prints a text at level *error*. Rate limited.
pub fn error(interface: &impl Interface, text: fmt::Arguments<'_>) {
    let text: *const fmt::Arguments<'_> = &text;
    // SAFETY: The device is live; the text is what `%pA` wants, and lives during the call.
    unsafe { bindings::wg_log_error(interface.as_net_device().cast(), text.cast()) };
}

/// Warns of a bug in this module, with a stack trace, the first time that any is seen.
///
/// C counterpart: `WARN_ONCE`.
#[cold]
pub(crate) fn warn_once(what: &CStr) {
    // SAFETY: A valid C string.
    unsafe { bindings::wg_warn_once(what.as_char_ptr()) };
}
