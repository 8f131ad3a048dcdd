//! A live view of virtual machines at a terminal: `qmp info --watch`.
//!
//! A thread for each machine (`source`) asks it once an interval and sends what it hears; the main
//! thread keeps the history (`state`) and draws it (`view`).

mod host;
mod keyboard;
mod signals;
mod source;
mod state;
mod view;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind};
use ratatui::crossterm::execute;
#[cfg(unix)]
use ratatui::crossterm::terminal::enable_raw_mode;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};

#[cfg(unix)]
use crate::ending::{FromBackground, is_in_background};
use crate::machine::{Machine, MachineArgs, Origin};
use crate::terminal::{divert_notices, notice};
pub use signals::Signals;
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

/// Shows machines until a person presses `q`. A signal ends the program, and so does a terminal that
/// hangs up.
///
/// # Errors
/// Returns an error if the terminal cannot be used.
pub fn run(machines: Vec<Watched>, interval: Duration, signals: &Signals) -> io::Result<()> {
    signals.close_screen()?;
    let closed = &signals.closed;
    let notices = Notices::default();
    // What is printed to the terminal meanwhile would be drawn over.
    let above = divert_notices(notices.clone());
    let mut screen = Screen::new(machines.iter().map(|machine| machine.label.clone()), interval);
    let (updates, launched) = watch(machines, interval, closed);
    let result = show(&mut screen, &updates, signals, &notices);
    closed.store(true, Ordering::Relaxed);
    // A QEMU that this program launched ends before it, unless a signal ends this program.
    launched.into_iter().for_each(|thread| _ = thread.join());
    drop(above);
    notices.lock().iter().for_each(|line| notice(line));
    signals.obey();
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

/// Starts a thread for each machine. Returns their updates, and the threads that end a launched QEMU.
fn watch(
    machines: Vec<Watched>,
    interval: Duration,
    closed: &Arc<AtomicBool>,
) -> (Receiver<(usize, Update)>, Vec<JoinHandle<()>>) {
    let (sender, updates) = channel();
    let mut launched = Vec::new();
    for (number, machine) in machines.into_iter().enumerate() {
        let outlet = Outlet { number, updates: sender.clone(), closed: closed.clone() };
        let is_launched =
            machine.machine.as_ref().is_ok_and(|it| matches!(it.origin, Origin::Launched(_)));
        let thread = std::thread::spawn(move || source::watch(machine, interval, &outlet));
        launched.extend(is_launched.then_some(thread));
    }
    (updates, launched)
}

/// Takes over the terminal until the screen is closed.
fn show(
    screen: &mut Screen,
    updates: &Receiver<(usize, Update)>,
    signals: &Signals,
    notices: &Notices,
) -> io::Result<()> {
    // A part of it may have been done.
    let mut terminal = take_over().inspect_err(|_| drop(restore()))?;
    let result = interact(&mut terminal, screen, updates, signals, notices);
    let restored = restore();
    // Dropping it would panic if neither the cursor can be shown nor that be reported.
    std::mem::forget(terminal);
    result.and(restored)
}

fn take_over() -> io::Result<DefaultTerminal> {
    let viewport = Viewport::Fixed(area());
    let terminal = ratatui::try_init_with_options(TerminalOptions { viewport })?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    Ok(terminal)
}

/// Returns the area of the terminal. What a terminal does not know, such as a serial line, is taken to be 80
/// columns and 24 rows. Memory is needed for each cell, so that the area is limited.
fn area() -> Rect {
    let (columns, rows) = size().unwrap_or_default();
    let known = |cells, usual| if cells == 0 { usual } else { cells };
    Rect::new(0, 0, known(columns, 80).min(1000), known(rows, 24).min(500))
}

/// Gives the terminal back.
fn restore() -> io::Result<()> {
    // If a signal ended this program in the background, the mode is that of another job by now.
    #[cfg(unix)]
    let (is_ours, _allowed) = (!is_in_background(), FromBackground::allow());
    #[cfg(not(unix))]
    let is_ours = true;
    let mode = if is_ours { disable_raw_mode() } else { Ok(()) };
    mode.and(execute!(io::stdout(), Show, LeaveAlternateScreen))
}

/// Draws the screen when something is new, and obeys the keys.
fn interact(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    updates: &Receiver<(usize, Update)>,
    signals: &Signals,
    notices: &Notices,
) -> io::Result<()> {
    let events = keyboard::read()?;
    let mut is_new = true;
    while !signals.closed.load(Ordering::Acquire) {
        while let Ok((number, update)) = updates.try_recv() {
            screen.update(number, update);
            is_new = true;
        }
        let last = notices.lock().back().cloned();
        if last != screen.notice {
            screen.notice = last;
            is_new = true;
        }
        if terminal.get_frame().area() != area() {
            terminal.resize(area())?;
            is_new = true;
        }
        if std::mem::take(&mut is_new) {
            terminal.draw(|frame| view::draw(frame, screen))?;
        }
        let event = match events.recv_timeout(LATENCY) {
            Ok(event) => event?,
            Err(RecvTimeoutError::Timeout) => continue,
            // The thread has said why it ended.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        is_new = true;
        match event {
            end if keyboard::is_end(&end) => return Ok(()),
            #[cfg(unix)]
            stop if keyboard::is_stop(&stop) => suspend(terminal, signals)?,
            Event::Key(key) if key.kind != KeyEventKind::Release => press(screen, key.code),
            _ => {}
        }
    }
    Ok(())
}

/// Gives the terminal to the shell that started this program, until that continues it.
#[cfg(unix)]
fn suspend(terminal: &mut DefaultTerminal, signals: &Signals) -> io::Result<()> {
    restore()?;
    signals.suspend();
    if signals.closed.load(Ordering::Acquire) {
        return Ok(());
    }
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    terminal.clear()
}

fn press(screen: &mut Screen, key: KeyCode) {
    match key {
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => screen.select_next(),
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => screen.select_previous(),
        _ => {}
    }
}
