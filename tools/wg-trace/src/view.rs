// SPDX-License-Identifier: GPL-2.0

//! The screen.

use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use ratatui::{
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Style, Stylize},
    text::Line,
    widgets::{Block, List, Row, Table},
    Frame,
};

use crate::{
    state::{age, amount, State},
    Failure,
};

/// Shows `state` until the user has had enough.
pub fn run(
    state: &mut State,
    events: &Receiver<String>,
    interval: Duration,
) -> Result<(), Failure> {
    let mut terminal = ratatui::try_init()?;
    let result = show(&mut terminal, state, events, interval);
    ratatui::restore();
    result
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    state: &mut State,
    events: &Receiver<String>,
    interval: Duration,
) -> Result<(), Failure> {
    let mut next = Instant::now() + interval;
    loop {
        events.try_iter().for_each(|text| state.event(text));
        terminal.draw(|frame| draw(frame, state))?;
        // Events are shown soon, the rest at its time.
        let wait = next
            .saturating_duration_since(Instant::now())
            .min(Duration::from_millis(200));
        if event::poll(wait)? && wants_to_quit(&event::read()?) {
            return Ok(());
        }
        if Instant::now() >= next {
            state.refresh()?;
            next = Instant::now() + interval;
        }
    }
}

fn wants_to_quit(event: &Event) -> bool {
    let Event::Key(key) = event else {
        return false;
    };
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        }
}

fn draw(frame: &mut Frame<'_>, state: &State) {
    let [title, peers, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let [drops, events] =
        Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(below);
    frame.render_widget(
        Line::from(format!("wg-trace {}   q: quit", state.interface)).bold(),
        title,
    );

    let rows = state.rows().map(|row| {
        Row::new([
            row.peer.key.clone(),
            row.peer
                .endpoint
                .map_or("-".to_owned(), |endpoint| endpoint.to_string()),
            age(row.peer.handshake),
            format!("{}/s", amount(row.receiving)),
            format!("{}/s", amount(row.sending)),
        ])
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(14),
        Constraint::Length(12),
        Constraint::Length(12),
    ];
    let header = Row::new(["peer", "endpoint", "handshake", "receiving", "sending"]);
    frame.render_widget(
        Table::new(rows, widths)
            .header(header.style(Style::new().bold()))
            .block(Block::bordered().title("Peers")),
        peers,
    );

    // What grows first, then what has ever been dropped.
    let mut counted: Vec<_> = state
        .counters()
        .filter(|(name, value, _)| *value != 0 && name.contains("drop"))
        .collect();
    counted.sort_by(|a, b| b.2.total_cmp(&a.2));
    let rows = counted.into_iter().map(|(name, value, rate)| {
        Row::new([name.to_owned(), value.to_string(), format!("{rate:.1}/s")])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(12),
        Constraint::Length(11),
    ];
    frame.render_widget(
        Table::new(rows, widths).block(Block::bordered().title("Drops")),
        drops,
    );

    let lines = state.events.iter().rev().map(String::as_str);
    frame.render_widget(
        List::new(lines).block(Block::bordered().title("Events")),
        events,
    );
}
