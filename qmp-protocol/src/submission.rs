//! Commands to be sent.

use std::borrow::Cow;

use crate::deadline::Deadline;
use crate::encode::{Kind, WriteArguments};
use crate::output::Descriptor;

/// A command to be sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Submission<'a> {
    /// The command's name on the wire.
    pub name: Cow<'static, str>,
    /// Whether the command is executed in-band or out-of-band (default: in-band).
    pub kind: Kind,
    /// Whether the server answers success (default: true). Where it does not, the call succeeds
    /// when its deadline passes, or the peer closes the connection, without an error reply, if it has
    /// been sent.
    pub success_response: bool,
    /// Appends the arguments, if the command has any.
    pub arguments: Option<WriteArguments<'a>>,
    /// The deadline of the reply.
    pub deadline: Option<Deadline>,
    /// The file descriptors that travel with the command.
    pub descriptors: Vec<Descriptor>,
}

impl<'a> Submission<'a> {
    /// Creates an in-band command without arguments, deadline or descriptors.
    ///
    /// ```
    /// use qmp_protocol::{Kind, Submission, WriteArguments};
    ///
    /// let arguments = |out: &mut Vec<u8>| serde_json::to_writer(out, &serde_json::json!({"id": "vm0"}));
    /// let mut submission = Submission::new("migrate-pause");
    /// submission.kind = Kind::OutOfBand;
    /// submission.arguments = Some(WriteArguments(&arguments));
    /// ```
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::InBand,
            success_response: true,
            arguments: None,
            deadline: None,
            descriptors: Vec::new(),
        }
    }
}
