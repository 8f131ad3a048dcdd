//! A call that has not been submitted.

use std::task::Waker;
use std::time::Duration;

use qmp_protocol::{Descriptor, EncodedRequest, Request};

use super::parting::Parting;
use super::shared::{Follow, Handle};
use super::submitted::Submitted;
use crate::error::{Error, Result};
use crate::inbox::SubscriptionId;
use crate::term::Term;
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

    /// Returns the term of a call that begins now.
    pub(super) fn term(&self) -> Term {
        let options = self.handle.options();
        let within = self.within.unwrap_or_else(|| options.request_within(&self.request));
        Term::new(self.handle.now(), within)
    }

    /// Submits the command. The task with the `waker` is woken when it is answered.
    pub(super) fn submit(
        self,
        term: Term,
        follow: Follow,
        parting: Parting,
        waker: Option<&Waker>,
    ) -> Result<(Submitted, Option<SubscriptionId>)> {
        let mut trace = CallTrace::new(&self.request.name(), &self.handle.options().monitor);
        let Self { handle, request, within, descriptors } = self;
        let submit = |command: EncodedRequest| {
            let (id, subscription) = handle.submit(&command, term, descriptors, follow, waker)?;
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
