//! From a stream to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::driver::Driver;
use super::link::{Clock, Link};
use super::state::{Hold, Shared};
use super::{Client, Events};
use crate::error::Result;
use crate::machine::Dialect;
use crate::options::Options;

/// A connection whose greeting and negotiation are not through yet: awaiting it gives the client.
/// Its [driver](Driver) must be polled meanwhile.
///
/// # Cancel safety
///
/// Dropping it closes the connection.
#[derive(Debug)]
#[must_use = "awaiting it gives the client"]
pub struct Connecting {
    client: Option<Client>,
}

impl Connecting {
    /// All events from now on: some come before the greeting. Nothing, if the client has been
    /// given out.
    #[must_use]
    pub fn events(&self) -> Option<Events> {
        self.client.as_ref().map(Client::events)
    }
}

impl Future for Connecting {
    type Output = Result<Client>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Client>> {
        let Some(client) = &self.client else { return Poll::Pending };
        // It is dropped behind the lock.
        let mut replaced = None;
        let greeting = {
            let mut state = client.hold().lock();
            ready!(state.poll_negotiated(cx, &mut replaced))?;
            state.machine.greeting().cloned().unwrap_or_default()
        };
        // It is not set yet: this is the only client of the connection.
        let _ = client.inner.greeting.set(greeting);
        match self.client.take() {
            Some(client) => Poll::Ready(Ok(client)),
            None => Poll::Pending,
        }
    }
}

/// A client to be, and what drives it.
pub(crate) fn start<L: Link, C: Clock>(
    link: L,
    clock: C,
    options: &Options,
    dialect: Dialect,
) -> (Connecting, Driver<L, C>) {
    let machine = options.machine(dialect, C::now());
    let passes_descriptors = link.passes_descriptors();
    let shared = Arc::new(Shared::new(machine, options.clone(), C::now, passes_descriptors));
    let driver = Driver::new(Arc::clone(&shared), link, clock);
    (Connecting { client: Some(Client::new(Hold::new(shared))) }, driver)
}
