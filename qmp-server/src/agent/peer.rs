//! One client's connection to the agent, without I/O.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use qmp_types::qga::types::{GuestAgentCommandInfo, GuestAgentInfo};
use qmp_types::{ErrorClass, QmpError};
use serde_json::json;

use super::guest::Guest;
use crate::dispatch::Action;
use crate::handler::Handler;
use crate::json::{JsonLimits, Parser, depth, dismantle, to_json};
use crate::limits::Limits;
use crate::link::Peer;
use crate::request::{self, Parts};
use crate::server::Server;

/// The commands that are executed while file systems are frozen.
const WHILE_FROZEN: [&str; 6] = [
    "guest-fsfreeze-status",
    "guest-fsfreeze-thaw",
    "guest-info",
    "guest-ping",
    "guest-sync",
    "guest-sync-delimited",
];

/// Commands of the monitor that the agent does not have.
const NOT_AGENT: [&str; 3] = ["query-commands", "query-qmp-schema", "query-version"];

/// The settings that do not change.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) version: String,
    /// Whether the agent is of QEMU 0.15.
    pub(super) first_release: bool,
}

#[derive(Debug)]
pub(super) struct AgentPeer {
    server: Server<Guest>,
    settings: Arc<Settings>,
    limits: Limits,
    parser: Parser,
    input: Vec<u8>,
    closed: bool,
}

impl AgentPeer {
    /// Creates a connection, which shares its memory budget with all others.
    pub(super) fn new(server: Server<Guest>, settings: Arc<Settings>) -> Self {
        let limits = Limits::default();
        let json = JsonLimits {
            bytes: limits.message_bytes,
            tokens: limits.message_tokens,
            depth: limits.message_depth,
        };
        let parser = Parser::new(json, &server.shared().hub().budgets().input);
        Self { server, settings, limits, parser, input: Vec::new(), closed: false }
    }

    /// Executes a command, and returns its return value as JSON. A command without a success response
    /// returns `None`.
    fn execute(&mut self, parts: Parts) -> Result<Option<String>, QmpError> {
        let Parts { name, arguments, .. } = parts;
        if depth(&arguments) > self.limits.argument_depth {
            dismantle(arguments.into_iter().map(|(_, value)| value));
            return Err(QmpError::generic("JSON nesting depth limit exceeded"));
        }
        let dispatch = self.server.shared().dispatch();
        let is_missing = dispatch.router().handled(&name).is_none();
        if name == "guest-info" && !is_missing {
            return self.info().map(Some);
        }
        if is_missing && NOT_AGENT.contains(&name.as_str()) {
            return Err(self.not_found(&name));
        }
        let is_frozen = self.server.with_machine(|guest, _| guest.is_frozen());
        if is_frozen && !is_missing && !WHILE_FROZEN.contains(&name.as_str()) {
            let desc = format!("Command {name} has been disabled: the agent is in frozen state");
            return Err(QmpError::new(ErrorClass::CommandNotFound, desc));
        }
        let action = dispatch.find(&name, arguments, false);
        let (handler, arguments, success_response) = match action {
            Err(error) if is_missing && error.class == ErrorClass::CommandNotFound => {
                return Err(self.not_found(&name));
            }
            Err(error) => return Err(error),
            Ok(Action::Reply(value)) => return Ok(Some(value)),
            Ok(Action::Handle {
                handler: Handler::Borrowing(handler),
                arguments,
                success_response,
            }) => (handler, arguments, success_response),
            Ok(Action::Handle { .. }) => return Err(self.not_found(&name)),
        };
        let machine = self.server.machine();
        let run = || machine.with(|guest, context| handler(guest, arguments, context));
        let result = catch_unwind(AssertUnwindSafe(run));
        let value = result.unwrap_or_else(|_| {
            Err(QmpError::generic(format!("the handler of the command {name} panicked")))
        })?;
        self.closed = self.server.with_machine(|guest, _| guest.shutdown_mode().is_some());
        Ok(success_response.then_some(value))
    }

    fn info(&self) -> Result<String, QmpError> {
        let mut info = GuestAgentInfo::new(self.settings.version.clone());
        if !self.settings.first_release {
            let dispatch = self.server.shared().dispatch();
            let frozen = self.server.with_machine(|guest, _| guest.is_frozen());
            let commands = dispatch.router().commands().map(|name| {
                let entry = dispatch.router().handled(name).map(|(entry, _)| entry);
                let enabled = !frozen || WHILE_FROZEN.contains(&name);
                let responds = entry.is_none_or(|entry| entry.success_response);
                GuestAgentCommandInfo::new(name, enabled).success_response(responds)
            });
            info = info.supported_commands(commands.collect::<Vec<_>>());
        }
        to_json(&info).map_err(|error| QmpError::generic(error.to_string()))
    }

    fn not_found(&self, name: &str) -> QmpError {
        let desc = format!("The command {name} has not been found");
        let mut error = QmpError::new(ErrorClass::CommandNotFound, desc);
        if self.settings.first_release {
            error.rest.insert("data", json!({ "name": name }));
        }
        error
    }

    /// Answers a message.
    fn answer(&mut self, message: Result<serde_json::Value, String>) -> Option<Vec<u8>> {
        let (id, parts) = match message {
            Ok(value) => request::parse(value, false),
            Err(desc) => (None, Err(QmpError::generic(desc))),
        };
        let is_delimited = parts.as_ref().is_ok_and(|parts| parts.name == "guest-sync-delimited");
        let result = parts.and_then(|parts| self.execute(parts));
        let id = id.as_deref();
        let text = match result {
            Ok(None) => return None,
            Ok(Some(value)) => match id {
                Some(id) => format!("{{\"return\": {value}, \"id\": {id}}}\n"),
                None => format!("{{\"return\": {value}}}\n"),
            },
            Err(error) => {
                let error = to_json(&error).unwrap_or_default();
                let id = id.map(|id| format!("\"id\": {id}, ")).unwrap_or_default();
                return Some(format!("{{{id}\"error\": {error}}}\n").into_bytes());
            }
        };
        let mut bytes = text.into_bytes();
        if is_delimited {
            bytes.insert(0, 0xFF);
        }
        Some(bytes)
    }
}

impl Peer for AgentPeer {
    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    fn advance(&mut self) -> Option<Vec<u8>> {
        while !self.closed {
            let Some((message, charge)) = self.parser.next() else {
                if self.input.is_empty() {
                    return None;
                }
                let count = self.parser.read(&self.input);
                self.input.drain(..count);
                continue;
            };
            let answer = self.answer(message);
            drop(charge);
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentSimulator;

    /// Each client used to have a budget of its own, so that clients together had none.
    #[test]
    fn unfinished_messages_of_all_clients_share_a_budget() {
        let agent = AgentSimulator::new();
        let peer = || AgentPeer::new(agent.server.clone(), Arc::clone(&agent.settings));
        let mut clients = [peer(), peer()];
        let answers = clients.each_mut().map(|client| {
            client.receive(b"{\"execute\": \"");
            let feed = |_| {
                client.receive(&vec![b'x'; 1 << 20]);
                client.advance()
            };
            (0..60).filter_map(feed).next()
        });
        assert!(answers[0].is_none(), "one fits");
        let answer = String::from_utf8_lossy(answers[1].as_deref().unwrap_or_default());
        assert!(answer.contains("limit on the memory for unfinished messages"), "{answer}");
    }
}
