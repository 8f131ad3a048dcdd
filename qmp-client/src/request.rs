//! What can be executed: a typed command, one that no schema knows, or one out-of-band.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use qmp_types::{AllowOob, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Error, Mismatch};
use crate::machine::{CallId, Deadline, Descriptor, Kind, Machine, Submission, WriteArguments};

/// What a client can execute: every [`Command`], [`Raw`] and [`OutOfBand`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command that can be executed",
    note = "it is one if it is a `Command`, `Raw`, or `OutOfBand` of a command with `AllowOob`"
)]
pub trait Request {
    /// What a successful reply returns.
    type Return: DeserializeOwned;

    /// The command's name on the wire.
    fn name(&self) -> Cow<'static, str>;

    /// Whether it is executed in-band or out-of-band.
    fn kind(&self) -> Kind {
        Kind::InBand
    }

    /// Whether success is answered. Where it is not, as with `guest-shutdown`, a call succeeds
    /// when no error has come by its deadline, or when the connection ends before.
    fn success_response(&self) -> bool {
        true
    }

    /// Whether the command has arguments at all.
    fn has_arguments(&self) -> bool;

    /// Appends the arguments, a JSON object.
    ///
    /// # Errors
    /// They cannot be written as JSON.
    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

impl<C: Command> Request for C {
    type Return = C::Return;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(C::NAME)
    }

    fn success_response(&self) -> bool {
        C::SUCCESS_RESPONSE
    }

    fn has_arguments(&self) -> bool {
        C::HAS_ARGUMENTS
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

/// A command that is executed out-of-band, ahead of those that wait.
#[derive(Clone, Copy, Debug)]
pub struct OutOfBand<C>(pub C);

impl<C: AllowOob> Request for OutOfBand<C> {
    type Return = C::Return;

    fn name(&self) -> Cow<'static, str> {
        self.0.name()
    }

    fn kind(&self) -> Kind {
        Kind::OutOfBand
    }

    fn success_response(&self) -> bool {
        self.0.success_response()
    }

    fn has_arguments(&self) -> bool {
        self.0.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.0.write_arguments(out)
    }
}

/// A command by its name, for what no schema knows.
///
/// `T` is what the reply is read as: a [`Value`], or `Box<RawValue>` for the text as it came, or a
/// type of your own.
///
/// ```
/// use qmp_client::Raw;
/// use serde_json::json;
///
/// let command: Raw = Raw::new("qom-list").arguments(&json!({"path": "/machine"}));
/// ```
pub struct Raw<T = Value> {
    name: Cow<'static, str>,
    arguments: Option<serde_json::Result<Box<RawValue>>>,
    kind: Kind,
    returns: PhantomData<fn() -> T>,
}

impl<T> Raw<T> {
    /// A command without arguments.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), arguments: None, kind: Kind::InBand, returns: PhantomData }
    }

    /// With these arguments, which must be a JSON object: a [`Value`], a [`RawValue`], a struct.
    #[must_use]
    pub fn arguments<A: Serialize + ?Sized>(mut self, arguments: &A) -> Self {
        self.arguments = Some(to_raw_value(arguments));
        self
    }

    /// Executed out-of-band. The server refuses it for most commands.
    #[must_use]
    pub fn out_of_band(mut self) -> Self {
        self.kind = Kind::OutOfBand;
        self
    }
}

impl<T> fmt::Debug for Raw<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .field("kind", &self.kind)
            .finish()
    }
}

impl<T: DeserializeOwned> Request for Raw<T> {
    type Return = T;

    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn has_arguments(&self) -> bool {
        self.arguments.is_some()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match &self.arguments {
            Some(Ok(text)) => {
                out.extend_from_slice(text.get().as_bytes());
                Ok(())
            }
            Some(Err(error)) => Err(serde::ser::Error::custom(error)),
            None => Ok(()),
        }
    }
}

/// Gives a request to the machine.
pub(crate) fn submit<R: Request>(
    machine: &mut Machine,
    request: &R,
    deadline: Option<Deadline>,
    descriptors: Vec<Descriptor>,
) -> Result<CallId, Error> {
    let arguments = |out: &mut Vec<u8>| request.write_arguments(out);
    let mut submission = Submission::new(request.name());
    submission.kind = request.kind();
    submission.success_response = request.success_response();
    submission.arguments = request.has_arguments().then_some(WriteArguments(&arguments));
    submission.deadline = deadline;
    submission.descriptors = descriptors;
    machine.submit(submission)
}

/// Reads what a command returned.
pub(crate) fn decode_reply<T: DeserializeOwned>(
    command: impl FnOnce() -> Cow<'static, str>,
    value: &RawValue,
) -> Result<T, Error> {
    qmp_types::decode(value.get()).map_err(|error| Mismatch::reply(command(), error).into())
}
