//! Handles to a proxy.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use qmp_client::{Address, End, Result, TransportError};
use qmp_server::{Limits, Socket};
use qmp_types::recording::Recorder;
use rustix::net::{AddressFamily, getsockname};

use super::access::Access;
use super::end::ProxyEnd;
use super::listener::Listener;
use super::mailbox::{Letter, Mailbox};
use super::poller::Poller;
use super::service::Service;
use super::switchboard::{Counts, Switchboard};
use super::upstream::{self, Upstream, handshake_error};

/// The time that a monitor has for its greeting unless set otherwise.
const GREETING_WITHIN: Duration = Duration::from_secs(10);

/// A proxy: many clients on one monitor. The [module's page](super) describes it.
///
/// This is a handle. The proxy ends when the last one is dropped, unless it was
/// [detached](Self::detach); when [`stop`](Self::stop) is called; or when the connection to the monitor
/// ends.
#[derive(Clone)]
pub struct Proxy(Arc<Handle>);

struct Handle(Arc<Mailbox>);

impl Drop for Handle {
    fn drop(&mut self) {
        // After `detach`, the clients are what keeps the proxy.
        self.0.leave();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Connects to a monitor with default [options](ProxyOptions).
    ///
    /// ```no_run
    /// # #[cfg(all(unix, feature = "proxy"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::unix::net::UnixListener;
    ///
    /// use qmp_vm::proxy::{Access, Policy, Proxy};
    ///
    /// let proxy = Proxy::connect_to(&"unix:/run/vm.sock".parse()?)?;
    /// let watchers = Access::new().policy(Policy::read_only());
    /// proxy.listen(UnixListener::bind("/run/watch.sock")?, watchers)?;
    /// println!("{:?}", proxy.wait());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`ProxyOptions::connect_to`].
    pub fn connect_to(monitor: &Address) -> Result<Self> {
        ProxyOptions::new().connect_to(monitor)
    }

    /// Serves all clients that connect to a socket.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::unix::net::UnixListener;
    ///
    /// use qmp_vm::proxy::Access;
    ///
    /// proxy.listen(UnixListener::bind("/run/vm-shared.sock")?, Access::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The proxy has ended, or the operating system reports an error.
    pub fn listen(&self, listener: impl Into<Listener>, access: Access) -> io::Result<()> {
        let listener = listener.into();
        listener.set_nonblocking()?;
        self.0.0.post(Letter::Listen(listener, Arc::new(access)))
    }

    /// Connects a client within this program, and returns its end of the connection.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_vm::proxy::Access;
    ///
    /// let stream = proxy.connect(Access::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The proxy has ended, or a pair of sockets cannot be created.
    pub fn connect(&self, access: Access) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.serve(server, access)?;
        Ok(client)
    }

    /// Serves a client that has connected.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy, client: std::os::unix::net::UnixStream) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_vm::proxy::Access;
    ///
    /// proxy.serve(client, Access::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn serve(&self, client: impl Into<Socket>, access: Access) -> io::Result<()> {
        self.0.0.post(Letter::Client(client.into(), Arc::new(access)))
    }

    /// Leaves the proxy to its clients: dropping the handles does not end it any more. It ends when its
    /// last client has disconnected and its last command is answered, unless it
    /// [listens](Self::listen).
    ///
    /// ```
    /// # fn example(proxy: qmp_vm::proxy::Proxy) {
    /// // It serves its clients until the monitor ends.
    /// proxy.detach();
    /// # }
    /// ```
    pub fn detach(self) {
        // It may have ended already.
        let _ = self.0.0.post(Letter::Detach);
    }

    /// Ends the proxy: commands that were not answered get errors, and clients are disconnected.
    /// [`wait`](Self::wait) waits until that has happened.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) {
    /// proxy.stop();
    /// # }
    /// ```
    pub fn stop(&self) {
        // It may have ended already.
        let _ = self.0.0.post(Letter::Stop);
    }

    /// Waits until the proxy has ended, its clients are disconnected, and its socket files removed.
    /// Returns the reason.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) {
    /// println!("{:?}", proxy.wait());
    /// # }
    /// ```
    #[must_use]
    pub fn wait(&self) -> ProxyEnd {
        self.0.0.wait()
    }

    /// Returns the reason why the proxy has ended, if it has.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) {
    /// if let Some(end) = proxy.ended() {
    ///     println!("{end:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn ended(&self) -> Option<ProxyEnd> {
        self.0.0.ended()
    }

    /// Returns what the proxy has done so far.
    ///
    /// ```
    /// # fn example(proxy: &qmp_vm::proxy::Proxy) {
    /// println!("{:?}", proxy.counts());
    /// # }
    /// ```
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.0.counts()
    }
}

/// The options of a [`Proxy`].
#[must_use = "`connect_to` starts the proxy"]
pub struct ProxyOptions {
    limits: Limits,
    greeting_within: Duration,
    recorder: Option<Recorder>,
}

impl fmt::Debug for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyOptions")
            .field("limits", &self.limits)
            .field("greeting_within", &self.greeting_within)
            .field("recorder", &self.recorder)
            .finish()
    }
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ProxyOptions {
    /// Creates the default options.
    ///
    /// ```
    /// let options = qmp_vm::proxy::ProxyOptions::new();
    /// ```
    pub fn new() -> Self {
        Self { limits: Limits::default(), greeting_within: GREETING_WITHIN, recorder: None }
    }

    /// Sets the limits of one client, and of all together (default: [`Limits::default`]).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the time that the monitor has for its greeting and the negotiation (default: 10 seconds).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::proxy::ProxyOptions;
    ///
    /// let options = ProxyOptions::new().greeting_within(Duration::from_secs(5));
    /// ```
    pub fn greeting_within(mut self, within: Duration) -> Self {
        self.greeting_within = within;
        self
    }

    /// Records every command, reply and event, with their secrets masked, as the connections
    /// `client-0`, `client-1` and so on. The proxy's thread writes, and everything waits for it.
    pub fn record(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Connects to a monitor, and starts the proxy's thread.
    ///
    /// # Errors
    /// The monitor does not listen, does not greet in time, or is not a QMP server.
    pub fn connect_to(self, monitor: &Address) -> Result<Proxy> {
        let socket = upstream::open(monitor, self.greeting_within)?;
        self.over(socket)
    }

    /// Starts a proxy over a socket that is connected to a monitor.
    ///
    /// ```
    /// # fn example(monitor: std::os::unix::net::UnixStream) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_vm::proxy::ProxyOptions;
    ///
    /// let proxy = ProxyOptions::new().over(monitor)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The monitor does not greet in time, or is not a QMP server; or the thread cannot be spawned.
    pub fn over(self, monitor: impl Into<Socket>) -> Result<Proxy> {
        let socket = monitor.into();
        let family = getsockname(&socket).map(|name| name.address_family());
        let passes_descriptors = family == Ok(AddressFamily::UNIX);
        let (upstream, connection) =
            Upstream::negotiate(socket, self.greeting_within).map_err(handshake_error)?;
        let board = Switchboard::new(connection, passes_descriptors, self.limits, self.recorder);
        spawn(move || Ok((board, upstream)))
            .map_err(|error| TransportError::new("cannot start the proxy's thread", error).into())
    }

    /// Starts a proxy over a socket that is connected to a monitor, without waiting for the greeting:
    /// clients get theirs when the monitor has greeted, or are disconnected.
    pub(super) fn start_over(self, monitor: UnixStream) -> io::Result<Proxy> {
        spawn(move || {
            let (upstream, connection) = Upstream::negotiate(monitor.into(), self.greeting_within)?;
            Ok((Switchboard::new(connection, true, self.limits, self.recorder), upstream))
        })
    }
}

/// Starts the thread of a proxy, which first connects to the monitor.
fn spawn(
    connect: impl FnOnce() -> Result<(Switchboard, Upstream), Arc<End>> + Send + 'static,
) -> io::Result<Proxy> {
    /// Says that the thread has ended, even if it has panicked.
    struct Ended(Arc<Mailbox>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.end(ProxyEnd::Panicked);
        }
    }

    let (mailbox, woken) = Mailbox::new()?;
    let poller = Poller::new()?;
    let mailbox = Arc::new(mailbox);
    let handle = Handle(Arc::clone(&mailbox));
    let run = move || {
        let ended = Ended(mailbox);
        let service = connect().and_then(|(board, upstream)| {
            let service = Service::new(poller, board, upstream, &woken);
            service.map_err(|error| Arc::new(End::Transport(error)))
        });
        ended.0.end(match service {
            Ok(service) => service.run(&ended.0, woken),
            Err(end) => ProxyEnd::Upstream(end),
        });
    };
    thread::Builder::new().name("qmp-proxy".to_owned()).spawn(run)?;
    Ok(Proxy(Arc::new(handle)))
}
