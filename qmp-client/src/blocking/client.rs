//! The handle of a blocking connection.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use qmp_protocol::{Closed, Deadline, Dropped, OutOfBand, Request, Timeout, WaitedFor};
use qmp_types::{AllowOob, Event, Greeting, Version, Vocabulary};

use super::call::Call;
use super::connect::open;
use super::events::Events;
use super::reply::execute;
use super::shared::Handle;
use super::state::State;
use super::ticket::Ticket;
use super::wait::Until;
use crate::address::ToAddress;
use crate::error::Result;
use crate::options::Options;
use crate::pending::Pending;
use crate::selector::Selector;
use crate::stats::Stats;
use crate::transport::Transport;
use qmp_protocol::{Occurrence, RawEvent};

/// A connection to a monitor, for programs that block their threads.
///
/// It is a handle: cheap to clone, and used through `&self` by any number of threads. One thread can
/// wait for events while others execute commands. When the last handle of a connection is dropped
/// (clients, calls, tickets, subscriptions and guards are handles), the connection is closed;
/// [`close`](Self::close) does that at once, and wakes every thread that waits.
#[derive(Clone)]
pub struct Client(Handle);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("version", self.version()).finish_non_exhaustive()
    }
}

/// The constructors.
impl Client {
    /// Connects to a monitor with the default [`Options`].
    ///
    /// # Errors
    /// The address is invalid, no server listens there, or the server is not a QMP server.
    pub fn connect(address: impl ToAddress) -> Result<Self> {
        Self::connect_with(address, &Options::new())
    }

    /// Connects to a monitor.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); and a deadline passes.
    pub fn connect_with(address: impl ToAddress, options: &Options) -> Result<Self> {
        Self::connect_to_child(address, options, || Ok(None))
    }

    /// Connects to the monitor that a process is expected to open. If the process ends while this
    /// waits for the socket, it fails at once.
    ///
    /// `try_wait` returns the exit status of the process if it has ended:
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking::Client};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut qemu = std::process::Command::new("qemu-system-x86_64")
    ///     .args(["-display", "none", "-qmp", "unix:/run/vm.sock,server=on,wait=off"])
    ///     .spawn()?;
    /// let options = Options::new().wait_for_socket(Duration::from_secs(10));
    /// let vm = Client::connect_to_child("unix:/run/vm.sock", &options, || qemu.try_wait())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with), and [`Error::Launch`](crate::Error::Launch).
    pub fn connect_to_child(
        address: impl ToAddress,
        options: &Options,
        mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
    ) -> Result<Self> {
        let begin = Instant::now();
        let address = address.to_address()?;
        let options = &options.at(&address);
        let transport = open(&address, options, &mut try_wait)?;
        let begin = options.greeting_begin(begin, Instant::now());
        Self::negotiate(Handle::new(transport, options, begin))
    }

    /// Creates a client of an open stream, and waits until the negotiation is complete.
    ///
    /// # Errors
    /// The peer is not a QMP server, or the deadline passes.
    pub fn over(stream: impl Transport + 'static, options: &Options) -> Result<Self> {
        Self::negotiate(Handle::new(Box::new(stream), options, Instant::now()))
    }

    /// Waits until the negotiation is complete.
    pub(super) fn negotiate(handle: Handle) -> Result<Self> {
        handle.negotiate()?;
        Ok(Self(handle))
    }
}

impl Client {
    /// Executes a command and waits for its reply, until the deadline that the
    /// [options](Options::calls_within) set.
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn execute<R: Request>(&self, request: R) -> Result<R::Return> {
        execute(&self.0, &request, None, Vec::new())
    }

    /// Executes a command out-of-band, ahead of the in-band commands that are queued.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and
    /// [`Misuse::OobNotEnabled`](crate::Misuse::OobNotEnabled).
    pub fn execute_oob<C: AllowOob>(&self, command: C) -> Result<C::Return> {
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
        &self.0.options
    }

    /// Returns the number of messages that were received and dropped.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        let dropped = self.0.lock().connection.dropped();
        self.options().count_missing(dropped)
    }

    /// Returns the number of calls that are not answered, and the number of subscriptions.
    #[must_use]
    pub fn pending(&self) -> Pending {
        let state = self.0.lock();
        Pending {
            calls: state.inbox.waiters.unanswered(),
            subscriptions: state.inbox.subscriptions.len(),
        }
    }

    /// Returns what has happened on the connection so far: calls by outcome, latencies, events and
    /// bytes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Returns why the connection has ended, if that is known. Nothing is read for it.
    #[must_use]
    pub fn ended(&self) -> Option<Closed> {
        self.0.ended()
    }

    /// Waits until the connection has ended, and returns why.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.wait(None);
        self.0.closed()
    }

    /// Waits until the connection has ended, until a deadline, and returns why it ended.
    ///
    /// # Errors
    /// The deadline passes.
    pub fn closed_within(&self, within: Duration) -> Result<Closed> {
        self.wait(Deadline::after(self.now(), within));
        self.ended().ok_or_else(|| {
            let waited_for = WaitedFor::State("the connection to end".into());
            Timeout::new(waited_for, within).into()
        })
    }

    /// Closes the connection at once. Calls that are not answered fail, and every thread that waits
    /// is woken.
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits, and reads what arrives meanwhile, or until the connection ends.
    pub fn pause(&self, duration: Duration) {
        self.wait(Deadline::after(self.now(), duration));
    }

    /// Returns the current time by the client's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits until the connection has ended, or a deadline.
    fn wait(&self, deadline: Option<Deadline>) {
        let mut never = Until::new(|_: &mut State| None::<()>);
        self.0.wait(deadline.map(|deadline| deadline.at), &mut never);
    }
}
