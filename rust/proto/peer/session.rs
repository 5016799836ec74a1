// SPDX-License-Identifier: GPL-2.0

//! Keypairs and where they are kept.

use crate::keypairs::rules::{self, KeyError};
use crate::keypairs::{Retired, Slots};
use crate::keys::SymmetricKey;
use crate::noise::{Role, Session};
use crate::replay::ReplayWindow;
use crate::time::Instant;
use crate::wire::Index;

/// Current, previous, next, and one that is being put in their place.
const PLACES: usize = 4;

/// The keys of a session and what has been done with them.
pub(super) struct Keypair {
    pub(super) role: Role,
    pub(super) local: Index,
    pub(super) remote: Index,
    pub(super) born: Instant,
    pub(super) send: SymmetricKey,
    pub(super) receive: SymmetricKey,
    /// The next unused counter.
    pub(super) counter: u64,
    pub(super) replay: ReplayWindow,
}

impl Keypair {
    /// Takes the counter of one message, if one may be sent.
    pub(super) fn reserve(&mut self, now: Instant) -> Result<u64, KeyError> {
        let counter = self.counter;
        rules::may_send(counter, 1, now.saturating_since(self.born))?;
        self.counter = counter.saturating_add(1);
        Ok(counter)
    }

    pub(super) fn may_receive(&self, now: Instant) -> Result<(), KeyError> {
        rules::may_receive(self.replay.next(), now.saturating_since(self.born))
    }

    pub(super) fn rekey_on_send(&self, now: Instant) -> bool {
        rules::rekey_on_send(self.role, self.counter, now.saturating_since(self.born))
    }

    pub(super) fn rekey_on_receive(&self, now: Instant) -> bool {
        rules::rekey_on_receive(self.role, now.saturating_since(self.born))
    }
}

/// A handle to a keypair: its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The keypairs of a peer. Each stays where it is until it is wiped there.
pub(super) struct Sessions {
    places: [Option<Keypair>; PLACES],
    slots: Slots<Place>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            places: [None, None, None, None],
            slots: Slots::new(),
        }
    }

    /// Whether a keypair has this index of ours.
    pub(super) fn has(&self, local: Index) -> bool {
        self.find(local).is_some()
    }

    /// The keypair that messages with this index of ours belong to.
    pub(super) fn find(&self, local: Index) -> Option<Place> {
        let place = self
            .places
            .iter()
            .position(|keypair| keypair.as_ref().is_some_and(|k| k.local == local))?;
        Some(Place(place))
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Keypair> {
        self.places.get_mut(place.0)?.as_mut()
    }

    /// The keypair that encrypts.
    pub(super) fn current_mut(&mut self) -> Option<&mut Keypair> {
        let place = *self.slots.current()?;
        self.get_mut(place)
    }

    /// Takes the keys of a new session.
    pub(super) fn install(&mut self, session: Session, now: Instant) {
        let Some(free) = self.places.iter().position(Option::is_none) else {
            // Three slots never fill four places.
            return;
        };
        let role = session.role;
        if let Some(place) = self.places.get_mut(free) {
            *place = Some(Keypair {
                role,
                local: session.local,
                remote: session.remote,
                born: now,
                send: session.send,
                receive: session.receive,
                counter: 0,
                replay: ReplayWindow::new(),
            });
        }
        let installed = match role {
            Role::Initiator => self.slots.install_initiator(Place(free)),
            Role::Responder => self.slots.install_responder(Place(free)),
        };
        match installed {
            Ok(retired) => self.wipe(retired),
            Err(Place(refused)) => self.wipe_place(refused),
        }
    }

    /// A message under the keypair at `place` was authentic. True if it was the pending one, which
    /// then becomes current.
    pub(super) fn confirm(&mut self, place: Place) -> bool {
        match self.slots.confirm_next(&place, |next, this| next == this) {
            Some(retired) => {
                self.wipe(retired);
                true
            }
            None => false,
        }
    }

    /// Wipes all keypairs.
    pub(super) fn clear(&mut self) {
        let retired = self.slots.take_all();
        self.wipe(retired);
    }

    fn wipe(&mut self, retired: Retired<Place>) {
        for Place(place) in retired {
            self.wipe_place(place);
        }
    }

    fn wipe_place(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            // Dropped where it is, so that the keys are zeroed there.
            *place = None;
        }
    }
}
