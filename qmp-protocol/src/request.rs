//! Requests: what a client can execute.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use qmp_types::{AllowOob, Command};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::deadlines;
use crate::encode::{Kind, WriteArguments};
use crate::error::{Error, Mismatch, Misuse};
use crate::id::CallId;
use crate::output::Descriptor;
use crate::submission::Submission;

/// A command that a client can execute: every [`Command`], [`Raw`](crate::Raw) and [`OutOfBand`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command that can be executed",
    note = "requests are types that implement `Command`, `Raw`, and `OutOfBand` of a command that \
            implements `AllowOob`"
)]
pub trait Request {
    /// The type of a successful reply.
    type Return: DeserializeOwned;

    /// Returns the command's name on the wire.
    ///
    /// ```
    /// use qmp_protocol::{Raw, Request};
    ///
    /// assert_eq!(Raw::<serde_json::Value>::new("query-status").name(), "query-status");
    /// ```
    fn name(&self) -> Cow<'static, str>;

    /// Returns whether the command is executed in-band or out-of-band.
    ///
    /// ```
    /// use qmp_protocol::{Kind, Raw, Request};
    ///
    /// assert_eq!(Raw::<serde_json::Value>::new("query-status").kind(), Kind::InBand);
    /// ```
    fn kind(&self) -> Kind {
        Kind::InBand
    }

    /// Returns whether the server answers success. Where it does not, as with `guest-shutdown`, a
    /// call succeeds if its deadline passes, or the peer closes the connection, without an error
    /// reply.
    fn success_response(&self) -> bool {
        true
    }

    /// Returns the [recommended deadline](deadlines::recommended) of the command.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_protocol::{Raw, Request};
    ///
    /// let command = Raw::<serde_json::Value>::new("screendump");
    /// assert_eq!(command.recommended_deadline(), Duration::from_secs(600));
    /// ```
    fn recommended_deadline(&self) -> Duration {
        deadlines::recommended(&self.name())
    }

    /// Returns whether the command has no effect on the machine and only returns something, so that
    /// it can be repeated. False if this is not known.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Returns whether the command has arguments at all.
    fn has_arguments(&self) -> bool;

    /// Appends the arguments, a JSON object.
    ///
    /// # Errors
    /// The arguments cannot be written as JSON.
    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

// Otherwise an error would say that a type does not implement `Command`, and not what is a request.
#[diagnostic::do_not_recommend]
impl<C: Command> Request for C {
    type Return = C::Return;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(C::NAME)
    }

    fn success_response(&self) -> bool {
        C::SUCCESS_RESPONSE
    }

    fn recommended_deadline(&self) -> Duration {
        const { deadlines::recommended(C::NAME) }
    }

    fn is_read_only(&self) -> bool {
        C::READ_ONLY
    }

    fn has_arguments(&self) -> bool {
        C::HAS_ARGUMENTS
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

/// A command to be executed out-of-band, ahead of the in-band commands that are queued.
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

    fn recommended_deadline(&self) -> Duration {
        self.0.recommended_deadline()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    fn has_arguments(&self) -> bool {
        self.0.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.0.write_arguments(out)
    }
}

/// A request whose arguments have been written.
///
/// The caller's code that writes arguments runs without the lock that guards a connection, and a
/// request can be kept until it is needed.
#[derive(Clone)]
pub struct EncodedRequest {
    name: Cow<'static, str>,
    kind: Kind,
    success_response: bool,
    arguments: Option<Vec<u8>>,
}

/// The arguments are not shown: they may be secret.
impl fmt::Debug for EncodedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedRequest")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl EncodedRequest {
    /// Writes the arguments of a request.
    ///
    /// ```
    /// use qmp_protocol::{EncodedRequest, Raw};
    ///
    /// let command: Raw = Raw::new("query-status");
    /// let encoded = EncodedRequest::new(&command)?;
    /// assert_eq!(encoded.name(), "query-status");
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Misuse::Arguments`]: the arguments cannot be written as JSON.
    pub fn new<R: Request + ?Sized>(request: &R) -> Result<Self, Error> {
        let mut text = Vec::new();
        if request.has_arguments() {
            request.write_arguments(&mut text).map_err(|error| Misuse::Arguments {
                command: request.name(),
                error: Some(error),
            })?;
        }
        Ok(Self {
            name: request.name(),
            kind: request.kind(),
            success_response: request.success_response(),
            arguments: request.has_arguments().then_some(text),
        })
    }

    /// Returns the command's name on the wire.
    #[must_use]
    pub fn name(&self) -> &Cow<'static, str> {
        &self.name
    }

    /// Submits the command to a connection.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// use qmp_protocol::{EncodedRequest, Raw};
    ///
    /// // Encoded without the lock that guards the connection.
    /// let encoded = EncodedRequest::new(&Raw::<serde_json::Value>::new("query-status"))?;
    /// encoded.submit(&mut connection, None, Vec::new())?;
    /// assert_eq!(connection.output(), b"{\"execute\":\"query-status\",\"id\":1}\n");
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Connection::submit`].
    #[inline]
    pub fn submit(
        &self,
        connection: &mut Connection,
        deadline: Option<Deadline>,
        descriptors: Vec<Descriptor>,
    ) -> Result<CallId, Error> {
        let arguments = |out: &mut Vec<u8>| {
            out.extend_from_slice(self.arguments.as_deref().unwrap_or_default());
            Ok(())
        };
        let mut submission = Submission::new(self.name.clone());
        submission.kind = self.kind;
        submission.success_response = self.success_response;
        submission.arguments = self.arguments.is_some().then_some(WriteArguments(&arguments));
        submission.deadline = deadline;
        submission.descriptors = descriptors;
        connection.submit(submission)
    }
}

/// Decodes what a command returned.
///
/// ```
/// use qmp_protocol::{Error, decode_reply};
/// use serde_json::value::to_raw_value;
///
/// let value = to_raw_value("many")?;
/// let reply = decode_reply::<u32>(|| "query-cpus-fast".into(), &value);
/// assert!(matches!(reply, Err(Error::Decode(_))));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// [`Error::Decode`]: the reply does not match the type.
pub fn decode_reply<T: DeserializeOwned>(
    command: impl FnOnce() -> Cow<'static, str>,
    value: &RawValue,
) -> Result<T, Error> {
    qmp_types::decode_checked(value).map_err(|error| Mismatch::reply(command(), error).into())
}
