// SPDX-License-Identifier: GPL-2.0

//! wg-trace: what a WireGuard interface does, live in a terminal or once for a script.

mod counters;
mod netlink;
mod state;
mod view;

use std::{
    error::Error,
    process::ExitCode,
    sync::mpsc::{self, Sender},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{netlink::Listener, state::State};

/// What goes wrong, in words.
pub type Failure = Box<dyn Error>;

/// Shows peers, rates, drops and events of a WireGuard interface.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The interface; the only one, if there is one only.
    interface: Option<String>,
    /// Print once, as text, and end.
    #[arg(long)]
    once: bool,
    /// Print as JSON: with --once the interface, else a line for each event.
    #[arg(long)]
    json: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// With --json: end after so many seconds.
    #[arg(long, value_parser = interval)]
    seconds: Option<f64>,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86400.0).contains(&seconds) => Ok(seconds),
        _ => Err("between 0.1 and 86400 seconds".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wg-trace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let interface = match arguments.interface {
        Some(name) => name,
        None => only_interface()?,
    };
    if arguments.json && !arguments.once {
        return print_events(&interface, arguments.seconds);
    }
    // Joined first, so that nothing between the two is missed.
    let listener = if arguments.once {
        None
    } else {
        Listener::new()?
    };
    let mut state = State::new(interface)?;
    if arguments.once {
        if arguments.json {
            println!("{}", state.to_json());
        } else {
            print_once(&state);
        }
        return Ok(());
    }
    let (sender, events) = mpsc::channel();
    match listener {
        Some(listener) => {
            let interface = state.interface.clone();
            thread::spawn(move || forward(listener, &interface, &sender));
        }
        None => state.event("this driver tells of no events".to_owned()),
    }
    view::run(
        &mut state,
        &events,
        Duration::from_secs_f64(arguments.interval),
    )
}

fn only_interface() -> Result<String, Failure> {
    let mut names = counters::interfaces();
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (Some(_), false) => Err("there are several WireGuard interfaces: name one".into()),
        (None, _) => Err("there is no WireGuard interface".into()),
    }
}

/// Sends what a listener hears of an interface, until nobody wants it any more.
fn forward(mut listener: Listener, interface: &str, to: &Sender<String>) {
    loop {
        match listener.hear() {
            Ok((of, peers)) if of == interface => {
                for peer in peers {
                    if to.send(peer.to_string()).is_err() {
                        return;
                    }
                }
            }
            Ok(_) => (),
            // Too many at once: the kernel has thrown some away.
            Err(error) => {
                if to.send(format!("events were lost: {error}")).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn print_once(state: &State) {
    for row in state.rows() {
        let endpoint = row
            .peer
            .endpoint
            .map_or("-".to_owned(), |endpoint| endpoint.to_string());
        println!(
            "{} {} handshake {} received {} sent {}",
            row.peer.key,
            endpoint,
            state::age(row.peer.handshake),
            row.peer.received,
            row.peer.sent
        );
    }
    for (name, value, _) in state.counters().filter(|(_, value, _)| *value != 0) {
        println!("{name} {value}");
    }
}

/// A line of JSON for each event.
fn print_events(interface: &str, seconds: Option<f64>) -> Result<(), Failure> {
    let mut listener = Listener::new()?.ok_or("this driver tells of no events")?;
    let (sender, events) = mpsc::channel();
    thread::spawn(move || loop {
        let heard = listener.hear().map_err(|error| error.to_string());
        if sender.send(heard).is_err() {
            return;
        }
    });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    loop {
        let heard = match end {
            Some(end) => match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(heard) => heard,
                Err(_) => return Ok(()),
            },
            None => events.recv()?,
        };
        let (of, peers) = heard?;
        for peer in peers.iter().filter(|_| of == interface) {
            println!(
                "{}",
                serde_json::json!({
                    "interface": of,
                    "public_key": peer.key,
                    "events": peer.event_names(),
                    "endpoint": peer.endpoint.map(|endpoint| endpoint.to_string()),
                    "latest_handshake": peer.handshake,
                })
            );
        }
    }
}
