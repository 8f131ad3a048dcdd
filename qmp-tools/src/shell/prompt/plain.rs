//! The prompt of a terminal that cannot move its cursor, and of an output other than a terminal: lines are
//! edited by the terminal's own means.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{Sender, channel};

use super::engine::{Message, Tell, confirm, serve};
use super::helper::{is_exit, is_incomplete};
use super::{Handles, PersonalSession};
use crate::shell::Outcome;
use crate::terminal::notice;

const PROMPT: &str = "(QEMU) ";

/// A message from another thread.
enum Told {
    Session(Message),
    Line(Option<String>),
}

#[derive(Clone)]
struct Teller(Sender<Told>);

impl Tell for Teller {
    fn tell(&self, message: Message) -> io::Result<()> {
        self.0.send(Told::Session(message)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads commands line by line until the input or the connection ends.
pub(super) fn interact(session: impl FnOnce(Handles) -> PersonalSession) -> io::Result<Outcome> {
    let (commands, inbox) = channel();
    let (tell, told) = channel();
    let teller = Teller(tell.clone());
    let session = session(Handles {
        output: Box::new(io::stdout()),
        messages: Box::new(io::stderr()),
        confirm: confirm(teller.clone()),
    });
    let mut is_human = session.settings().hmp;
    std::thread::spawn(move || serve(session, &inbox, &teller));
    // A thread that reads cannot be stopped; it ends with the process.
    std::thread::spawn(move || read(&tell));
    let mut pending = String::new();
    let mut question: Option<Sender<bool>> = None;
    // The number of commands that are not executed yet, and whether the input has ended.
    let (mut left, mut ended) = (0_usize, false);
    prompt(PROMPT)?;
    for told in told {
        match told {
            Told::Session(Message::Print(text)) => io::stdout().write_all(text.as_bytes())?,
            Told::Session(Message::Ask(text, answer)) => {
                prompt(&(text + " [y/N] "))?;
                question = Some(answer);
            }
            Told::Session(
                Message::Done(outcome @ (Outcome::Ended | Outcome::Lost), _)
                | Message::Ended(outcome),
            ) => {
                // Why a connection was lost has been said.
                if outcome == Outcome::Ended {
                    notice("The connection was closed.");
                }
                return Ok(outcome);
            }
            Told::Session(Message::Done(_, human)) => {
                is_human = human;
                left = left.saturating_sub(1);
                prompt(PROMPT)?;
            }
            Told::Line(None) => {
                // Without an answer, it is no.
                question = None;
                ended = true;
            }
            Told::Line(Some(line)) => {
                if let Some(answer) = question.take() {
                    // If the other thread has ended, it has said why.
                    let _ = answer.send(matches!(line.trim(), "y" | "Y" | "yes"));
                    continue;
                }
                pending += &line;
                if !is_human && is_incomplete(&pending) {
                    pending.push('\n');
                    continue;
                }
                let command = std::mem::take(&mut pending);
                if is_exit(&command) {
                    return Ok(Outcome::Done);
                }
                let _ = commands.send(command);
                left += 1;
            }
        }
        if ended && left == 0 {
            return Ok(Outcome::Done);
        }
    }
    Ok(Outcome::Lost)
}

fn read(tell: &Sender<Told>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if tell.send(Told::Line(Some(line))).is_err() {
            return;
        }
    }
    let _ = tell.send(Told::Line(None));
}

/// Shows a prompt to a person; an output other than a terminal gets none.
fn prompt(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}
