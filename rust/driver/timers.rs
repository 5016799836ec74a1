// SPDX-License-Identifier: GPL-2.0

//! The timers of a peer: the state machine of `wg_proto` behind one kernel timer.
//!
//! Events come from any context and move deadlines under a spinlock; the kernel timer is touched
//! only when the earliest deadline moves earlier. It fires in softirq.

use core::time::Duration;

use wg_kapi::{
    log,
    shared::Shared,
    timer::TimerHandler,
    trace,
    work::WorkHandler, //
};
use wg_proto::timers::{Event, Initiate, Timers};

use crate::{
    crypto,
    handshake,
    netlink::event,
    peer::Peer,
    stats::Stat,
    tx, //
};

/// The state machine and the randomness for its next use.
pub(crate) struct PeerTimers {
    machine: Timers,
    /// Drawn ahead of time: drawing costs more than all the rest of an event.
    jitter: Duration,
}

impl PeerTimers {
    /// Stopped.
    pub(crate) fn new() -> Self {
        Self {
            machine: Timers::new(),
            jitter: crypto::jitter(),
        }
    }

    /// The keys were wiped: no need to do it again.
    pub(crate) fn keys_wiped(&mut self) {
        self.machine.keys_wiped();
    }
}

impl Peer {
    /// Lets events arm timers, if the interface is up and the peer not removed.
    pub(crate) fn start_timers(&self) {
        self.timers.lock().machine.start();
    }

    /// Disarms all timers. Any context.
    pub(crate) fn stop_timers(&self) {
        // An expiry that runs at this moment finds nothing due.
        self.timers.lock().machine.stop();
        self.timer.cancel();
    }

    /// Notes an event. Any context.
    #[inline]
    pub(crate) fn timer_event(&self, event: Event) {
        let now = crypto::now();
        let config = self.timer_config();
        let mut timers = self.timers.lock();
        let PeerTimers { machine, jitter } = &mut *timers;
        if let Some(deadline) = machine.on(event, now, *jitter, &config) {
            // Under the lock, so that the kernel's timer is never armed for later than the last
            // report says.
            self.timer.arm(deadline.saturating_since(now));
        }
    }

    /// Whether this is the first to ask for the one renewal of a session before its end.
    pub(crate) fn claim_last_minute_rekey(&self) -> bool {
        self.timers.lock().machine.claim_last_minute_rekey()
    }
}

/// The kernel timer has fired.
pub(crate) struct TimerExpired;

impl TimerHandler<Peer> for TimerExpired {
    fn expired(peer: Shared<Peer>) {
        let now = crypto::now();
        let config = peer.timer_config();
        let actions = {
            let mut timers = peer.timers.lock();
            timers.jitter = crypto::jitter();
            let actions = timers.machine.expire(now, &config);
            if let Some(deadline) = timers.machine.next_deadline() {
                peer.timer.arm(deadline.saturating_since(now));
            }
            actions
        };
        if peer.is_dead() {
            return;
        }
        let peer_ref = peer.as_shared_ref();
        if actions.purge_staged {
            gave_up(&peer);
            peer.device()
                .netdev
                .tx_dropped(peer.purge_staged(Stat::TxGivenUp));
        }
        if let Some(why) = actions.initiate {
            initiates(&peer, why);
            peer.forget_source();
            handshake::request_again(peer_ref);
        }
        if actions.send_keepalive {
            trace::timer(
                &peer.device().netdev,
                peer.number(),
                trace::Timer::Keepalive,
                0,
            );
            tx::send_keepalive(peer_ref);
        }
        if actions.wipe_keys {
            trace::timer(
                &peer.device().netdev,
                peer.number(),
                trace::Timer::Forget,
                0,
            );
            peer.wipe.queue(&peer.device().kex, peer.clone());
        }
    }
}

/// Tells that a handshake was given up.
fn gave_up(peer: &Peer) {
    let (netdev, number, endpoint) = (&peer.device().netdev, peer.number(), peer.endpoint());
    peer.count(Stat::HandshakeGivenUp);
    peer.notify(event::GIVEN_UP);
    log::handshake_gave_up(netdev, number, &endpoint);
    trace::timer(netdev, number, trace::Timer::GiveUp, 0);
    trace::handshake(netdev, number, trace::Handshake::GivenUp, &endpoint);
}

/// Tells why an initiation is asked for.
fn initiates(peer: &Peer, why: Initiate) {
    let (netdev, number, endpoint) = (&peer.device().netdev, peer.number(), peer.endpoint());
    match why {
        Initiate::Retry { attempt } => {
            peer.count(Stat::TxInitiationRetry);
            log::handshake_retry(netdev, number, &endpoint, attempt);
            trace::timer(netdev, number, trace::Timer::Retransmit, attempt);
        }
        Initiate::Silence => {
            peer.count(Stat::HandshakeSilence);
            log::stopped_hearing_back(netdev, number, &endpoint);
            trace::timer(netdev, number, trace::Timer::Silence, 0);
        }
    }
}

/// Wipes a peer's keys, where it is allowed to sleep.
pub(crate) struct WipeKeys;

impl WorkHandler<Shared<Peer>> for WipeKeys {
    fn run(peer: Shared<Peer>) {
        let netdev = &peer.device().netdev;
        peer.count(Stat::KeysWiped);
        peer.notify(event::WIPED);
        log::zeroing_keys(netdev, peer.number(), &peer.endpoint());
        trace::key(netdev, peer.number(), 0, trace::Key::Wiped);
        Peer::forget_sessions(&peer);
    }
}
