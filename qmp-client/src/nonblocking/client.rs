//! The handle of an asynchronous connection.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use qmp_protocol::{Closed, Dropped, End, OutOfBand, Request, Timeout, WaitedFor};
use qmp_types::{AllowOob, Event, Greeting, Version, Vocabulary};

use super::call::Call;
use super::ended::Ended;
use super::events::Events;
use super::reply::Reply;
use super::shared::Handle;
use super::ticket::Ticket;
use crate::error::Result;
use crate::options::Options;
use crate::pending::Pending;
use crate::selector::Selector;
use crate::stats::Stats;
use qmp_protocol::{Occurrence, RawEvent};

/// A connection to a monitor, for asynchronous programs.
///
/// It is a handle: cheap to clone, and used through `&self` by any number of tasks. Its
/// [driver](super::Driver) does the I/O. When the last handle of a connection is dropped (clients,
/// calls, subscriptions and guards are handles), the driver closes the connection, as soon as the
/// commands of dropped guards have been answered. The driver does that the next time it is polled:
/// on a runtime with a single thread, the socket stays open until that runs.
///
/// The [crate's page](crate#two-clients-one-vocabulary) compares it with the
/// blocking client.
///
/// # Cancel safety
///
/// Every future of this client may be dropped at any moment, and nothing else is affected: no other
/// call, no subscription, not the connection.
///
/// - A command that has not been sent is not sent: before its future is polled for the first time,
///   and while it is queued because eight others are in flight.
/// - A command that has been sent is executed: dropping its future does not undo it. Its reply is
///   dropped when it arrives, counted in [`Dropped::late_replies`], and never taken for another's.
/// - A subscription loses no event when the future of its [`next`](Events::next) is dropped.
/// - When a guard is dropped, its command is executed as a detached call, before any command that is
///   submitted later. A call that is to be undone, and whose future is dropped, is undone in the same
///   way when it has been answered. A detached call keeps the connection open until it is answered,
///   or until its deadline passes: the [recommended one](crate::deadlines::recommended), or a shorter
///   one that the [options](Options::calls_within) set. If the runtime shuts down first, the driver
///   sends what the socket accepts at once, and waits for nothing. It also executes the commands of
///   guards that still exist then, since they could not do it later.
#[derive(Clone)]
pub struct Client(Handle);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("version", self.version()).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// Waits until the negotiation is complete.
    pub(super) fn poll_negotiated(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_negotiated(cx)
    }

    /// Executes a command and waits for its reply, until the deadline that the
    /// [options](Options::calls_within) set.
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn execute<R: Request>(&self, request: R) -> Reply<R> {
        self.call(request).execute()
    }

    /// Executes a command out-of-band, ahead of the in-band commands that are queued.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and
    /// [`Misuse::OobNotEnabled`](crate::Misuse::OobNotEnabled).
    pub fn execute_oob<C: AllowOob>(&self, command: C) -> Reply<OutOfBand<C>> {
        self.execute(OutOfBand(command))
    }

    /// Begins a call with options: a deadline, file descriptors, an event to wait for.
    pub fn call<R: Request>(&self, request: R) -> Call<R> {
        Call::new(self.0.clone(), request)
    }

    /// Submits a command without waiting for its reply: [`Ticket::receive`] waits for that. At most
    /// eight in-band commands are in flight, and further ones are queued.
    ///
    /// # Errors
    /// The command cannot be written as JSON, or the connection has ended.
    pub fn send<R: Request>(&self, request: R) -> Result<Ticket<R::Return>> {
        self.call(request).send()
    }

    /// Subscribes to all events from now on, as those of the vocabulary `V`, such as
    /// `qmp::AnyEvent`.
    pub fn events<V: Vocabulary>(&self) -> Events<Occurrence<V>> {
        Events::new(self.0.clone(), Selector::vocabulary())
    }

    /// Subscribes to the events `E` from now on.
    pub fn events_of<E: Event>(&self) -> Events<Occurrence<E>> {
        Events::new(self.0.clone(), Selector::event())
    }

    /// Subscribes to all events from now on, undecoded.
    pub fn raw_events(&self) -> Events<RawEvent> {
        Events::new(self.0.clone(), Selector::raw())
    }

    /// Returns the server's greeting. A guest agent sends none: then it is empty.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        self.0.greeting()
    }

    /// Returns the version of the server.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.greeting().version
    }

    /// Returns whether out-of-band execution is enabled.
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.0.lock().connection.oob_enabled()
    }

    /// Returns the options of the connection.
    pub fn options(&self) -> &Options {
        self.0.options()
    }

    /// Returns the number of messages that were received and dropped.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        let dropped = self.0.lock().connection.dropped();
        self.options().count_missing(dropped)
    }

    /// Returns the number of calls that are not answered, including those that dropped guards have
    /// left, and the number of subscriptions.
    #[must_use]
    pub fn pending(&self) -> Pending {
        let state = self.0.lock();
        Pending {
            calls: state.inbox.waiters.unanswered() + state.detached.len(),
            subscriptions: state.inbox.subscriptions.len(),
        }
    }

    /// Returns what has happened on the connection so far: calls by outcome, latencies, events and
    /// bytes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Returns why the connection has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Closed> {
        self.0.lock().connection.ended().map(|end| Closed::new(None, end))
    }

    /// Waits until the connection has ended, and returns why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) -> Closed {
        Ended::new(&self.0, None).await;
        self.ended().unwrap_or_else(|| Closed::new(None, &Arc::new(End::Local)))
    }

    /// Waits until the connection has ended, until a deadline, and returns why it ended.
    ///
    /// # Errors
    /// The deadline passes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed_within(&self, within: Duration) -> Result<Closed> {
        let deadline = self.0.deadline_after(within);
        if Ended::new(&self.0, deadline.map(|deadline| deadline.at)).await {
            return Ok(self.closed().await);
        }
        let waited_for = WaitedFor::State("the connection to end".into());
        Err(Timeout::new(waited_for, within).into())
    }

    /// Closes the connection at once. Calls that are not answered fail. The commands of dropped
    /// guards are sent if the socket accepts them at once, and not waited for.
    ///
    /// The [driver](super::Driver) closes the socket, the next time it is polled. On a runtime with a
    /// single thread that is not before this task waits for something: await
    /// [`closed`](Self::closed), and the socket is closed as soon as the driver is dropped.
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits by the client's own timer, so that no other is needed, or until the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn pause(&self, duration: Duration) {
        let deadline = self.0.deadline_after(duration);
        Ended::new(&self.0, deadline.map(|deadline| deadline.at)).await;
    }

    /// Returns the current time by the client's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }
}
