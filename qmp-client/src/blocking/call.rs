//! A call with more to it than a command.

use std::cell::Cell;
use std::time::{Duration, Instant};

use qmp_types::Event;

use super::{Client, Ticket};
use crate::error::{Error, Result, Timeout, WaitedFor};
use crate::events::{Occurrence, decode_event};
use crate::machine::{Deadline, Incoming};
use crate::request::{self, Request};

/// A call that is being put together; [`Client::call`] begins it.
#[derive(Debug)]
#[must_use = "a call is made by `execute`, `send` or `until`"]
pub struct Call<'c, R> {
    client: &'c mut Client,
    request: R,
    within: Option<Duration>,
}

impl<'c, R: Request> Call<'c, R> {
    pub(super) fn new(client: &'c mut Client, request: R) -> Self {
        Self { client, request, within: None }
    }

    /// The deadline, in place of that of the [options](crate::Options::calls_within).
    /// [`Duration::MAX`] waits for ever.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    fn limit(&self) -> Duration {
        self.within.unwrap_or_else(|| self.client.options.call_within(&self.request.name()))
    }

    /// Executes the command and waits for its reply.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    pub fn execute(self) -> Result<R::Return> {
        let limit = self.limit();
        self.client.execute_within(self.request, limit)
    }

    /// Sends the command and does not wait.
    ///
    /// # Errors
    /// Those of [`Client::send`].
    pub fn send(self) -> Result<Ticket<R::Return>> {
        let limit = self.limit();
        self.client.send_within(&self.request, limit)
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
        let limit = self.limit();
        let Self { client, request, .. } = self;
        let now = Instant::now();
        let deadline = Deadline::after(now, limit);
        client.connection.take_arrived(deadline.map(|limit| limit.at));
        let id = request::submit(&mut client.connection.machine, &request, deadline)?;

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
                    match decode_event::<E>(&name, data) {
                        Ok(Some(found)) if predicate(&found) => {
                            event = Some(Ok(Occurrence::new(found, timestamp)));
                            None
                        }
                        Err(error) => {
                            event = Some(Err(error));
                            None
                        }
                        Ok(_) => Some(Incoming::Event { name, data, timestamp }),
                    }
                }
                other => Some(other),
            };
            // A command that failed causes no event.
            done.set(matches!(reply, Some(Err(_))) || (reply.is_some() && event.is_some()));
            left
        });
        let missing = || -> Error {
            let timeout = Timeout::new(WaitedFor::Event(Some(E::NAME)), limit);
            client.connection.closed().unwrap_or_else(|| timeout.into())
        };
        let reply = match reply {
            Some(reply) => reply?,
            // The event has come, and then the deadline, before the reply.
            None => return Err(missing()),
        };
        Ok((reply, event.unwrap_or_else(|| Err(missing()))?))
    }
}
