// SPDX-License-Identifier: GPL-2.0

//! Transport keys of one session, shared by all CPUs that send and receive under it.

use core::time::Duration;

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};
use wg_kapi::{
    log,
    new_spinlock_bh,
    shared::Shared,
    sync::SpinLockBh,
    trace, //
};
use wg_proto::{
    keypairs::rules,
    keys::SymmetricKey,
    noise::{Role, Session},
    replay::{ReplayError, ReplayWindow},
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
    /// The next counter to send with, as the bits of a `u64`.
    next: Atomic<i64>,
    /// Cleared when sending under this keypair is over for good.
    may_send: Atomic<i32>,
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
                next: Atomic::new(0),
                may_send: Atomic::new(1),
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
        if self.may_send.load(Relaxed) == 0 {
            return None;
        }
        let step = i64::from_ne_bytes(count.to_ne_bytes());
        let first = u64::from_ne_bytes(self.next.fetch_add(step, Relaxed).to_ne_bytes());
        if rules::may_send(first, count, self.age(now)).is_err() {
            self.stop_sending();
            return None;
        }
        Some(first)
    }

    /// From now on nothing is sent under this keypair; receiving goes on.
    pub(crate) fn stop_sending(&self) {
        self.may_send.store(0, Relaxed);
    }

    /// Whether it is time for a new session, judged when something is sent.
    #[inline]
    pub(crate) fn wants_rekey_on_send(&self, now: Instant) -> bool {
        let next = u64::from_ne_bytes(self.next.load(Relaxed).to_ne_bytes());
        self.may_send.load(Relaxed) != 0 && rules::rekey_on_send(self.role, next, self.age(now))
    }

    /// Whether it is time for a new session, judged when something is received.
    #[inline]
    pub(crate) fn wants_rekey_on_receive(&self, now: Instant) -> bool {
        self.may_send.load(Relaxed) != 0 && rules::rekey_on_receive(self.role, self.age(now))
    }

    /// Whether messages may still be received, judged before decryption.
    #[inline]
    pub(crate) fn may_receive(&self, now: Instant) -> bool {
        self.age(now) < wg_proto::constants::REJECT_AFTER_TIME
    }

    /// Notes an authenticated counter.
    ///
    /// # Errors
    ///
    /// Seen before, too old to tell, or beyond the last that may be used.
    #[inline]
    pub(crate) fn accept(&self, counter: u64) -> Result<(), ReplayError> {
        let mut window = self.window.lock();
        if rules::may_receive(window.next(), Duration::ZERO).is_err() {
            return Err(ReplayError::Exhausted);
        }
        window.check_and_update(counter)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.born)
    }
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
