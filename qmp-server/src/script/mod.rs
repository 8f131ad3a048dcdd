//! Scripted servers, for tests of code that uses a QMP client.
//!
//! A [`Script`] is a list of steps: the server expects this command and answers that, or misbehaves.
//! [`Script::start`] plays it for a client in the same process, or for one that connects to a
//! socket. [`ScriptServer::finish`] returns an error if the client has done something else, or has
//! stopped early. It shows the step, what was expected, what the client did, and the messages before
//! it. A script never waits longer than its deadline.
//!
//! ```
//! # #[cfg(all(feature = "simulator", unix))] {
//! use std::io::{BufRead, BufReader, Write};
//!
//! use qmp_server::script::Script;
//! use qmp_types::qmp::commands::{QueryStatus, Stop};
//! use qmp_types::qmp::types::{RunState, StatusInfo};
//! use qmp_types::{Empty, QmpError};
//!
//! let server = Script::new()
//!     .expect(QueryStatus::new()).returns(StatusInfo::new(true, RunState::Running))
//!     .expect(Stop::new()).emits(&qmp_types::qmp::events::Stop::new()).returns(Empty {})
//!     .expect_raw("query-block").fails(QmpError::generic("not today"))
//!     .start();
//!
//! let mut client = BufReader::new(server.connect()?);
//! client.get_mut().write_all(b"{'execute': 'qmp_capabilities'} {'execute': 'query-status'}")?;
//! client.get_mut().write_all(b"{'execute': 'cont'}")?;
//! let error = server.finish().unwrap_err();
//! assert_eq!(error.step(), Some(6));
//! assert!(error.to_string().contains("expected: `stop` without arguments"));
//! assert!(error.to_string().contains("got:      `cont` without arguments"));
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Misbehavior
//!
//! | the server | how |
//! | --- | --- |
//! | answers late | `.expect(..).after(time).returns(..)` |
//! | answers after another command | `.expect(..).never()`, later `.answer("name").returns(..)` |
//! | never answers | `.expect(..).never()` |
//! | answers twice, or sends half an answer | `.expect(..).twice()`, `.half()` |
//! | answers with a wrong identifier, or none | `.expect(..).with_id(..)`, `.without_id()` |
//! | sends garbage | `.send("garbage")`, or before an answer: `.expect(..).sends("garbage")` |
//! | sends events in between | `.expect(..).emits(&event)`, `.event(&event)` |
//! | closes the connection, also within a message | `.close()`, `.expect(..).half().returns(..).close()` |
//! | sends no greeting, or garbage | [`Script::bare`], then `.send(..)`, `.greet()`, `.negotiate()` |
//! | sends one byte at a time | [`Script::bytewise`] |

mod expecting;
mod failure;
mod player;
mod server;
mod step;

use std::time::Duration;

use qmp_types::{Capability, Command, Empty, Event, Greeting, Timestamp, Version, VersionTriple};
use serde_json::{Map, Value};

pub use self::expecting::Expecting;
pub use self::failure::{Got, ScriptError};
pub use self::server::ScriptServer;
pub use self::step::{Answer, Arguments, Content, Expectation, Form, Id, Step};
use crate::json::to_json;
use crate::session::event_line;

/// The time that a script may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A list of [steps](Step) that a server plays with a client.
#[derive(Clone, Debug)]
#[must_use = "`start` plays the script"]
pub struct Script {
    steps: Vec<Step>,
    bytewise: bool,
    deadline: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// Creates a script that begins with a greeting and capabilities negotiation.
    pub fn new() -> Self {
        Self::bare().greet().negotiate()
    }

    /// Creates a script without steps, for a server that sends no greeting or a guest agent.
    pub fn bare() -> Self {
        Self { steps: Vec::new(), bytewise: false, deadline: DEADLINE }
    }

    /// Sends the greeting of a QEMU that supports out-of-band execution.
    pub fn greet(self) -> Self {
        let version = Version::new(VersionTriple::new(11, 1, 0), "script");
        self.greet_as(&Greeting { version, capabilities: vec![Capability::Oob] })
    }

    /// Sends a greeting.
    pub fn greet_as(self, greeting: &Greeting) -> Self {
        let greeting = to_json(greeting).unwrap_or_default();
        self.send(format!("{{\"QMP\": {greeting}}}\r\n"))
    }

    /// Expects `qmp_capabilities` with any arguments, and accepts it.
    pub fn negotiate(self) -> Self {
        Expecting::<Empty>::command(self, "qmp_capabilities", Arguments::Any).returns(Empty {})
    }

    /// Expects `guest-sync-delimited`, and answers as a guest agent does.
    pub fn synchronize(self) -> Self {
        self.expect_raw("guest-sync-delimited").sends([0xFF]).returns_argument("id")
    }

    /// Expects a command with exactly its arguments, in-band.
    ///
    /// # Panics
    /// Panics if the command cannot be encoded as JSON.
    pub fn expect<C: Command>(self, command: C) -> Expecting<C::Return> {
        let arguments = match C::HAS_ARGUMENTS {
            true => serde_json::to_value(command).expect("the command can be encoded as JSON"),
            false => Value::Null,
        };
        Expecting::command(self, C::NAME, Arguments::Any).arguments(arguments)
    }

    /// Expects a command by its name, in-band, with any arguments.
    pub fn expect_raw(self, name: &str) -> Expecting<Value> {
        Expecting::command(self, name, Arguments::Any)
    }

    /// Answers a command that was expected in an earlier step and has not been answered; of several,
    /// the oldest.
    pub fn answer(self, name: &str) -> Expecting<Value> {
        Expecting::earlier(self, Some(name.to_owned()))
    }

    /// Sends an event, with the current time.
    ///
    /// # Panics
    /// Panics if the event cannot be encoded as JSON.
    pub fn event<E: Event>(mut self, event: &E) -> Self {
        self.steps.push(event_step(event));
        self
    }

    /// Sends an event by its name, with the current time.
    pub fn event_raw(mut self, name: &str, data: Option<Value>) -> Self {
        self.steps.push(named_event(name, data.as_ref()));
        self
    }

    /// Sends bytes unchanged.
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Send(bytes.into()));
        self
    }

    /// Waits for a time. Nothing is read meanwhile.
    pub fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    /// Closes the connection. This is the last step that is played.
    pub fn close(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }

    /// Adds a step.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Returns the steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Sends everything one byte at a time.
    pub fn bytewise(mut self) -> Self {
        self.bytewise = true;
        self
    }

    /// Sets the time after its start at which the script fails if it is incomplete, and ends in any
    /// case (default: 10 s).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts a server that plays the script for one connection. [`ScriptServer::new`] plays several
    /// scripts, one per connection.
    pub fn start(self) -> ScriptServer {
        ScriptServer::new([self])
    }
}

fn event_step<E: Event>(event: &E) -> Step {
    let data = serde_json::to_value(event).expect("the event can be encoded as JSON");
    let is_empty = data.as_object().is_some_and(Map::is_empty);
    named_event(E::NAME, Some(&data).filter(|_| !is_empty))
}

fn named_event(name: &str, data: Option<&Value>) -> Step {
    let data = data.map(crate::json::value_to_json);
    let line = event_line(name, data.as_deref(), Timestamp::now());
    Step::Send(format!("{line}\r\n").into_bytes())
}
