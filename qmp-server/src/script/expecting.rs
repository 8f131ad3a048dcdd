//! The second half of an expectation: how the command is answered.

use std::marker::PhantomData;
use std::time::Duration;

use qmp_types::{Event, QmpError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Script;
use super::step::{Answer, Arguments, Content, Expectation, Form, Id, Step};

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
    pub(super) fn command(script: Script, name: &str, arguments: Arguments) -> Self {
        let expectation =
            Expectation { name: name.to_owned(), arguments, out_of_band: false, descriptors: None };
        Self { expectation: Some(expectation), ..Self::earlier(script, None) }
    }

    pub(super) fn earlier(script: Script, to: Option<String>) -> Self {
        let answer =
            Answer { to, content: Content::Return(Value::Null), id: Id::Same, form: Form::Whole };
        Self { script, expectation: None, between: Vec::new(), answer, returns: PhantomData }
    }

    /// Expects exactly these arguments, in any order: `json!({..})`. A value other than an object
    /// means no arguments.
    pub fn arguments(self, arguments: Value) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Exactly(members(arguments)))
    }

    /// Expects at least these arguments. Objects in them are compared in the same manner.
    pub fn arguments_include(self, arguments: Value) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Including(members(arguments)))
    }

    /// Accepts further arguments beside those that are expected already.
    pub fn in_part(self) -> Self {
        self.expecting(|expected| {
            if let Arguments::Exactly(arguments) = &mut expected.arguments {
                expected.arguments = Arguments::Including(std::mem::take(arguments));
            }
        })
    }

    /// Accepts any arguments.
    pub fn any_arguments(self) -> Self {
        self.expecting(|expected| expected.arguments = Arguments::Any)
    }

    /// Expects the command with `exec-oob`, for out-of-band execution.
    pub fn out_of_band(self) -> Self {
        self.expecting(|expected| expected.out_of_band = true)
    }

    /// Expects this number of file descriptors with the command. They are closed.
    pub fn descriptors(self, count: usize) -> Self {
        self.expecting(|expected| expected.descriptors = Some(count))
    }

    /// Waits for a time before the answer.
    pub fn after(mut self, time: Duration) -> Self {
        self.between.push(Step::Pause(time));
        self
    }

    /// Sends an event before the answer.
    ///
    /// # Panics
    /// Panics if the event cannot be encoded as JSON.
    pub fn emits<E: Event>(mut self, event: &E) -> Self {
        self.between.push(super::event_step(event));
        self
    }

    /// Sends bytes before the answer.
    pub fn sends(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.between.push(Step::Send(bytes.into()));
        self
    }

    /// Sends the answer two times.
    pub fn twice(mut self) -> Self {
        self.answer.form = Form::Twice;
        self
    }

    /// Sends only the first half of the answer's bytes.
    pub fn half(mut self) -> Self {
        self.answer.form = Form::Half;
        self
    }

    /// Gives the answer another identifier than the command's.
    pub fn with_id(mut self, id: impl Into<Value>) -> Self {
        self.answer.id = Id::Other(id.into());
        self
    }

    /// Leaves out the identifier of the answer.
    pub fn without_id(mut self) -> Self {
        self.answer.id = Id::Missing;
        self
    }

    /// Answers with a return value.
    ///
    /// # Panics
    /// Panics if the value cannot be encoded as JSON.
    pub fn returns(self, value: R) -> Script {
        let value = serde_json::to_value(value).expect("the return value can be encoded as JSON");
        self.answers(Content::Return(value))
    }

    /// Answers with a return value that need not have the command's type.
    pub fn returns_raw(self, value: Value) -> Script {
        self.answers(Content::Return(value))
    }

    /// Answers with the value of one of the command's arguments.
    pub fn returns_argument(self, name: &str) -> Script {
        self.answers(Content::Argument(name.to_owned()))
    }

    /// Answers with an error.
    pub fn fails(self, error: QmpError) -> Script {
        self.answers(Content::Error(error))
    }

    /// Does not answer, unless a later step does so with [`Script::answer`].
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
