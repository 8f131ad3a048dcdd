//! The terminal as a device: its mode, its size, and what arrives from it.

use std::cell::Cell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    self, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios,
};
use signal_hook::consts::SIGWINCH;
use signal_hook::low_level::pipe;

use crate::ending::{Ending, is_in_background};

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
    /// Whether the mode is this program's.
    is_entered: Cell<bool>,
    woken: UnixStream,
    ending: Arc<Ending>,
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
        let mut ending = Ending::handle()?;
        ending.on_each(|signal| pipe::register(signal, waker.try_clone()?))?;
        ending.keep(pipe::register(SIGWINCH, waker.try_clone()?)?);
        let mode = before.clone();
        ending.insist(move || drop(tcsetattr(OptionalActions::Now, &mode)))?;
        let ending = Arc::new(ending);
        let tty = Self { before, is_entered: Cell::new(false), woken, ending };
        tty.enter_in_foreground()?;
        Ok((tty, Waker(Arc::new(waker))))
    }

    /// Takes over editing and echo. Output is still processed: a line feed begins a new row.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.ending.set_at_once(false);
        let mut raw = self.before.clone();
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IXON;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        self.is_entered.set(true);
        // What was typed ahead is kept.
        tcsetattr(OptionalActions::Now, &raw)?;
        write(BRACKETED_PASTE)
    }

    /// Takes over when this program is the foreground job, unless a signal ends it first.
    pub(super) fn enter_in_foreground(&self) -> io::Result<()> {
        self.ending.set_at_once(false);
        if self.ending.wait_for_foreground() { self.enter() } else { Ok(()) }
    }

    /// Returns whether the program was stopped by others, and has been continued.
    pub(super) fn was_continued(&self) -> bool {
        self.ending.was_continued()
    }

    /// Gives the terminal back as it was.
    pub(super) fn leave(&self) -> io::Result<()> {
        // The mode matters even if nothing can be written.
        let written = write(NO_BRACKETED_PASTE);
        tcsetattr(OptionalActions::Drain, &self.before)?;
        self.is_entered.set(false);
        written
    }

    /// Gives the terminal to another program, which cannot be suspended: nothing would continue it.
    pub(super) fn lend(&self) -> io::Result<()> {
        write(NO_BRACKETED_PASTE)?;
        let mut lent = self.before.clone();
        // Zero disables the character.
        lent.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(OptionalActions::Drain, &lent)?;
        self.ending.set_at_once(true);
        Ok(())
    }

    /// Returns the signal that ends the program, if one has arrived.
    pub(super) fn ended_by(&self) -> Option<i32> {
        self.ending.received()
    }

    /// Returns what is left to be done about signals when this has been dropped.
    pub(super) fn ending(&self) -> Arc<Ending> {
        self.ending.clone()
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
        // Another job that has the terminal by now has set a mode of its own.
        if self.is_entered.get() && !is_in_background() {
            // A terminal that is gone needs no mode.
            let _ = self.leave();
        }
    }
}

/// Returns the number of columns and rows; what a terminal does not know is taken to be 80 and 24.
pub(super) fn size() -> (usize, usize) {
    let size = termios::tcgetwinsize(io::stdout()).ok();
    let known = |cells: u16, default| if cells == 0 { default } else { usize::from(cells) };
    size.map_or((80, 24), |size| (known(size.ws_col, 80), known(size.ws_row, 24)))
}

fn tcsetattr(when: OptionalActions, mode: &Termios) -> io::Result<()> {
    Ok(termios::tcsetattr(io::stdin(), when, mode)?)
}

fn write(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
