//! Plays a script for one client, without I/O.

use std::time::{Duration, Instant};

use qmp_types::QmpError;
use serde_json::Value;

use super::Script;
use super::failure::{Got, History, ScriptError};
use super::step::{Answer, Command, Content, Expectation, Form, Id, Step};
use crate::budget::{Budget, Charge};
use crate::json::{JsonLimits, Parser, depth, dismantle, to_json, value_to_json};
use crate::limits::Limits;
use crate::request;

/// The number of unanswered commands that are remembered.
const MAX_UNANSWERED: usize = 1 << 10;

/// A time by which something is later.
const TICK: Duration = Duration::from_millis(1);

/// What the owner of the connection has to do next.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Send(Vec<u8>),
    /// Pass bytes that arrive before the deadline.
    Read,
    /// Wait until this time.
    Wait(Instant),
    Close,
}

/// The state of a script.
#[derive(Debug)]
pub(crate) struct Player {
    script: Script,
    connection: usize,
    deadline: Instant,
    /// The index of the current step.
    at: usize,
    /// The end of a pause.
    resume_at: Option<Instant>,
    parser: Parser,
    /// Bytes that have been received and not been parsed.
    input: Vec<u8>,
    input_ended: bool,
    /// The number of descriptors that no command has taken.
    descriptors: usize,
    commands: Vec<Command>,
    /// Bytes to be sent one at a time.
    output: std::vec::IntoIter<u8>,
    history: History,
    failure: Option<ScriptError>,
    closed: bool,
}

impl Player {
    pub(crate) fn new(script: Script, connection: usize, deadline: Instant) -> Self {
        let limits = Limits::default();
        let json = JsonLimits {
            bytes: limits.message_bytes,
            tokens: limits.message_tokens,
            depth: limits.message_depth,
        };
        Self {
            script,
            connection,
            deadline,
            at: 0,
            resume_at: None,
            parser: Parser::new(json, &Budget::new(limits.total_input_bytes)),
            input: Vec::new(),
            input_ended: false,
            descriptors: 0,
            commands: Vec::new(),
            output: Vec::new().into_iter(),
            history: History::default(),
            failure: None,
            closed: false,
        }
    }

    /// Accepts bytes that have arrived with a number of file descriptors. Call this only after
    /// [`Action::Read`], so that no more than these bytes have to be kept.
    pub(crate) fn receive(&mut self, bytes: &[u8], descriptors: usize) {
        // A client of a guest agent sends this byte to end what an earlier client has left.
        self.input.extend(bytes.iter().copied().filter(|byte| *byte != 0xFF));
        self.descriptors += descriptors;
    }

    /// Notes that the client has closed the connection.
    pub(crate) fn end_input(&mut self) {
        // A keyword or a number ends only with what follows it.
        self.input.push(b'\n');
        self.input_ended = true;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns whether all steps have been played.
    pub(crate) fn is_complete(&self) -> bool {
        let played = self.at == self.script.steps.len() && self.output.len() == 0;
        (played && self.resume_at.is_none()) || self.closed
    }

    pub(crate) fn failure(&self) -> Option<&ScriptError> {
        self.failure.as_ref()
    }

    /// Returns the next action at the given time.
    pub(crate) fn next(&mut self, now: Instant) -> Action {
        loop {
            if let Some(byte) = self.output.next() {
                return Action::Send(vec![byte]);
            }
            if self.closed || self.failure.is_some() {
                return Action::Close;
            }
            if let Some(resume_at) = self.resume_at.filter(|resume_at| now < *resume_at) {
                if now >= self.deadline {
                    self.fail("time for the rest of the script".to_owned(), Got::Timeout);
                    continue;
                }
                return Action::Wait(resume_at.min(self.deadline));
            }
            self.resume_at = None;
            let step = self.script.steps.get(self.at).cloned();
            let bytes = match step {
                None => match self.expect_nothing(now) {
                    Some(action) => return action,
                    None => continue,
                },
                Some(Step::Expect(expected)) => match self.expect(&expected, now) {
                    Some(action) => return action,
                    None => continue,
                },
                Some(Step::Answer(answer)) => match self.answer(&answer) {
                    Some(bytes) => bytes,
                    None => continue,
                },
                Some(Step::Send(bytes)) => bytes,
                Some(Step::Pause(time)) => {
                    // After the deadline, if the clock cannot express it.
                    self.resume_at = now.checked_add(time).or(self.deadline.checked_add(TICK));
                    self.at += 1;
                    continue;
                }
                Some(Step::Close) => {
                    self.closed = true;
                    continue;
                }
            };
            self.at += 1;
            self.history.push("sent    ", String::from_utf8_lossy(&bytes).trim_end());
            match self.script.bytewise {
                true => self.output = bytes.into_iter(),
                false => return Action::Send(bytes),
            }
        }
    }

    /// Waits for a command. Returns `None` if the script goes on.
    fn expect(&mut self, expected: &Expectation, now: Instant) -> Option<Action> {
        let got = match self.next_command() {
            Some(Ok(command)) if expected.matches(&command) => {
                self.history.push("received", &command.describe());
                self.commands.retain(|command| !command.answered);
                if self.commands.len() < MAX_UNANSWERED {
                    self.commands.push(command);
                }
                self.at += 1;
                return None;
            }
            Some(Ok(command)) => Got::Command(command.describe()),
            Some(Err(reason)) => Got::Invalid(reason),
            None if self.input_ended => Got::End,
            None if now >= self.deadline => Got::Timeout,
            None => return Some(Action::Read),
        };
        self.fail(expected.describe(), got);
        None
    }

    /// Waits for the end of the connection, after the last step.
    fn expect_nothing(&mut self, now: Instant) -> Option<Action> {
        let got = match self.next_command() {
            Some(Ok(command)) => Got::Command(command.describe()),
            Some(Err(reason)) => Got::Invalid(reason),
            None if self.input_ended || now >= self.deadline => return Some(Action::Close),
            None => return Some(Action::Read),
        };
        self.fail("nothing more, at the end of the script".to_owned(), got);
        None
    }

    /// Returns the bytes of an answer.
    fn answer(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        let command = match &answer.to {
            None => self.commands.last_mut(),
            Some(name) => {
                let is_meant = |command: &&mut Command| command.name == *name && !command.answered;
                self.commands.iter_mut().find(is_meant)
            }
        };
        let Some(command) = command else {
            let name = answer.to.as_deref().unwrap_or("a command");
            let expected = format!("an unanswered `{name}`, which the script is to answer");
            self.fail(expected, Got::Invalid("the script expects no such command".to_owned()));
            return None;
        };
        command.answered = true;
        Some(encode(answer, command))
    }

    fn next_command(&mut self) -> Option<Result<Command, String>> {
        let (outcome, charge) = self.next_message()?;
        let parsed = outcome.map(|value| request::parse(value, true));
        drop(charge);
        Some(match parsed {
            Err(reason) => Err(reason),
            Ok((_, Err(error))) => Err(error.desc),
            Ok((_, Ok(parts))) if depth(&parts.arguments) > Limits::default().argument_depth => {
                dismantle(parts.arguments.into_iter().map(|(_, value)| value));
                Err(format!("`{}` with arguments that are nested too deeply", parts.name))
            }
            Ok((id, Ok(parts))) => Ok(Command {
                name: parts.name,
                arguments: parts.arguments,
                out_of_band: parts.out_of_band,
                id,
                descriptors: std::mem::take(&mut self.descriptors),
                answered: false,
            }),
        })
    }

    fn next_message(&mut self) -> Option<(Result<Value, String>, Charge)> {
        loop {
            if let Some(message) = self.parser.next() {
                return Some(message);
            }
            if self.input.is_empty() {
                return None;
            }
            let count = self.parser.read(&self.input);
            self.input.drain(..count);
        }
    }

    fn fail(&mut self, expected: String, got: Got) {
        let steps = self.script.steps.len();
        let step = ((self.at + 1).min(steps), steps);
        let error = ScriptError::new(self.connection, Some(step), expected, got, &self.history);
        self.failure = Some(error);
    }
}

fn encode(answer: &Answer, command: &Command) -> Vec<u8> {
    let (member, content) = match &answer.content {
        Content::Return(value) => ("return", value_to_json(value)),
        Content::Argument(name) => {
            let value = command.arguments.get(name).unwrap_or(&Value::Null);
            ("return", value_to_json(value))
        }
        Content::Error(error) => ("error", error_text(error)),
    };
    let id = match &answer.id {
        Id::Same => command.id.as_deref().map(str::to_owned),
        Id::Missing => None,
        Id::Other(id) => Some(value_to_json(id)),
    };
    let id = id.map(|id| format!(r#", "id": {id}"#)).unwrap_or_default();
    let line = format!("{{\"{member}\": {content}{id}}}\r\n").into_bytes();
    match answer.form {
        Form::Whole => line,
        Form::Twice => line.repeat(2),
        Form::Half => line.get(..line.len() / 2).unwrap_or_default().to_vec(),
    }
}

fn error_text(error: &QmpError) -> String {
    to_json(error).unwrap_or_default()
}
