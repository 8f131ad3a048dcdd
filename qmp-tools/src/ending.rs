//! Signals that end a program which has changed its terminal.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::process::{getpgrp, getpid, kill_current_process_group, kill_process};
use rustix::termios;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTOU};
use signal_hook::{SigId, flag};

/// The longest time from a signal to the end of the program. The main thread may wait longer, for a
/// terminal that takes no output, or for a launched QEMU that does not quit. Such a QEMU ends after
/// this program.
const GRACE: Duration = Duration::from_secs(1);

/// The number of times that this program tries to stop without being stopped: nothing would continue it.
const ATTEMPTS: usize = 5;

/// A program that is really stopped stays so for at least this long.
const STOPPED: Duration = Duration::from_millis(10);

/// The time in which a signal that has arrived is handled.
const MOMENT: Duration = Duration::from_millis(100);

/// Handlers of the signals that end a program. A child process inherits nothing, as it would inherit a mask.
/// A signal that was ignored when the program was started stays ignored, as `nohup` wants it.
///
/// A program makes this once: afterwards, the signals end it at once.
#[derive(Debug)]
pub(crate) struct Ending {
    signals: Vec<i32>,
    registered: Vec<SigId>,
    /// The number of the signal that arrived last, or 0.
    received: Arc<AtomicUsize>,
    /// Whether a signal ends the program at once: the terminal is as it was.
    at_once: Arc<AtomicBool>,
    /// Whether the program has been continued after it was stopped.
    continued: Arc<AtomicBool>,
}

impl Ending {
    /// Handles the signals: they end the program at once.
    pub(crate) fn handle() -> io::Result<Self> {
        let mut ending = Self {
            signals: heeded(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]),
            registered: Vec::new(),
            received: Arc::default(),
            at_once: Arc::new(AtomicBool::new(true)),
            continued: Arc::default(),
        };
        let _blocked = Blocked::new(&ending.signals);
        for signal in &ending.signals {
            // This stays registered: without any handler, the signal would be ignored.
            flag::register_conditional_default(*signal, ending.at_once.clone())?;
        }
        let received = ending.received.clone();
        ending.on_each(|signal| {
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, received.clone(), number)
        })?;
        ending.keep(flag::register(SIGCONT, ending.continued.clone())?);
        Ok(ending)
    }

    /// Registers another effect of each signal.
    pub(crate) fn on_each(
        &mut self,
        register: impl Fn(i32) -> io::Result<SigId>,
    ) -> io::Result<()> {
        for signal in &self.signals {
            self.registered.push(register(*signal)?);
        }
        Ok(())
    }

    /// Registers the handler of a signal that does not end the program.
    pub(crate) fn keep(&mut self, handler: SigId) {
        self.registered.push(handler);
    }

    /// Has a signal end the program also if its main thread waits for a terminal that takes no output. The
    /// function restores the mode of the terminal.
    pub(crate) fn insist(&mut self, restore: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (mut signaled, writer) = UnixStream::pair()?;
        self.on_each(|signal| signal_hook::low_level::pipe::register(signal, writer.try_clone()?))?;
        let received = self.received.clone();
        let end = move || {
            // Fails when the signals are not handled any more.
            if signaled.read_exact(&mut [0]).is_ok() {
                end_soon(&received, restore);
            }
        };
        std::thread::Builder::new().name("qmp-signals".to_owned()).spawn(end).map(drop)
    }

    /// Sets whether signals end the program at once.
    pub(crate) fn set_at_once(&self, at_once: bool) {
        self.at_once.store(at_once, Ordering::SeqCst);
    }

    /// Ends the program if a signal has arrived; from now on, one ends it at once.
    pub(crate) fn obey(&self) {
        // In this order, no signal is missed.
        self.set_at_once(true);
        if let Some(signal) = self.received() {
            end_by(signal);
        }
    }

    /// Returns the signal that ends the program, if one has arrived.
    pub(crate) fn received(&self) -> Option<i32> {
        number(&self.received)
    }

    /// Returns whether the program has been continued since it last was known to be the foreground job. A
    /// shell has set a mode of its own meanwhile.
    pub(crate) fn was_continued(&self) -> bool {
        self.continued.load(Ordering::SeqCst)
    }

    /// Stops in the background until this program is the foreground job. Returns `false` if a signal ends it
    /// instead. The system would stop it as well, but not let a signal end it.
    pub(crate) fn wait_for_foreground(&self) -> bool {
        // A program that nothing would continue is not stopped.
        let mut in_vain = 0;
        while in_vain < ATTEMPTS && is_in_background() && self.received().is_none() {
            // Another thread may be about to handle a signal that has arrived already, or stop first.
            std::thread::sleep(MOMENT);
            if self.received().is_none() {
                let begin = Instant::now();
                let _ = kill_current_process_group(rustix::process::Signal::TTOU);
                in_vain += usize::from(begin.elapsed() < STOPPED);
            }
        }
        self.continued.store(false, Ordering::SeqCst);
        self.received().is_none()
    }

    /// Does what a signal does.
    #[cfg(feature = "watch")]
    pub(crate) fn end_soon(&self, signal: i32, restore: impl FnOnce()) {
        let number = usize::try_from(signal).unwrap_or_default();
        let _ = self.received.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        end_soon(&self.received, restore);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.set_at_once(true);
        for registered in self.registered.drain(..) {
            signal_hook::low_level::unregister(registered);
        }
    }
}

/// Ends the program by the signal that was received, unless it ends by itself before.
fn end_soon(received: &AtomicUsize, restore: impl FnOnce()) {
    std::thread::sleep(GRACE);
    // The mode of another job is not ours to change.
    if !is_in_background() {
        restore();
    }
    if let Some(signal) = number(received) {
        end_by(signal);
    }
}

fn number(received: &AtomicUsize) -> Option<i32> {
    i32::try_from(received.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
}

/// Ends the program as if the signal had not been handled.
pub(crate) fn end_by(signal: i32) {
    // Fails only for signals that do not exist.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

/// Stops this job, as Ctrl-Z does, until the shell that started it continues it: a script that waits for
/// this program stops as well.
pub(crate) fn suspend() {
    let signal = rustix::process::Signal::TSTP;
    let _ = match termios::tcgetpgrp(io::stdin()) {
        Ok(group) if group == getpgrp() => kill_current_process_group(signal),
        // The other processes of the group are not at this terminal.
        _ => kill_process(getpid(), signal),
    };
}

/// Returns whether another job has the terminal. To change its mode would disturb that job, and stop this
/// program.
pub(crate) fn is_in_background() -> bool {
    // An error says that the terminal has no jobs, or none that is this program's.
    termios::tcgetpgrp(io::stdin()).is_ok_and(|group| group != getpgrp())
}

/// Lets this thread write to the terminal and change it even from the background, until the result is dropped.
pub(crate) fn allow_from_background() -> Blocked {
    Blocked::new(&[SIGTTOU])
}

/// Signals that this thread does not receive while this exists. Unless another thread receives them, they
/// arrive later: one that arrives while its first handler is registered would be lost.
#[derive(Debug)]
pub(crate) struct Blocked(Option<SigSet>);

impl Blocked {
    pub(crate) fn new(signals: &[i32]) -> Self {
        let signals = signals.iter().filter_map(|signal| Signal::try_from(*signal).ok());
        let signals: SigSet = signals.collect();
        Self(signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.0.map(|before| before.thread_set_mask());
    }
}

/// Returns those of the signals that this program was not told to ignore when it was started.
pub(crate) fn heeded(signals: &[i32]) -> Vec<i32> {
    let ignored = ignored();
    signals.iter().copied().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

/// Returns the set of ignored signals, with the lowest bit for signal 1. Only Linux tells without unsafe
/// code; elsewhere, none is taken to be ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}
