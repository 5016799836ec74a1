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
    trace,
    udp, //
};
use wg_proto::{
    cookie::{CookieError, MacState},
    noise::{HandshakeError, ReceivedInitiation, Session},
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
    stats::{Stat, NO_PEER},
    tx, //
};

/// Processes one message; `waiting` is how many there were with it. Secrets may be left on the stack
/// below it.
#[inline(never)]
pub(super) fn message(device: &Arc<Device>, mut skb: SkBuff, waiting: usize) {
    let source = skb.noted_sender();
    match process(device, &mut skb, &source, waiting) {
        Ok(()) => skb.consume(),
        Err((stat, peer)) => device.discard(skb, stat, peer),
    }
}

/// What a refused message is to be counted as, and the number of its peer.
type Refused = (Stat, u64);

/// Reads a message and does what it asks for.
fn process(
    device: &Arc<Device>,
    skb: &mut SkBuff,
    source: &Endpoint,
    waiting: usize,
) -> Result<(), Refused> {
    if !device.is_running() {
        return Err((Stat::RxDown, NO_PEER));
    }
    let identity = Identity::of(device).ok_or((Stat::RxNoIdentity, NO_PEER))?;
    let bytes = skb.payload().ok_or((Stat::NoMemory, NO_PEER))?;
    match Message::parse(bytes) {
        Ok(Message::Initiation(message)) => {
            admit(device, &identity, message, source, waiting)?;
            respond(device, &identity, message, source).inspect_err(|_| {
                log::invalid_initiation(&device.netdev, source);
            })
        }
        Ok(Message::Response(message)) => {
            admit(device, &identity, message, source, waiting)?;
            complete(device, &identity, message, source).inspect_err(|_| {
                log::invalid_response(&device.netdev, source);
            })
        }
        Ok(Message::CookieReply(message)) => cookie_reply(device, message, source),
        Ok(Message::Data(_)) | Err(_) => Err((Stat::RxMalformed, NO_PEER)),
    }
}

/// What a handshake message counts as that was refused for `error`.
fn refusal(error: HandshakeError, other: Stat) -> Stat {
    match error {
        HandshakeError::Replay => Stat::RxInitiationReplay,
        HandshakeError::Flood => Stat::RxInitiationFlood,
        HandshakeError::WrongPeer => Stat::RxUnknownPeer,
        HandshakeError::Unexpected => Stat::RxResponseUnexpected,
        _ => other,
    }
}

/// Refuses a message that may not cost us curve arithmetic (contract C5).
fn admit(
    device: &Arc<Device>,
    identity: &Identity,
    message: &impl Maced,
    source: &Endpoint,
    waiting: usize,
) -> Result<(), Refused> {
    let macs = identity.keys().macs();
    let now = crypto::now();
    let mut guard = device.handshakes.guard.lock();
    if !guard.load.under_load(waiting, now) {
        drop(guard);
        if macs.check_mac1(message, &KernelCrypto) {
            return Ok(());
        }
        log::invalid_mac(&device.netdev, source);
        return Err((Stat::RxMac1, NO_PEER));
    }
    let FloodGuard { cookies, load, .. } = &mut *guard;
    let address = socket_address(source).ok_or((Stat::RxMalformed, NO_PEER))?;
    match cookies.check(macs, message, &address, now, &mut KernelRng, &KernelCrypto) {
        MacState::InvalidMac => {
            log::invalid_mac(&device.netdev, source);
            Err((Stat::RxMac1, NO_PEER))
        }
        MacState::ValidMac1 => {
            load.refused();
            let reply = cookies.reply(macs, message, &address, now, &mut KernelRng, &KernelCrypto);
            drop(guard);
            if let Ok(reply) = reply {
                log::sending_cookie(&device.netdev, source);
                reply_to(device, source, reply.as_bytes());
            }
            // Answered, if not as the sender wished.
            Err((Stat::TxCookie, NO_PEER))
        }
        MacState::ValidCookie => {
            // The table is of this interface, so that one that is attacked takes no room from
            // others.
            let limiter = guard.limiter().ok_or((Stat::NoMemory, NO_PEER))?;
            limiter
                .allow(0, address.ip(), now, &KernelCrypto)
                .then_some(())
                .ok_or((Stat::RxRateLimit, NO_PEER))
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
    let guard = rcu::read_lock();
    let Some(port) = device.port.load(&guard) else {
        return device.discard(skb, Stat::TxNoSocket, NO_PEER);
    };
    let mark = device.fwmark();
    match udp::send(port, &device.netdev, skb, source, None, 0, mark).result {
        Ok(()) => trace::handshake(
            &device.netdev,
            NO_PEER,
            trace::Handshake::CookieSent,
            source,
        ),
        Err((error, skb)) => device.discard(skb, tx::unsent(error), NO_PEER),
    }
}

/// Answers an initiation, if it is authentic and new.
fn respond(
    device: &Arc<Device>,
    identity: &Identity,
    message: &Initiation,
    source: &Endpoint,
) -> Result<(), Refused> {
    let opened = ReceivedInitiation::open(message, identity.keys(), &KernelCrypto)
        .map_err(|_| (Stat::RxInitiation, NO_PEER))?;
    let peer = device
        .peer_by_key(opened.remote().as_bytes())
        .ok_or((Stat::RxUnknownPeer, NO_PEER))?;
    let now = crypto::now();

    let mut handshake = peer.handshake.lock();
    if handshake.identity != identity.number() || peer.is_dead() {
        return Err((Stat::RxUnknownPeer, peer.number()));
    }
    let index = unused_index(device).ok_or((Stat::NoMemory, peer.number()))?;
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
        .map_err(|error| (refusal(error, Stat::RxInitiation), peer.number()))?;
    handshake.jar.stamp(&mut response, now, &KernelCrypto);
    handshake.noise.note_sent(now);
    peer.keep_quiet(now);
    let installed = install(&peer, session);
    drop(handshake);

    Peer::free_in_flight(&peer, replaced);
    log::received_initiation(&device.netdev, peer.number(), source);
    peer.handshake_step(
        Stat::RxGoodInitiation,
        trace::Handshake::InitiationReceived,
        source,
    );
    peer.set_endpoint(source);
    received(&peer, size_of::<Initiation>());
    peer.timer_event(Event::InitiationReceived);
    if !installed {
        return Ok(());
    }
    peer.handshake_step(Stat::TxResponse, trace::Handshake::ResponseSent, source);
    log::sending_response(&device.netdev, peer.number(), source);
    // There is a session now, whether or not the peer will know.
    peer.timer_event(Event::ResponseSent);
    send::send(&peer, response.as_bytes());
    Ok(())
}

/// Completes a handshake of ours.
fn complete(
    device: &Arc<Device>,
    identity: &Identity,
    message: &Response,
    source: &Endpoint,
) -> Result<(), Refused> {
    let index = message.receiver();
    let peer = device
        .in_flight
        .get(&index.0, &rcu::read_lock())
        .and_then(|peer| peer.get())
        .ok_or((Stat::RxResponseUnexpected, NO_PEER))?;
    let mut handshake = peer.handshake.lock();
    if handshake.identity != identity.number() || handshake.noise.in_flight() != Some(index) {
        return Err((Stat::RxResponseUnexpected, peer.number()));
    }
    let session = handshake
        .noise
        .response_received(identity.keys(), message, &KernelCrypto)
        .map_err(|error| (refusal(error, Stat::RxResponse), peer.number()))?;
    let installed = install(&peer, session);
    drop(handshake);

    Peer::free_in_flight(&peer, Some(index));
    log::received_response(&device.netdev, peer.number(), source);
    peer.handshake_step(
        Stat::RxGoodResponse,
        trace::Handshake::ResponseReceived,
        source,
    );
    peer.set_endpoint(source);
    received(&peer, size_of::<Response>());
    if !installed {
        // Without a session the handshake is not over: the retries go on.
        peer.timer_event(Event::KeepaliveReceived);
        return Ok(());
    }
    peer.timer_event(Event::ResponseReceived);
    peer.handshake_completed();
    // Confirms the session to the peer: with staged packets, or else with a keepalive.
    tx::send_keepalive(peer.as_shared_ref());
    Ok(())
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
            peer.count(Stat::NoMemory);
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

fn cookie_reply(
    device: &Arc<Device>,
    message: &CookieReply,
    source: &Endpoint,
) -> Result<(), Refused> {
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
    let peer = peer.ok_or((Stat::RxCookieUnexpected, NO_PEER))?;
    peer.handshake
        .lock()
        .jar
        .receive(message, crypto::now(), &KernelCrypto)
        .map_err(|error| match error {
            CookieError::Unexpected => (Stat::RxCookieUnexpected, peer.number()),
            CookieError::Forged => (Stat::RxCookie, peer.number()),
        })?;
    log::received_cookie(&device.netdev);
    peer.handshake_step(Stat::RxGoodCookie, trace::Handshake::CookieReceived, source);
    Ok(())
}
