// SPDX-License-Identifier: GPL-2.0

//! Tunnels through hours of virtual time: when handshakes, keepalives and endings happen, and that
//! packets get through whatever the link does.

mod world;

use std::time::Duration;

use wg_proto::keypairs::rules::KeyError;
use wg_proto::noise::HandshakeError;
use wg_proto::peer::ReceiveError;
use wg_proto::timers::Config;
use world::{Link, Sent, World, DEAD, PERFECT};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Within the time that retransmission jitter allows.
fn jittered(time: Duration, exact: Duration) -> bool {
    (exact..exact + millis(334)).contains(&time)
}

/// A world in which end 0 has begun a session and one packet has got through.
fn connected(seed: u64) -> World {
    let mut world = World::new(seed, PERFECT);
    let first = world.send(0);
    world.run(secs(1));
    assert!(world.ends[1].delivered.contains(&first));
    world
}

/// Contract: H12, X9
#[test]
fn first_packet_makes_a_session() {
    let mut world = World::new(1, PERFECT);
    let [first, second] = [world.send(0), world.send(0)];
    world.run(secs(1));
    let begin = Duration::ZERO;
    let later = millis(20);
    assert_eq!(
        world.ends[0].sent,
        [
            (begin, Sent::Initiation),
            (later, Sent::Packet(first)),
            (later, Sent::Packet(second)),
        ]
    );
    assert_eq!(world.ends[1].sent, [(millis(10), Sent::Response)]);
    assert_eq!(world.ends[1].delivered.len(), 2);
    assert_eq!(world.ends[1].errors, []);
    // The session works both ways.
    let back = world.send(1);
    world.run(secs(1));
    assert!(world.ends[0].delivered.contains(&back));
    assert_eq!(world.ends[1].count(Sent::Initiation), 0);
}

/// Contract: H12
#[test]
fn a_session_without_packets_is_confirmed_by_a_keepalive() {
    let mut world = World::new(2, PERFECT);
    world.initiate(0);
    world.run(millis(15));
    // The responder has keys, but may not use them yet.
    let early = world.send(1);
    assert_eq!(world.ends[1].staged, [early]);
    world.run(secs(1));
    assert_eq!(world.ends[0].times(Sent::Keepalive), [millis(20)]);
    assert!(world.ends[0].delivered.contains(&early));
}

/// Contract: K4
#[test]
fn the_initiator_renews_after_120s_and_nothing_gets_lost() {
    let mut world = connected(3);
    let mut sent = vec![];
    for _ in 0..2 * 3600 {
        sent.push((0, world.send(1)));
        sent.push((1, world.send(0)));
        world.run(millis(500));
    }
    world.run(secs(1));
    for (receiver, number) in sent {
        assert!(world.ends[receiver].delivered.contains(&number));
    }
    let times = world.ends[0].times(Sent::Initiation);
    assert_eq!(world.ends[1].count(Sent::Initiation), 0);
    assert!(times.len() >= 30, "{}", times.len());
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((secs(120)..secs(121)).contains(&gap), "{gap:?}");
    }
    assert_eq!(
        (&world.ends[0].errors[..], &world.ends[1].errors[..]),
        (&[][..], &[][..])
    );
}

/// Contract: K5
#[test]
fn the_initiator_renews_at_165s_when_it_only_receives() {
    for (wait, renews) in [(164, false), (166, true)] {
        let mut world = connected(4);
        // No data of its own, so that nothing renews at 120 s.
        world.run(secs(wait - 1));
        assert_eq!(world.ends[0].count(Sent::Initiation), 1);
        let number = world.send(1);
        world.run(secs(2));
        assert!(world.ends[0].delivered.contains(&number));
        let expected = if renews { 2 } else { 1 };
        assert_eq!(world.ends[0].count(Sent::Initiation), expected, "{wait}");
        assert_eq!(world.ends[1].count(Sent::Initiation), 0);
    }
}

/// Contract: K4
#[test]
fn the_responder_does_not_renew_by_age() {
    let mut world = connected(5);
    world.run(secs(160));
    let number = world.send(1);
    world.run(secs(1));
    assert!(world.ends[0].delivered.contains(&number));
    assert_eq!(world.ends[1].count(Sent::Initiation), 0);
}

/// Contract: X9, V5
#[test]
fn sessions_end_at_180s() {
    for end in 0..2 {
        let mut world = connected(6);
        world.run(secs(180));
        let number = world.send(end);
        assert_eq!(world.ends[end].staged, [number], "not under the old key");
        world.run(secs(1));
        assert!(world.ends[1 - end].delivered.contains(&number));
        let initiations = world.ends[end].count(Sent::Initiation);
        assert_eq!(initiations, if end == 0 { 2 } else { 1 });
    }
}

/// Contract: V5
#[test]
fn late_messages_are_refused_after_180s() {
    let mut world = connected(7);
    world.run(secs(160));
    world.link.delay = secs(30);
    world.send(1);
    world.run(secs(31));
    let (_, error) = world.ends[0].errors[0];
    assert_eq!(error, ReceiveError::Key(KeyError::Expired));
}

/// Contract: K6
#[test]
fn keys_are_forgotten_after_540s() {
    for (delay, expected) in [
        (400, ReceiveError::Key(KeyError::Expired)),
        (450, ReceiveError::UnknownIndex),
    ] {
        let mut world = connected(8);
        world.run(secs(100));
        world.link.delay = secs(delay);
        world.send(1);
        world.run(secs(delay + 1));
        assert_eq!(world.ends[0].errors[0].1, expected);
    }
}

/// Contract: T1
#[test]
fn twenty_attempts_then_the_packets_are_dropped() {
    let mut world = World::new(9, DEAD);
    for _ in 0..200 {
        world.send(0);
    }
    world.run(secs(300));
    let times = world.ends[0].times(Sent::Initiation);
    assert_eq!(times.len(), 20);
    for pair in times.windows(2) {
        assert!(jittered(pair[1] - pair[0], secs(5)), "{pair:?}");
    }
    assert_eq!(world.ends[0].purged, 128);
    // The next packet begins anew.
    world.link = PERFECT;
    let number = world.send(0);
    world.run(secs(1));
    assert!(world.ends[1].delivered.contains(&number));
    assert_eq!(world.ends[1].delivered.len(), 1);
}

/// Contract: H10
#[test]
fn packets_do_not_hurry_initiations() {
    let mut world = World::new(10, DEAD);
    for _ in 0..300 {
        world.send(0);
        world.run(millis(100));
    }
    let times = world.ends[0].times(Sent::Initiation);
    assert!((5..=6).contains(&times.len()), "{times:?}");
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= secs(5), "{pair:?}");
    }
}

/// Contract: T2
#[test]
fn received_data_is_answered_within_10s() {
    let mut world = connected(11);
    world.run(secs(60));
    let at = world.elapsed();
    world.send(0);
    world.run(secs(60));
    let keepalives = world.ends[1].times(Sent::Keepalive);
    assert_eq!(keepalives.last(), Some(&(at + millis(10) + secs(10))));
    // One for each of the two packets: keepalives are not answered.
    assert_eq!(keepalives.len(), 2);
    assert_eq!(world.ends[0].count(Sent::Keepalive), 0);
    assert_eq!(
        world.ends[0].count(Sent::Initiation),
        1,
        "answered is answered"
    );
}

/// Contract: T2
#[test]
fn silence_of_15s_begins_a_handshake() {
    let mut world = connected(12);
    world.run(secs(30));
    world.link = DEAD;
    let at = world.elapsed();
    world.send(0);
    world.run(secs(3));
    world.send(0);
    world.run(secs(60));
    let times = world.ends[0].times(Sent::Initiation);
    assert!(jittered(times[1] - at, secs(15)), "{times:?}");
    assert!(jittered(times[2] - times[1], secs(5)), "{times:?}");
}

/// Contract: T2
#[test]
fn persistent_keepalives() {
    let mut world = World::new(13, PERFECT);
    let interval = Some(secs(25));
    world.configure(
        0,
        Config {
            persistent_keepalive: interval,
        },
    );
    world.run(secs(3600));
    assert!(world.ends[0].purged == 0 && world.ends[1].sent.len() > 20);
    // Whatever is sent or received, the peer never waits longer than the interval.
    let times: Vec<_> = world.ends[0].sent.iter().map(|(time, _)| *time).collect();
    assert_eq!(times[0], Duration::ZERO);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] <= secs(25) + millis(25), "{pair:?}");
    }
    // An unreachable peer is tried for ever.
    world.link = DEAD;
    world.run(secs(3600));
    let tried = world.ends[0].times(Sent::Initiation);
    assert!(tried
        .last()
        .is_some_and(|last| world.elapsed() - *last < secs(40)));
    world.link = PERFECT;
    world.run(secs(40));
    let number = world.send(1);
    world.run(secs(1));
    assert!(world.ends[0].delivered.contains(&number));
}

/// Contract: H5
#[test]
fn both_begin_at_once() {
    for seed in 0..20 {
        let mut world = World::new(seed, PERFECT);
        let there = world.send(0);
        let back = world.send(1);
        world.run(secs(12));
        assert!(world.ends[1].delivered.contains(&there), "{seed}");
        assert!(world.ends[0].delivered.contains(&back), "{seed}");
        for end in &world.ends {
            let all = end.errors.iter().map(|(_, error)| *error);
            let crossed = ReceiveError::Handshake(HandshakeError::Unexpected);
            assert!(all.into_iter().all(|error| error == crossed));
        }
    }
}

/// Contract: C5
#[test]
fn a_loaded_end_asks_for_cookies() {
    let mut world = World::new(14, PERFECT);
    world.ends[1].under_load = true;
    let number = world.send(0);
    world.run(secs(4));
    assert_eq!(world.ends[1].count(Sent::CookieReply), 1);
    assert_eq!(world.ends[1].count(Sent::Response), 0);
    world.run(secs(3));
    // The next initiation proves the address.
    assert_eq!(world.ends[1].count(Sent::CookieReply), 1);
    assert_eq!(world.ends[1].count(Sent::Response), 1);
    assert!(world.ends[1].delivered.contains(&number));
    // Both loaded: the response needs a cookie too.
    let mut world = World::new(15, PERFECT);
    world.ends[0].under_load = true;
    world.ends[1].under_load = true;
    let number = world.send(0);
    world.run(secs(30));
    assert!(world.ends[1].delivered.contains(&number));
    assert!(world.ends[0].count(Sent::CookieReply) >= 1);
}

#[test]
fn packets_get_through_whatever_the_link_does() {
    for seed in 0..24 {
        let link = Link {
            loss: seed * 37 % 700,
            duplicates: seed * 53 % 400,
            delay: millis(5),
            jitter: millis(seed * 97 % 3000),
        };
        let mut world = World::new(seed, link);
        if seed % 3 == 0 {
            let persistent_keepalive = Some(secs(25));
            world.configure(
                1,
                Config {
                    persistent_keepalive,
                },
            );
        }
        for _ in 0..2000 {
            let end = (world.rng.next_u64() % 2) as usize;
            world.send(end);
            // Bursts and pauses, now and then longer than a session lives.
            let pause = match world.rng.next_u64() % 200 {
                0 => secs(world.rng.next_u64() % 700),
                1..=19 => secs(world.rng.next_u64() % 20),
                _ => millis(world.rng.next_u64() % 300),
            };
            world.run(pause);
        }
        let through = world.ends[0].delivered.len() + world.ends[1].delivered.len();
        assert!(through > 100, "{seed}: {through}");
        // The link recovers: then everything gets through, though not at once.
        world.link = PERFECT;
        for end in 0..2 {
            world.send(end);
        }
        world.run(secs(30));
        let last = [world.send(0), world.send(1)];
        world.run(secs(7));
        assert!(
            world.ends[1].delivered.contains(&last[0]),
            "{seed} {link:?}"
        );
        assert!(
            world.ends[0].delivered.contains(&last[1]),
            "{seed} {link:?}"
        );
        for end in &world.ends {
            let initiations = end.times(Sent::Initiation);
            for pair in initiations.windows(2) {
                assert!(pair[1] - pair[0] >= secs(5), "{seed}: {pair:?}");
            }
        }
    }
}
