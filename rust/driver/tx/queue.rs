// SPDX-License-Identifier: GPL-2.0

//! What waits to be sent to one peer, and who works on it.

use core::{
    mem,
    time::Duration, //
};

use wg_kapi::{
    chain::SkbChain,
    cpu,
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

/// How long a peer stays bound to a CPU: what has left on it should be through its backlog by then.
const LINGER: Duration = Duration::from_millis(20);

/// Plain packets in one tick of the clock from which on two of one flow may follow each other so
/// closely that one can overtake the other.
const OFTEN: usize = 4;

/// Messages that are not left to the worker on another CPU: that one has no time.
const OVERDUE: usize = 1024;

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

/// When packets have to leave that are added to a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// At once, on this CPU: those that are large enough for that to pay, and the tunnel's own.
    Now,
    /// At once, but not before others of their flow, which other CPUs may have sent.
    InOrder,
    /// As above, or with more of them if the peer is busy.
    MayWait,
}

/// What somebody who added to a queue has to do then.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    packets: SkbChain,
    /// How many messages they will be.
    messages: usize,
    state: State,
    /// The CPU of the driver, or of the worker that is awaited.
    cpu: u32,
    /// Something changed (a new session) that the driver may not have seen.
    again: bool,
    load: Load,
    bound: Option<Bound>,
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
            again: false,
            load: Load::new(),
            bound: None,
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
        let limit = if self.state == State::Idle {
            MAX_STAGED_PACKETS
        } else {
            MAX_QUEUED_PACKETS
        };
        let dropped = (self.messages > limit).then(|| self.trim(limit));
        self.append(packets, messages);
        let here = cpu::current();
        let mut patient = false;
        let mut bound = None;
        if haste != Haste::Now {
            self.load.note(messages, now);
            patient = haste == Haste::MayWait && self.load.pays(now);
            bound = self.bound_to(now, patient, here);
        }
        let elsewhere = bound.is_some_and(|cpu| cpu != here);
        let limit = if elsewhere { OVERDUE } else { ENOUGH };
        let waits = (elsewhere || patient) && self.messages < limit;
        let duty = match self.state {
            State::Driven => Duty::Nothing,
            State::Awaited if waits => Duty::Nothing,
            State::Idle if waits => {
                self.state = State::Awaited;
                self.cpu = bound.unwrap_or(here);
                Duty::Await(bound)
            }
            State::Idle | State::Awaited => {
                if self.state == State::Awaited {
                    self.load.enough();
                }
                self.state = State::Driven;
                self.cpu = here;
                Duty::Drive
            }
        };
        (duty, dropped)
    }

    /// The CPU that the peer is bound to, if to any. It becomes bound when packets come often and
    /// another CPU sends what is added here, or is about to, and stays so while that happens or the
    /// peer is busy.
    fn bound_to(&mut self, now: Instant, busy: bool, here: u32) -> Option<u32> {
        if self.state != State::Idle && self.cpu != here && self.load.is_often() {
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
        self.load.waited(self.packets.len(), now);
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

    /// Counts messages.
    fn note(&mut self, messages: usize, now: Instant) {
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
    }

    /// Whether packets come often.
    fn is_often(&self) -> bool {
        self.current >= OFTEN || self.before >= OFTEN
    }

    /// Whether it pays to wait for more, as some are likely to come soon.
    fn pays(&self, now: Instant) -> bool {
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
