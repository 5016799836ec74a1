// SPDX-License-Identifier: GPL-2.0

//! What waits to be sent to one peer, and who is to work on it.

use core::{
    mem,
    time::Duration, //
};

use kernel::prelude::*;
use wg_kapi::{
    chain::SkbChain,
    cpu,
    skb::{Cb, SkBuff}, //
};
use wg_proto::{
    constants::MAX_STAGED_PACKETS,
    time::Instant, //
};

use super::{
    crew::Crew,
    load::Load, //
};

/// Packets that may wait while somebody is at work, or about to be. More than
/// [`MAX_STAGED_PACKETS`], as these are sure to leave soon.
const MAX_QUEUED_PACKETS: usize = 4096;

/// Messages that are not left to wait for more of them.
const ENOUGH: usize = 64;

/// How long a peer stays bound to a CPU: what has left on it should be through its backlog by then.
const LINGER: Duration = Duration::from_millis(20);

/// Messages that are not left to the worker on another CPU: that one has no time.
const OVERDUE: usize = 1024;

/// Who works on a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody drives. Helpers may be at work, who see to it that somebody does in time.
    Idle,
    /// A worker will; whoever adds enough does it at once.
    Awaited,
    /// Its driver does, now.
    Driven,
}

/// When packets have to leave that are added to a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// At once, on this CPU: those that are large enough for that to pay, and the tunnel's own.
    Now,
    /// At once, but not before others of their flow, which other CPUs may have sent.
    InOrder,
    /// As above, or with more of them if the peer is busy.
    MayWait,
    /// At once, but encrypted on CPUs that have nothing better to do: large ones of a busy peer.
    Spread,
}

/// What somebody who added to a queue has to do then.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Duty {
    /// Nothing: somebody is at work.
    Nothing,
    /// Queue the worker, on the CPU that is named or else on this one.
    Await(Option<u32>),
    /// Be the driver.
    Drive,
}

/// Packets that wait to be sent to one peer.
pub(crate) struct TxQueue {
    pub(super) packets: SkbChain,
    /// How many messages they will be.
    pub(super) messages: usize,
    pub(super) state: State,
    /// The CPU of the driver, the one before if there is none, or of the worker that is awaited.
    cpu: u32,
    /// The worker is awaited so that more packets come together.
    patient: bool,
    /// Helpers are to encrypt, so that the sender can go on.
    pub(super) spreading: bool,
    /// Not before that time, as they were late.
    pub(super) kept_here: Instant,
    /// Something changed (a new session) that the driver may not have seen.
    pub(super) again: bool,
    /// The driver has packets in hand that it puts back: nobody takes others before.
    pub(super) halted: bool,
    load: Load,
    bound: Option<Bound>,
    /// Made when there is work for more than one.
    pub(super) crew: Option<KBox<Crew>>,
}

/// The CPU that small packets leave on, and until when. What leaves on another one could overtake
/// what left before: each has a backlog and transmission queues of its own.
struct Bound {
    cpu: u32,
    until: Instant,
}

impl TxQueue {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            packets: SkbChain::new(),
            messages: 0,
            state: State::Idle,
            cpu: 0,
            patient: false,
            spreading: false,
            kept_here: Instant::from_nanos(0),
            again: false,
            halted: false,
            load: Load::new(),
            bound: None,
            crew: None,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Adds packets that will be `messages` messages; returns what the caller has to do, and which
    /// older ones it has to drop, as how many messages.
    pub(super) fn add(
        &mut self,
        packets: &mut SkbChain,
        messages: usize,
        now: Instant,
        haste: Haste,
    ) -> (Duty, Option<(SkbChain, usize)>) {
        let limit = if self.is_worked_on() {
            MAX_QUEUED_PACKETS
        } else {
            MAX_STAGED_PACKETS
        };
        let dropped = (self.messages > limit).then(|| self.trim(limit));
        self.append(packets, messages);
        let here = cpu::current();
        let mut patient = false;
        let mut bound = None;
        if matches!(haste, Haste::InOrder | Haste::MayWait) {
            self.load.note(messages, now);
            patient = haste == Haste::MayWait && self.load.pays(now);
            bound = self.bound_to(now, patient, here);
        }
        match haste {
            Haste::Spread => {
                self.note_late();
                self.spreading = now >= self.kept_here;
            }
            Haste::Now => self.spreading = false,
            // Nothing to wait for.
            Haste::InOrder | Haste::MayWait => self.spreading &= self.has_batch(),
        }
        let elsewhere = bound.is_some_and(|cpu| cpu != here);
        let limit = if elsewhere { OVERDUE } else { ENOUGH };
        let waits = (elsewhere || patient) && self.messages < limit;
        // A helper looks again before it leaves.
        let helped = haste == Haste::Spread
            && self.cpu != here
            && self.is_left_to_helpers()
            && self.has_helper();
        let duty = match self.state {
            State::Driven => Duty::Nothing,
            State::Awaited if waits || helped => Duty::Nothing,
            State::Idle if helped => Duty::Nothing,
            State::Idle if waits => {
                self.state = State::Awaited;
                self.cpu = bound.unwrap_or(here);
                self.patient = true;
                Duty::Await(bound)
            }
            State::Idle | State::Awaited => {
                if mem::take(&mut self.patient) {
                    self.load.enough();
                }
                self.state = State::Driven;
                self.cpu = here;
                Duty::Drive
            }
        };
        (duty, dropped)
    }

    /// Whether the driver encrypts nothing itself.
    pub(super) fn is_left_to_helpers(&self) -> bool {
        self.spreading && self.messages < OVERDUE
    }

    /// Whether a helper will look at the queue.
    fn has_helper(&self) -> bool {
        self.crew.as_ref().is_some_and(|crew| crew.has_helper())
    }

    /// Whether several are at work and have a batch that has not left.
    fn has_batch(&self) -> bool {
        self.crew.as_ref().is_some_and(|crew| crew.has_batch())
    }

    /// Whether somebody drives or helps, or is about to.
    pub(super) fn is_worked_on(&self) -> bool {
        self.state != State::Idle || self.has_helper() || self.has_batch()
    }

    /// The CPU that the peer is bound to, if to any. It becomes bound when another CPU sends what is
    /// added here, or is about to, and packets come often or what others have encrypted has not left;
    /// it stays so while that happens or the peer is busy.
    fn bound_to(&mut self, now: Instant, busy: bool, here: u32) -> Option<u32> {
        let follows = self.has_batch() || (self.is_worked_on() && self.load.is_often());
        if follows && self.cpu != here {
            self.bind(self.cpu, now);
        }
        let bound = self.bound.as_mut()?;
        if busy {
            bound.until = now.saturating_add(LINGER);
        } else if now >= bound.until {
            self.bound = None;
            return None;
        }
        Some(bound.cpu)
    }

    fn bind(&mut self, cpu: u32, now: Instant) {
        self.bound = Some(Bound {
            cpu,
            until: now.saturating_add(LINGER),
        });
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
        if mem::take(&mut self.patient) {
            self.load.waited(self.packets.len(), now);
        }
        self.cpu = cpu::current();
        if self.load.pays(now) {
            self.bind(self.cpu, now);
        }
        true
    }

    /// The driver makes way: a worker is to go on.
    pub(super) fn hand_over(&mut self) {
        self.state = State::Awaited;
    }

    /// Somebody has to drive, if nobody does, on the CPU where that was done before: what leaves on
    /// another one could overtake it.
    pub(super) fn call_driver(&mut self) -> Duty {
        if self.state != State::Idle {
            return Duty::Nothing;
        }
        self.state = State::Awaited;
        Duty::Await(Some(self.cpu))
    }

    /// The first packets, of at most `limit` messages but at least one packet, and the number of
    /// messages that they will be.
    pub(super) fn take_first(&mut self, limit: usize) -> (SkbChain, usize) {
        if self.messages <= limit {
            return self.take_all();
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
        (taken, messages)
    }

    /// Puts what the driver took back to the front. False if nobody drives any more: the caller had
    /// seen everything.
    pub(super) fn put_back(&mut self, batch: &mut SkbChain, messages: usize) -> bool {
        self.prepend(batch, messages);
        self.halted = false;
        self.again |= self.crew.as_ref().is_some_and(|crew| crew.has_next());
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

    /// Puts packets in front of those that are there.
    pub(super) fn prepend(&mut self, packets: &mut SkbChain, messages: usize) {
        let (mut newer, newer_messages) = self.take_all();
        self.append(packets, messages);
        self.append(&mut newer, newer_messages);
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
