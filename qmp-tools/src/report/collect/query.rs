//! Queries that are sent at once, and what became of each.

use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Ticket};
use qmp_client::{Error, ErrorClass, Raw, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::model::Problem;

/// The queries of one report. Each has a deadline, and those that follow from others share what is left
/// of twice that time.
pub(super) struct Queries<'a> {
    vm: &'a Client,
    /// `None` if it is too far for the clock.
    until: Option<Instant>,
    within: Duration,
    answered: usize,
    /// Whether the query whose reply was awaited last was not answered.
    is_stuck: bool,
    failure: Option<Error>,
    pub(super) refused: Vec<Problem>,
    pub(super) unanswered: Vec<Problem>,
    pub(super) undecodable: Vec<Problem>,
    pub(super) unsupported: Vec<String>,
}

/// A query that has been sent.
pub(super) struct Query<T> {
    ticket: Ticket<T>,
    /// The query as the report names it.
    name: String,
    kind: Wanted,
}

/// How much a reader wants to know of a query that fails.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Wanted {
    /// A failure is reported.
    Report,
    /// A refusal means that the machine lacks the subject.
    Try,
}

impl<'a> Queries<'a> {
    pub(super) fn new(vm: &'a Client, within: Duration) -> Self {
        Self {
            vm,
            until: Instant::now().checked_add(within.saturating_mul(2)),
            within,
            answered: 0,
            is_stuck: false,
            failure: None,
            refused: Vec::new(),
            unanswered: Vec::new(),
            undecodable: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    /// Sends a query.
    pub(super) fn ask<R: Request>(&self, request: R) -> Result<Query<R::Return>, Error> {
        let name = request.name().into_owned();
        self.send(request, name, Wanted::Report)
    }

    /// Sends a query that the schema describes too strictly for old servers.
    pub(super) fn ask_raw(&self, name: &'static str) -> Result<Query<Value>, Error> {
        self.ask(Raw::<Value>::new(name))
    }

    /// Sends a query that is reported by a name of its own.
    pub(super) fn ask_as<R: Request>(
        &self,
        request: R,
        name: &str,
    ) -> Result<Query<R::Return>, Error> {
        self.send(request, name.to_owned(), Wanted::Report)
    }

    /// Sends a query about a subject that the machine may lack: a refusal is not reported.
    pub(super) fn attempt<R: Request>(
        &self,
        request: R,
        subject: &str,
    ) -> Result<Query<R::Return>, Error> {
        let name = format!("{} {subject}", request.name());
        self.send(request, name.trim_end().to_owned(), Wanted::Try)
    }

    fn send<R: Request>(
        &self,
        request: R,
        name: String,
        kind: Wanted,
    ) -> Result<Query<R::Return>, Error> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let within = left.map_or(self.within, |left| left.min(self.within));
        let ticket = self.vm.call(request).within(within).send()?;
        Ok(Query { ticket, name, kind })
    }

    /// Receives the reply to a query; `None` if there is none that can be used.
    ///
    /// # Errors
    /// Only if the connection fails.
    pub(super) fn answer<T: DeserializeOwned>(
        &mut self,
        query: Query<T>,
    ) -> Result<Option<T>, Error> {
        let received = query.ticket.receive();
        self.is_stuck = matches!(received, Err(Error::Timeout(_)));
        let error = match received {
            Ok(answer) => {
                self.answered += 1;
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        let problem = |reason: String| Problem { query: query.name.clone(), reason };
        match &error {
            Error::Server(server) => {
                self.answered += 1;
                if error.is_command_not_found() {
                    self.unsupported.push(query.name);
                } else if query.kind == Wanted::Report && !is_absence(&server.error.class) {
                    self.refused.push(problem(server.error.desc.clone()));
                }
            }
            Error::Decode(_) => {
                self.answered += 1;
                self.undecodable.push(problem(error.report()));
            }
            Error::Timeout(_) => {
                let seconds = self.within.as_secs_f64();
                self.unanswered.push(problem(format!("no reply within {seconds} s")));
                self.failure.get_or_insert(error);
            }
            _ => return Err(error),
        }
        Ok(None)
    }

    /// Fails if no query at all was answered.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.failure.take() {
            Some(error) if self.answered == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns whether more queries are worth asking: the last one was answered.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_stuck
    }

    /// Returns whether the machine does not have a query, which has been answered.
    pub(super) fn lacks(&self, query: &str) -> bool {
        self.unsupported.iter().any(|name| name == query)
    }
}

/// Returns whether an error says that the machine has no such device, which is an answer.
fn is_absence(class: &ErrorClass) -> bool {
    matches!(class, ErrorClass::DeviceNotActive | ErrorClass::DeviceNotFound)
}
