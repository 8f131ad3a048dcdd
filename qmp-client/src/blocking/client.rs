//! The handle of a blocking connection.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use qmp_protocol::{Closed, Deadline, Dropped, Misuse, OutOfBand, Request, Timeout, WaitedFor};
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
    /// ```no_run
    /// # fn main() -> qmp_client::Result<()> {
    /// use qmp_client::blocking::Client;
    ///
    /// let local = Client::connect("unix:/run/vm.sock")?;
    /// let remote = Client::connect("tcp:vm.example.org:4444")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address is invalid, no server listens there, or the server is not a QMP server.
    pub fn connect(address: impl ToAddress) -> Result<Self> {
        Self::connect_with(address, &Options::new())
    }

    /// Connects to a monitor.
    ///
    /// ```no_run
    /// # fn main() -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking::Client};
    ///
    /// // QEMU may still be starting.
    /// let options = Options::new().wait_for_socket(Duration::from_secs(10));
    /// let vm = Client::connect_with("unix:/run/vm.sock", &options)?;
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Tcp};
    ///
    /// // This QEMU connects by itself: `-qmp tcp:127.0.0.1:4444`.
    /// let listener = TcpListener::bind("127.0.0.1:4444")?;
    /// let stream = Tcp::accept(&listener, Duration::from_secs(10))?;
    /// let vm = Client::over(stream, &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{BlockResize, QueryStatus};
    ///
    /// println!("{}", vm.execute(QueryStatus::new())?.status);
    /// vm.execute(BlockResize::new(20 << 30).node_name("disk"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server answers with an error, the reply does not match the schema, the deadline passes,
    /// or the connection ends.
    pub fn execute<R: Request>(&self, request: R) -> Result<R::Return> {
        execute(&self.0, &request, None, Vec::new())
    }

    /// Executes a command out-of-band, ahead of the in-band commands that are queued.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::MigratePause;
    ///
    /// // Also while another command hangs. Only commands that QEMU permits can be passed here.
    /// vm.execute_oob(MigratePause::new())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and
    /// [`Misuse::OobNotEnabled`](crate::Misuse::OobNotEnabled).
    pub fn execute_oob<C: AllowOob>(&self, command: C) -> Result<C::Return> {
        self.execute(OutOfBand(command))
    }

    /// Begins a call with options: a deadline, file descriptors, an event to wait for.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBlock;
    ///
    /// let call = vm.call(QueryBlock::new()).within(Duration::from_secs(2));
    /// println!("{} disks", call.execute()?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<R: Request>(&self, request: R) -> Call<R> {
        Call::new(self.0.clone(), request)
    }

    /// Submits a command without waiting for its reply: [`Ticket::receive`] waits for that. At most
    /// eight in-band commands are in flight, and further ones are queued. What the socket has no room for
    /// is sent when a thread next uses the connection, such as to receive the reply.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::{QueryBlock, QueryStatus};
    ///
    /// let disks = vm.send(QueryBlock::new())?;
    /// // Something else, while QEMU works on the first command.
    /// println!("{}", vm.execute(QueryStatus::new())?.status);
    /// println!("{} disks", disks.receive()?.len());
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::AnyEvent;
    ///
    /// let mut events = vm.events::<AnyEvent>();
    /// while let Some(event) = events.next() {
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::events::BlockIoError;
    ///
    /// let mut errors = vm.events_of::<BlockIoError>();
    /// while let Some(error) = errors.next() {
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// let mut events = vm.raw_events();
    /// while let Some(event) = events.next() {
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::MigratePause;
    ///
    /// if vm.oob_enabled() {
    ///     vm.execute_oob(MigratePause::new())?;
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
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// println!("{:?}", vm.options().call_within("query-block"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Returns the number of messages that were received and dropped.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
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

    /// Returns the number of calls that are not answered, and the number of subscriptions.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
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
            calls: state.inbox.waiters.unanswered(),
            subscriptions: state.inbox.subscriptions.len(),
        }
    }

    /// Returns what has happened on the connection so far: calls by outcome, latencies, events and
    /// bytes.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
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

    /// Returns why the connection has ended, if that is known. Nothing is read for it.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// if let Some(closed) = vm.ended() {
    ///     println!("{}", closed.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn ended(&self) -> Option<Closed> {
        self.0.ended()
    }

    /// Waits until the connection has ended, and returns why.
    ///
    /// Code that decodes a reply or an event of the same connection cannot wait for that. The reason is then
    /// an error that says so, and the connection goes on; [`closed_within`](Self::closed_within) returns
    /// [`Misuse::Nested`](crate::Misuse::Nested).
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// println!("QEMU has ended: {}", vm.closed().reason);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.wait(None);
        self.0.closed()
    }

    /// Waits until the connection has ended, until a deadline, and returns why it ended.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// match vm.closed_within(Duration::from_secs(10)) {
    ///     Ok(closed) => println!("QEMU has ended: {}", closed.reason),
    ///     Err(error) => println!("{}", error.report()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The deadline passes, or [`Misuse::Nested`](crate::Misuse::Nested).
    pub fn closed_within(&self, within: Duration) -> Result<Closed> {
        self.wait(Deadline::after(self.now(), within));
        self.ended().ok_or_else(|| {
            if self.0.is_nested() {
                return Misuse::Nested.into();
            }
            let waited_for = WaitedFor::State("the connection to end".into());
            Timeout::new(waited_for, within).into()
        })
    }

    /// Closes the connection at once. Calls that are not answered fail, and every thread that waits
    /// is woken.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// vm.close();
    /// assert!(vm.execute(QueryStatus::new()).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits, and reads what arrives meanwhile, or until the connection ends. Code that decodes a reply or
    /// an event of the same connection sleeps.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qmp"))]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryBalloon;
    ///
    /// // Until the guest has given memory back. Events are received meanwhile.
    /// while vm.execute(QueryBalloon::new())?.actual > 1 << 30 {
    ///     vm.pause(Duration::from_millis(100));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn pause(&self, duration: Duration) {
        let deadline = Deadline::after(self.now(), duration);
        self.wait(deadline);
        self.0.sleep_if_nested(deadline.map(|deadline| deadline.at));
    }

    /// Returns the current time by the client's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits until the connection has ended, or a deadline.
    fn wait(&self, deadline: Option<Deadline>) {
        let mut never = Until(|_: &mut State| false);
        self.0.wait(deadline.map(|deadline| deadline.at), &mut never);
    }
}
