// SPDX-License-Identifier: GPL-2.0
//! Trace points, below `/sys/kernel/tracing/events/wireguard`.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)
//!
//! While nobody listens each costs a call and a patched branch, so none belongs on the way of a
//! packet that gets through. What they say must never be a secret: numbers and addresses alone.
//!
//! Context: any.

use crate::{
    bindings,
    endpoint::Endpoint,
    netdev::NetDevice,
    skb::DropReason, //
};
use kernel::prelude::*;

/// What happened to a handshake.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// An initiation was sent.
    InitiationSent = bindings::wg_trace_handshakes_WG_HANDSHAKE_INITIATION_SENT,
    /// An initiation cannot be made.
    InitiationRefused = bindings::wg_trace_handshakes_WG_HANDSHAKE_INITIATION_REFUSED,
    /// A valid initiation came.
    InitiationReceived = bindings::wg_trace_handshakes_WG_HANDSHAKE_INITIATION_RECEIVED,
    /// A response was sent.
    ResponseSent = bindings::wg_trace_handshakes_WG_HANDSHAKE_RESPONSE_SENT,
    /// A valid response came.
    ResponseReceived = bindings::wg_trace_handshakes_WG_HANDSHAKE_RESPONSE_RECEIVED,
    /// A cookie was sent instead of an answer.
    CookieSent = bindings::wg_trace_handshakes_WG_HANDSHAKE_COOKIE_SENT,
    /// A valid cookie came.
    CookieReceived = bindings::wg_trace_handshakes_WG_HANDSHAKE_COOKIE_RECEIVED,
    /// There is a session that both ends know of.
    Completed = bindings::wg_trace_handshakes_WG_HANDSHAKE_COMPLETED,
    /// Too many initiations were not answered.
    GivenUp = bindings::wg_trace_handshakes_WG_HANDSHAKE_GIVEN_UP,
}

/// What happened to keys.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A keypair was made.
    Created = bindings::wg_trace_keys_WG_KEY_CREATED,
    /// The responder's keypair is the one to send with from now on.
    Confirmed = bindings::wg_trace_keys_WG_KEY_CONFIRMED,
    /// Nothing is sent under it any more.
    Expired = bindings::wg_trace_keys_WG_KEY_EXPIRED,
    /// A keypair is gone.
    Destroyed = bindings::wg_trace_keys_WG_KEY_DESTROYED,
    /// All keys of a peer were wiped for want of a new session.
    Wiped = bindings::wg_trace_keys_WG_KEY_WIPED,
}

/// What happened to an endpoint.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointChange {
    /// It was set by configuration.
    Configured = bindings::wg_trace_endpoints_WG_ENDPOINT_CONFIGURED,
    /// An authentic message came from elsewhere.
    Moved = bindings::wg_trace_endpoints_WG_ENDPOINT_MOVED,
    /// Our own address is to be chosen anew.
    SourceForgotten = bindings::wg_trace_endpoints_WG_ENDPOINT_SOURCE_FORGOTTEN,
}

/// Which timer has expired.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// No response: try again.
    Retransmit = bindings::wg_trace_timers_WG_TIMER_RETRANSMIT,
    /// Nothing came back.
    Silence = bindings::wg_trace_timers_WG_TIMER_SILENCE,
    /// A keepalive is due.
    Keepalive = bindings::wg_trace_timers_WG_TIMER_KEEPALIVE,
    /// Keys are to be wiped.
    Forget = bindings::wg_trace_timers_WG_TIMER_FORGET,
    /// The handshake is given up.
    GiveUp = bindings::wg_trace_timers_WG_TIMER_GIVE_UP,
}

/// `count` packets or messages of `peer` (0: unknown) were dropped, counted as `cause`.
#[inline]
pub fn drop(
    interface: &NetDevice,
    peer: u64,
    cause: &'static CStr,
    reason: DropReason,
    count: u64,
) {
    // SAFETY: Device and text are live during the call.
    unsafe {
        bindings::wg_trace_drop(
            interface.as_ptr(),
            peer,
            cause.as_char_ptr(),
            reason as u32,
            count,
        )
    }
}

/// A step of a handshake with `peer` (0: unknown) at `at`.
#[inline]
pub fn handshake(interface: &NetDevice, peer: u64, what: Handshake, at: &Endpoint) {
    // SAFETY: Device and endpoint are live during the call.
    unsafe { bindings::wg_trace_handshake(interface.as_ptr(), peer, what as u32, at.as_raw()) }
}

/// A change of the keys of `peer`; `keypair` is 0 for all of them.
#[inline]
pub fn key(interface: &NetDevice, peer: u64, keypair: u64, what: Key) {
    // SAFETY: The device is live during the call.
    unsafe { bindings::wg_trace_key(interface.as_ptr(), peer, keypair, what as u32) }
}

/// A change of where `peer` is.
#[inline]
pub fn endpoint(interface: &NetDevice, peer: u64, what: EndpointChange, at: &Endpoint) {
    // SAFETY: Device and endpoint are live during the call.
    unsafe { bindings::wg_trace_endpoint(interface.as_ptr(), peer, what as u32, at.as_raw()) }
}

/// A timer of `peer` has expired; `attempt` is the number of the initiation that it asks for, or 0.
#[inline]
pub fn timer(interface: &NetDevice, peer: u64, what: Timer, attempt: u32) {
    // SAFETY: The device is live during the call.
    unsafe { bindings::wg_trace_timer(interface.as_ptr(), peer, what as u32, attempt) }
}
