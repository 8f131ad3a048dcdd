//! The signals that end the program.

use std::io;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

const ENDS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// The signals that end the program. They are held back until a thread waits for them, so that
/// nothing is left behind.
#[derive(Debug)]
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Holds the signals back, on this thread and on those that it spawns from now on. A hangup that was
    /// ignored when the program was started stays ignored, as `nohup` wants it. An interrupt does not: a
    /// script starts a server in the background so that it is ignored, and ends the server with one.
    pub(crate) fn hold() -> io::Result<Self> {
        let hangup = Signal::SIGHUP;
        let is_heeded = !crate::ending::heeded(&[hangup as i32]).is_empty();
        Self::hold_these(ENDS.into_iter().filter(|signal| *signal != hangup || is_heeded))
    }

    /// Does the same as [`hold`](Self::hold), with ignored signals as well, as QEMU does.
    pub(crate) fn hold_ignored() -> io::Result<Self> {
        Self::hold_these(ENDS.into_iter())
    }

    fn hold_these(signals: impl Iterator<Item = Signal>) -> io::Result<Self> {
        let signals: SigSet = signals.collect();
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Calls a function with the number of the first signal, on a thread of its own.
    pub(crate) fn on_first(self, action: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
        let wait = move || {
            if let Ok(signal) = self.0.wait() {
                action(signal as i32);
            }
        };
        thread::Builder::new().name("qmp-signals".to_owned()).spawn(wait).map(drop)
    }
}

/// Calls a function on a thread of its own, and waits until it returns, or until one of these signals.
/// Returns none after a signal: the function goes on until the program ends.
pub(crate) fn until_interrupted<T: Send + 'static>(
    signals: Signals,
    function: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (done, result) = mpsc::channel();
    let interrupted = done.clone();
    signals.on_first(move |_| drop(interrupted.send(None)))?;
    let thread = thread::Builder::new().name("qmp-serve".to_owned());
    thread.spawn(move || drop(done.send(Some(function()))))?;
    // A panic of the function has been printed.
    Ok(result.recv().unwrap_or_default())
}
