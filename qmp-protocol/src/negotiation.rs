//! The negotiation with a monitor: which reply answers `qmp_capabilities`, and whether the server
//! returns ids.
//!
//! A server that still answers an earlier client sends that client's replies first, with its ids or
//! without. So a reply without an id that this client can read decides nothing: the execution of a
//! command that does not exist, the probe, tells whether the server returns ids. Replies come in
//! order, so that the last reply without an id before the one to the probe answers the negotiation
//! if no reply has its id.

use qmp_types::{ErrorClass, QmpError};

use crate::id::{CallId, ReplyId};
use crate::message::contains;

/// The state of the negotiation.
#[derive(Debug)]
pub(crate) struct Negotiation {
    id: CallId,
    /// Whether the probe has been sent and its answer is still expected.
    is_probing: bool,
    /// The last reply whose id says nothing. It answers the negotiation if the server returns no ids.
    candidate: Option<Result<(), QmpError>>,
}

/// The consequence of a reply.
#[derive(Debug)]
pub(crate) enum Step {
    /// The reply is to an earlier client.
    Foreign,
    /// Which command the reply answers is unknown.
    Wait,
    /// The same, and the probe is to be sent.
    Probe,
    /// The negotiation is complete, and the server returns ids.
    Ready,
    /// The negotiation is complete, and the server does not return the ids of all commands.
    ReadyWithoutIds,
    /// The server refused the negotiation.
    Refused(QmpError),
}

/// A reply that arrives after the negotiation and belongs to it.
#[derive(Debug)]
pub(crate) enum Late {
    /// The answer to the probe.
    Probe,
    /// The answer to the negotiation itself, with its id: the server returns ids after all.
    Negotiation,
}

impl Negotiation {
    pub(crate) fn new(id: u64) -> Self {
        Self { id: CallId::from_number(id), is_probing: false, candidate: None }
    }

    /// Returns the id of `qmp_capabilities`.
    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    /// Returns the id of the probe.
    pub(crate) fn probe_id(&self) -> CallId {
        CallId::from_number(self.id.number().wrapping_add(1))
    }

    /// Returns the name of the probe. It is unique, so that an error that names it is the answer.
    pub(crate) fn probe_name(&self) -> String {
        format!("x-qmp-protocol-probe-{}", self.probe_id())
    }

    /// Takes a reply that arrives before the negotiation is complete.
    pub(crate) fn take(&mut self, id: ReplyId, reply: Result<(), QmpError>) -> Step {
        match id {
            ReplyId::Call(id) if id == self.id => {
                return reply.map_or_else(Step::Refused, |()| Step::Ready);
            }
            ReplyId::Call(id) if self.is_probing && id == self.probe_id() => {
                return self.conclude(true);
            }
            ReplyId::Call(_) => return Step::Foreign,
            _ => {}
        }
        if let (true, Err(error)) = (self.is_probing, &reply) {
            if contains(&error.desc, &self.probe_name()) {
                return self.conclude(true);
            }
            // An earlier client may have misspelt a command.
            if id != ReplyId::Foreign && error.class == ErrorClass::CommandNotFound {
                return self.conclude(false);
            }
        }
        self.candidate = Some(reply);
        if std::mem::replace(&mut self.is_probing, true) { Step::Wait } else { Step::Probe }
    }

    /// Ends the negotiation with the candidate, after what is the answer to the probe, or may be.
    fn conclude(&mut self, is_certain: bool) -> Step {
        match self.candidate.take() {
            Some(Err(error)) if is_certain => Step::Refused(error),
            Some(Err(error)) => {
                self.candidate = Some(Err(error));
                Step::Wait
            }
            Some(Ok(())) | None => {
                self.is_probing = !is_certain;
                Step::ReadyWithoutIds
            }
        }
    }

    /// Takes the error that may have been the refusal, for the error of a deadline.
    pub(crate) fn take_error(&mut self) -> Option<QmpError> {
        self.candidate.take()?.err()
    }

    /// Takes a reply that arrives after the negotiation, if it belongs to that. The probe was sent
    /// before any other command: if the server returns ids, the first error without one is its
    /// answer.
    pub(crate) fn take_late(
        &mut self,
        id: ReplyId,
        is_error: bool,
        returns_ids: bool,
    ) -> Option<Late> {
        match id {
            ReplyId::Call(id) if id == self.id && !returns_ids => return Some(Late::Negotiation),
            ReplyId::Call(id) if id == self.probe_id() => {}
            ReplyId::Absent | ReplyId::Odd if is_error && returns_ids => {}
            _ => return None,
        }
        std::mem::take(&mut self.is_probing).then_some(Late::Probe)
    }

    /// Returns whether an answer to the probe may still arrive.
    pub(crate) fn is_probing(&self) -> bool {
        self.is_probing
    }

    /// Expects no answer to the probe any more: a later command has been answered.
    pub(crate) fn forget_probe(&mut self) {
        self.is_probing = false;
    }
}
