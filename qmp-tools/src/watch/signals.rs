//! Signals, and the hang-up of the terminal: they end the live view from outside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
#[cfg(unix)]
use std::time::Duration;

/// The longest time from a signal to the end of the program. The main thread may wait longer, for a
/// terminal that takes no output, or for a launched QEMU that does not quit. Such a QEMU ends after
/// this program.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(1);

/// The effect of signals: before the screen is shown, one ends the program, and later it first closes
/// the screen, so that the terminal is restored and a launched QEMU ended.
///
/// A terminal that hangs up has the effect of `SIGHUP`, which not all programs at the terminal receive.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    shown: Arc<AtomicBool>,
    /// Whether the screen is to be closed.
    pub(super) closed: Arc<AtomicBool>,
    /// The number of the signal that closed the screen, or 0.
    received: Arc<AtomicI32>,
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
            let signals = signals.clone();
            let held = crate::sim::signals::Signals::hold_with_quit()?;
            held.on_first(move |signal| signals.end(signal))?;
        }
        Ok(signals)
    }

    /// Has signals close the screen from now on, and a terminal that hangs up.
    pub(super) fn close_screen(&self) -> io::Result<()> {
        self.shown.store(true, Ordering::Relaxed);
        #[cfg(unix)]
        {
            let signals = self.clone();
            let wait = move || {
                if hangs_up(None) {
                    signals.end(signal_hook::consts::SIGHUP);
                }
            };
            std::thread::Builder::new().name("qmp-hang-up".to_owned()).spawn(wait)?;
        }
        Ok(())
    }

    /// Ends the program if a signal has closed the screen, or the terminal has hung up.
    pub(super) fn obey(&self) {
        #[cfg(unix)]
        match self.received.load(Ordering::Relaxed) {
            // The screen may have failed before the other thread noticed.
            0 if hangs_up(Some(Duration::ZERO)) => end_by(signal_hook::consts::SIGHUP),
            0 => {}
            signal => end_by(signal),
        }
    }

    /// Ends the program by a signal, after the screen is closed.
    #[cfg(unix)]
    fn end(&self, signal: i32) {
        if self.shown.load(Ordering::Relaxed) {
            self.received.store(signal, Ordering::Relaxed);
            self.closed.store(true, Ordering::Release);
            std::thread::sleep(GRACE);
            // A screen that could not be closed is left on the terminal, but not in raw mode.
            let _ = ratatui::crossterm::terminal::disable_raw_mode();
        }
        end_by(signal);
    }
}

/// Ends the program as if the signal had not been held back.
#[cfg(unix)]
fn end_by(signal: i32) {
    // Fails only for signals that do not exist.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

/// Waits until the terminal hangs up; returns whether it has within this time.
#[cfg(unix)]
fn hangs_up(within: Option<Duration>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;

    let within = within.and_then(|within| Timespec::try_from(within).ok());
    let (input, output) = (io::stdin(), io::stdout());
    // Reported in any case on Linux; other systems want to be asked.
    let end = PollFlags::HUP | PollFlags::ERR;
    let mut terminal = [PollFd::new(&input, end), PollFd::new(&output, end)];
    while poll(&mut terminal, within.as_ref()) == Err(Errno::INTR) {}
    terminal.iter().any(|fd| fd.revents().intersects(end))
}
