//! Executes statements on a connection, and shows replies, errors and events.
//!
//! One thread drives a session. While it waits for a reply, it shows events, and another thread can
//! [interrupt](Interrupt) the wait; the reply is shown when it comes, with the name of its command.

mod agent;
mod command;
mod events;
mod interrupt;
mod recent;
mod request;
mod settings;
mod typing;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use qmp_client::blocking::{Client, Events};
use qmp_client::{Error, RawEvent};

pub use self::agent::is_agent_statement;
use self::command::Pending;
pub use self::interrupt::Interrupt;
use self::recent::{Condition, Recent};
pub use self::settings::{EventFilter, NAMES, SettingError, Settings};
use self::typing::Lazy;
use super::help::help;
use super::output::{ErrorKind, Failure, Mode, Origin, Output};
use super::secrets;
use super::syntax::{self, Statement, SyntaxError};
use super::types::{BuiltinAgent, Types};

/// The width of help, in columns.
const WIDTH: usize = 80;

/// The reason why a line for the human monitor is not sent to an agent.
const NO_HUMAN_MONITOR: &str = "a guest agent has no human monitor";
/// The reason why no event of an agent is waited for.
const NO_EVENTS: &str = "a guest agent has no events";

/// The kind of server at the other end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Peer {
    /// A monitor of QEMU.
    #[default]
    Monitor,
    /// A guest agent.
    Agent,
}

/// The outcome of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The statement succeeded, or was blank or a comment.
    Done,
    /// The statement was invalid, or failed.
    Failed,
    /// The wait was interrupted.
    Interrupted,
    /// The deadline passed.
    Timeout,
    /// The session ended because of `quit` or `exit`.
    Ended,
    /// The connection ended unexpectedly.
    Lost,
}

/// A question to the user: whether to do what the text says.
pub type Confirm = Box<dyn FnMut(&str) -> bool + Send>;

/// Types that are shared with other threads, such as that of a prompt.
pub type SharedTypes = Arc<dyn Types + Send + Sync>;

/// A connection on which statements are executed.
pub struct Session<W> {
    client: Client,
    peer: Peer,
    events: Events<RawEvent>,
    recent: Recent,
    output: Output<W>,
    settings: Settings,
    /// The types of arguments; by default, those of scripts.
    types: Option<SharedTypes>,
    lazy: Lazy,
    interrupt: Interrupt,
    /// The commands whose replies are not waited for any more.
    late: Vec<Pending>,
    confirm: Option<Confirm>,
    /// The file of the statements, and the line at which the next one begins.
    place: (Option<String>, Option<usize>),
}

impl<W> std::fmt::Debug for Session<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

/// The set-up.
impl<W: Write> Session<W> {
    /// Creates a session that shows replies and the events from now on in `output`, and messages for
    /// people, such as errors, in `messages`.
    pub fn new(
        client: Client,
        output: W,
        messages: Box<dyn Write + Send>,
        settings: Settings,
    ) -> Self {
        let events = client.raw_events();
        let output = Output::new(output, messages, settings.output);
        let lazy = Lazy::new(client.clone());
        let mut session = Self {
            client,
            peer: Peer::Monitor,
            events,
            recent: Recent::default(),
            output,
            settings,
            types: None,
            lazy,
            interrupt: Interrupt::default(),
            late: Vec::new(),
            confirm: None,
            place: (None, None),
        };
        session.apply();
        session
    }

    /// Sets the kind of server, a monitor by default.
    #[must_use]
    pub fn peer(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// Sets the types of arguments. By default, they are builtin, and the machine is asked where those
    /// do not suffice.
    #[must_use]
    pub fn types(mut self, types: SharedTypes) -> Self {
        self.types = Some(types);
        self
    }

    /// Asks the user before the machine ends, as with `quit`.
    #[must_use]
    pub fn confirm(mut self, confirm: Confirm) -> Self {
        self.confirm = Some(confirm);
        self
    }

    /// Returns a handle that interrupts waits.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Returns the connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the options.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the place of the next statement, for errors and envelopes: a file and a line.
    pub fn at(&mut self, file: Option<&str>, line: Option<usize>) {
        self.place = (file.map(str::to_owned), line);
    }
}

/// The execution of statements. All errors are those of the output, which cannot be written.
impl<W: Write> Session<W> {
    /// Parses a text and executes the statement.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<Outcome> {
        if self.peer == Peer::Agent {
            if let Some(statement) = agent::parse(text) {
                self.interrupt.clear();
                return self.agent_statement(statement);
            }
        }
        match self.parse(text) {
            Ok(Some(statement)) => self.run(statement),
            Ok(None) => Ok(Outcome::Done),
            Err(error) => self.misspelled(text, &error),
        }
    }

    /// Shows an error of the syntax, and the place that it is about.
    fn misspelled(&mut self, text: &str, error: &SyntaxError) -> io::Result<Outcome> {
        self.place.1 = self.place.1.map(|first| first + error.line(text) - 1);
        let mut message = secrets::unquoted(text, &error.to_string());
        if self.output.mode != Mode::Jsonl {
            let pointer = error.pointer(text).unwrap_or_default();
            message.extend(pointer.lines().map(|line| format!("\n  {line}")));
        }
        self.invalid(&message)
    }

    /// Returns whether another line may complete a text.
    #[must_use]
    pub fn is_incomplete(&self, text: &str) -> bool {
        if self.peer == Peer::Agent && agent::parse(text).is_some() {
            return false;
        }
        self.parse(text).is_err_and(|error| error.is_incomplete())
    }

    /// Parses a text, which is for the human monitor if that option is set.
    ///
    /// # Errors
    /// The text is not a statement, or not all of one.
    pub fn parse(&self, text: &str) -> Result<Option<Statement>, SyntaxError> {
        if self.settings.hmp && !is_ours(text) {
            let text = text.trim();
            return Ok((!text.is_empty()).then(|| Statement::Hmp(text.to_owned())));
        }
        match (&self.types, self.peer) {
            (Some(types), _) => syntax::parse(text, &**types),
            (None, Peer::Agent) => syntax::parse(text, &BuiltinAgent),
            (None, Peer::Monitor) => self.lazy.parse(text),
        }
    }

    /// Executes a statement, and shows the events that arrived before the reply, then the reply.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn run(&mut self, statement: Statement) -> io::Result<Outcome> {
        self.interrupt.clear();
        match statement {
            Statement::Command(command) => self.command(command),
            Statement::Hmp(_) if self.peer == Peer::Agent => self.invalid(NO_HUMAN_MONITOR),
            Statement::Hmp(line) if line.is_empty() => {
                self.settings.hmp = true;
                Ok(Outcome::Done)
            }
            Statement::Hmp(line) => self.human(&line),
            Statement::Wait { .. } if self.peer == Peer::Agent => self.invalid(NO_EVENTS),
            Statement::Wait { event, matches, timeout } => {
                self.wait(&Condition { event, members: matches }, timeout)
            }
            Statement::Set(options) => self.set(&options),
            Statement::Help(topic) => self.help(topic.as_deref()),
            Statement::Exit => Ok(Outcome::Ended),
        }
    }

    /// Shows an error of a statement that was not executed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn invalid(&mut self, message: &str) -> io::Result<Outcome> {
        let origin = self.origin(None);
        self.fail(&origin, ErrorKind::Syntax, message.to_owned())
    }

    /// Shows events and late replies. If no event has arrived yet, this waits for one for a while.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn pump(&mut self, within: Duration) -> io::Result<Outcome> {
        let outcome = self.show_events(within)?;
        self.show_late()?;
        Ok(outcome)
    }

    /// Shows that the connection has ended while nothing was executed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn lost(&mut self) -> io::Result<Outcome> {
        let origin = Origin::default();
        let error = Error::from(self.client.closed());
        self.failed(&origin, &error)
    }

    fn set(&mut self, options: &[(String, String)]) -> io::Result<Outcome> {
        if options.is_empty() {
            let values = self.settings.values();
            let rows = NAMES.iter().zip(values);
            let lines = rows.map(|((name, meaning), value)| format!("{name}={value}  # {meaning}"));
            self.output.text(&lines.collect::<Vec<_>>().join("\n"))?;
            return Ok(Outcome::Done);
        }
        for (name, value) in options {
            if name == "hmp" && self.peer == Peer::Agent {
                return self.invalid(NO_HUMAN_MONITOR);
            }
            if let Err(error) = self.settings.set(name, value) {
                return self.invalid(&error.to_string());
            }
        }
        self.apply();
        Ok(Outcome::Done)
    }

    fn apply(&mut self) {
        self.output.mode = self.settings.output;
        self.output.events = self.settings.event_style;
        self.output.color = self.settings.color;
    }

    fn help(&mut self, topic: Option<&str>) -> io::Result<Outcome> {
        let help = match (&self.types, self.peer) {
            (Some(types), _) => help(topic, &**types, WIDTH),
            (None, Peer::Agent) => help(topic, &BuiltinAgent, WIDTH),
            (None, Peer::Monitor) => self.lazy.help(topic, WIDTH),
        };
        match help {
            Ok(text) => self.output.text(&text).map(|()| Outcome::Done),
            Err(unknown) => self.invalid(&unknown.to_string()),
        }
    }

    /// Returns the origin of what a command of this name causes.
    fn origin(&self, command: Option<&str>) -> Origin {
        let (file, line) = self.place.clone();
        Origin { file, line, command: command.map(str::to_owned), ..Origin::default() }
    }

    fn fail(&mut self, origin: &Origin, kind: ErrorKind, message: String) -> io::Result<Outcome> {
        self.output.error(origin, &Failure { kind, message, error: None })?;
        Ok(Outcome::Failed)
    }
}

/// Returns whether a line is the session's, though lines are for the human monitor, which has no
/// commands of these names.
fn is_ours(text: &str) -> bool {
    let mut words = text.split_whitespace();
    match words.next() {
        Some("exit") => words.next().is_none(),
        Some("set") => words.all(|word| word.contains('=')),
        Some("wait") => true,
        _ => false,
    }
}
