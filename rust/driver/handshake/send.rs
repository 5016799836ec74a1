// SPDX-License-Identifier: GPL-2.0

//! Handshake messages out.

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    endpoint::Endpoint,
    log,
    rcu,
    shared::{Shared, SharedRef},
    skb::{Cb, SkBuff},
    trace,
    work::WorkHandler, //
};
use wg_proto::{
    constants::HANDSHAKE_TOS,
    crypto::wipe_stack,
    index,
    timers::Event,
    wire::Initiation, //
};

use crate::{
    crypto::{self, KernelCrypto, KernelRng},
    identity::Identity,
    peer::Peer,
    stats::Stat,
    tx, //
};

/// Asks for a handshake because there is something to send, or by configuration. Any context.
///
/// Nothing happens if an initiation left less than 5 s ago.
pub(crate) fn request(peer: SharedRef<'_, Peer>) {
    peer.timer_event(Event::InitiationRequested);
    request_again(peer);
}

/// The same for the timer that retries, which counts on.
pub(crate) fn request_again(peer: SharedRef<'_, Peer>) {
    if peer.is_dead() {
        return;
    }
    if peer.is_quiet() {
        return peer.count(Stat::TxInitiationHeld);
    }
    if let Some(owner) = peer.get() {
        peer.initiate.queue(&peer.device().kex, owner);
    }
}

/// Makes an initiation and sends it.
pub(crate) struct SendInitiation;

impl WorkHandler<Shared<Peer>> for SendInitiation {
    fn run(peer: Shared<Peer>) {
        let device = peer.device();
        if peer.is_dead() || !device.is_running() {
            return;
        }
        let Some(identity) = Identity::of(device) else {
            return peer.refuse_initiation();
        };
        let made = make(&peer, &identity);
        wipe_stack();
        let Some(message) = made else {
            return;
        };
        let endpoint = peer.endpoint();
        log::sending_initiation(&device.netdev, peer.number(), &endpoint);
        peer.handshake_step(
            Stat::TxInitiation,
            trace::Handshake::InitiationSent,
            &endpoint,
        );
        // Before it leaves: the response may be here before we go on, and ends the retries that
        // this begins. Also where it cannot leave: then a retry is all the more wanted.
        peer.timer_event(Event::InitiationSent);
        send(&peer, message.as_bytes());
    }
}

/// An initiation with its index entered in the device's table, if spacing allows one. Secrets may be
/// left on the stack below it.
#[inline(never)]
fn make(peer: &Shared<Peer>, identity: &Identity) -> Option<Initiation> {
    let device = peer.device();
    let now = crypto::now();
    let mut handshake = peer.handshake.lock();
    if handshake.identity != identity.number() {
        return None;
    }
    if !handshake.noise.may_initiate(now) {
        peer.count(Stat::TxInitiationHeld);
        return None;
    }
    handshake.noise.note_sent(now);
    peer.keep_quiet(now);
    let index = index::allocate(&mut KernelRng, |index| {
        let _unique = device.index_lock.lock();
        if device.keypairs.get(&index.0, &rcu::read_lock()).is_some() {
            return Ok(None);
        }
        match device.in_flight.insert(index.0, peer.clone(), GFP_ATOMIC) {
            Ok(()) => Ok(Some(index)),
            Err((error, _)) if error == EEXIST => Ok(None),
            Err((error, _)) => Err(error),
        }
    });
    let Ok(index) = index else {
        drop(handshake);
        peer.count(Stat::NoMemory);
        // As good as lost on the way: to be tried again.
        peer.timer_event(Event::InitiationSent);
        return None;
    };
    let made = handshake.noise.initiate(
        identity.keys(),
        index,
        crypto::timestamp(),
        &mut KernelRng,
        &KernelCrypto,
    );
    match made {
        Ok((mut message, replaced)) => {
            handshake.jar.stamp(&mut message, now, &KernelCrypto);
            let dead = peer.is_dead();
            drop(handshake);
            Peer::free_in_flight(peer, replaced);
            if dead {
                // Removal may have looked before there was anything to forget.
                Peer::forget_handshake(peer);
                return None;
            }
            Some(message)
        }
        // A key of low order: nothing is ever sent to its owner (contract H8).
        Err(_) => {
            drop(handshake);
            Peer::free_in_flight(peer, Some(index));
            peer.refuse_initiation();
            None
        }
    }
}

/// Sends a handshake message to the endpoint of `peer`.
pub(super) fn send(peer: &Peer, message: &[u8]) {
    let made = SkBuff::alloc(message.len(), tx::HEADROOM).and_then(|mut skb| {
        skb.put(message)?;
        Ok(skb)
    });
    let Ok(mut skb) = made else {
        return peer.count(Stat::NoMemory);
    };
    skb.set_cb(Cb {
        ds: HANDSHAKE_TOS,
        ..Cb::default()
    });
    tx::send_messages(peer, SkbChain::from(skb));
}

impl Peer {
    /// Counts and traces a step of a handshake with this peer at `at`.
    pub(super) fn handshake_step(&self, stat: Stat, what: trace::Handshake, at: &Endpoint) {
        self.count(stat);
        trace::handshake(&self.device().netdev, self.number(), what, at);
    }

    /// An initiation cannot be made.
    fn refuse_initiation(&self) {
        self.handshake_step(
            Stat::TxInitiationRefused,
            trace::Handshake::InitiationRefused,
            &self.endpoint(),
        );
    }
}
