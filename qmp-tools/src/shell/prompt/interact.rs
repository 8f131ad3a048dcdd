//! The loop of a person at a terminal: keys, commands, and what the machine says meanwhile.

use std::collections::VecDeque;
use std::io::{self, Stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use super::assist::{Assist, Nothing};
use super::editor::{Act, Editor, transcript};
use super::engine::Message;
use super::frame::width;
use super::helper::Helper;
use super::history::History;
use super::ink::{Colors, Ink};
use super::keys::{Key, Keys};
use super::pager;
use super::screen::Screen;
use super::statements::{is_exit, label};
use super::tty::{self, Arrived, Tty};
use crate::ending::{Ending, is_in_background, suspend};
use crate::shell::session::{Peer, is_agent_statement};
use crate::shell::{Interrupt, Outcome, secrets};

/// A command that is answered sooner is not said to be waited for.
const PATIENCE: Duration = Duration::from_millis(150);
/// How many messages are handled between two looks at the keys.
const BATCH: usize = 64;
/// How often the size of the terminal is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The time after which an escape character is a key of its own.
const ESCAPE: Duration = Duration::from_millis(40);

/// The parts that the loop connects.
pub(super) struct Parts<'p> {
    pub(super) helper: &'p Helper,
    pub(super) peer: Peer,
    /// Makes the command that is being executed return.
    pub(super) interrupt: Interrupt,
    /// The file of the history, as soon as the machine has said who it is.
    pub(super) history: Receiver<PathBuf>,
    pub(super) messages: Receiver<Message>,
    pub(super) commands: Sender<String>,
}

/// A person at a terminal.
pub(super) struct Seat<'p> {
    parts: Parts<'p>,
    tty: Tty,
    screen: Screen<Stdout>,
    colors: Colors,
    keys: Keys,
    editor: Editor,
    history: History,
    /// Commands that were pasted, or typed while another one was executed.
    queue: VecDeque<String>,
    state: State,
    /// Ctrl-D was typed while commands were executed.
    leaving: bool,
    /// The machine may have said more than has been shown.
    is_behind: bool,
}

/// The state of the person's work.
#[derive(Debug)]
enum State {
    /// Nothing: a command is being typed.
    Idle,
    /// A command is executed.
    Busy { label: String, since: Instant, interrupted: bool },
    /// An answer is asked for before the command is executed.
    Asking { question: String, answer: Sender<bool>, label: String },
}

impl State {
    fn busy(label: String) -> Self {
        Self::Busy { label, since: Instant::now(), interrupted: false }
    }
}

impl<'p> Seat<'p> {
    pub(super) fn new(parts: Parts<'p>, tty: Tty) -> Self {
        Self {
            parts,
            tty,
            screen: Screen::new(io::stdout(), tty::size()),
            colors: Colors::detect(),
            keys: Keys::default(),
            editor: Editor::default(),
            history: History::default(),
            queue: VecDeque::new(),
            state: State::Idle,
            leaving: false,
            is_behind: false,
        }
    }

    /// Reads keys until the person leaves or the connection ends.
    pub(super) fn run(&mut self) -> io::Result<Outcome> {
        let outcome = self.turn();
        if is_in_background() {
            return outcome;
        }
        // A terminal that is gone cannot be cleared.
        let cleared = self.screen.clear();
        let outcome = outcome?;
        cleared.map(|()| outcome)
    }

    /// Returns what is left to be done about signals when this has been dropped.
    pub(super) fn ending(&self) -> Arc<Ending> {
        self.tty.ending()
    }

    fn turn(&mut self) -> io::Result<Outcome> {
        let mut bytes = [0; 4096];
        loop {
            if self.tty.ended_by().is_some() {
                return Ok(Outcome::Interrupted);
            }
            if self.tty.was_continued() {
                self.resume()?;
                continue;
            }
            if let Some(outcome) = self.messages()? {
                return Ok(outcome);
            }
            if let Ok(path) = self.parts.history.try_recv() {
                // Without a file, the history lasts as long as the prompt.
                let _ = self.history.open(&path);
            }
            let assist = self.assist();
            self.editor.refresh(assist);
            if self.screen.size() != tty::size() {
                self.screen.resize(tty::size())?;
            }
            self.show()?;
            let within = match self.keys.is_pending() {
                true => ESCAPE,
                false if self.is_behind => Duration::ZERO,
                false => TICK,
            };
            match self.tty.read(&mut bytes, within)? {
                Arrived::Keys(length) => self.keys.feed(&bytes[..length]),
                Arrived::End => return Ok(Outcome::Done),
                Arrived::Nothing => {
                    let key = self.keys.flush().filter(|_| within == ESCAPE);
                    if let Some(key) = key {
                        let acts = self.key(key);
                        if let Some(outcome) = self.act(acts)? {
                            return Ok(outcome);
                        }
                    }
                }
            }
            while let Some(key) = self.keys.next() {
                let acts = self.key(key);
                if let Some(outcome) = self.act(acts)? {
                    return Ok(outcome);
                }
            }
        }
    }

    fn prompt(&self) -> &'static str {
        match self.parts.peer {
            Peer::Agent => "(agent) ",
            Peer::Monitor if self.parts.helper.is_human() => "(qemu) ",
            Peer::Monitor => "(QEMU) ",
        }
    }

    fn key(&mut self, key: Key) -> Vec<Act> {
        let assist = self.assist();
        self.editor.key(key, assist, &self.history)
    }

    /// Returns the source of answers about the line; an answer to a question has none.
    fn assist(&self) -> &'p dyn Assist {
        match self.state {
            State::Asking { .. } => &Nothing,
            _ => self.parts.helper,
        }
    }

    /// Handles what the machine said, a part of it at a time: keys are not to wait for a flood of
    /// events. Returns an outcome if the prompt is to be left.
    fn messages(&mut self) -> io::Result<Option<Outcome>> {
        let mut printed = String::new();
        self.is_behind = true;
        for _ in 0..BATCH {
            match self.parts.messages.try_recv() {
                Ok(Message::Print(text)) if self.is_waiting() && self.is_tall(&text) => {
                    self.print(&std::mem::take(&mut printed))?;
                    self.page(&text)?;
                }
                Ok(Message::Print(text)) => printed += &text,
                Ok(other) => {
                    self.print(&std::mem::take(&mut printed))?;
                    if let Some(outcome) = self.message(other)? {
                        return Ok(Some(outcome));
                    }
                }
                Err(_) => {
                    self.is_behind = false;
                    break;
                }
            }
        }
        self.print(&printed).map(|()| None)
    }

    fn message(&mut self, message: Message) -> io::Result<Option<Outcome>> {
        match message {
            Message::Print(text) => self.print(&text)?,
            Message::Ask(question, answer) => self.ask(question, answer)?,
            Message::Done(outcome @ (Outcome::Ended | Outcome::Lost), _)
            | Message::Ended(outcome) => return self.end(outcome).map(Some),
            Message::Done(_, human) => {
                self.parts.helper.executed(human);
                self.state = State::Idle;
                self.next()?;
                if self.leaving && matches!(self.state, State::Idle) {
                    return Ok(Some(Outcome::Done));
                }
            }
        }
        Ok(None)
    }

    fn act(&mut self, acts: Vec<Act>) -> io::Result<Option<Outcome>> {
        for act in acts {
            match act {
                Act::Edited => {}
                Act::Bell => self.screen.send("\x07")?,
                Act::ClearScreen => self.screen.clear_all()?,
                Act::Tell(text) => self.tell(text)?,
                Act::Suspend => self.suspend()?,
                Act::Submit(line) => self.submit(line)?,
                Act::Discard(_) | Act::Interrupt | Act::End
                    if matches!(self.state, State::Asking { .. }) =>
                {
                    self.answer("no")?;
                }
                Act::Discard(_) | Act::Interrupt if self.is_waiting() => self.interrupt()?,
                Act::Discard(line) => {
                    let line = transcript(self.prompt(), &line, Ink::Prompt, self.colors);
                    self.screen.print(&format!("{}^C\r\n", line.trim_end()))?;
                }
                Act::Interrupt => self.tell("Ctrl-D or `exit` leaves the shell")?,
                Act::End if self.leaving || !self.is_waiting() => return Ok(Some(Outcome::Done)),
                Act::End => self.leaving = true,
            }
            if self.leaving && matches!(self.state, State::Idle) && self.queue.is_empty() {
                return Ok(Some(Outcome::Done));
            }
        }
        Ok(None)
    }

    /// Returns whether a command is executed that the person still waits for.
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Busy { interrupted: false, .. })
    }

    fn submit(&mut self, line: String) -> io::Result<()> {
        if matches!(self.state, State::Asking { .. }) {
            return self.answer(&line);
        }
        self.queue.push_back(line);
        self.next()
    }

    /// Begins the next command of the queue.
    fn next(&mut self) -> io::Result<()> {
        while matches!(self.state, State::Idle) {
            let Some(command) = self.queue.pop_front() else { return Ok(()) };
            self.screen.clear()?;
            self.screen.print(&transcript(self.prompt(), &command, Ink::Prompt, self.colors))?;
            if command.trim().is_empty() {
                continue;
            }
            if secrets::is_masked(&command) {
                self.tell("not executed: the history has no secrets; write one for `<secret>`")?;
                continue;
            }
            self.history.add(&secrets::masked(&command));
            if is_exit(&command) {
                self.queue.clear();
                self.leaving = true;
                return Ok(());
            }
            self.state = State::busy(label(&command));
            // If the other thread has ended, it has said why.
            let _ = self.parts.commands.send(command);
        }
        Ok(())
    }

    /// Asks a question, which nothing answers that was typed before.
    fn ask(&mut self, question: String, answer: Sender<bool>) -> io::Result<()> {
        self.queue.clear();
        self.editor.take();
        self.keys = Keys::default();
        self.tty.discard_input();
        self.leaving = false;
        let label = match &self.state {
            State::Busy { label, .. } => label.clone(),
            _ => String::new(),
        };
        self.state = State::Asking { question: question + " [y/N] ", answer, label };
        self.screen.clear()
    }

    fn answer(&mut self, given: &str) -> io::Result<()> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Asking { question, answer, label } = state else { return Ok(()) };
        self.screen.clear()?;
        self.screen.print(&format!("{question}{}\r\n", crate::terminal::inline(given)))?;
        let agreed = matches!(given.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        if !agreed {
            self.tell("not executed")?;
        }
        self.state = State::busy(label);
        // If the other thread has ended, it has said why.
        let _ = answer.send(agreed);
        Ok(())
    }

    fn interrupt(&mut self) -> io::Result<()> {
        let State::Busy { label, interrupted, .. } = &mut self.state else { return Ok(()) };
        *interrupted = true;
        // Nothing is answered later; the event is shown in any case.
        let text = if let Some(event) = label.strip_prefix("wait ") {
            format!("no longer waiting for {event}")
        } else if self.parts.peer == Peer::Agent && is_agent_statement(label) {
            format!("no longer waiting for `{label}`, which goes on; its result is not shown")
        } else {
            format!("no longer waiting for `{label}`; its reply is shown when it arrives")
        };
        self.parts.interrupt.raise();
        // What was typed meanwhile goes with it, as with a terminal's own line editing.
        self.queue.clear();
        self.editor.take();
        self.leaving = false;
        self.tell(&text)
    }

    /// Says why the connection ended, and keeps on the terminal what was being typed.
    fn end(&mut self, outcome: Outcome) -> io::Result<Outcome> {
        let line = self.editor.take();
        self.screen.clear()?;
        if !line.is_empty() {
            self.screen.print(&transcript(self.prompt(), &line, Ink::Prompt, self.colors))?;
        }
        // Why a connection was lost has been said.
        if outcome == Outcome::Ended {
            self.tell("The connection was closed.")?;
        }
        Ok(outcome)
    }

    /// Prints what the machine said.
    fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.parts.helper.arrived();
        self.screen.print(text)
    }

    /// Returns whether a text does not fit the terminal.
    fn is_tall(&self, text: &str) -> bool {
        let (columns, rows) = self.screen.size();
        taller(text, columns, rows)
    }

    /// Shows a long reply with the pager.
    fn page(&mut self, text: &str) -> io::Result<()> {
        self.screen.clear()?;
        if pager::show(text, &self.tty)? { self.screen.recover() } else { self.screen.print(text) }
    }

    /// Prints a notice of the prompt itself.
    fn tell(&mut self, text: &str) -> io::Result<()> {
        let text = crate::terminal::lines(text);
        let reset = super::ink::RESET;
        self.screen.print(&format!("{}{text}{reset}\r\n", self.colors.begin(Ink::Dim)))
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.screen.clear()?;
        self.tty.leave()?;
        suspend();
        self.resume()
    }

    /// Takes over the terminal again after the program was stopped.
    fn resume(&mut self) -> io::Result<()> {
        self.tty.enter_in_foreground()?;
        if self.tty.ended_by().is_some() {
            return Ok(());
        }
        self.screen.recover()
    }

    fn show(&mut self) -> io::Result<()> {
        let queued = match self.queue.len() {
            0 => String::new(),
            count => format!(", then {count} more"),
        };
        let (prompt, ink) = match &self.state {
            State::Idle | State::Busy { interrupted: true, .. } => {
                (self.prompt().to_owned(), Ink::Prompt)
            }
            State::Asking { question, .. } => (question.clone(), Ink::Prompt),
            State::Busy { since, .. }
                if since.elapsed() < PATIENCE && self.editor.is_empty() && queued.is_empty() =>
            {
                return Ok(());
            }
            State::Busy { label, .. } => {
                (format!("(waiting for `{label}`{queued}; Ctrl-C stops waiting) "), Ink::Dim)
            }
        };
        let size = self.screen.size();
        let frame = self.editor.frame(&prompt, ink, self.assist(), size, self.colors);
        self.screen.show(frame)
    }
}

/// Returns whether a text takes more rows than there are.
fn taller(text: &str, columns: usize, rows: usize) -> bool {
    let mut left = rows.saturating_sub(1);
    for line in text.lines() {
        match left.checked_sub(width(line).div_ceil(columns.max(1)).max(1)) {
            Some(rest) => left = rest,
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_tall_as_its_rows() {
        assert!(!taller("1\n2\n3\n", 10, 4));
        assert!(taller("1\n2\n3\n4\n", 10, 4));
        assert!(taller("1\n2\n12345678901\n", 10, 4));
    }
}
