//! A command, written out.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Misuse, Result};
use crate::machine::{CallId, Deadline, Descriptor, Kind, Machine, Submission, WriteArguments};
use crate::request::Request;

/// A command whose arguments are text already: it is the caller's code that writes them, and that
/// is not done while the lock is held.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) name: Cow<'static, str>,
    kind: Kind,
    success_response: bool,
    arguments: Option<Vec<u8>>,
    /// Its deadline where nobody waits for it, if that is not the recommended one.
    pub(super) within: Option<Duration>,
}

impl Written {
    pub(super) fn new<R: Request>(request: &R, within: Option<Duration>) -> Result<Self> {
        let mut text = Vec::new();
        if request.has_arguments()
            && let Err(error) = request.write_arguments(&mut text)
        {
            return Err(Misuse::Arguments { command: request.name(), error: Some(error) }.into());
        }
        Ok(Self {
            name: request.name(),
            kind: request.kind(),
            success_response: request.success_response(),
            arguments: request.has_arguments().then_some(text),
            within,
        })
    }

    /// Gives it to the machine.
    pub(super) fn submit(
        &self,
        machine: &mut Machine,
        deadline: Option<Deadline>,
        descriptors: Vec<Descriptor>,
    ) -> Result<CallId> {
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
        machine.submit(submission)
    }
}
