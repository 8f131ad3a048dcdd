//! Builds scripts: the list of steps, and the two halves of an expectation.

use std::marker::PhantomData;
use std::time::Duration;

use qmp_types::{
    Capability, Command, Empty, Event, Greeting, QmpError, Timestamp, Version, VersionTriple,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::step::{Answer, Arguments, Content, Expectation, Form, Id, Step};
use crate::json::{to_json, value_to_json};
use crate::session::event_line;

/// The time that a script may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A list of [steps](Step) that a server plays with a client.
#[derive(Clone, Debug)]
#[must_use = "`start` plays the script"]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) bytewise: bool,
    pub(super) deadline: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// Creates a script that begins with a greeting and capabilities negotiation.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn new() -> Self {
        Self::bare().greet().negotiate()
    }

    /// Creates a script without steps, for a server that sends no greeting or a guest agent.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// // A server that is not a QMP monitor.
    /// let script = Script::bare().send("SSH-2.0-OpenSSH_9.6\r\n").close();
    /// ```
    pub fn bare() -> Self {
        Self { steps: Vec::new(), bytewise: false, deadline: DEADLINE }
    }

    /// Sends the greeting of a QEMU that supports out-of-band execution.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// // The greeting does not come first.
    /// let script = Script::bare().send("\n\n").greet().negotiate();
    /// ```
    pub fn greet(self) -> Self {
        let version = Version::new(VersionTriple::new(11, 1, 0), "script");
        self.greet_as(&Greeting { version, capabilities: vec![Capability::Oob] })
    }

    /// Sends a greeting.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use qmp_types::{Greeting, Version};
    ///
    /// let greeting = Greeting { version: Version::default(), capabilities: Vec::new() };
    /// let script = Script::bare().greet_as(&greeting).negotiate();
    /// ```
    pub fn greet_as(self, greeting: &Greeting) -> Self {
        let greeting = to_json(greeting).unwrap_or_default();
        self.send(format!("{{\"QMP\": {greeting}}}\r\n"))
    }

    /// Expects `qmp_capabilities` with any arguments, and accepts it.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::bare().greet().negotiate();
    /// ```
    pub fn negotiate(self) -> Self {
        Expecting::<Empty>::command(self, "qmp_capabilities", Arguments::Any).returns(Empty {})
    }

    /// Expects `guest-sync-delimited`, and answers as a guest agent does.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// // A guest agent.
    /// let script =
    ///     Script::bare().synchronize().expect_raw("guest-ping").returns_raw(json!({}));
    /// ```
    pub fn synchronize(self) -> Self {
        self.expect_raw("guest-sync-delimited").sends([0xFF]).returns_argument("id")
    }

    /// Expects a command with exactly its arguments, in-band.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::script::Script;
    /// use qmp_types::Empty;
    /// use qmp_types::qmp::commands::DeviceDel;
    ///
    /// let script = Script::new().expect(DeviceDel::new("nic0")).returns(Empty {});
    /// # }
    /// ```
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
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn expect_raw(self, name: &str) -> Expecting<Value> {
        Expecting::command(self, name, Arguments::Any)
    }

    /// Answers a command that was expected in an earlier step and has not been answered; of several,
    /// the oldest.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new()
    ///     .expect_raw("query-name").never()
    ///     .expect_raw("query-status").returns_raw(json!({"running": true, "status": "running"}))
    ///     // The first command is answered after the second.
    ///     .answer("query-name").returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn answer(self, name: &str) -> Expecting<Value> {
        Expecting::earlier(self, Some(name.to_owned()))
    }

    /// Sends an event, with the current time.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::events::Stop;
    ///
    /// let script = Script::new().event(&Stop::new());
    /// # drop(script);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the event cannot be encoded as JSON.
    pub fn event<E: Event>(mut self, event: &E) -> Self {
        self.steps.push(event_step(event));
        self
    }

    /// Sends an event by its name, with the current time.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().event_raw("POWERDOWN", None);
    /// ```
    pub fn event_raw(mut self, name: &str, data: Option<Value>) -> Self {
        self.steps.push(named_event(name, data.as_ref()));
        self
    }

    /// Sends bytes unchanged.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().send("{\"event\": ").close();
    /// ```
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Send(bytes.into()));
        self
    }

    /// Waits for a time. Nothing is read meanwhile.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().pause(Duration::from_millis(10)).event_raw("POWERDOWN", None);
    /// ```
    pub fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    /// Closes the connection. This is the last step that is played.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("quit").returns_raw(json!({})).close();
    /// ```
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
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let before = Script::new().steps().len();
    /// assert_eq!(Script::new().close().steps().len(), before + 1);
    /// ```
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Sends everything one byte at a time.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).returns(running).bytewise();
    /// # drop(script);
    /// # }
    /// ```
    pub fn bytewise(mut self) -> Self {
        self.bytewise = true;
        self
    }

    /// Sets the time after its start at which the script fails if it is incomplete, and ends in any
    /// case (default: 10 s).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().deadline(Duration::from_secs(60)).expect_raw("query-name").never();
    /// ```
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// A command that a [`Script`] expects, and the settings of its answer. `R` is the type of its return
/// value.
///
/// Methods that return a [`Script`] complete the step.
#[derive(Clone, Debug)]
#[must_use = "a command is expected only once it is known how it is answered"]
pub struct Expecting<R> {
    script: Script,
    /// None if the command was expected in an earlier step.
    expectation: Option<Expectation>,
    /// The steps between the command and the answer.
    between: Vec<Step>,
    answer: Answer,
    returns: PhantomData<fn(R)>,
}

impl<R: Serialize> Expecting<R> {
    fn command(script: Script, name: &str, arguments: Arguments) -> Self {
        let expectation =
            Expectation { name: name.to_owned(), arguments, out_of_band: false, descriptors: None };
        Self { expectation: Some(expectation), ..Self::earlier(script, None) }
    }

    fn earlier(script: Script, to: Option<String>) -> Self {
        let answer =
            Answer { to, content: Content::Return(Value::Null), id: Id::Same, form: Form::Whole };
        Self { script, expectation: None, between: Vec::new(), answer, returns: PhantomData }
    }

    /// Expects exactly these arguments, in any order: `json!({..})`. A value other than an object
    /// means no arguments.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("device_del").arguments(json!({"id": "nic0"})).returns_raw(json!({}));
    /// ```
    pub fn arguments(self, arguments: Value) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Exactly(members(arguments)))
    }

    /// Expects at least these arguments. Objects in them are compared in the same manner.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new()
    ///     .expect_raw("device_add")
    ///     .arguments_include(json!({"driver": "virtio-net-pci"}))
    ///     .returns_raw(json!({}));
    /// ```
    pub fn arguments_include(self, arguments: Value) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Including(members(arguments)))
    }

    /// Accepts further arguments beside those that are expected already.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").in_part().returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn in_part(self) -> Self {
        self.expecting(|expected| {
            if let Arguments::Exactly(arguments) = &mut expected.arguments {
                expected.arguments = Arguments::Including(std::mem::take(arguments));
            }
        })
    }

    /// Accepts any arguments.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("device_add").any_arguments().returns_raw(json!({}));
    /// ```
    pub fn any_arguments(self) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Any)
    }

    /// Expects the command with `exec-oob`, for out-of-band execution.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("migrate-pause").out_of_band().returns_raw(json!({}));
    /// ```
    pub fn out_of_band(self) -> Self {
        self.expecting(|expected| expected.out_of_band = true)
    }

    /// Expects this number of file descriptors with the command. They are closed.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("add-fd").descriptors(1).returns_raw(json!({"fd": 7, "fdset-id": 1}));
    /// ```
    pub fn descriptors(self, count: usize) -> Self {
        self.expecting(|expected| expected.descriptors = Some(count))
    }

    /// Waits for a time before the answer.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).after(std::time::Duration::from_secs(1)).returns(running);
    /// # drop(script);
    /// # }
    /// ```
    pub fn after(mut self, time: Duration) -> Self {
        self.between.push(Step::Pause(time));
        self
    }

    /// Sends an event before the answer.
    ///
    /// ```
    /// # #[cfg(feature = "simulator")] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::{commands, events};
    /// use qmp_types::Empty;
    ///
    /// let script =
    ///     Script::new().expect(commands::Stop::new()).emits(&events::Stop::new()).returns(Empty {});
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the event cannot be encoded as JSON.
    pub fn emits<E: Event>(mut self, event: &E) -> Self {
        self.between.push(event_step(event));
        self
    }

    /// Sends bytes before the answer.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").sends("garbage\n").returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn sends(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.between.push(Step::Send(bytes.into()));
        self
    }

    /// Sends the answer two times.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).twice().returns(running);
    /// # drop(script);
    /// # }
    /// ```
    pub fn twice(mut self) -> Self {
        self.answer.form = Form::Twice;
        self
    }

    /// Sends only the first half of the answer's bytes.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).half().returns(running).close();
    /// # drop(script);
    /// # }
    /// ```
    pub fn half(mut self) -> Self {
        self.answer.form = Form::Half;
        self
    }

    /// Gives the answer another identifier than the command's.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").with_id(4711).returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn with_id(mut self, id: impl Into<Value>) -> Self {
        self.answer.id = Id::Other(id.into());
        self
    }

    /// Leaves out the identifier of the answer.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).without_id().returns(running);
    /// # drop(script);
    /// # }
    /// ```
    pub fn without_id(mut self) -> Self {
        self.answer.id = Id::Missing;
        self
    }

    /// Answers with a return value.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    /// use qmp_types::qmp::types::{RunState, StatusInfo};
    ///
    /// let running = StatusInfo::new(true, RunState::Running);
    /// let script = Script::new().expect(QueryStatus::new()).returns(running);
    /// # drop(script);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the value cannot be encoded as JSON.
    pub fn returns(self, value: R) -> Script {
        let value = serde_json::to_value(value).expect("the return value can be encoded as JSON");
        self.answers(Content::Return(value))
    }

    /// Answers with a return value that need not have the command's type.
    ///
    /// ```
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let script = Script::new().expect_raw("query-name").returns_raw(json!({"name": "vm"}));
    /// ```
    pub fn returns_raw(self, value: Value) -> Script {
        self.answers(Content::Return(value))
    }

    /// Answers with the value of one of the command's arguments.
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().expect_raw("guest-sync").any_arguments().returns_argument("id");
    /// ```
    pub fn returns_argument(self, name: &str) -> Script {
        self.answers(Content::Argument(name.to_owned()))
    }

    /// Answers with an error.
    ///
    /// ```
    /// # #[cfg(all(feature = "simulator", unix))] {
    /// use qmp_server::script::Script;
    /// use qmp_types::qmp::commands::QueryStatus;
    ///
    /// let script = Script::new().expect(QueryStatus::new()).fails(qmp_types::QmpError::generic("not now"));
    /// # drop(script);
    /// # }
    /// ```
    pub fn fails(self, error: QmpError) -> Script {
        self.answers(Content::Error(error))
    }

    /// Does not answer, unless a later step does so with [`Script::answer`].
    ///
    /// ```
    /// use qmp_server::script::Script;
    ///
    /// let script = Script::new().expect_raw("query-name").never();
    /// ```
    pub fn never(self) -> Script {
        let Self { mut script, expectation, between, .. } = self;
        script.steps.extend(expectation.map(Step::Expect));
        script.steps.extend(between);
        script
    }

    fn answers(self, content: Content) -> Script {
        let answer = Answer { content, ..self.answer.clone() };
        let mut script = self.never();
        script.steps.push(Step::Answer(answer));
        script
    }

    fn expecting(mut self, change: impl FnOnce(&mut Expectation)) -> Self {
        if let Some(expectation) = &mut self.expectation {
            change(expectation);
        }
        self
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn event_step<E: Event>(event: &E) -> Step {
    let data = serde_json::to_value(event).expect("the event can be encoded as JSON");
    let is_empty = data.as_object().is_some_and(Map::is_empty);
    named_event(E::NAME, Some(&data).filter(|_| !is_empty))
}

fn named_event(name: &str, data: Option<&Value>) -> Step {
    let data = data.map(value_to_json);
    let line = event_line(name, data.as_deref(), Timestamp::now());
    Step::Send(format!("{line}\r\n").into_bytes())
}
