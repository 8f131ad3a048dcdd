//! A live view of virtual machines at a terminal: `qmp info --watch`.
//!
//! A thread for each machine (`source`) asks it once an interval and sends what it hears; the main
//! thread keeps the history (`state`) and draws it (`view`).

mod host;
mod source;
mod state;
mod view;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::machine::{Machine, MachineArgs, Origin};
use crate::terminal::{divert_notices, notice};
use source::{Outlet, Update};
use state::Screen;

/// The longest time from a key or an update to its effect.
const LATENCY: Duration = Duration::from_millis(50);

/// A machine to watch.
#[derive(Debug)]
pub struct Watched {
    /// The machine's address, or what it is instead.
    pub label: String,
    /// How it is connected to again when the connection ends.
    pub args: MachineArgs,
    /// The connection, or the reason why it failed.
    pub machine: Result<Machine, String>,
}

/// Returns whether a live view can be shown: standard input and output are a terminal.
#[must_use]
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The effect of signals: before the screen is shown, one ends the program, and later it closes the
/// screen, so that the terminal is restored and a launched QEMU ended.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    shown: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
}

impl Signals {
    /// Holds the signals back on this thread and on those that it spawns from now on.
    ///
    /// # Errors
    /// Returns an error if the signals cannot be held back.
    pub fn hold() -> io::Result<Self> {
        let signals = Self::default();
        #[cfg(unix)]
        {
            let Self { shown, closed } = signals.clone();
            crate::sim::signals::Signals::hold()?.on_first(move |signal| {
                if !shown.load(Ordering::Relaxed) {
                    std::process::exit(128 + signal);
                }
                closed.store(true, Ordering::Relaxed);
            })?;
        }
        Ok(signals)
    }
}

/// Shows machines until a person presses `q`, or a signal ends the program.
///
/// # Errors
/// Returns an error if the terminal cannot be used.
pub fn run(machines: Vec<Watched>, interval: Duration, signals: &Signals) -> io::Result<()> {
    let closed = &signals.closed;
    signals.shown.store(true, Ordering::Relaxed);
    let notices = Notices::default();
    // What is printed to the terminal meanwhile would be drawn over.
    let above = divert_notices(notices.clone());
    let mut terminal = ratatui::try_init()?;
    let result = watch(&mut terminal, machines, interval, closed, &notices);
    ratatui::try_restore()?;
    drop(above);
    notices.lock().iter().for_each(|line| notice(line));
    result
}

/// Notices that are printed while the screen is shown: the last one is shown, and all are printed
/// after it is closed.
#[derive(Clone, Debug, Default)]
struct Notices(Arc<Mutex<VecDeque<String>>>);

impl Notices {
    /// The number of notices that are kept.
    const KEPT: usize = 100;

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a notice at a time.
impl io::Write for Notices {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut kept = self.lock();
        kept.push_back(String::from_utf8_lossy(text).trim_end().to_owned());
        if kept.len() > Self::KEPT {
            kept.pop_front();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    machines: Vec<Watched>,
    interval: Duration,
    closed: &Arc<AtomicBool>,
    notices: &Notices,
) -> io::Result<()> {
    let mut screen = Screen::new(machines.iter().map(|machine| machine.label.clone()), interval);
    let (sender, updates) = channel();
    let mut threads = Vec::new();
    for (number, machine) in machines.into_iter().enumerate() {
        let outlet = Outlet { number, updates: sender.clone(), closed: closed.clone() };
        let is_launched =
            machine.machine.as_ref().is_ok_and(|it| matches!(it.origin, Origin::Launched(_)));
        let thread = std::thread::spawn(move || source::watch(machine, interval, &outlet));
        threads.extend(is_launched.then_some(thread));
    }
    let result = interact(terminal, &mut screen, &updates, closed, notices);
    closed.store(true, Ordering::Relaxed);
    // A QEMU that this program launched must not outlive it.
    threads.into_iter().for_each(|thread| _ = thread.join());
    result
}

/// Draws the screen when something is new, and obeys the keys.
fn interact(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    updates: &Receiver<(usize, Update)>,
    closed: &AtomicBool,
    notices: &Notices,
) -> io::Result<()> {
    let mut is_new = true;
    while !closed.load(Ordering::Relaxed) {
        while let Ok((number, update)) = updates.try_recv() {
            screen.update(number, update);
            is_new = true;
        }
        let last = notices.lock().back().cloned();
        if last != screen.notice {
            screen.notice = last;
            is_new = true;
        }
        if std::mem::take(&mut is_new) {
            terminal.draw(|frame| view::draw(frame, screen))?;
        }
        if !event::poll(LATENCY)? {
            continue;
        }
        is_new = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                if is_end(key) {
                    return Ok(());
                }
                press(screen, key.code);
            }
            // The next frame has the new size.
            _ => {}
        }
    }
    Ok(())
}

fn is_end(key: KeyEvent) -> bool {
    let is_interrupt =
        key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

fn press(screen: &mut Screen, key: KeyCode) {
    match key {
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => screen.select_next(),
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => screen.select_previous(),
        _ => {}
    }
}
