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
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{BlockResize, QueryStatus};
    ///
    /// println!("{}", vm.execute(QueryStatus::new()).await?.status);
    /// vm.execute(BlockResize::new(20 << 30).node_name("disk")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn execute<R: Request>(&self, request: R) -> Reply<R> {
        self.call(request).execute()
    }

    /// Executes a command out-of-band, ahead of the in-band commands that are queued.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::MigratePause;
    ///
    /// // Also while another command hangs. Only commands that QEMU permits can be passed here.
    /// vm.execute_oob(MigratePause::new()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and
    /// [`Misuse::OobNotEnabled`](crate::Misuse::OobNotEnabled).
    pub fn execute_oob<C: AllowOob>(&self, command: C) -> Reply<OutOfBand<C>> {
        self.execute(OutOfBand(command))
    }

    /// Begins a call with options: a deadline, file descriptors, an event to wait for.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let call = vm.call(QueryBlock::new()).within(Duration::from_secs(2));
    /// println!("{} disks", call.execute().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<R: Request>(&self, request: R) -> Call<R> {
        Call::new(self.0.clone(), request)
    }

    /// Submits a command without waiting for its reply: [`Ticket::receive`] waits for that. At most
    /// eight in-band commands are in flight, and further ones are queued.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryStatus};
    ///
    /// let disks = vm.send(QueryBlock::new())?;
    /// // Something else, while QEMU works on the first command.
    /// println!("{}", vm.execute(QueryStatus::new()).await?.status);
    /// println!("{} disks", disks.receive().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The command cannot be written as JSON, or the connection has ended.
    pub fn send<R: Request>(&self, request: R) -> Result<Ticket<R::Return>> {
        self.call(request).send()
    }

    /// Subscribes to all events from now on, as those of the vocabulary `V`, such as
    /// `qmp::AnyEvent`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::AnyEvent;
    ///
    /// let mut events = vm.events::<AnyEvent>();
    /// while let Some(event) = events.next().await {
    ///     match event?.event {
    ///         AnyEvent::Shutdown(shutdown) => println!("ended: {}", shutdown.reason),
    ///         AnyEvent::Unknown { name, .. } => println!("newer than this program: {name:?}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events<V: Vocabulary>(&self) -> Events<Occurrence<V>> {
        Events::new(self.0.clone(), Selector::vocabulary())
    }

    /// Subscribes to the events `E` from now on.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::BlockIoError;
    ///
    /// let mut errors = vm.events_of::<BlockIoError>();
    /// while let Some(error) = errors.next().await {
    ///     println!("{:?}", error?.event.node_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events_of<E: Event>(&self) -> Events<Occurrence<E>> {
        Events::new(self.0.clone(), Selector::event())
    }

    /// Subscribes to all events from now on, undecoded.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// let mut events = vm.raw_events();
    /// while let Some(event) = events.next().await {
    ///     println!("{:?}", event?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn raw_events(&self) -> Events<RawEvent> {
        Events::new(self.0.clone(), Selector::raw())
    }

    /// Returns the server's greeting. A guest agent sends none: then it is empty.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// println!("{:?}", vm.greeting().capabilities);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        self.0.greeting()
    }

    /// Returns the version of the server.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// if vm.version().qemu.major >= 9 {
    ///     println!("QEMU {}", vm.version());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.greeting().version
    }

    /// Returns whether out-of-band execution is enabled.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::MigratePause;
    ///
    /// if vm.oob_enabled() {
    ///     vm.execute_oob(MigratePause::new()).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn oob_enabled(&self) -> bool {
        self.0.lock().connection.oob_enabled()
    }

    /// Returns the options of the connection.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// println!("{:?}", vm.options().call_within("query-block"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn options(&self) -> &Options {
        self.0.options()
    }

    /// Returns the number of messages that were received and dropped.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// println!("{} replies came too late", vm.dropped().late_replies);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn dropped(&self) -> Dropped {
        let dropped = self.0.lock().connection.dropped();
        self.options().count_missing(dropped)
    }

    /// Returns the number of calls that are not answered, including those that dropped guards have
    /// left, and the number of subscriptions.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// let pending = vm.pending();
    /// println!("{} calls, {} subscriptions", pending.calls, pending.subscriptions);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn pending(&self) -> Pending {
        let state = self.0.lock();
        Pending {
            calls: state.inbox.waiters.unanswered() + state.detached.len(),
            subscriptions: state.inbox.subscriptions.len(),
        }
    }

    /// Returns what has happened on the connection so far: calls by outcome, latencies, events and
    /// bytes.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// let stats = vm.stats();
    /// println!("{} calls, 99 % within {:?}", stats.calls.finished(), stats.latency.quantile(0.99));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Returns why the connection has ended, if it has.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// if let Some(closed) = vm.ended() {
    ///     println!("{}", closed.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn ended(&self) -> Option<Closed> {
        self.0.lock().connection.ended().map(|end| Closed::new(None, end))
    }

    /// Waits until the connection has ended, and returns why.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// println!("QEMU has ended: {}", vm.closed().await.reason);
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// match vm.closed_within(Duration::from_secs(10)).await {
    ///     Ok(closed) => println!("QEMU has ended: {}", closed.reason),
    ///     Err(error) => println!("{}", error.report()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// vm.close();
    /// assert!(vm.execute(QueryStatus::new()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits by the client's own timer, so that no other is needed, or until the connection ends.
    ///
    /// ```no_run
    /// # #[cfg(feature = "qmp")]
    /// # async fn example(vm: qmp_client::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBalloon;
    ///
    /// // Until the guest has given memory back. Events are received meanwhile.
    /// while vm.execute(QueryBalloon::new()).await?.actual > 1 << 30 {
    ///     vm.pause(Duration::from_millis(100)).await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
