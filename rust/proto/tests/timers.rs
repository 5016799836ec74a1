// SPDX-License-Identifier: GPL-2.0

//! The timers, line by line of their table.

use std::time::Duration;

use wg_proto::constants::REKEY_JITTER;
use wg_proto::time::Instant;
use wg_proto::timers::{Actions, Config, Event, Initiate, Timers};

const JITTER: Duration = Duration::from_millis(123);
const OFF: Config = Config {
    persistent_keepalive: None,
};
const EVERY_25S: Config = Config {
    persistent_keepalive: Some(Duration::from_secs(25)),
};
const ALL_EVENTS: [Event; 12] = [
    Event::DataSent,
    Event::DataRefused,
    Event::KeepaliveSent,
    Event::SendFailed,
    Event::DataReceived,
    Event::KeepaliveReceived,
    Event::InitiationRequested,
    Event::InitiationSent,
    Event::InitiationReceived,
    Event::ResponseSent,
    Event::ResponseReceived,
    Event::SessionConfirmed,
];

/// Timers with a clock and the caller's one timer.
struct Bench {
    timers: Timers,
    config: Config,
    now: Instant,
    armed: Option<Instant>,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut timers = Timers::new();
        timers.start();
        Self {
            timers,
            config,
            now: Instant::from_nanos(1_000_000_000_000),
            armed: None,
        }
    }

    fn on(&mut self, event: Event) {
        if let Some(deadline) = self.timers.on(event, self.now, JITTER, &self.config) {
            assert!(self
                .armed
                .is_none_or(|armed| deadline < armed || armed <= self.now));
            self.armed = Some(deadline);
        }
        // Nothing may be due before the caller's timer fires.
        match (self.timers.next_deadline(), self.armed) {
            (Some(next), Some(armed)) => assert!(armed <= next),
            (Some(_), None) => panic!("not armed"),
            (None, _) => {}
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// Time until the next action, and the action; as a driver with one timer sees it.
    fn next(&mut self) -> Option<(Duration, Actions)> {
        let begin = self.now;
        loop {
            let armed = self.armed?;
            self.now = self.now.max(armed);
            let actions = self.timers.expire(self.now, &self.config);
            self.armed = self.timers.next_deadline();
            if !actions.is_empty() {
                return Some((self.now.saturating_since(begin), actions));
            }
        }
    }
}

fn keepalive() -> Actions {
    Actions {
        send_keepalive: true,
        ..Actions::default()
    }
}

fn retry(attempt: u32) -> Actions {
    Actions {
        initiate: Some(Initiate::Retry { attempt }),
        ..Actions::default()
    }
}

fn silence() -> Actions {
    Actions {
        initiate: Some(Initiate::Silence),
        ..Actions::default()
    }
}

fn wipe() -> Actions {
    Actions {
        wipe_keys: true,
        ..Actions::default()
    }
}

fn give_up() -> Actions {
    Actions {
        purge_staged: true,
        ..Actions::default()
    }
}

/// Contract: R14
#[test]
fn nothing_runs_before_start_and_after_stop() {
    let mut timers = Timers::new();
    let now = Instant::from_nanos(5);
    for event in ALL_EVENTS {
        assert_eq!(timers.on(event, now, JITTER, &EVERY_25S), None);
    }
    assert_eq!(timers.next_deadline(), None);
    timers.start();
    for event in ALL_EVENTS {
        timers.on(event, now, JITTER, &EVERY_25S);
    }
    assert!(timers.next_deadline().is_some());
    timers.stop();
    assert_eq!(timers.next_deadline(), None);
    assert!(timers
        .expire(now.saturating_add(secs(999)), &EVERY_25S)
        .is_empty());
    assert_eq!(timers.on(Event::DataSent, now, JITTER, &EVERY_25S), None);
}

/// Contract: T1, H11
#[test]
fn initiations_are_repeated_after_5s_and_jitter() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::InitiationRequested);
    bench.on(Event::InitiationSent);
    assert_eq!(bench.next(), Some((secs(5) + JITTER, retry(2))));
    assert_eq!(bench.next(), None, "not before the next one was sent");
    bench.wait(secs(1));
    bench.on(Event::InitiationSent);
    assert_eq!(bench.next(), Some((secs(5) + JITTER, retry(3))));
}

/// Contract: T1
#[test]
fn twenty_initiations_then_give_up() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataReceived);
    bench.on(Event::InitiationRequested);
    for attempt in 2..=20 {
        bench.on(Event::InitiationSent);
        // A keepalive is never pending here: initiations count as sent.
        assert_eq!(bench.next(), Some((secs(5) + JITTER, retry(attempt))));
    }
    bench.on(Event::InitiationSent);
    bench.on(Event::DataReceived);
    assert_eq!(bench.next(), Some((secs(5) + JITTER, give_up())));
    // The keepalive that DataReceived asked for is cancelled; what is left is forgetting.
    assert_eq!(bench.next(), Some((secs(540), wipe())));
    assert_eq!(bench.next(), None);
    // A new series begins at zero.
    bench.on(Event::InitiationRequested);
    bench.on(Event::InitiationSent);
    assert_eq!(bench.next(), Some((secs(5) + JITTER, retry(2))));
}

/// Contract: K6
#[test]
fn giving_up_does_not_postpone_forgetting() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::ResponseReceived);
    bench.wait(secs(400));
    bench.on(Event::InitiationRequested);
    let mut left = secs(140);
    for _ in 2..=20 {
        bench.on(Event::InitiationSent);
        left -= bench.next().unwrap().0;
    }
    bench.on(Event::InitiationSent);
    let (time, actions) = bench.next().unwrap();
    assert_eq!(actions, give_up());
    assert_eq!(bench.next(), Some((left - time, wipe())));
}

/// Contract: T1
#[test]
fn a_request_restarts_the_count_even_if_nothing_is_sent() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::InitiationSent);
    bench.next();
    bench.on(Event::InitiationSent);
    bench.on(Event::InitiationRequested);
    assert_eq!(bench.next().unwrap().1, retry(2));
}

/// Contract: T1
#[test]
fn a_complete_handshake_ends_the_repetition() {
    for event in [Event::ResponseReceived, Event::SessionConfirmed] {
        let mut bench = Bench::new(OFF);
        bench.on(Event::InitiationSent);
        bench.next();
        bench.on(Event::InitiationSent);
        bench.on(event);
        let next = bench.next().map(|(_, actions)| actions);
        assert!(next.is_none_or(|actions| actions == wipe()), "{event:?}");
        bench.on(Event::InitiationSent);
        assert_eq!(bench.next().unwrap().1, retry(2), "and the count");
    }
}

#[test]
fn other_messages_do_not_end_the_repetition() {
    for event in [
        Event::DataSent,
        Event::KeepaliveSent,
        Event::DataReceived,
        Event::KeepaliveReceived,
        Event::InitiationReceived,
        Event::ResponseSent,
    ] {
        let mut bench = Bench::new(OFF);
        bench.on(Event::InitiationSent);
        bench.on(event);
        assert_eq!(
            bench.next(),
            Some((secs(5) + JITTER, retry(2))),
            "{event:?}"
        );
    }
}

/// Contract: T2
#[test]
fn received_data_is_answered_after_10s() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataReceived);
    assert_eq!(bench.next(), Some((secs(10), keepalive())));
    bench.on(Event::KeepaliveSent);
    assert_eq!(bench.next(), None);
}

/// Contract: T2
#[test]
fn more_data_asks_for_another_keepalive_but_does_not_postpone_it() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataReceived);
    bench.wait(secs(4));
    bench.on(Event::DataReceived);
    assert_eq!(bench.next(), Some((secs(6), keepalive())));
    // Nothing was sent, so that it is due again.
    assert_eq!(bench.next(), Some((secs(10), keepalive())));
    assert_eq!(bench.next(), None);
}

/// Contract: T2, H11
#[test]
fn anything_sent_cancels_the_keepalive() {
    for event in [
        Event::DataSent,
        Event::KeepaliveSent,
        Event::InitiationSent,
        Event::ResponseSent,
    ] {
        let mut bench = Bench::new(OFF);
        bench.on(Event::DataReceived);
        bench.on(Event::DataReceived);
        bench.on(event);
        while let Some((_, actions)) = bench.next() {
            assert!(!actions.send_keepalive, "{event:?}");
        }
    }
}

/// Contract: T2
#[test]
fn keepalives_and_handshakes_are_not_answered_by_keepalives() {
    for event in [
        Event::KeepaliveReceived,
        Event::InitiationReceived,
        Event::ResponseReceived,
        Event::SessionConfirmed,
    ] {
        let mut bench = Bench::new(OFF);
        bench.on(event);
        while let Some((_, actions)) = bench.next() {
            assert!(!actions.send_keepalive, "{event:?}");
        }
    }
}

/// Contract: T2
#[test]
fn unanswered_data_begins_a_handshake_after_15s_and_jitter() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataSent);
    bench.wait(secs(3));
    bench.on(Event::DataSent);
    assert_eq!(bench.next(), Some((secs(12) + JITTER, silence())));
    assert_eq!(bench.next(), None);
    bench.on(Event::DataSent);
    assert_eq!(bench.next(), Some((secs(15) + JITTER, silence())));
}

/// Contract: T2
#[test]
fn refused_data_needs_no_answer_but_data_sent_before_does() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataSent);
    bench.on(Event::DataRefused);
    assert_eq!(bench.next(), None);
    bench.on(Event::DataSent);
    bench.wait(secs(1));
    bench.on(Event::DataSent);
    bench.on(Event::DataRefused);
    assert_eq!(bench.next(), Some((secs(14) + JITTER, silence())));
}

/// Contract: T2
#[test]
fn an_answer_while_data_is_being_sent_is_answered() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::DataSent);
    bench.on(Event::DataReceived);
    bench.on(Event::DataRefused);
    assert_eq!(bench.next(), Some((secs(10), keepalive())));
}

#[test]
fn keepalives_sent_need_no_answer() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::KeepaliveSent);
    assert_eq!(bench.next(), None);
}

/// Contract: T2
#[test]
fn anything_received_is_an_answer() {
    for event in [
        Event::DataReceived,
        Event::KeepaliveReceived,
        Event::InitiationReceived,
        Event::ResponseReceived,
    ] {
        let mut bench = Bench::new(OFF);
        bench.on(Event::DataSent);
        bench.on(event);
        while let Some((_, actions)) = bench.next() {
            assert_eq!(actions.initiate, None, "{event:?}");
        }
    }
}

/// Contract: T1
#[test]
fn silence_restarts_the_count() {
    let mut bench = Bench::new(OFF);
    for _ in 0..5 {
        bench.on(Event::InitiationSent);
        bench.next();
    }
    bench.on(Event::DataSent);
    assert_eq!(bench.next().unwrap().1, silence());
    bench.on(Event::InitiationSent);
    assert_eq!(bench.next().unwrap().1, retry(2));
}

/// Contract: K6
#[test]
fn keys_are_wiped_540s_after_the_last_session() {
    for event in [Event::ResponseReceived, Event::ResponseSent] {
        let mut bench = Bench::new(OFF);
        bench.on(event);
        bench.wait(secs(500));
        bench.on(event);
        assert_eq!(bench.next(), Some((secs(540), wipe())));
        assert_eq!(bench.next(), None);
        bench.on(event);
        bench.timers.keys_wiped();
        assert_eq!(bench.next(), None);
    }
}

/// Contract: T2, H11
#[test]
fn persistent_keepalives_follow_every_message() {
    let all = ALL_EVENTS.into_iter().filter(|event| {
        !matches!(
            event,
            Event::DataRefused | Event::InitiationRequested | Event::SessionConfirmed
        )
    });
    for event in all {
        let mut bench = Bench::new(EVERY_25S);
        bench.on(event);
        bench.wait(secs(4));
        bench.on(event);
        let mut waited = Duration::ZERO;
        let found = loop {
            let (time, actions) = bench.next().unwrap();
            waited += time;
            if actions == keepalive() && waited >= secs(25) {
                break waited;
            }
            assert!(waited <= secs(25), "{event:?}");
        };
        assert_eq!(found, secs(25), "{event:?}");
    }
    let mut bench = Bench::new(EVERY_25S);
    bench.on(Event::InitiationRequested);
    bench.on(Event::SessionConfirmed);
    assert_eq!(bench.next(), None);
}

/// Contract: N15
#[test]
fn persistent_keepalives_go_on_and_stop_when_switched_off() {
    let mut bench = Bench::new(EVERY_25S);
    bench.on(Event::KeepaliveSent);
    for _ in 0..10 {
        assert_eq!(bench.next(), Some((secs(25), keepalive())));
        bench.on(Event::KeepaliveSent);
    }
    bench.config = OFF;
    assert_eq!(bench.next(), None);
    bench.on(Event::KeepaliveSent);
    assert_eq!(bench.next(), None);
}

/// Contract: N15
#[test]
fn what_could_not_be_sent_cancels_no_keepalive() {
    let mut bench = Bench::new(EVERY_25S);
    bench.on(Event::DataReceived);
    bench.wait(secs(4));
    bench.on(Event::SendFailed);
    assert_eq!(bench.next(), Some((secs(6), keepalive())));
    bench.on(Event::SendFailed);
    assert_eq!(bench.next(), Some((secs(25), keepalive())));
}

#[test]
fn switching_persistent_keepalives_on_sends_one() {
    let other = Config {
        persistent_keepalive: Some(secs(1)),
    };
    assert!(OFF.wants_keepalive_now(&other));
    assert!(!EVERY_25S.wants_keepalive_now(&other));
    assert!(!EVERY_25S.wants_keepalive_now(&OFF));
    assert!(!OFF.wants_keepalive_now(&OFF));
}

#[test]
fn a_shorter_interval_arms_earlier() {
    let mut bench = Bench::new(EVERY_25S);
    bench.on(Event::KeepaliveSent);
    bench.config.persistent_keepalive = Some(secs(3));
    bench.on(Event::KeepaliveSent);
    assert_eq!(bench.next(), Some((secs(3), keepalive())));
}

#[test]
fn several_at_once() {
    let mut bench = Bench::new(EVERY_25S);
    bench.on(Event::ResponseSent);
    bench.on(Event::InitiationSent);
    bench.on(Event::DataReceived);
    bench.wait(secs(600));
    let actions = bench.timers.expire(bench.now, &EVERY_25S);
    let expected = Actions {
        purge_staged: false,
        initiate: Some(Initiate::Retry { attempt: 2 }),
        send_keepalive: true,
        wipe_keys: true,
    };
    assert_eq!(actions, expected);
    assert_eq!(bench.timers.next_deadline(), None);
}

/// Contract: K5
#[test]
fn one_last_minute_renewal_a_session() {
    let mut bench = Bench::new(OFF);
    assert!(bench.timers.claim_last_minute_rekey());
    assert!(!bench.timers.claim_last_minute_rekey());
    bench.on(Event::InitiationSent);
    assert!(!bench.timers.claim_last_minute_rekey());
    for event in [Event::ResponseReceived, Event::SessionConfirmed] {
        bench.on(event);
        assert!(bench.timers.claim_last_minute_rekey());
        assert!(!bench.timers.claim_last_minute_rekey());
    }
}

/// The caller's timer stood still while the machine slept, the clock did not.
#[test]
fn what_comes_after_a_sleep_is_armed() {
    let mut bench = Bench::new(OFF);
    bench.on(Event::ResponseReceived);
    let before = bench.armed;
    // 60 s awake, an hour of sleep, and the sessions are gone with it.
    bench.wait(secs(3660));
    bench.timers.keys_wiped();
    assert_eq!(bench.timers.next_deadline(), None);
    bench.on(Event::InitiationSent);
    assert_ne!(bench.armed, before);
    assert_eq!(
        bench.armed,
        Some(bench.now.saturating_add(secs(5)).saturating_add(JITTER))
    );
    // It is armed: nothing to do for what is later.
    bench.on(Event::DataSent);
    assert_eq!(bench.armed, bench.timers.next_deadline());
    let (after, actions) = bench.next().unwrap();
    assert_eq!(after, secs(5).saturating_add(JITTER));
    assert!(actions.initiate.is_some());
}

#[test]
fn steady_traffic_rearms_the_caller_once() {
    let mut bench = Bench::new(EVERY_25S);
    let mut rearmed = 0;
    for step in 0..100_000_u64 {
        let event = match step % 3 {
            0 => Event::DataReceived,
            _ => Event::DataSent,
        };
        let moved = bench.timers.on(event, bench.now, JITTER, &EVERY_25S);
        rearmed += u32::from(moved.is_some());
        bench.wait(Duration::from_micros(50));
    }
    // Once for each kind of deadline at most: 5 s of traffic end before any of them.
    assert!(rearmed <= 3, "{rearmed}");
}

#[test]
fn jitter_only_where_it_is_used() {
    assert_eq!(REKEY_JITTER, Duration::from_millis(333));
    for event in ALL_EVENTS {
        let deadline = |jitter| {
            let mut timers = Timers::new();
            timers.start();
            let now = Instant::from_nanos(0);
            timers.on(event, now, jitter, &OFF);
            timers.next_deadline()
        };
        let used = deadline(Duration::ZERO) != deadline(JITTER);
        assert_eq!(used, event.needs_jitter(), "{event:?}");
    }
}
