//! What a person at a terminal meets: a line editor, and the loop that it is part of.
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
mod history;
#[cfg(unix)]
mod ink;
#[cfg(unix)]
mod interact;
#[cfg(unix)]
mod keys;
#[cfg(unix)]
mod known;
#[cfg(unix)]
mod menu;
#[cfg(unix)]
mod pager;
mod plain;
#[cfg(unix)]
mod printer;
#[cfg(unix)]
mod screen;
#[cfg(unix)]
mod tty;

use std::io::{self, IsTerminal, Write};

use qmp_client::blocking::Client;

pub use engine::Engine;

use super::{LineError, Outcome, parse};

/// What the prompt knows of the machine.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The connection, for what is asked in the background.
    pub client: Client,
    /// The text before each line.
    pub prompt: &'static str,
    /// What tells the machine from others if it has neither UUID nor name: its address.
    pub address: String,
    /// Whether to ask before a command ends the machine.
    pub asks: bool,
}

impl Setup {
    /// Returns what to ask before a command is executed.
    fn question(&self, command: &str) -> Option<String> {
        let ends = matches!(parse(command), Ok(Some(line)) if line.name == "quit");
        (self.asks && ends).then(|| String::from("`quit` ends the virtual machine at once. Continue?"))
    }

    /// Returns what to say when the connection has ended.
    fn reason(&self, outcome: Outcome) -> String {
        let lost = self.client.ended().filter(|_| outcome == Outcome::Lost);
        lost.map_or_else(
            || String::from("The connection was closed."),
            |closed| format!("The connection was lost: {}", crate::cli::chain(&closed)),
        )
    }
}

/// Reads commands from a person and has them executed, until the person leaves, the machine exits or
/// the connection is lost, which is said.
///
/// # Errors
/// Returns an error if the terminal cannot be used.
pub fn interact<E: Engine + Send + 'static>(
    setup: &Setup,
    engine: impl FnOnce(Box<dyn Write + Send>) -> E,
) -> io::Result<Outcome> {
    let moves = std::env::var("TERM").is_ok_and(|term| !matches!(&*term, "" | "dumb"));
    #[cfg(unix)]
    if moves && io::stdin().is_terminal() && io::stdout().is_terminal() {
        return at_terminal(setup, engine);
    }
    let _ = moves;
    plain::interact(setup, engine)
}

#[cfg(unix)]
fn at_terminal<E: Engine + Send + 'static>(
    setup: &Setup,
    engine: impl FnOnce(Box<dyn Write + Send>) -> E,
) -> io::Result<Outcome> {
    use std::sync::mpsc::{channel, sync_channel};

    let (tty, waker) = tty::Tty::open()?;
    // What is printed faster than the terminal shows it waits.
    let (sender, messages) = sync_channel(64);
    let printer = printer::Printer::new(sender, waker.clone());
    let (commands, inbox) = channel();
    let (paths, history) = channel();
    let engine = engine(Box::new(printer.clone()));
    let interrupt = engine.interrupt();
    let background = known::Known::default();
    background.learn(&setup.client, &setup.address, paths, waker);
    let thread =
        std::thread::spawn(move || engine::serve(engine, &inbox, |told| printer.send(told)));
    let parts = interact::Parts {
        assist: &background,
        prompt: setup.prompt,
        label: &label,
        masked: &|command| command.to_owned(),
        question: &|command| setup.question(command),
        interrupt: &*interrupt,
        reason: &|| setup.reason(Outcome::Lost),
        history,
        messages,
        commands,
    };
    let outcome = interact::Seat::new(parts, tty).run();
    // The other thread ends with its channels, after the command that it executes.
    interrupt();
    let until = std::time::Instant::now() + std::time::Duration::from_millis(200);
    while !thread.is_finished() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    outcome
}

/// Returns whether another line may complete a command.
fn is_incomplete(text: &str) -> bool {
    matches!(parse(text), Err(LineError::Unclosed(_)))
}

/// Returns what a command is called where it is waited for.
fn label(command: &str) -> String {
    match parse(command) {
        Ok(Some(line)) => line.name,
        _ => command.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}
