// SPDX-License-Identifier: GPL-2.0

//! What is known of an interface, now and one look before.

use std::{
    collections::VecDeque,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{json, Value};

use crate::{
    counters::{self, Counters},
    netlink::{Lister, Peer},
    Failure,
};

/// Events that are kept.
const EVENTS: usize = 200;

/// One look.
struct Look {
    at: Instant,
    peers: Vec<Peer>,
    counters: Counters,
}

/// An interface.
pub struct State {
    pub interface: String,
    lister: Lister,
    now: Look,
    before: Option<Look>,
    /// The newest last.
    pub events: VecDeque<String>,
}

/// A peer with what it moves.
pub struct Row<'a> {
    pub peer: &'a Peer,
    /// Bytes a second.
    pub receiving: f64,
    pub sending: f64,
}

impl State {
    /// The first look at `interface`.
    pub fn new(interface: String) -> Result<Self, Failure> {
        let mut lister = Lister::new()?;
        let now = look(&mut lister, &interface)?;
        Ok(Self {
            interface,
            lister,
            now,
            before: None,
            events: VecDeque::new(),
        })
    }

    /// Looks again.
    pub fn refresh(&mut self) -> Result<(), Failure> {
        let now = look(&mut self.lister, &self.interface)?;
        self.before = Some(std::mem::replace(&mut self.now, now));
        Ok(())
    }

    /// Notes an event.
    pub fn event(&mut self, text: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(text);
    }

    /// The seconds between the two looks; 0 if there was one only.
    fn interval(&self) -> f64 {
        self.before.as_ref().map_or(0.0, |before| {
            self.now.at.duration_since(before.at).as_secs_f64()
        })
    }

    /// What grew from `before` to `now`, a second.
    fn rate(&self, now: u64, before: Option<u64>) -> f64 {
        let interval = self.interval();
        match before.and_then(|before| now.checked_sub(before)) {
            Some(grown) if interval > 0.0 => grown as f64 / interval,
            _ => 0.0,
        }
    }

    /// All peers.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.now.peers.iter().map(|peer| {
            let old = self
                .before
                .as_ref()
                .and_then(|before| before.peers.iter().find(|old| old.key == peer.key));
            Row {
                peer,
                receiving: self.rate(peer.received, old.map(|old| old.received)),
                sending: self.rate(peer.sent, old.map(|old| old.sent)),
            }
        })
    }

    /// All counters: name, value, growth a second.
    pub fn counters(&self) -> impl Iterator<Item = (&str, u64, f64)> {
        self.now.counters.iter().map(|(name, value)| {
            let old = self
                .before
                .as_ref()
                .and_then(|before| before.counters.iter().find(|(old, _)| old == name));
            (
                name.as_str(),
                *value,
                self.rate(*value, old.map(|(_, old)| *old)),
            )
        })
    }

    /// All of it for a script.
    pub fn to_json(&self) -> Value {
        let peers: Vec<Value> = self
            .rows()
            .map(|row| {
                json!({
                    "public_key": row.peer.key,
                    "endpoint": row.peer.endpoint.map(|endpoint| endpoint.to_string()),
                    "latest_handshake": row.peer.handshake,
                    "rx_bytes": row.peer.received,
                    "tx_bytes": row.peer.sent,
                    "rx_bytes_per_second": row.receiving,
                    "tx_bytes_per_second": row.sending,
                })
            })
            .collect();
        let counters: serde_json::Map<String, Value> = self
            .counters()
            .map(|(name, value, _)| (name.to_owned(), json!(value)))
            .collect();
        json!({ "interface": self.interface, "peers": peers, "counters": counters })
    }
}

fn look(lister: &mut Lister, interface: &str) -> Result<Look, Failure> {
    Ok(Look {
        at: Instant::now(),
        peers: lister.peers(interface)?,
        counters: counters::read(interface)?,
    })
}

/// How long ago a time in seconds since 1970 is; `-` for never.
pub fn age(seconds: u64) -> String {
    if seconds == 0 {
        return "-".to_owned();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let ago = now.saturating_sub(seconds);
    match (ago / 86400, ago / 3600, ago / 60) {
        (0, 0, 0) => format!("{ago} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", ago % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// An amount in bytes with a prefix.
pub fn amount(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(amount(0.0), "0 B");
        assert_eq!(amount(1536.0), "1.5 KiB");
        assert_eq!(amount(5.0 * 1024f64.powi(4)), "5.0 TiB");
    }

    #[test]
    fn ages() {
        assert_eq!(age(0), "-");
        assert!(age(1).contains(" d "));
    }
}
