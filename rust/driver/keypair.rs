// SPDX-License-Identifier: GPL-2.0

//! Transport keys of one session, shared by all CPUs that send and receive under it.

use core::time::Duration;

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};
use wg_kapi::{
    chain::SkbChain,
    log,
    new_spinlock_bh,
    shared::Shared,
    skb::SkBuff,
    sync::SpinLockBh,
    trace, //
};
use wg_proto::{
    keypairs::{rules, SendCounter},
    keys::SymmetricKey,
    noise::{Role, Session},
    replay::ReplayWindow,
    time::Instant,
    wire::Index, //
};

use crate::peer::Peer;

/// Numbers keypairs over the life of the module, for the log.
static NUMBERS: Atomic<i64> = Atomic::new(0);

/// A keypair: immutable but for its counters.
#[pin_data]
pub(crate) struct Keypair {
    life: Life,
    role: Role,
    local: Index,
    remote: Index,
    send: SymmetricKey,
    receive: SymmetricKey,
    born: Instant,
    counter: SendCounter,
    /// Set while a responder has not seen a message under it.
    unconfirmed: Atomic<i32>,
    #[pin]
    window: SpinLockBh<ReplayWindow>,
}

impl Keypair {
    /// The keypair of a session of `peer` derived at `now`.
    pub(crate) fn new(peer: &Shared<Peer>, session: Session, now: Instant) -> Result<Shared<Self>> {
        let Session {
            role,
            local,
            remote,
            send,
            receive,
        } = session;
        let unconfirmed = i32::from(role == Role::Responder);
        let number = u64::try_from(NUMBERS.fetch_add(1, Relaxed)).map_or(0, |n| n.wrapping_add(1));
        let keypair = Shared::pin_init(
            pin_init!(Self {
                life: Life {
                    number,
                    peer: peer.clone(),
                },
                role,
                local,
                remote,
                send,
                receive,
                born: now,
                counter: SendCounter::new(),
                unconfirmed: Atomic::new(unconfirmed),
                window <- new_spinlock_bh!(ReplayWindow::new()),
            }),
            GFP_KERNEL,
        )?;
        log::keypair_created(&peer.device().netdev, number, peer.number());
        keypair.trace(trace::Key::Created);
        Ok(keypair)
    }

    /// Tells of a change, by number.
    pub(crate) fn trace(&self, what: trace::Key) {
        let peer = self.peer();
        trace::key(&peer.device().netdev, peer.number(), self.life.number, what);
    }

    /// Whose keypair it is.
    #[inline]
    pub(crate) fn peer(&self) -> &Shared<Peer> {
        &self.life.peer
    }

    /// Which side of the handshake was ours.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether it waits for its first message.
    #[inline]
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed.load(Relaxed) != 0
    }

    /// The first message has come.
    pub(crate) fn set_confirmed(&self) {
        self.unconfirmed.store(0, Relaxed);
    }

    /// Our index, by which the peer addresses us.
    #[inline]
    pub(crate) fn local(&self) -> Index {
        self.local
    }

    /// The peer's index.
    #[inline]
    pub(crate) fn remote(&self) -> Index {
        self.remote
    }

    /// The key for messages that we send.
    #[inline]
    pub(crate) fn sending_key(&self) -> &[u8; 32] {
        self.send.as_bytes()
    }

    /// The key for messages that we receive.
    #[inline]
    pub(crate) fn receiving_key(&self) -> &[u8; 32] {
        self.receive.as_bytes()
    }

    /// Reserves `count` counters and returns the first, or `None` if the keypair may not be used
    /// to send any more.
    #[inline]
    pub(crate) fn reserve(&self, count: u64, now: Instant) -> Option<u64> {
        self.counter.reserve(count, self.age(now)).ok()
    }

    /// From now on nothing is sent under this keypair; receiving goes on.
    pub(crate) fn stop_sending(&self) {
        self.counter.close();
    }

    /// Whether it is time for a new session, judged when something is sent.
    #[inline]
    pub(crate) fn wants_rekey_on_send(&self, now: Instant) -> bool {
        !self.counter.is_closed()
            && rules::rekey_on_send(self.role, self.counter.next(), self.age(now))
    }

    /// Whether it is time for a new session, judged when something is received.
    #[inline]
    pub(crate) fn wants_rekey_on_receive(&self, now: Instant) -> bool {
        !self.counter.is_closed() && rules::rekey_on_receive(self.role, self.age(now))
    }

    /// Whether messages may still be received, judged before decryption.
    #[inline]
    pub(crate) fn may_receive(&self, now: Instant) -> bool {
        self.age(now) < wg_proto::constants::REJECT_AFTER_TIME
    }

    /// Notes the counters of authenticated messages, which are in their `cb`, and keeps those that
    /// may be accepted; calls `rejected` for each of the others.
    pub(crate) fn accept(&self, opened: &mut SkbChain, mut rejected: impl FnMut(SkBuff)) {
        let mut window = self.window.lock();
        let usable = rules::may_receive(window.next(), Duration::ZERO).is_ok();
        if usable && consecutive(opened).is_some_and(|(first, n)| window.accept_run(first, n)) {
            return;
        }
        let mut accepted = SkbChain::new();
        while let Some(skb) = opened.pop_front() {
            if usable && window.check_and_update(skb.cb().nonce).is_ok() {
                accepted.push_back(skb);
            } else {
                rejected(skb);
            }
        }
        *opened = accepted;
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.born)
    }
}

/// The first counter and the number of messages, if each one's counter follows that of the one
/// before.
fn consecutive(opened: &SkbChain) -> Option<(u64, u64)> {
    let first = opened.front()?.cb().nonce;
    let mut next = first;
    for skb in opened {
        if skb.cb().nonce != next {
            return None;
        }
        next = next.checked_add(1)?;
    }
    Some((first, next.checked_sub(first)?))
}

/// Says in the log when the keypair goes.
struct Life {
    number: u64,
    peer: Shared<Peer>,
}

impl Drop for Life {
    fn drop(&mut self) {
        let peer = &self.peer;
        let netdev = &peer.device().netdev;
        log::keypair_destroyed(netdev, self.number, peer.number());
        trace::key(netdev, peer.number(), self.number, trace::Key::Destroyed);
    }
}
