//! From a stream to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::client::Client;
use super::direct::Direct;
use super::driver::Driver;
use super::events::Events;
use super::shared::{Handle, Shared};
use crate::error::Result;
use crate::options::Options;
use crate::runtime::{Clock, Link};
use qmp_protocol::{End, RawEvent};

/// A connection whose negotiation is not complete; it resolves to the client. Its [`Driver`] must be
/// polled meanwhile.
///
/// # Cancel safety
///
/// Dropping it closes the connection.
#[derive(Debug)]
#[must_use = "awaiting it gives the client"]
pub struct Connecting(Option<Client>);

impl Connecting {
    /// Subscribes to all events from now on, undecoded: some arrive before the greeting. Returns
    /// `None` if the client has been given out.
    #[must_use]
    #[inline]
    pub fn raw_events(&self) -> Option<Events<RawEvent>> {
        self.0.as_ref().map(Client::raw_events)
    }
}

impl Future for Connecting {
    type Output = Result<Client>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Client>> {
        let Some(client) = &self.0 else { return Poll::Pending };
        ready!(client.poll_negotiated(cx))?;
        self.0.take().map_or(Poll::Pending, |client| Poll::Ready(Ok(client)))
    }
}

/// Creates a client and its driver. The deadline for the greeting counts from `begin`.
pub(crate) fn start<L: Link, C: Clock>(
    link: L,
    clock: C,
    options: &Options,
    begin: Instant,
) -> (Connecting, Driver<L, C>) {
    let (connection, part) = options.connection(begin);
    let input = connection.new_input();
    let passes_descriptors = link.passes_descriptors();
    let direct = Direct::new(link.sender());
    let shared = Shared::new(connection, options.clone(), C::now, passes_descriptors, direct);
    let shared = Arc::new(shared);
    let weak = Arc::downgrade(&shared);
    part.set_end(move || weak.upgrade().into_iter().for_each(|shared| shared.end(End::Transcript)));
    let driver = Driver::new(Arc::clone(&shared), input, link, clock);
    (Connecting(Some(Client::new(Handle::new(shared)))), driver)
}
