//! The time of a call.

use std::time::{Duration, Instant};

use qmp_protocol::Deadline;

/// When a call begins, and by when it must be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) begin: Instant,
    pub(crate) deadline: Option<Deadline>,
}

impl Term {
    /// Returns the term of a call that begins now.
    pub(crate) fn new(now: Instant, within: Duration) -> Self {
        Self { begin: now, deadline: Deadline::after(now, within) }
    }

    /// Returns the moment of the deadline.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline.at)
    }
}
