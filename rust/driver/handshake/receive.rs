// SPDX-License-Identifier: GPL-2.0

//! Handshake messages in: authenticators first, curves later.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use wg_kapi::{
    endpoint::Endpoint,
    log,
    rcu,
    shared::Shared,
    skb::SkBuff,
    udp, //
};
use wg_proto::{
    cookie::MacState,
    noise::{ReceivedInitiation, Session},
    timers::Event,
    wire::{CookieReply, Index, Initiation, Maced, Message, Response}, //
};

use super::{send, socket_address, FloodGuard};
use crate::{
    crypto::{self, KernelCrypto, KernelRng},
    device::Device,
    identity::Identity,
    keypair::Keypair,
    peer::Peer,
    stats::Stat,
    tx, //
};

/// Processes one message; `waiting` is how many there were with it.
pub(super) fn message(device: &Arc<Device>, mut skb: SkBuff, waiting: usize) {
    let source = skb.noted_sender();
    let identity = match Identity::of(device) {
        Some(identity) if device.is_running() => identity,
        _ => return device.count(Stat::RxNoIdentity),
    };
    let Some(bytes) = skb.payload() else {
        return device.count(Stat::NoMemory);
    };
    match Message::parse(bytes) {
        Ok(Message::Initiation(message)) => {
            if admit(device, &identity, message, &source, waiting) {
                initiation(device, &identity, message, &source);
            }
        }
        Ok(Message::Response(message)) => {
            if admit(device, &identity, message, &source, waiting) {
                response(device, &identity, message, &source);
            }
        }
        Ok(Message::CookieReply(message)) => cookie_reply(device, message),
        Ok(Message::Data(_)) | Err(_) => device.count(Stat::RxMalformed),
    }
}

/// Whether a message may cost us curve arithmetic (contract C5).
fn admit(
    device: &Arc<Device>,
    identity: &Identity,
    message: &impl Maced,
    source: &Endpoint,
    waiting: usize,
) -> bool {
    let macs = identity.keys().macs();
    let now = crypto::now();
    let mut guard = device.handshakes.guard.lock();
    if !guard.load.under_load(waiting, now) {
        drop(guard);
        if macs.check_mac1(message, &KernelCrypto) {
            return true;
        }
        log::invalid_mac(&device.netdev, source);
        device.count(Stat::RxMac1);
        return false;
    }
    let FloodGuard { cookies, .. } = &mut *guard;
    let Some(address) = socket_address(source) else {
        device.count(Stat::RxMalformed);
        return false;
    };
    match cookies.check(macs, message, &address, now, &mut KernelRng, &KernelCrypto) {
        MacState::InvalidMac => {
            log::invalid_mac(&device.netdev, source);
            device.count(Stat::RxMac1);
            false
        }
        MacState::ValidMac1 => {
            let reply = cookies.reply(macs, message, &address, now, &mut KernelRng, &KernelCrypto);
            drop(guard);
            if let Ok(reply) = reply {
                log::sending_cookie(&device.netdev, source);
                reply_to(device, source, reply.as_bytes());
            }
            false
        }
        MacState::ValidCookie => {
            // The table is of this interface, so that one that is attacked takes no room from others.
            let allowed = guard
                .limiter()
                .is_some_and(|limiter| limiter.allow(0, address.ip(), now, &KernelCrypto));
            if !allowed {
                device.count(Stat::RxRateLimit);
            }
            allowed
        }
    }
}

/// Sends a cookie reply to where a message came from.
fn reply_to(device: &Device, source: &Endpoint, message: &[u8]) {
    let Ok(mut skb) = SkBuff::alloc(message.len(), tx::HEADROOM) else {
        return device.count(Stat::NoMemory);
    };
    if skb.put(message).is_err() {
        return;
    }
    device.count(Stat::RxCookieSent);
    let guard = rcu::read_lock();
    let Some(port) = device.port.load(&guard) else {
        return device.count(Stat::TxSend);
    };
    let mark = device.fwmark();
    if udp::send(port, &device.netdev, skb, source, None, 0, mark)
        .result
        .is_err()
    {
        device.count(Stat::TxSend);
    }
}

fn initiation(device: &Arc<Device>, identity: &Identity, message: &Initiation, source: &Endpoint) {
    if respond(device, identity, message, source).is_none() {
        log::invalid_initiation(&device.netdev, source);
        device.count(Stat::RxInitiation);
    }
}

/// Answers an initiation, if it is authentic and new.
fn respond(
    device: &Arc<Device>,
    identity: &Identity,
    message: &Initiation,
    source: &Endpoint,
) -> Option<()> {
    let opened = ReceivedInitiation::open(message, identity.keys(), &KernelCrypto).ok()?;
    let peer = device.peer_by_key(opened.remote().as_bytes())?;
    let now = crypto::now();

    let mut handshake = peer.handshake.lock();
    if handshake.identity != identity.number() || peer.is_dead() {
        return None;
    }
    let index = unused_index(device)?;
    let (mut response, session, replaced) = handshake
        .noise
        .respond(
            opened,
            identity.keys(),
            index,
            now,
            &mut KernelRng,
            &KernelCrypto,
        )
        .ok()?;
    handshake.jar.stamp(&mut response, now, &KernelCrypto);
    handshake.noise.note_sent(now);
    peer.keep_quiet(now);
    let installed = install(&peer, session);
    drop(handshake);

    Peer::free_in_flight(&peer, replaced);
    log::received_initiation(&device.netdev, peer.number(), source);
    peer.set_endpoint(source);
    received(&peer, size_of::<Initiation>());
    peer.timer_event(Event::InitiationReceived);
    if !installed {
        return Some(());
    }
    log::sending_response(&device.netdev, peer.number(), source);
    // There is a session now, whether or not the peer will know.
    peer.timer_event(Event::ResponseSent);
    send::send(&peer, response.as_bytes());
    Some(())
}

fn response(device: &Arc<Device>, identity: &Identity, message: &Response, source: &Endpoint) {
    if complete(device, identity, message, source).is_none() {
        log::invalid_response(&device.netdev, source);
        device.count(Stat::RxResponse);
    }
}

/// Completes a handshake of ours.
fn complete(
    device: &Arc<Device>,
    identity: &Identity,
    message: &Response,
    source: &Endpoint,
) -> Option<()> {
    let index = message.receiver();
    let peer = device
        .in_flight
        .get(&index.0, &rcu::read_lock())
        .and_then(|peer| peer.get())?;
    let mut handshake = peer.handshake.lock();
    if handshake.identity != identity.number() || handshake.noise.in_flight() != Some(index) {
        return None;
    }
    let session = handshake
        .noise
        .response_received(identity.keys(), message, &KernelCrypto)
        .ok()?;
    let installed = install(&peer, session);
    drop(handshake);

    Peer::free_in_flight(&peer, Some(index));
    log::received_response(&device.netdev, peer.number(), source);
    peer.set_endpoint(source);
    received(&peer, size_of::<Response>());
    if !installed {
        // Without a session the handshake is not over: the retries go on.
        peer.timer_event(Event::KeepaliveReceived);
        return Some(());
    }
    peer.timer_event(Event::ResponseReceived);
    peer.handshake_completed();
    // Confirms the session to the peer: with staged packets, or else with a keepalive.
    tx::send_keepalive(peer.as_shared_ref());
    Some(())
}

/// Counts an authenticated message of `len` bytes (contract S2, S4).
fn received(peer: &Peer, len: usize) {
    let bytes = u64::try_from(len).unwrap_or(0);
    peer.received_bytes(bytes);
    peer.device().netdev.tstats_rx(1, bytes);
}

/// Makes a keypair of `session` and installs it.
fn install(peer: &Shared<Peer>, session: Session) -> bool {
    match Keypair::new(peer, session, crypto::now()) {
        Ok(keypair) => peer.install(keypair),
        Err(_) => {
            peer.device().count(Stat::NoMemory);
            false
        }
    }
}

/// An index that nothing uses now. The keypair that is to have it is entered later: where
/// another got there first the handshake is lost, once in billions.
fn unused_index(device: &Device) -> Option<Index> {
    wg_proto::index::allocate(&mut KernelRng, |index| {
        let guard = rcu::read_lock();
        let used = device.keypairs.get(&index.0, &guard).is_some()
            || device.in_flight.get(&index.0, &guard).is_some();
        Ok::<_, core::convert::Infallible>((!used).then_some(index))
    })
    .ok()
}

fn cookie_reply(device: &Arc<Device>, message: &CookieReply) {
    let index = message.receiver();
    let guard = rcu::read_lock();
    let peer = match device.in_flight.get(&index.0, &guard) {
        Some(peer) => peer.get(),
        None => device
            .keypairs
            .get(&index.0, &guard)
            .and_then(|keypair| keypair.peer().as_shared_ref().get()),
    };
    drop(guard);
    let accepted = peer.as_ref().is_some_and(|peer| {
        peer.handshake
            .lock()
            .jar
            .receive(message, crypto::now(), &KernelCrypto)
            .is_ok()
    });
    if accepted {
        log::received_cookie(&device.netdev);
    } else {
        device.count(Stat::RxCookie);
    }
}
