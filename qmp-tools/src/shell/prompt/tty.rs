//! The terminal as a device: its mode, its size, and what arrives from it.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    self, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios,
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::{SigId, flag};

/// Terminals that understand it mark a paste.
const BRACKETED_PASTE: &str = "\x1b[?2004h";
const NO_BRACKETED_PASTE: &str = "\x1b[?2004l";

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrived {
    /// Bytes from the keyboard.
    Keys(usize),
    /// The terminal is gone.
    End,
    /// Neither, but a wake-up or the end of the wait.
    Nothing,
}

/// The terminal at standard input, without line editing and echo of its own. Its mode is restored on
/// drop.
#[derive(Debug)]
pub(super) struct Tty {
    before: Termios,
    woken: UnixStream,
    signals: Signals,
}

/// The signals that end the program.
const ENDS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The time that a signal has to end the program in an orderly way.
const GRACE: Duration = Duration::from_secs(1);

/// The signals that end a wait: those that end the program, and that of a new size.
#[derive(Debug, Default)]
struct Signals {
    registered: Vec<SigId>,
    /// The number of a signal that ends the program, or 0.
    ends: Arc<AtomicUsize>,
    /// Whether such a signal ends the program at once: the terminal is as it was.
    at_once: Arc<AtomicBool>,
}

impl Signals {
    fn register(&mut self, waker: &UnixStream) -> io::Result<()> {
        for signal in ENDS {
            let number = usize::try_from(signal).unwrap_or_default();
            let at_once = Arc::clone(&self.at_once);
            self.registered.push(flag::register_conditional_default(signal, at_once)?);
            let ends = Arc::clone(&self.ends);
            self.registered.push(flag::register_usize(signal, ends, number)?);
        }
        for signal in ENDS.into_iter().chain([SIGWINCH]) {
            let waker = waker.try_clone()?;
            self.registered.push(signal_hook::low_level::pipe::register(signal, waker)?);
        }
        Ok(())
    }

    /// Has a signal end the program also if its main thread waits for a terminal that takes no output.
    fn insist(&mut self, before: &Termios) -> io::Result<()> {
        let (mut signaled, writer) = UnixStream::pair()?;
        for signal in ENDS {
            let writer = writer.try_clone()?;
            self.registered.push(signal_hook::low_level::pipe::register(signal, writer)?);
        }
        let (ends, before) = (Arc::clone(&self.ends), before.clone());
        let end = move || {
            // Fails when the signals are not registered any more.
            if signaled.read_exact(&mut [0]).is_err() {
                return;
            }
            std::thread::sleep(GRACE);
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
            let signal = i32::try_from(ends.load(Ordering::Relaxed)).unwrap_or_default();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        };
        std::thread::Builder::new().name("qmp-signals".to_owned()).spawn(end).map(drop)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for registered in self.registered.drain(..) {
            signal_hook::low_level::unregister(registered);
        }
    }
}

/// Ends a wait from another thread.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<UnixStream>);

impl Waker {
    pub(super) fn wake(&self) {
        // If the buffer is full, a wake-up is under way already.
        let _ = (&*self.0).write(&[0]);
    }
}

impl Tty {
    pub(super) fn open() -> io::Result<(Self, Waker)> {
        let before = termios::tcgetattr(io::stdin())?;
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let mut signals = Signals::default();
        signals.register(&waker)?;
        signals.insist(&before)?;
        let tty = Self { before, woken, signals };
        tty.enter()?;
        Ok((tty, Waker(Arc::new(waker))))
    }

    /// Takes over editing and echo. Output is still processed: a line feed begins a new row.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.signals.at_once.store(false, Ordering::Relaxed);
        let mut raw = self.before.clone();
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IXON;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed ahead is kept.
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        write(BRACKETED_PASTE)
    }

    /// Gives the terminal back as it was.
    pub(super) fn leave(&self) -> io::Result<()> {
        write(NO_BRACKETED_PASTE)?;
        Ok(termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before)?)
    }

    /// Gives the terminal to another program, which cannot be suspended: nothing would continue it.
    pub(super) fn lend(&self) -> io::Result<()> {
        write(NO_BRACKETED_PASTE)?;
        let mut lent = self.before.clone();
        // Zero disables the character.
        lent.special_codes[SpecialCodeIndex::VSUSP] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &lent)?;
        self.signals.at_once.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the signal that ends the program, if one has arrived.
    pub(super) fn ended_by(&self) -> Option<i32> {
        let signal = i32::try_from(self.signals.ends.load(Ordering::Relaxed)).ok();
        signal.filter(|signal| *signal != 0)
    }

    /// Discards what was typed and not read yet.
    pub(super) fn discard_input(&self) {
        let _ = termios::tcflush(io::stdin(), QueueSelector::IFlush);
    }

    /// Waits for keys, and reads them.
    pub(super) fn read(&self, bytes: &mut [u8], within: Duration) -> io::Result<Arrived> {
        let (stdin, woken) = (io::stdin(), self.woken.as_fd());
        let mut ready =
            [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(woken, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(within.subsec_nanos()) };
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [keys, woken] = ready.map(|ready| !ready.revents().is_empty());
        if woken {
            let mut discarded = [0; 64];
            while rustix::io::read(&self.woken, &mut discarded).is_ok_and(|length| length > 0) {}
        }
        if !keys {
            return Ok(Arrived::Nothing);
        }
        match rustix::io::read(&stdin, bytes) {
            Ok(0) | Err(Errno::IO) => Ok(Arrived::End),
            Ok(length) => Ok(Arrived::Keys(length)),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Arrived::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = self.leave();
    }
}

/// Returns the number of columns and rows; what a terminal does not know is taken to be 80 and 24.
pub(super) fn size() -> (usize, usize) {
    let size = termios::tcgetwinsize(io::stdout()).ok();
    let known = |cells: u16, default| if cells == 0 { default } else { usize::from(cells) };
    size.map_or((80, 24), |size| (known(size.ws_col, 80), known(size.ws_row, 24)))
}

/// Stops this process, as Ctrl-Z does, until the shell that started it continues it.
pub(super) fn suspend() {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::TSTP);
}

fn write(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
