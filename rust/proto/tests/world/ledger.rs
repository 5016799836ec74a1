// SPDX-License-Identifier: GPL-2.0

//! What must hold of all messages, whatever happens: judged from outside, on the wire.

use std::collections::{HashMap, HashSet};

use wg_proto::constants::{REJECT_AFTER_TIME, REKEY_TIMEOUT};
use wg_proto::time::Instant;
use wg_proto::wire::{Maced as _, Message};

/// What an end has done so far.
#[derive(Default)]
struct Account {
    /// Sessions by the index of their sender (`true`) or receiver, and when this end derived them.
    born: HashMap<(bool, u32), Instant>,
    /// Receiver and counter of each data message.
    nonces: HashSet<(u32, u64)>,
    /// The last initiation or response.
    handshake: Option<Instant>,
}

/// The books of both ends.
#[derive(Default)]
pub struct Ledger([Account; 2]);

impl Ledger {
    /// `end` has lost its memory.
    pub fn forget(&mut self, end: usize) {
        self.0[end] = Account::default();
    }

    /// `end` sends a message.
    pub fn sent(&mut self, end: usize, bytes: &[u8], now: Instant) {
        let account = &mut self.0[end];
        match Message::parse(bytes).expect("a message of our own") {
            Message::Initiation(_) => {
                let last = account.handshake.replace(now);
                assert!(
                    last.is_none_or(|last| now.is_past(last, REKEY_TIMEOUT)),
                    "initiations too close"
                );
            }
            Message::Response(message) => {
                account.handshake = Some(now);
                account.derived(message.sender().0, message.receiver().0, now);
            }
            Message::CookieReply(_) => {}
            Message::Data(message) => {
                let index = message.header.receiver().0;
                let counter = message.header.counter().0;
                account.check_age((false, index), now);
                let new = account.nonces.insert((index, counter));
                assert!(new, "nonce {counter} of session {index:#x} was used twice");
            }
        }
    }

    /// `end` has taken an authentic message.
    pub fn received(&mut self, end: usize, bytes: &[u8], now: Instant) {
        let account = &mut self.0[end];
        match Message::parse(bytes).expect("it was taken") {
            Message::Response(message) => {
                account.derived(message.receiver().0, message.sender().0, now);
            }
            Message::Data(message) => {
                account.check_age((true, message.header.receiver().0), now);
            }
            Message::Initiation(_) | Message::CookieReply(_) => {}
        }
    }
}

impl Account {
    fn derived(&mut self, local: u32, remote: u32, now: Instant) {
        self.born.insert((true, local), now);
        self.born.insert((false, remote), now);
        // Once in billions another session had the same index.
        self.nonces.retain(|(index, _)| *index != remote);
    }

    fn check_age(&self, index: (bool, u32), now: Instant) {
        let born = self.born.get(&index).expect("a session that was derived");
        let age = now.saturating_since(*born);
        assert!(age < REJECT_AFTER_TIME, "a key of {age:?} was used");
    }
}
