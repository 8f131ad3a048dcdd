//! The client of a guest agent: connecting, and executing commands.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use qmp_client::protocol::Dialect;
use qmp_client::{Options, Request, Result, ToAddress};
use qmp_types::qga::commands::GuestPing;

use crate::connect::{Connect, ConnectOver};
use crate::monitor::Monitor;
use crate::monitor::session::Call;

/// A connection to the guest agent, through the socket that QEMU has for it. Like a client, it is a
/// handle that can be cloned.
///
/// The agent answers one command after the other, and does not say which command an answer belongs
/// to. Therefore, the client first synchronizes with it (`guest-sync-delimited`, or `guest-sync` if
/// the agent is too old), and again after a call timed out or was dropped: what an earlier client
/// left unread, or a late reply, does no harm. Synchronizing is repeated until the agent answers: at
/// first for as long as [`greeting_within`](Options::greeting_within) says, later for as long as a
/// call may take.
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// use qmp_vm::{Exec, blocking::Agent};
///
/// let guest = Agent::connect("unix:/run/vm-agent.sock")?;
/// let output = guest.exec(&Exec::new("/bin/uname").arg("-r"))?;
/// println!("{}", String::from_utf8_lossy(&output.stdout));
/// let frozen = guest.freeze()?;
/// // ... take the snapshot; the guest's file systems are thawed whatever happens.
/// frozen.thaw()?;
/// # }
/// # Ok::<(), qmp_client::Error>(())
/// ```
///
/// With the asynchronous `qmp_vm::Agent`, every one of these calls is awaited.
///
/// # Cancel safety
/// Like those of a client, the futures of an agent may be dropped at any moment. A program that was
/// started goes on; a file that was opened is closed, and file systems are thawed, in the
/// background.
#[derive(Clone, Debug)]
pub struct Agent<M> {
    client: M,
}

impl<M: Connect> Agent<M> {
    /// Connects to the agent at this address, and waits until it answers.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_vm::blocking::Agent;
    ///
    /// let guest = Agent::connect("unix:/run/guest.sock")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The text is not an address, no process listens there, or no agent answers in time.
    ///
    /// # Panics
    /// The asynchronous client's future panics outside of a tokio runtime.
    pub fn connect(address: impl ToAddress) -> M::Outcome<'static, Result<Self>> {
        Self::connect_with(address, &Options::new())
    }

    /// [`connect`](Self::connect) with options, whose [dialect](Options::dialect) is set to that of
    /// an agent.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::Options;
    /// use qmp_vm::blocking::Agent;
    ///
    /// // A guest that boots starts its agent late.
    /// let options = Options::new().greeting_within(Duration::from_secs(120));
    /// let guest = Agent::connect_with("unix:/run/guest.sock", &options)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    ///
    /// # Panics
    /// Those of [`connect`](Self::connect).
    pub fn connect_with(
        address: impl ToAddress,
        options: &Options,
    ) -> M::Outcome<'static, Result<Self>> {
        let (address, options) = (address.to_address(), dialect(options));
        M::run(async move { M::connect_to(address?, options).await.map(Self::from_client) })
    }

    /// Connects to the agent's socket that a process is going to open. This fails as soon as the
    /// process ends, which `try_wait` tells.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), and [`Error::Launch`](qmp_client::Error::Launch).
    ///
    /// # Panics
    /// Those of [`connect`](Self::connect).
    pub fn connect_to_child<'a>(
        address: impl ToAddress,
        options: &Options,
        try_wait: impl FnMut() -> io::Result<Option<ExitStatus>> + Send + 'a,
    ) -> M::Outcome<'a, Result<Self>> {
        let (address, options) = (address.to_address(), dialect(options));
        M::run(async move {
            M::connect_to_child(address?, options, try_wait).await.map(Self::from_client)
        })
    }

    /// Connects to the agent over an open stream, and waits until it answers.
    ///
    /// # Errors
    /// No agent answers in time, or the connection ends.
    ///
    /// # Panics
    /// Those of [`connect`](Self::connect).
    pub fn over<S>(stream: S, options: &Options) -> M::Outcome<'static, Result<Self>>
    where
        M: ConnectOver<S>,
        S: Send + 'static,
    {
        let options = dialect(options);
        M::run(async move { M::connect_over(stream, options).await.map(Self::from_client) })
    }
}

fn dialect(options: &Options) -> Options {
    options.clone().dialect(Dialect::Agent)
}

impl<M: Monitor> Agent<M> {
    /// Takes a client that was connected to an agent with the [dialect](Options::dialect)
    /// [`Dialect::Agent`].
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(client: qmp_client::blocking::Client) {
    /// let guest = qmp_vm::agent::Agent::from_client(client);
    /// # }
    /// ```
    pub fn from_client(client: M) -> Self {
        Self { client }
    }

    /// Returns the client, for everything else: `agent.client().call(command)`.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qga::commands::GuestGetFsinfo;
    ///
    /// let call = guest.client().call(GuestGetFsinfo::new()).within(Duration::from_secs(60));
    /// println!("{} file systems", call.execute()?.len());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> &M {
        &self.client
    }

    /// Executes a command and waits for its reply.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use qmp_client::qga::commands::GuestGetHostName;
    ///
    /// println!("{:?}", guest.execute(GuestGetHostName::new())?.host_name);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub fn execute<'a, R: Request<Return: Send> + Send + 'a>(
        &'a self,
        request: R,
    ) -> M::Outcome<'a, Result<R::Return>> {
        M::run(self.client.execute(request))
    }

    /// Executes a command with a deadline. The success of commands that end the guest or suspend
    /// it, such as `guest-shutdown`, is not answered: if no error has arrived by then, they have
    /// succeeded.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qga::commands::GuestGetFsinfo;
    ///
    /// println!("{}", guest.execute_within(GuestGetFsinfo::new(), PATIENCE)?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub fn execute_within<'a, R: Request<Return: Send> + Send + 'a>(
        &'a self,
        request: R,
        within: Duration,
    ) -> M::Outcome<'a, Result<R::Return>> {
        M::run(self.client.call(request).within(within).execute())
    }

    /// Checks that the agent answers.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// if guest.ping(Duration::from_secs(5)).is_err() {
    ///     println!("the agent does not answer");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The agent does not answer in time.
    pub fn ping(&self, within: Duration) -> M::Outcome<'_, Result<()>> {
        M::run(async move {
            self.client.call(GuestPing::new()).within(within).execute().await.map(|_| ())
        })
    }
}
