//! Signals, and the hang-up of the terminal: they end the live view from outside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use signal_hook::{consts::SIGHUP, flag};

#[cfg(unix)]
use crate::ending::{Ending, end_by};

/// The effect of signals: before the screen is shown, one ends the program, and later it first closes
/// the screen, so that the terminal is restored and a launched QEMU ended.
///
/// A terminal that hangs up has the effect of `SIGHUP`, which not all programs at the terminal receive.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Whether the screen is to be closed.
    pub(super) closed: Arc<AtomicBool>,
    #[cfg(unix)]
    ending: Arc<Ending>,
}

impl Signals {
    /// Handles the signals.
    ///
    /// # Errors
    /// Returns an error if the signals cannot be handled.
    pub fn handle() -> io::Result<Self> {
        let closed = Arc::<AtomicBool>::default();
        #[cfg(unix)]
        {
            let mut ending = Ending::handle()?;
            ending.on_each(|signal| flag::register(signal, closed.clone()))?;
            ending.insist(restore)?;
            Ok(Self { closed, ending: Arc::new(ending) })
        }
        #[cfg(not(unix))]
        Ok(Self { closed })
    }

    /// Has signals close the screen from now on, and a terminal that hangs up.
    pub(super) fn close_screen(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            self.ending.set_at_once(false);
            let signals = self.clone();
            let wait = move || {
                if hangs_up(None) {
                    signals.closed.store(true, Ordering::Release);
                    signals.ending.end_soon(SIGHUP, restore);
                }
            };
            std::thread::Builder::new().name("qmp-hang-up".to_owned()).spawn(wait)?;
        }
        Ok(())
    }

    /// Returns whether the program was stopped, and has been continued.
    #[cfg(unix)]
    pub(super) fn was_continued(&self) -> bool {
        self.ending.was_continued()
    }

    /// Waits until the program is the foreground job. Returns `false` if a signal closes the screen instead.
    pub(super) fn wait_for_foreground(&self) -> bool {
        #[cfg(unix)]
        if !self.ending.wait_for_foreground() {
            return false;
        }
        !self.closed.load(Ordering::Acquire)
    }

    /// Ends the program if a signal has closed the screen, or the terminal has hung up; otherwise, signals
    /// end the program from now on.
    pub(super) fn obey(&self) {
        #[cfg(unix)]
        {
            self.ending.obey();
            // The screen may have failed before the other thread noticed.
            if hangs_up(Some(Duration::ZERO)) {
                end_by(SIGHUP);
            }
        }
    }
}

/// A screen that could not be closed is left on the terminal, but not in raw mode.
#[cfg(unix)]
fn restore() {
    let _ = ratatui::crossterm::terminal::disable_raw_mode();
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
