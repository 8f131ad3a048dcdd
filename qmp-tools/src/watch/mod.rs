//! A live view of virtual machines at a terminal: `qmp info --watch`.
//!
//! A thread for each machine (`source`) asks it once an interval and sends what it hears; the main
//! thread keeps the history (`state`) and draws it (`view`) on the terminal (`display`).

mod display;
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

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind};

use crate::machine::{Machine, MachineArgs, Origin};
use crate::terminal::{divert_notices, notice};
use display::Display;
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
    if !signals.wait_for_foreground() {
        return Ok(());
    }
    let mut display = Display::open()?;
    let result = interact(&mut display, screen, updates, signals, notices);
    result.and(display.close())
}

/// Draws the screen when something is new, and obeys the keys.
fn interact(
    display: &mut Display,
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
        #[cfg(unix)]
        if signals.was_continued() {
            // A signal may end the program instead.
            if !display.take_back(signals)? {
                return Ok(());
            }
            is_new = true;
        }
        is_new |= display.resize()?;
        if std::mem::take(&mut is_new) {
            display.draw(screen)?;
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
            stop if keyboard::is_stop(&stop) => match display.suspend(signals)? {
                true => {}
                false => return Ok(()),
            },
            Event::Key(key) if key.kind != KeyEventKind::Release => press(screen, key.code),
            _ => {}
        }
    }
    Ok(())
}

fn press(screen: &mut Screen, key: KeyCode) {
    match key {
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => screen.select_next(),
        KeyCode::Up | KeyCode::Char('k') | KeyCode::BackTab => screen.select_previous(),
        _ => {}
    }
}
