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

use crate::{
    bindings,
    endpoint::Endpoint,
    netdev::NetDevice, //
};
use kernel::{fmt, prelude::*};

/// One function a message: how it is called, and the C function behind it.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ident),*) => $c:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(interface: &NetDevice, $($arg: messages!(@type $kind)),*) {
            // SAFETY: The device and the address, if there is one, are live during the call.
            unsafe {
                bindings::$c(
                    interface.as_ptr(),
                    $(messages!(@pass $kind $arg)),*
                )
            };
        }
    )*};
    (@type u64) => { u64 };
    (@type u32) => { u32 };
    (@type address) => { &Endpoint };
    (@pass address $arg:ident) => { $arg.as_raw() };
    (@pass $kind:ident $arg:ident) => { $arg };
}

// The life of objects: never suppressed.
messages! {
    /// The interface was made.
    interface_created() => wg_log_interface_created;
    /// The interface is gone.
    interface_destroyed() => wg_log_interface_destroyed;
    /// The namespace that the sockets are in goes away.
    creating_net_exiting() => wg_log_creating_net_exiting;
    /// A peer was made.
    peer_created(peer: u64) => wg_log_peer_created;
    /// A peer is gone.
    peer_destroyed(peer: u64) => wg_log_peer_destroyed;
    /// A keypair was made.
    keypair_created(keypair: u64, peer: u64) => wg_log_keypair_created;
    /// A keypair is gone.
    keypair_destroyed(keypair: u64, peer: u64) => wg_log_keypair_destroyed;
}

// What traffic can cause: rate limited.
messages! {
    /// A handshake initiation is sent.
    sending_initiation(peer: u64, at: address) => wg_log_sending_initiation;
    /// A handshake response is sent.
    sending_response(peer: u64, at: address) => wg_log_sending_response;
    /// A keepalive is sent.
    sending_keepalive(peer: u64, at: address) => wg_log_sending_keepalive;
    /// A cookie reply is sent.
    sending_cookie(to: address) => wg_log_sending_cookie;
    /// A valid handshake initiation came.
    received_initiation(peer: u64, from: address) => wg_log_received_initiation;
    /// A valid handshake response came.
    received_response(peer: u64, from: address) => wg_log_received_response;
    /// A valid cookie reply came.
    received_cookie() => wg_log_received_cookie;
    /// A keepalive came.
    received_keepalive(peer: u64, from: address) => wg_log_received_keepalive;
    /// The length of an inner packet is wrong.
    received_bad_length(peer: u64, from: address) => wg_log_received_bad_length;
    /// An inner packet is neither IPv4 nor IPv6.
    received_not_ip(peer: u64, from: address) => wg_log_received_not_ip;
    /// The source of an inner packet is not among the allowed IPs of the peer.
    received_bad_source(peer: u64, from: address) => wg_log_received_bad_source;
    /// The counter of a message was seen before, or is too old.
    invalid_nonce(peer: u64, counter: u64) => wg_log_invalid_nonce;
    /// The kind or the length of a message is wrong.
    invalid_message(from: address) => wg_log_invalid_message;
    /// The MAC of a handshake message is wrong.
    invalid_mac(from: address) => wg_log_invalid_mac;
    /// A handshake initiation is invalid.
    invalid_initiation(from: address) => wg_log_invalid_initiation;
    /// A handshake response is invalid.
    invalid_response(from: address) => wg_log_invalid_response;
    /// A handshake message was dropped, as too many wait.
    handshake_dropped(from: address) => wg_log_handshake_dropped;
    /// An initiation was not answered and is sent again.
    handshake_retry(peer: u64, at: address, attempt: u32) => wg_log_handshake_retry;
    /// Initiations were not answered too often.
    handshake_gave_up(peer: u64, at: address) => wg_log_handshake_gave_up;
    /// Data was sent, but nothing came back.
    stopped_hearing_back(peer: u64, at: address) => wg_log_stopped_hearing_back;
    /// The keys of a peer are wiped, as there was no new session for too long.
    zeroing_keys(peer: u64, at: address) => wg_log_zeroing_keys;
    /// There is no route to the endpoint.
    no_route(peer: u64, at: address) => wg_log_no_route;
    /// A packet to send is neither IPv4 nor IPv6.
    tx_not_ip() => wg_log_tx_not_ip;
    /// No peer has the destination of a packet among its allowed IPs.
    tx_no_peer() => wg_log_tx_no_peer;
    /// The peer of a packet has no endpoint.
    tx_no_endpoint() => wg_log_tx_no_endpoint;
}

/// Prints a text at level *info*: `log::info(&dev, fmt!("..."))`. Rate limited.
pub fn info(interface: &NetDevice, text: fmt::Arguments<'_>) {
    let text: *const fmt::Arguments<'_> = &text;
    // SAFETY: The device is live; the text is what `%pA` wants, and lives during the call.
    unsafe { bindings::wg_log_info(interface.as_ptr(), text.cast()) };
}

/// Prints a text at level *error*. Rate limited.
pub fn error(interface: &NetDevice, text: fmt::Arguments<'_>) {
    let text: *const fmt::Arguments<'_> = &text;
    // SAFETY: The device is live; the text is what `%pA` wants, and lives during the call.
    unsafe { bindings::wg_log_error(interface.as_ptr(), text.cast()) };
}

/// Warns of a bug in this module, with a stack trace, the first time that any is seen.
///
/// C counterpart: `WARN_ONCE`.
#[cold]
pub(crate) fn warn_once(what: &CStr) {
    // SAFETY: A valid C string.
    unsafe { bindings::wg_warn_once(what.as_char_ptr()) };
}
