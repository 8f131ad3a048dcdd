//! Answering a command, at once or later.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use qmp_types::{Command, QmpError};

use crate::call::Call;
use crate::json::encode_return;
use crate::request::Ticket;

/// The reply to a command `C`, to be sent at once or later, from any thread or task.
///
/// Until it is sent, the in-band commands that the client has sent after this one wait. A reply that
/// is dropped without having been sent, for example because its thread panics, becomes a
/// `GenericError`, so that the client does not wait forever.
#[must_use = "the client gets an error if the reply is dropped"]
pub struct Reply<C> {
    responder: Responder,
    command: PhantomData<fn(C)>,
}

impl<C> fmt::Debug for Reply<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("call", &self.responder.call).finish_non_exhaustive()
    }
}

impl<C: Command> Reply<C> {
    pub(crate) fn new(responder: Responder) -> Self {
        Self { responder, command: PhantomData }
    }

    /// Sends the result of the command. Does nothing if the client has gone.
    pub fn send(self, result: Result<C::Return, QmpError>) {
        self.responder.send(result.and_then(|value| encode_return(&value)));
    }

    /// Returns what is known about the command.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.responder.call
    }
}

/// The right and the duty to answer a command whose return value is JSON text already.
#[derive(Debug)]
pub(crate) struct Responder {
    call: Call,
    name: Arc<str>,
    /// Whether a success is answered.
    success_response: bool,
    ticket: Option<Ticket>,
}

impl Responder {
    pub(crate) fn new(call: Call, name: Arc<str>, ticket: Ticket) -> Self {
        Self { call, name, success_response: true, ticket: Some(ticket) }
    }

    /// Suppresses the reply to a success.
    pub(crate) fn without_success_response(mut self) -> Self {
        self.success_response = false;
        self
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn send(mut self, result: Result<String, QmpError>) {
        self.put(&result);
        self.notify();
    }

    /// Adds the reply to the output of the client. The caller calls [`notify`](Self::notify) once it
    /// holds no lock.
    pub(crate) fn put(&mut self, result: &Result<String, QmpError>) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut session = self.call.peer().session();
        match result {
            Ok(value) if self.success_response => session.succeed(ticket, value),
            Ok(_) => session.finish(ticket),
            Err(error) => session.fail(ticket, error),
        }
    }

    pub(crate) fn notify(&self) {
        self.call.peer().notify();
        self.call.hub().command_is_complete();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let name = &self.name;
        let desc = match std::thread::panicking() {
            true => format!("the handler of the command {name} panicked"),
            false => format!("the handler of the command {name} has not replied"),
        };
        self.put(&Err(QmpError::generic(desc)));
        self.notify();
    }
}
