//! A call with more to it than a command.

use std::cell::Cell;
use std::time::{Duration, Instant};

use qmp_types::{Event, Timestamp};
use serde_json::value::RawValue;

use super::{Client, Ticket};
use crate::error::{Error, Misuse, Result, Timeout, WaitedFor};
use crate::events::{Occurrence, RawEvent, decode_event};
use crate::machine::{Deadline, Descriptor, Incoming};
use crate::request::{self, Request};

/// QEMU takes so many descriptors in one go and drops the others.
const MOST_DESCRIPTORS: usize = 16;

/// Gives something for the event that is waited for.
pub(super) type Wanted<'w, T> = &'w mut dyn FnMut(&str, Option<&RawValue>, Timestamp) -> Option<T>;

/// A call that is being put together; [`Client::call`] begins it.
#[derive(Debug)]
#[must_use = "a call is made by `execute`, `send` or `until`"]
pub struct Call<'c, R> {
    client: &'c mut Client,
    request: R,
    within: Option<Duration>,
    descriptors: Vec<Descriptor>,
}

impl<'c, R: Request> Call<'c, R> {
    pub(super) fn new(client: &'c mut Client, request: R) -> Self {
        Self { client, request, within: None, descriptors: Vec::new() }
    }

    /// The deadline, in place of that of the [options](crate::Options::calls_within).
    /// [`Duration::MAX`] waits for ever.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    /// A file descriptor that travels with the command, as `getfd` and `add-fd` want one. It is
    /// closed on this side when it is sent. QEMU's commands take one each and close any others.
    #[cfg(unix)]
    pub fn descriptor(mut self, descriptor: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.descriptors.push(descriptor.into());
        self
    }

    fn check_descriptors(&self) -> Result<()> {
        let command = || self.request.name();
        if self.descriptors.len() > MOST_DESCRIPTORS {
            return Err(Misuse::TooManyDescriptors { command: command() }.into());
        }
        if !self.descriptors.is_empty() && !self.client.connection.passes_descriptors() {
            return Err(Misuse::NoDescriptors { command: command() }.into());
        }
        Ok(())
    }

    fn limit(&self) -> Duration {
        self.within.unwrap_or_else(|| self.client.options.call_within(&self.request.name()))
    }

    /// Executes the command and waits for its reply.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    pub fn execute(self) -> Result<R::Return> {
        self.check_descriptors()?;
        let limit = self.limit();
        self.client.execute_with(self.request, limit, self.descriptors)
    }

    /// Sends the command and does not wait.
    ///
    /// # Errors
    /// Those of [`Client::send`].
    pub fn send(self) -> Result<Ticket<R::Return>> {
        self.check_descriptors()?;
        let limit = self.limit();
        self.client.send_with(&self.request, limit, self.descriptors)
    }

    /// Executes the command and waits for its reply and for an event `E` that satisfies
    /// `predicate`; the deadline is for both. The event may come before the reply, but not before
    /// the command is sent: one that waits in the queue, or has arrived by then, is not it.
    ///
    /// All other events are queued as ever.
    ///
    /// # Errors
    /// Those of [`Client::execute`]; and the event does not fit, or does not come in time.
    pub fn until<E: Event>(
        self,
        mut predicate: impl FnMut(&E) -> bool,
    ) -> Result<(R::Return, Occurrence<E>)> {
        let (reply, event) =
            self.until_first(Some(E::NAME), &mut |name, data, timestamp| match decode_event::<E>(
                name, data,
            ) {
                Ok(Some(found)) if predicate(&found) => Some(Ok(Occurrence::new(found, timestamp))),
                Err(error) => Some(Err(error)),
                Ok(_) => None,
            })?;
        event.map(|event| (reply, event))
    }

    /// [`until`](Self::until), for whatever event `wanted` gives something for.
    ///
    /// # Errors
    /// Those of [`until`](Self::until).
    pub fn until_some<T>(
        self,
        mut wanted: impl FnMut(&RawEvent) -> Option<T>,
    ) -> Result<(R::Return, T)> {
        self.until_first(None, &mut |name, data, timestamp| {
            wanted(&RawEvent::new(name.into(), data, timestamp))
        })
    }

    fn until_first<T>(
        self,
        waited_for: Option<&'static str>,
        wanted: Wanted<'_, T>,
    ) -> Result<(R::Return, T)> {
        self.check_descriptors()?;
        let limit = self.limit();
        let Self { client, request, descriptors, .. } = self;
        let now = Instant::now();
        let deadline = Deadline::after(now, limit);
        client.connection.take_arrived(deadline.map(|limit| limit.at));
        let machine = &mut client.connection.machine;
        let id = request::submit(machine, &request, deadline, descriptors)?;

        let (mut reply, mut event) = (None, None);
        let done = Cell::new(false);
        client.connection.run(now, deadline.map(|limit| limit.at), &done, &mut |incoming| {
            let left = match incoming {
                Incoming::Reply { id: answered, result } if answered == id => {
                    reply = Some(
                        result.and_then(|value| request::decode_reply(|| request.name(), value)),
                    );
                    None
                }
                Incoming::Event { name, data, timestamp } if event.is_none() => {
                    event = wanted(&name, data, timestamp);
                    event.is_none().then_some(Incoming::Event { name, data, timestamp })
                }
                other => Some(other),
            };
            // A command that failed causes no event.
            done.set(matches!(reply, Some(Err(_))) || (reply.is_some() && event.is_some()));
            left
        });
        let missing = || -> Error {
            let timeout = Timeout::new(
                WaitedFor::Event { name: waited_for, command: Some(request.name()) },
                limit,
            );
            client.connection.closed().unwrap_or_else(|| timeout.into())
        };
        let reply = match reply {
            Some(reply) => reply?,
            // The event has come, and then the deadline, before the reply.
            None => return Err(missing()),
        };
        Ok((reply, event.ok_or_else(missing)?))
    }
}
