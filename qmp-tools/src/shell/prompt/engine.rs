//! What the prompt has commands executed by, on a thread of its own.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use crate::shell::Outcome;

/// Executes the commands of a person.
pub trait Engine {
    /// Executes a command, and prints its reply.
    ///
    /// # Errors
    /// Returns an error if the output cannot be written.
    fn run(&mut self, command: &str) -> io::Result<Outcome>;

    /// Prints what arrives without a command, such as events.
    ///
    /// # Errors
    /// Returns an error if the output cannot be written.
    fn pump(&mut self, within: Duration) -> io::Result<Outcome>;

    /// Returns what makes the command that is being executed return at once.
    fn interrupt(&self) -> Box<dyn Fn() + Send> {
        Box::new(|| ())
    }
}

/// What the thread of the engine tells the thread of the terminal.
#[derive(Debug)]
pub(super) enum Message {
    /// A text to be printed.
    Print(String),
    /// The command was executed.
    Done(Outcome),
    /// The connection ended while no command was executed.
    Ended(Outcome),
}

/// Executes commands as they arrive, and prints what arrives in between, until the prompt is left or
/// the connection ends.
pub(super) fn serve(
    mut engine: impl Engine,
    commands: &Receiver<String>,
    tell: impl Fn(Message) -> io::Result<()>,
) {
    /// How long the connection is polled before the commands are looked at again.
    const POLL: Duration = Duration::from_millis(20);
    loop {
        let told = match commands.try_recv() {
            Ok(command) => {
                tell(Message::Done(engine.run(&command).unwrap_or(Outcome::Lost)))
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => match engine.pump(POLL).unwrap_or(Outcome::Lost) {
                ended @ (Outcome::Ended | Outcome::Lost) => {
                    let _ = tell(Message::Ended(ended));
                    return;
                }
                _ => Ok(()),
            },
        };
        if told.is_err() {
            return;
        }
    }
}
