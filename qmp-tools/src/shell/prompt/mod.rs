//! The prompt of a person at a terminal: a line editor, and the loop that it is part of.
//!
//! ```text
//! keys ──> editor ──command──> queue ──> engine (a thread of its own) ──> client
//!            │                              │
//!            └─frame─> screen <──messages───┘
//! ```
//!
//! One thread owns the terminal. It alone reads keys and writes, so that an event can never break the
//! line that is being edited, whatever is shown: the frame (prompt, line, hint, menu) is removed, the
//! event is printed, and the frame is painted again, in one write.
//!
//! The editor is our own, on small libraries (`rustix` for the terminal, `unicode-segmentation` and
//! `unicode-width` for its cells). rustyline 17 and reedline 0.49, the latest ones for the oldest
//! compiler that is supported, were tried first:
//!
//! - rustyline has no menu. While its printer is in use, keys that arrive together wait for another
//!   key; it reads keys only while a line is edited, so that Ctrl-C cannot end a wait, and what ends
//!   the connection cannot end the line.
//! - reedline has menus with descriptions. Its printer for other threads counts the rows of the line
//!   in bytes and the prompt as three columns, and does not know of the menu, so that wrapped lines,
//!   wide characters and menus are left on the terminal or overwritten. It asks the terminal for the
//!   place of the cursor, waits for the answer at each prompt, and also reads keys only while a line
//!   is edited.
//!
//! # While a command waits
//!
//! Keys go to the next line, which is shown with what is waited for. A line that is completed with
//! Enter is queued, and executed when the commands before it have been; text without Enter remains
//! to be edited. Ctrl-C ends the wait, and discards what was typed and queued. A question (`quit` ends
//! the machine) discards it as well: what was typed before a question does not answer it.

#[cfg(unix)]
mod assist;
#[cfg(unix)]
mod buffer;
#[cfg(unix)]
mod editor;
mod engine;
#[cfg(unix)]
mod frame;
#[cfg(unix)]
mod helper;
#[cfg(unix)]
mod history;
#[cfg(unix)]
mod identity;
#[cfg(unix)]
mod ink;
#[cfg(unix)]
mod interact;
#[cfg(unix)]
mod keys;
#[cfg(unix)]
mod menu;
#[cfg(unix)]
mod pager;
mod plain;
#[cfg(unix)]
mod printer;
#[cfg(unix)]
mod screen;
mod setup;
mod statements;
#[cfg(unix)]
mod tty;

use std::io::{self, Write};

#[cfg(unix)]
use self::setup::PersonalSession;
pub use self::setup::{Handles, Setup};
use super::{Outcome, Session};

/// Reads commands from a person and has a session execute them, until the person leaves, the machine
/// exits, or the connection is lost, which is said.
///
/// # Errors
/// Returns an error if the terminal cannot be used.
pub fn interact(
    setup: &Setup,
    session: impl FnOnce(Handles) -> Session<Box<dyn Write + Send>>,
) -> io::Result<Outcome> {
    #[cfg(unix)]
    if crate::terminal::can_move_cursor() {
        return at_terminal(setup, session);
    }
    let _ = setup;
    plain::interact(session)
}

#[cfg(unix)]
fn at_terminal(
    setup: &Setup,
    session: impl FnOnce(Handles) -> PersonalSession,
) -> io::Result<Outcome> {
    use std::sync::Arc;
    use std::sync::mpsc::{channel, sync_channel};
    use std::time::{Duration, Instant};

    use super::live::Machine;

    /// How long a command may wait for the types of its arguments, which the machine is asked for.
    const PATIENCE: Duration = Duration::from_secs(2);

    let (tty, waker) = tty::Tty::open()?;
    // What is printed faster than the terminal shows it waits.
    let (sender, messages) = sync_channel(64);
    let printer = printer::Printer::new(sender, waker.clone());
    // Whatever else the program has to say, such as what a QEMU writes that it launched.
    let _notices = crate::terminal::divert_notices(printer.clone());
    let (commands, inbox) = channel();
    let session = session(Handles {
        output: Box::new(printer.clone()),
        messages: Box::new(printer.clone()),
        confirm: engine::confirm(printer.clone()),
    });
    let interrupt = session.interrupt();
    let is_human = session.settings().hmp;
    let machine = Machine::new(&setup.client, setup.peer, move || waker.wake());
    let session = session.types(Arc::new(machine.patient(PATIENCE)));
    let helper = helper::Helper::new(machine, setup.peer, is_human);
    let history = learn_history(setup);
    let thread = std::thread::spawn(move || engine::serve(session, &inbox, &printer));
    let parts = interact::Parts {
        helper: &helper,
        peer: setup.peer,
        interrupt: interrupt.clone(),
        history,
        messages,
        commands,
    };
    let mut seat = interact::Seat::new(parts, tty);
    let outcome = seat.run();
    let ending = seat.ending();
    drop(seat);
    // The terminal is as it was.
    ending.obey();
    // The other thread ends with its channels, after the command that it executes.
    let until = Instant::now() + Duration::from_millis(200);
    while !thread.is_finished() && Instant::now() < until {
        interrupt.raise();
        std::thread::sleep(Duration::from_millis(1));
    }
    outcome
}

/// Asks the machine who it is, for the file of its history.
#[cfg(unix)]
fn learn_history(setup: &Setup) -> std::sync::mpsc::Receiver<std::path::PathBuf> {
    let (found, path) = std::sync::mpsc::channel();
    let Setup { client, peer, address } = setup.clone();
    std::thread::spawn(move || {
        let identity = identity::identity(&client, peer, &address);
        // The prompt may have been left by now.
        let _ = history::file_of(&identity).map(|path| found.send(path));
    });
    path
}
