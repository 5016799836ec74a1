// SPDX-License-Identifier: GPL-2.0

//! Two peers, a link that does anything to datagrams, and a clock that jumps.
//!
//! During all that, no nonce may be used twice, no packet come out twice or damaged, no key be used
//! beyond its time, no initiation follow another too closely, no timer fire for ever. When the link
//! is good again, the tunnel must come back by itself.

use std::time::Duration;

use arbitrary::Arbitrary;
use wg_proto::timers::Config;

use crate::world::{Link, World, PERFECT};

/// What happens. A `bool` says at which end.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    /// A packet goes into the tunnel.
    Send(bool),
    /// Milliseconds pass.
    Run(u16),
    /// Seconds pass.
    Sleep(u8),
    /// Seconds pass and no timer fires.
    Jump(u16),
    /// The link changes.
    Link {
        /// Lost, in parts of 255.
        loss: u8,
        /// Doubled, in parts of 255.
        duplicates: u8,
        /// Milliseconds.
        delay: u8,
        /// Milliseconds.
        jitter: u16,
    },
    /// The persistent keepalive is set, to seconds.
    Configure(bool, u8),
    /// A handshake is asked for.
    Initiate(bool),
    /// An end loses all but its key.
    Crash(bool),
    /// An end is under load, or no more.
    Load(bool, bool),
    /// A datagram of before arrives again.
    Again(u8),
    /// The same with bits of a byte turned.
    Damaged(u8, u16, u8),
}

/// What happens, in order.
#[derive(Arbitrary, Debug)]
pub struct Input {
    seed: u8,
    ops: Vec<Op>,
}

/// Time in which the tunnel must have come back, with packets to send all the while: a silent end
/// is noticed after 15 s, and a handshake may have to wait for 5 s twice.
const RECOVERY: u32 = 40;

/// Plays the operations, then waits for the tunnel to work.
pub fn run(input: Input) {
    let mut world = World::new(input.seed.into(), PERFECT);
    for op in input.ops.into_iter().take(64) {
        play(&mut world, op);
    }
    world.link = PERFECT;
    for end in &mut world.ends {
        end.under_load = false;
    }
    // What is still under way arrives first.
    world.run(Duration::from_secs(70));
    for _ in 0..RECOVERY {
        send_both(&mut world);
    }
    for _ in 0..5 {
        for (end, number) in send_both(&mut world).into_iter().enumerate() {
            let arrived = world.ends[1 - end].delivered.contains(&number);
            assert!(arrived, "the tunnel of end {end} did not come back");
        }
    }
}

fn send_both(world: &mut World) -> [u64; 2] {
    let numbers = [world.send(0), world.send(1)];
    world.run(Duration::from_secs(1));
    numbers
}

fn play(world: &mut World, op: Op) {
    match op {
        Op::Send(end) => {
            world.send(end.into());
        }
        Op::Run(time) => world.run(Duration::from_millis(time.into())),
        Op::Sleep(time) => world.run(Duration::from_secs(time.into())),
        Op::Jump(time) => world.jump(Duration::from_secs(time.into())),
        Op::Link {
            loss,
            duplicates,
            delay,
            jitter,
        } => {
            world.link = Link {
                loss: u64::from(loss) * 1000 / 255,
                duplicates: u64::from(duplicates) * 1000 / 255,
                delay: Duration::from_millis(delay.into()),
                jitter: Duration::from_millis(jitter.into()),
            };
        }
        Op::Configure(end, seconds) => world.configure(
            end.into(),
            Config {
                persistent_keepalive: (seconds != 0).then(|| Duration::from_secs(seconds.into())),
            },
        ),
        Op::Initiate(end) => world.initiate(end.into()),
        Op::Crash(end) => world.crash(end.into()),
        Op::Load(end, on) => world.ends[usize::from(end)].under_load = on,
        Op::Again(back) => world.again((back % 64).into(), |_| {}),
        Op::Damaged(back, place, bits) => world.again((back % 64).into(), |bytes| {
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= bits;
        }),
    }
}
