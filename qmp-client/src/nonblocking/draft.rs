//! A call that has not been submitted.

use std::time::Duration;

use qmp_protocol::{Deadline, Descriptor, EncodedRequest, Request};

use super::detached::Parting;
use super::shared::{Follow, Handle};
use super::submitted::Submitted;
use crate::error::{Error, Result};
use crate::inbox::SubscriptionId;
use crate::trace::CallTrace;

/// The parts of a call that has not been submitted.
pub(super) struct Draft<R> {
    pub(super) handle: Handle,
    pub(super) request: R,
    pub(super) within: Option<Duration>,
    pub(super) descriptors: Vec<Descriptor>,
}

impl<R: Request> Draft<R> {
    pub(super) fn new(handle: Handle, request: R, within: Option<Duration>) -> Self {
        Self { handle, request, within, descriptors: Vec::new() }
    }

    /// Returns the deadline of a call that begins now.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let options = self.handle.options();
        let within = self.within.unwrap_or_else(|| options.request_within(&self.request));
        self.handle.deadline_after(within)
    }

    /// Submits the command.
    pub(super) fn submit(
        self,
        deadline: Option<Deadline>,
        follow: Follow,
        parting: Parting,
    ) -> Result<(Submitted, Option<SubscriptionId>)> {
        let mut trace = CallTrace::new(&self.request.name(), self.handle.options());
        let Self { handle, request, within, descriptors } = self;
        let submit = |command: EncodedRequest| {
            let (id, subscription) = handle.submit(&command, deadline, descriptors, follow)?;
            Ok((id, subscription, command.name().clone()))
        };
        let submitted = {
            let _entered = trace.enter();
            EncodedRequest::new(&request).map_err(Error::from).and_then(submit)
        };
        match submitted {
            Ok((id, subscription, name)) => {
                let submitted = Submitted::new(handle, id, name, within, parting, trace);
                Ok((submitted, subscription))
            }
            Err(error) => {
                trace.finish::<()>(Err(&error));
                Err(error)
            }
        }
    }
}
