// SPDX-License-Identifier: GPL-2.0

//! The helpers of a driver: they encrypt on other CPUs what waits behind what it has in hand.

use kernel::prelude::*;
use wg_kapi::{
    rcu,
    shared::{Shared, SharedRef},
    sync::with_bh_disabled,
    work::{reschedule, Work, WorkHandler}, //
};

use super::{
    await_worker,
    queue::{Duty, TxQueue},
    reserve,
    seal::seal,
    BATCH, //
};
use crate::{
    peer::Peer,
    stats::Stat, //
};

/// The work items of the helpers of a peer, [`HELPERS`](super::crew::HELPERS) of them.
#[pin_data]
pub(crate) struct Helpers {
    #[pin]
    first: Work<Shared<Peer>, Help<0>>,
    #[pin]
    second: Work<Shared<Peer>, Help<1>>,
    #[pin]
    third: Work<Shared<Peer>, Help<2>>,
}

impl Helpers {
    /// None is at work.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            first <- Work::new(),
            second <- Work::new(),
            third <- Work::new(),
        })
    }
}

/// Calls the helper of this number, if any, which counts as being at work. With the lock of the queue.
pub(super) fn call(peer: SharedRef<'_, Peer>, queue: &mut TxQueue, helper: Option<usize>) {
    let Some(helper) = helper else {
        return;
    };
    let spread = &peer.device().spread;
    let called = peer.get().is_some_and(|owner| match helper {
        0 => peer.helpers.first.queue(spread, owner),
        1 => peer.helpers.second.queue(spread, owner),
        2 => peer.helpers.third.queue(spread, owner),
        _ => false,
    });
    if !called {
        queue.dismiss(helper);
    }
}

/// What the helper of this number does.
pub(crate) struct Help<const NUMBER: usize>;

impl<const NUMBER: usize> WorkHandler<Shared<Peer>> for Help<NUMBER> {
    fn run(peer: Shared<Peer>) {
        while with_bh_disabled(|| help(peer.as_shared_ref(), NUMBER)) {
            reschedule();
        }
    }
}

/// Encrypts a batch, and says whether there was one. BH are disabled.
fn help(peer: SharedRef<'_, Peer>, me: usize) -> bool {
    let guard = rcu::read_lock();
    let mut queue = peer.tx.lock();
    let taken = queue.take_too(me, BATCH, |messages| reserve(&peer, messages, &guard));
    if taken.is_ok() {
        let another = queue.call_another_helper();
        call(peer, &mut queue, another);
    }
    drop(queue);
    let (duty, helped) = match taken {
        Ok(batch) => {
            let number = batch.number;
            let sealed = peer.device().spare.use_for(|| seal(&peer, batch));
            peer.count(Stat::TxHelped);
            (peer.tx.lock().put(number, sealed, Some(me)), true)
        }
        Err(duty) => (duty, false),
    };
    if let Duty::Await(cpu) = duty {
        await_worker(peer, cpu);
    }
    helped
}
