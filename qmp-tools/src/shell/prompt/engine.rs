//! The thread that executes commands.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use crate::shell::session::Confirm;
use crate::shell::{Outcome, Session};

/// A message from the thread that executes commands to the thread of the terminal.
#[derive(Debug)]
pub(super) enum Message {
    /// A text to be printed.
    Print(String),
    /// A question; what it is about, and where the answer goes.
    Ask(String, Sender<bool>),
    /// A command was executed. Lines are now for the human monitor, or not.
    Done(Outcome, bool),
    /// The connection ended while no command was executed.
    Ended(Outcome),
}

/// Tells the thread of the terminal.
pub(super) trait Tell: Clone + Send + 'static {
    fn tell(&self, message: Message) -> io::Result<()>;
}

/// Returns what asks the person at the terminal. Without an answer, it is no.
pub(super) fn confirm(tell: impl Tell) -> Confirm {
    Box::new(move |what| {
        let (answer, answered) = channel();
        let asked = tell.tell(Message::Ask(format!("This will {what}. Continue?"), answer));
        asked.is_ok() && answered.recv() == Ok(true)
    })
}

/// Executes commands as they arrive, and shows what arrives in between, until the prompt is left or
/// the connection ends.
pub(super) fn serve<W: Write>(
    mut session: Session<W>,
    commands: &Receiver<String>,
    tell: &impl Tell,
) {
    /// How long the connection is polled before the commands are looked at again.
    const POLL: Duration = Duration::from_millis(20);
    loop {
        let told = match commands.try_recv() {
            Ok(command) => {
                let outcome = session.line(&command).unwrap_or(Outcome::Lost);
                tell.tell(Message::Done(outcome, session.settings().hmp))
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => match session.pump(POLL).unwrap_or(Outcome::Lost) {
                Outcome::Lost => {
                    let outcome = session.lost().unwrap_or(Outcome::Lost);
                    let _ = tell.tell(Message::Ended(outcome));
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
