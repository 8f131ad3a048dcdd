//! Draws the machines.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table, TableState};

use super::state::{Rates, Screen, State, Watching};
use crate::report::units::{bytes, count};
use crate::terminal::inline;

/// The most jobs that are drawn.
const JOBS: usize = 4;

/// The most machines in the list.
const MACHINES: usize = 12;

/// The width at which the list has room for all columns.
const WIDE: u16 = 106;

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let Some(machine) = screen.machines.get(screen.selected) else { return };
    let rows = screen.machines.len().min(MACHINES) as u16;
    let jobs = jobs_of(machine).min(JOBS) as u16;
    let [list, title, graphs, disks, job_area, events, keys] = Layout::vertical([
        Constraint::Length(rows + 1),
        Constraint::Length(2),
        Constraint::Length(5),
        Constraint::Length(2 + machine.rates.disks.len().min(6) as u16),
        Constraint::Length(if jobs > 0 { jobs + 1 } else { 0 }),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_list(frame, list, screen);
    draw_title(frame, title, machine);
    draw_graphs(frame, graphs, &machine.rates);
    draw_disks(frame, disks, &machine.rates);
    draw_jobs(frame, job_area, machine);
    draw_events(frame, events, machine);
    let keys_line = format!(
        " ↑↓ select   q quit   {} every {:?}",
        count(screen.machines.len(), "machine"),
        screen.interval
    );
    let notice = screen.notice.as_deref().map(|notice| format!("   {notice}")).unwrap_or_default();
    let line = Line::from(vec![Span::raw(keys_line).dim(), text(&notice).yellow()]);
    frame.render_widget(line, keys);
}

/// Makes a span of a text from outside.
fn text(text: &str) -> Span<'static> {
    Span::raw(inline(text).into_owned())
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    // Where there is not room for all columns, that of the state matters more than the network's.
    let has_network = area.width >= WIDE;
    let columns = [
        ("MACHINE", Constraint::Fill(2), true),
        ("STATE", Constraint::Fill(1), true),
        ("CPU", Constraint::Length(6), true),
        ("READ", Constraint::Length(12), true),
        ("WRITE", Constraint::Length(12), true),
        ("NET IN", Constraint::Length(12), has_network),
        ("NET OUT", Constraint::Length(12), has_network),
        ("JOBS", Constraint::Length(4), true),
    ];
    let shown = |index: usize| columns.get(index).is_some_and(|(_, _, is_shown)| *is_shown);
    let rows = screen.machines.iter().map(|machine| {
        let rates = &machine.rates;
        let (state, color) = state(machine);
        let rate = |history: &VecDeque<u64>| Cell::from(last_rate(history));
        let cpu = rates.cpu.back().map(|load| format!("{load}%")).unwrap_or_default();
        let cells = [
            Cell::from(text(&name(machine))),
            Cell::from(text(&state)).style(Style::new().fg(color)),
            Cell::from(cpu),
            rate(&rates.read),
            rate(&rates.written),
            rate(&rates.received),
            rate(&rates.sent),
            Cell::from(jobs_of(machine).to_string()),
        ];
        let cells = cells.into_iter().enumerate();
        Row::new(cells.filter(|(index, _)| shown(*index)).map(|(_, cell)| cell))
    });
    let columns = columns.iter().filter(|(_, _, is_shown)| *is_shown);
    let head = Row::new(columns.clone().map(|(title, ..)| *title));
    let table = Table::new(rows, columns.map(|(_, width, _)| *width))
        .header(head.style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut selected = TableState::new().with_selected(screen.selected);
    frame.render_stateful_widget(table, area, &mut selected);
}

fn name(machine: &Watching) -> String {
    let name = machine.report.as_ref().and_then(|report| report.name.clone());
    name.unwrap_or_else(|| machine.label.clone())
}

fn state(machine: &Watching) -> (String, Color) {
    match &machine.state {
        State::Connecting => ("connecting".to_owned(), Color::Yellow),
        State::Gone(_) => ("not connected".to_owned(), Color::Red),
        State::Connected => {
            let live = machine.last.as_ref().and_then(|sample| sample.live.state.clone());
            let report = machine.report.as_ref().and_then(|report| report.state.clone());
            let state = live.or(report).unwrap_or_else(|| "connected".to_owned());
            let color = if state == "running" { Color::Green } else { Color::Yellow };
            (state, color)
        }
    }
}

fn last_rate(history: &VecDeque<u64>) -> String {
    history.back().map(|rate| format!("{}/s", bytes(*rate))).unwrap_or_default()
}

fn jobs_of(machine: &Watching) -> usize {
    machine.last.as_ref().map_or(0, |sample| sample.live.jobs.len())
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, machine: &Watching) {
    let mut parts = vec![name(machine)];
    if let Some(report) = &machine.report {
        parts.push(format!("QEMU {}", report.version));
        parts.extend(report.accelerator.clone());
        parts.push(count(report.cpus.len(), "CPU"));
        parts.extend(report.memory.as_ref().map(|memory| bytes(memory.base)));
    }
    let migration = machine.last.as_ref().and_then(|sample| sample.live.migration.as_ref());
    if let Some(migration) = migration {
        parts.push(format!("migration {}", migration.status));
    }
    let mut title = Line::from(text(&parts.join("  "))).bold();
    if let State::Gone(reason) = &machine.state {
        title = Line::from(text(reason)).red();
    }
    let block = Block::new().borders(ratatui::widgets::Borders::TOP);
    frame.render_widget(Paragraph::new(title).block(block), area);
}

fn draw_graphs(frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
    let mut graphs = vec![
        ("read", &rates.read, last_rate(&rates.read)),
        ("write", &rates.written, last_rate(&rates.written)),
    ];
    if !rates.cpu.is_empty() {
        let load = rates.cpu.back().map(|load| format!("{load}%")).unwrap_or_default();
        graphs.insert(0, ("CPU", &rates.cpu, load));
    }
    if !rates.received.is_empty() {
        graphs.push(("net in", &rates.received, last_rate(&rates.received)));
        graphs.push(("net out", &rates.sent, last_rate(&rates.sent)));
    }
    let areas = Layout::horizontal(graphs.iter().map(|_| Constraint::Fill(1))).split(area);
    for ((title, history, now), area) in graphs.into_iter().zip(areas.iter()) {
        let block = Block::bordered().title(format!(" {title} {now} "));
        let width = usize::from(block.inner(*area).width);
        let shown: Vec<u64> =
            history.iter().skip(history.len().saturating_sub(width)).copied().collect();
        let graph = Sparkline::default().data(&shown).style(Style::new().fg(Color::Cyan));
        frame.render_widget(graph.block(block), *area);
    }
}

fn draw_disks(frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
    let rows = rates.disks.iter().map(|(name, read, written)| {
        Row::new([
            Cell::from(text(name)),
            Cell::from(format!("{}/s", bytes(*read))),
            Cell::from(format!("{}/s", bytes(*written))),
        ])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(14), Constraint::Length(14)];
    let head = Row::new(["DISK", "READ", "WRITE"]).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

fn draw_jobs(frame: &mut Frame<'_>, area: Rect, machine: &Watching) {
    let Some(sample) = &machine.last else { return };
    let areas = Layout::vertical([Constraint::Length(1); JOBS]).split(area);
    for (job, area) in sample.live.jobs.iter().zip(areas.iter()) {
        let [label, bar] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(*area);
        frame.render_widget(text(&format!("{}  {}  {}", job.id, job.kind, job.status)), label);
        let ratio = job.progress.unwrap_or(0.0).clamp(0.0, 1.0);
        frame.render_widget(Gauge::default().ratio(ratio).gauge_style(Color::Cyan), bar);
    }
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, machine: &Watching) {
    let block = Block::bordered().title(" events ");
    let height = usize::from(block.inner(area).height);
    let skipped = machine.events.len().saturating_sub(height);
    // The text is escaped already.
    let lines: Vec<Line<'_>> =
        machine.events.iter().skip(skipped).map(|event| Line::raw(event.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
