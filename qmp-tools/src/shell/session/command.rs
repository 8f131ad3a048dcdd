//! Commands, and the wait for their replies.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use qmp_client::blocking::Ticket;
use qmp_client::qmp::commands::QueryCommands;
use qmp_client::{Error, ErrorClass};
use qmp_vm::HumanText;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::request::{Dynamic, shown};
use super::{Outcome, Peer, Session};
use crate::cli::chain;
use crate::shell::complete::did_you_mean;
use crate::shell::output::{ErrorKind, Failure, Origin};
use crate::shell::syntax::Command;
use crate::shell::types::{BuiltinAgent, Types};
use crate::terminal;

/// The time between two looks at what else happens while a reply is waited for.
const SLICE: Duration = Duration::from_millis(25);
/// The number of replies that may be late. The oldest is given up for another one.
const LATE: usize = 64;
const HUMAN: &str = "human-monitor-command";

/// A command that was sent, and whose reply has not been shown.
#[derive(Debug)]
pub(super) struct Pending {
    ticket: Ticket<Box<RawValue>>,
    origin: Origin,
    is_human: bool,
    quits: bool,
}

impl<W: Write> Session<W> {
    pub(super) fn command(&mut self, command: Command) -> io::Result<Outcome> {
        let Command { name, oob, arguments, id, line } = command;
        let mut origin = Origin { id, ..self.origin(Some(&name)) };
        origin.line = origin.line.map(|first| first + line - 1);
        if name == "qmp_capabilities" && self.peer == Peer::Monitor {
            // The connection has been negotiated; a script for a bare socket begins with it.
            let empty = serde_json::value::to_raw_value(&json!({}))?;
            return self.output.reply(&origin, &empty).map(|()| Outcome::Done);
        }
        let line = arguments.as_ref().and_then(|it| it.get("command-line")).and_then(Value::as_str);
        let quits = name == "quit" || (name == HUMAN && line.is_some_and(quits_human));
        self.execute(origin, oob, arguments.as_ref(), false, quits)
    }

    /// Executes a line of the human monitor.
    pub(super) fn human(&mut self, line: &str) -> io::Result<Outcome> {
        let origin = self.origin(Some(HUMAN));
        let arguments = json!({"command-line": line});
        self.execute(origin, false, Some(&arguments), true, quits_human(line))
    }

    fn execute(
        &mut self,
        origin: Origin,
        oob: bool,
        arguments: Option<&Value>,
        is_human: bool,
        quits: bool,
    ) -> io::Result<Outcome> {
        if quits && !self.confirm.as_mut().is_none_or(|confirm| confirm("end the machine")) {
            return Ok(Outcome::Done);
        }
        let name = origin.command.clone().unwrap_or_default();
        if self.peer == Peer::Agent {
            // An agent answers one command after the other, and does not say which: the client
            // synchronizes with it.
            self.late.clear();
        }
        self.show_events(Duration::ZERO)?;
        self.recent.restart(&name);
        if self.settings.verbose {
            let command = shown(&name, arguments, oob);
            self.output.message(&format!("-> {}", terminal::json(&command)))?;
        }
        let request = Dynamic::new(&name, arguments, oob);
        let silence = request.silence(&self.client);
        match self.client.call(request).within(silence).send() {
            Ok(ticket) => self.wait_for_reply(Pending { ticket, origin, is_human, quits }, silence),
            Err(error) => self.failed(&origin, &error),
        }
    }

    /// Waits for a reply and shows it, until the deadline or an interrupt: then the reply is late.
    fn wait_for_reply(&mut self, pending: Pending, silence: Duration) -> io::Result<Outcome> {
        let deadline = self.settings.timeout.filter(|_| silence == Duration::MAX);
        let until = deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if pending.ticket.arrives_within(left.map_or(SLICE, |left| left.min(SLICE))) {
                self.show_events(Duration::ZERO)?;
                return self.finish(pending);
            }
            self.show_events(Duration::ZERO)?;
            let is_interrupted = self.interrupt.take();
            if is_interrupted || left.is_some_and(|left| left.is_zero()) {
                let origin = pending.origin.clone();
                self.give_up(pending);
                return match deadline {
                    Some(deadline) if !is_interrupted => self.timed_out(&origin, deadline),
                    _ => Ok(Outcome::Interrupted),
                };
            }
        }
    }

    fn give_up(&mut self, pending: Pending) {
        if self.late.len() >= LATE {
            self.late.remove(0);
        }
        self.late.push(pending);
    }

    fn timed_out(&mut self, origin: &Origin, deadline: Duration) -> io::Result<Outcome> {
        self.recent.has_failed = true;
        let message = format!(
            "timed out after {} s waiting for the reply to `{}`; to wait longer, use --timeout, or \
             `set timeout=SECONDS`",
            deadline.as_secs_f64(),
            terminal::inline(origin.command.as_deref().unwrap_or_default()),
        );
        self.fail(origin, ErrorKind::Timeout, message)?;
        Ok(Outcome::Timeout)
    }

    /// Shows the replies that are late and have come.
    pub(super) fn show_late(&mut self) -> io::Result<()> {
        let mut index = 0;
        while index < self.late.len() {
            if self.late[index].ticket.arrives_within(Duration::ZERO) {
                let mut pending = self.late.remove(index);
                pending.origin.is_late = true;
                self.finish(pending)?;
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Shows the reply that has arrived.
    fn finish(&mut self, pending: Pending) -> io::Result<Outcome> {
        let Pending { ticket, origin, is_human, quits } = pending;
        match ticket.receive() {
            Ok(value) if is_human => self.human_reply(&origin, &value, quits),
            Ok(value) => {
                self.output.reply(&origin, &value)?;
                Ok(if quits { Outcome::Ended } else { Outcome::Done })
            }
            // QEMU may exit before it replies.
            Err(Error::Closed(closed)) if quits && closed.sent && closed.by_peer() => {
                Ok(Outcome::Ended)
            }
            Err(error) => self.failed(&origin, &error),
        }
    }

    fn human_reply(
        &mut self,
        origin: &Origin,
        value: &RawValue,
        quits: bool,
    ) -> io::Result<Outcome> {
        let Ok(text) = serde_json::from_str::<String>(value.get()) else {
            return self.output.reply(origin, value).map(|()| Outcome::Done);
        };
        let text = HumanText::from(text);
        if text.error().is_some() {
            self.recent.has_failed = true;
            let message = text.as_str().replace("\r\n", "\n").trim_end().to_owned();
            return self.fail(origin, ErrorKind::Human, message);
        }
        self.output.human(origin, text.as_str())?;
        Ok(if quits { Outcome::Ended } else { Outcome::Done })
    }

    /// Shows why a command failed.
    pub(super) fn failed(&mut self, origin: &Origin, error: &Error) -> io::Result<Outcome> {
        self.recent.has_failed = true;
        let (kind, outcome) = match error {
            Error::Server(_) => (ErrorKind::Server, Outcome::Failed),
            error if error.is_closed() => (ErrorKind::Connection, Outcome::Lost),
            error if error.is_timeout() => (ErrorKind::Timeout, Outcome::Timeout),
            _ => (ErrorKind::Other, Outcome::Failed),
        };
        let class = match error.class() {
            None | Some(ErrorClass::GenericError) => String::new(),
            Some(class) => format!(" ({})", terminal::inline(class.as_str())),
        };
        let message = format!("{}{class}", chain(error));
        self.output.error(origin, &Failure { kind, message, error: error.server() })?;
        if error.is_command_not_found() {
            // A statement of the shell executes commands of other names.
            let command = match error {
                Error::Server(error) => &error.command,
                _ => origin.command.as_deref().unwrap_or_default(),
            };
            if let Some(hint) = self.hint(command) {
                self.output.message(&format!("hint: {}", terminal::inline(&hint)))?;
            }
        }
        Ok(outcome)
    }

    /// Returns what to do about a command that the server does not have, or does not allow, if that is
    /// known.
    fn hint(&self, name: &str) -> Option<String> {
        match (&self.types, self.peer) {
            (Some(types), Peer::Agent) => Some(hint(self.peer, name, &types.schema().commands())),
            (None, Peer::Agent) => Some(hint(self.peer, name, &BuiltinAgent.schema().commands())),
            (Some(types), Peer::Monitor) if types.schema().is_live() => {
                Some(hint(self.peer, name, &types.schema().commands()))
            }
            // The builtin schema has commands of other releases, which the server may lack.
            (_, Peer::Monitor) => {
                let call = self.client.call(QueryCommands::new()).within(Duration::from_secs(5));
                let known = call.execute().ok()?;
                let known: Vec<&str> = known.iter().map(|command| command.name.as_str()).collect();
                Some(hint(self.peer, name, &known))
            }
        }
    }
}

/// Returns the hint about a command that a server has refused as unknown, of those that it lists.
fn hint(peer: Peer, name: &str, known: &[&str]) -> String {
    let is_known = known.contains(&name);
    let similar = if is_known { None } else { did_you_mean(name, known.iter().copied()) };
    match (similar, peer) {
        (Some(similar), _) => format!("did you mean `{similar}`?"),
        (None, Peer::Monitor) if is_known => {
            format!("the server has `{name}`, but does not allow it on this connection")
        }
        (None, Peer::Agent) if is_known => {
            format!("`guest-info` lists the available commands; `{name}` may be disabled")
        }
        (None, peer) => {
            let list = if peer == Peer::Agent { "guest-info" } else { "query-commands" };
            format!("`{list}` lists the available commands; `{name}` is not one of them")
        }
    }
}

/// Returns whether a line of the human monitor ends the machine.
fn quits_human(line: &str) -> bool {
    matches!(line.trim(), "quit" | "q")
}
