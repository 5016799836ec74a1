// SPDX-License-Identifier: GPL-2.0

//! What waits to be sent to one peer, and who works on it.

use core::{
    mem,
    time::Duration, //
};

use wg_kapi::{
    chain::SkbChain,
    skb::{Cb, SkBuff}, //
};
use wg_proto::{
    constants::MAX_STAGED_PACKETS,
    time::Instant, //
};

/// Packets that may wait while somebody is at work, or about to be. More than
/// [`MAX_STAGED_PACKETS`], as these are sure to leave soon.
const MAX_QUEUED_PACKETS: usize = 4096;

/// Messages that are not left to wait for more of them.
const ENOUGH: usize = 64;

/// Messages in one tick of the clock from which on a peer counts as busy.
const BUSY: usize = 32;

/// Two counts are of one load only if not more than this lies between them.
const RECENT: Duration = Duration::from_millis(20);

/// Fewer packets than this were not worth waiting for.
const WORTH_WAITING: usize = 4;

/// So many times in a row, after which nothing waits for a while.
const VAIN: u8 = 4;

/// How long that is.
const NO_WAITING: Duration = Duration::from_millis(50);

/// Who works on a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody.
    Idle,
    /// A worker will; whoever adds enough does it at once.
    Awaited,
    /// Its driver does, now.
    Driven,
}

/// What somebody who added to a queue has to do then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Nothing: somebody is at work.
    Nothing,
    /// Queue the worker.
    Await,
    /// Be the driver.
    Drive,
}

/// Packets that wait to be sent to one peer.
pub(crate) struct TxQueue {
    packets: SkbChain,
    /// How many messages they will be.
    messages: usize,
    state: State,
    /// Something changed (a new session) that the driver may not have seen.
    again: bool,
    load: Load,
}

impl TxQueue {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            packets: SkbChain::new(),
            messages: 0,
            state: State::Idle,
            again: false,
            load: Load::new(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Adds packets that will be `messages` messages; returns what the caller has to do, and which
    /// older ones it has to drop, as how many messages. `now`: they may wait for more if the peer is busy.
    pub(super) fn add(
        &mut self,
        packets: &mut SkbChain,
        messages: usize,
        now: Option<Instant>,
    ) -> (Duty, Option<(SkbChain, usize)>) {
        let limit = if self.state == State::Idle {
            MAX_STAGED_PACKETS
        } else {
            MAX_QUEUED_PACKETS
        };
        let dropped = (self.messages > limit).then(|| self.trim(limit));
        self.append(packets, messages);
        let patient = now.is_some_and(|now| self.load.note(messages, now));
        let duty = match self.state {
            State::Driven => Duty::Nothing,
            State::Idle if patient && self.messages < ENOUGH => {
                self.state = State::Awaited;
                Duty::Await
            }
            State::Awaited if patient && self.messages < ENOUGH => Duty::Nothing,
            State::Idle | State::Awaited => {
                if self.state == State::Awaited {
                    self.load.enough();
                }
                self.state = State::Driven;
                Duty::Drive
            }
        };
        (duty, dropped)
    }

    /// The driver is to look once more even if nothing was added.
    pub(super) fn look_again(&mut self) {
        self.again = true;
    }

    /// The worker that was queued begins; true if it has become the driver.
    pub(super) fn begin_awaited(&mut self, now: Instant) -> bool {
        if self.state != State::Awaited {
            return false;
        }
        self.state = State::Driven;
        self.load.waited(self.packets.len(), now);
        true
    }

    /// The driver makes way: a worker is to go on.
    pub(super) fn hand_over(&mut self) {
        self.state = State::Awaited;
    }

    /// The driver has to stop; what is there waits until somebody adds to it.
    pub(super) fn leave(&mut self) {
        self.state = State::Idle;
    }

    /// The driver takes the first packets, of at most `limit` messages but at least one packet, and
    /// the number of messages that they will be. `None`: there is nothing; nobody drives any more.
    pub(super) fn take(&mut self, limit: usize) -> Option<(SkbChain, usize)> {
        self.again = false;
        if self.packets.is_empty() {
            self.state = State::Idle;
            return None;
        }
        if self.messages <= limit {
            return Some(self.take_all());
        }
        let mut taken = SkbChain::new();
        let mut messages: usize = 0;
        while messages < limit {
            let Some(packet) = self.packets.pop_front() else {
                break;
            };
            messages = messages.saturating_add(messages_of(&packet));
            taken.push_back(packet);
        }
        self.messages = self.messages.saturating_sub(messages);
        Some((taken, messages))
    }

    /// Puts what the driver took back to the front. False if nobody drives any more: the caller had
    /// seen everything.
    pub(super) fn put_back(&mut self, batch: &mut SkbChain, messages: usize) -> bool {
        let (mut newer, newer_messages) = self.take_all();
        self.append(batch, messages);
        self.append(&mut newer, newer_messages);
        if !self.again {
            self.state = State::Idle;
        }
        self.again
    }

    /// Takes the oldest packets until at most `limit` messages are left; says how many those were.
    pub(super) fn trim(&mut self, limit: usize) -> (SkbChain, usize) {
        let mut trimmed = SkbChain::new();
        let before = self.messages;
        while self.messages > limit {
            let Some(packet) = self.packets.pop_front() else {
                self.messages = 0;
                break;
            };
            self.messages = self.messages.saturating_sub(messages_of(&packet));
            trimmed.push_back(packet);
        }
        (trimmed, before.saturating_sub(self.messages))
    }

    fn append(&mut self, packets: &mut SkbChain, messages: usize) {
        self.packets.append(packets);
        self.messages = self.messages.saturating_add(messages);
    }

    fn take_all(&mut self) -> (SkbChain, usize) {
        let packets = mem::replace(&mut self.packets, SkbChain::new());
        (packets, mem::take(&mut self.messages))
    }
}

/// How much is being sent, by the ticks of the coarse clock, and whether waiting for more pays.
struct Load {
    /// The tick that is being counted.
    tick: Instant,
    /// Messages in it, and in the one before.
    current: usize,
    before: usize,
    /// Waits in a row that were not worth it.
    vain: u8,
    /// Nothing waits until then.
    no_waiting_until: Instant,
}

impl Load {
    const fn new() -> Self {
        Self {
            tick: Instant::from_nanos(0),
            current: 0,
            before: 0,
            vain: 0,
            no_waiting_until: Instant::from_nanos(0),
        }
    }

    /// Counts messages; true if some more are likely to come soon.
    fn note(&mut self, messages: usize, now: Instant) -> bool {
        if now != self.tick {
            self.before = if now.is_past(self.tick, RECENT) {
                0
            } else {
                self.current
            };
            self.current = 0;
            self.tick = now;
        }
        self.current = self.current.saturating_add(messages);
        (self.current >= BUSY || self.before >= BUSY) && now >= self.no_waiting_until
    }

    /// There was enough before the wait was over.
    fn enough(&mut self) {
        self.vain = 0;
    }

    /// `packets` were there when the wait was over.
    fn waited(&mut self, packets: usize, now: Instant) {
        if packets >= WORTH_WAITING {
            self.vain = 0;
        } else {
            self.vain = self.vain.saturating_add(1);
        }
        if self.vain >= VAIN {
            self.vain = 0;
            self.no_waiting_until = now.saturating_add(NO_WAITING);
        }
    }
}

/// How many messages a packet of the queue will be, as noted by [`note`].
pub(super) fn messages_of(packet: &SkBuff) -> usize {
    usize::from(packet.cb().tag)
}

/// Notes what a packet will need when it is its turn: the MTU that limits its padding, the DS field
/// of its messages, and how many there will be.
pub(super) fn note(packet: &mut SkBuff, mtu: u32, ds: u8, messages: u16) {
    packet.set_cb(Cb {
        mtu,
        ds,
        tag: messages,
        ..Cb::default()
    });
}
