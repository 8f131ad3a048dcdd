//! The prompt of a terminal that cannot move its cursor, and of an output that is no terminal: lines are
//! edited by the terminal's own means.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{Sender, channel};

use super::engine::{Engine, Message, serve};
use super::Setup;
use crate::shell::Outcome;
use crate::terminal::notice;

/// What a thread tells this one.
enum Told {
    Engine(Message),
    Line(Option<String>),
}

/// Reads commands line by line until the input or the connection ends.
pub(super) fn interact<E: Engine + Send + 'static>(
    setup: &Setup,
    engine: impl FnOnce(Box<dyn Write + Send>) -> E,
) -> io::Result<Outcome> {
    let engine = engine(Box::new(io::stdout()));
    let (commands, inbox) = channel();
    let (tell, told) = channel();
    let from_engine = tell.clone();
    std::thread::spawn(move || {
        serve(engine, &inbox, |message| {
            from_engine.send(Told::Engine(message)).map_err(|_| io::ErrorKind::BrokenPipe.into())
        });
    });
    // A thread that reads cannot be stopped; it ends with the process.
    std::thread::spawn(move || read(&tell));
    let mut pending = String::new();
    let mut question = None;
    prompt(setup.prompt)?;
    for told in told {
        match told {
            Told::Engine(Message::Print(_)) => {}
            Told::Engine(Message::Done(outcome @ (Outcome::Ended | Outcome::Lost)))
            | Told::Engine(Message::Ended(outcome)) => {
                notice(&setup.reason(outcome));
                return Ok(outcome);
            }
            Told::Engine(Message::Done(_)) => prompt(setup.prompt)?,
            Told::Line(None) => return Ok(Outcome::Done),
            Told::Line(Some(line)) => {
                if let Some(command) = question.take() {
                    match line.trim() {
                        "y" | "yes" => drop(commands.send(command)),
                        _ => prompt(setup.prompt)?,
                    }
                    continue;
                }
                pending += &line;
                if super::is_incomplete(&pending) {
                    pending.push('\n');
                    continue;
                }
                let command = std::mem::take(&mut pending);
                match command.trim() {
                    "" => prompt(setup.prompt)?,
                    "exit" => return Ok(Outcome::Done),
                    _ => match setup.question(&command) {
                        Some(text) => {
                            prompt(&(text + " [y/N] "))?;
                            question = Some(command);
                        }
                        None => drop(commands.send(command)),
                    },
                }
            }
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

/// Shows a prompt to a person; an output that is no terminal gets none.
fn prompt(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}
