//! The client that blocks its thread.
//!
//! [`Client`] is a loop on the [protocol machine](crate::machine): no runtime, no thread of its
//! own. Every wait has a deadline, total and not per read.
//!
//! ```no_run
//! # #[cfg(feature = "qmp")] {
//! use std::time::Duration;
//!
//! use qmp_client::blocking::Client;
//! use qmp_client::qmp::AnyEvent;
//! use qmp_client::qmp::commands::{DeviceDel, QueryName, QueryStatus, QueryUuid, Stop};
//! use qmp_client::qmp::events::DeviceDeleted;
//!
//! let mut vm = Client::connect("unix:/run/vm.sock")?;
//!
//! // One command, one reply.
//! println!("{}", vm.execute(QueryStatus::new())?.status);
//!
//! // Several commands at once: the replies are collected by their tickets.
//! let name = vm.send(QueryName::new())?;
//! let uuid = vm.send(QueryUuid::new())?;
//! println!("{:?} {}", vm.receive(name)?.name, vm.receive(uuid)?.uuid);
//!
//! // A command, and the event that it brings about.
//! let deleted = |event: &DeviceDeleted| event.device.as_deref() == Some("d0");
//! vm.call(DeviceDel::new("d0")).within(Duration::from_secs(10)).until(deleted)?;
//!
//! // All other events wait in a queue until they are taken.
//! vm.execute(Stop::new())?;
//! match vm.next_event::<AnyEvent>(Duration::from_secs(1))?.event {
//!     AnyEvent::Stop(_) => println!("stopped"),
//!     other => println!("{other:?}"),
//! }
//! # }
//! # Ok::<(), qmp_client::Error>(())
//! ```
//!
//! A command that no schema knows is a [`Raw`] one.

#[cfg(feature = "qga")]
mod agent;
mod call;
mod connect;
mod connection;
mod events;
#[cfg(feature = "qmp")]
mod helpers;
#[cfg(unix)]
mod launch;
mod ticket;

use std::time::{Duration, Instant};

use qmp_types::{AllowOob, Empty, Greeting, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Closed, End, Error, Misuse, Result, Timeout, WaitedFor};
use crate::machine::{Deadline, Descriptor, Dropped};
use crate::options::Options;
use crate::request::{self, OutOfBand, Raw, Request};
use connection::{Connection, keep_all};

#[cfg(unix)]
pub use crate::{
    launch::Launch,
    process::{Exit, Process},
};
#[cfg(feature = "qga")]
pub use agent::{Agent, Frozen};
pub use call::Call;
pub use events::{Events, EventsOf};
#[cfg(all(unix, feature = "qmp"))]
pub use helpers::FdsetGuard;
pub use ticket::Ticket;

/// A connection to a monitor.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    greeting: Greeting,
    options: Options,
    #[cfg(unix)]
    process: Option<Process>,
}

impl Client {
    /// Executes a command and waits for its reply, for as long as the
    /// [options](Options::calls_within) say.
    ///
    /// # Errors
    /// The server refuses the command, its reply does not fit, the deadline passes, or the
    /// connection ends.
    pub fn execute<R: Request>(&mut self, request: R) -> Result<R::Return> {
        let within = self.options.call_within(&request.name());
        self.execute_within(request, within)
    }

    /// Executes a command and waits for its reply no longer than `within`.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn execute_within<R: Request>(
        &mut self,
        request: R,
        within: Duration,
    ) -> Result<R::Return> {
        self.execute_with(request, within, Vec::new())
    }

    fn execute_with<R: Request>(
        &mut self,
        request: R,
        within: Duration,
        descriptors: Vec<Descriptor>,
    ) -> Result<R::Return> {
        let now = Instant::now();
        let deadline = Deadline::after(now, within);
        let machine = &mut self.connection.machine;
        let id = request::submit(machine, &request, deadline, descriptors)?;
        let mut reply = None;
        self.connection.await_reply(id, now, &mut |result| {
            reply = Some(result.and_then(|value| request::decode_reply(|| request.name(), value)));
        });
        reply.unwrap_or_else(|| Err(self.never()))
    }

    /// Executes a command out-of-band, ahead of those that wait.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and [`Misuse::OobNotEnabled`].
    pub fn execute_oob<C: AllowOob>(&mut self, command: C) -> Result<C::Return> {
        self.execute(OutOfBand(command))
    }

    /// Executes a command by its name; [`Raw`] has more of this.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn execute_raw<T: DeserializeOwned>(
        &mut self,
        name: &str,
        arguments: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<T> {
        let command = Raw::new(name.to_owned());
        match arguments {
            Some(arguments) => self.execute(command.arguments(arguments)),
            None => self.execute(command),
        }
    }

    /// A call whose deadline can be set, and that can wait for an event.
    pub fn call<R: Request>(&mut self, request: R) -> Call<'_, R> {
        Call::new(self, request)
    }

    /// Sends a command and does not wait: [`receive`](Self::receive) gives its reply. Commands
    /// beyond the eight that may be in flight are sent as the replies come in.
    ///
    /// # Errors
    /// The command cannot be written as JSON, or the connection has ended.
    pub fn send<R: Request>(&mut self, request: R) -> Result<Ticket<R::Return>> {
        let within = self.options.call_within(&request.name());
        self.send_with(&request, within, Vec::new())
    }

    fn send_with<R: Request>(
        &mut self,
        request: &R,
        within: Duration,
        descriptors: Vec<Descriptor>,
    ) -> Result<Ticket<R::Return>> {
        let now = Instant::now();
        let deadline = Deadline::after(now, within);
        let machine = &mut self.connection.machine;
        let id = request::submit(machine, request, deadline, descriptors)?;
        self.connection.flush(now, deadline.map(|limit| limit.at));
        Ok(Ticket::new(id, request.name(), &self.connection.unwanted))
    }

    /// Waits for the reply to a command that was sent. Its deadline began when it was.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and [`Misuse::ForeignTicket`].
    pub fn receive<T: DeserializeOwned>(&mut self, mut ticket: Ticket<T>) -> Result<T> {
        if !ticket.redeem(&self.connection.unwanted) {
            return Err(Misuse::ForeignTicket.into());
        }
        let mut reply = None;
        self.connection.await_reply(ticket.id, Instant::now(), &mut |result| {
            reply = Some(
                result.and_then(|value| request::decode_reply(|| ticket.command.clone(), value)),
            );
        });
        reply.unwrap_or_else(|| Err(self.never()))
    }

    /// What cannot be: every call that was submitted is answered or fails.
    fn never(&self) -> Error {
        self.connection.closed().unwrap_or_else(|| Closed::new(None, &End::Local.into()).into())
    }

    /// What the server said of itself.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// The version of the server.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.greeting.version
    }

    /// Whether out-of-band execution is enabled.
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.connection.machine.oob_enabled()
    }

    /// What was received and given to nobody.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.connection.machine.dropped()
    }

    /// Why the connection has ended, if that is known by now.
    #[must_use]
    pub fn ended(&self) -> Option<&End> {
        self.connection.machine.ended().map(|end| &**end)
    }

    /// Ends QEMU, and waits until it has closed the connection; if it was [launched](Launch) here,
    /// until it has ended. The connection may end before the reply: that is success.
    ///
    /// # Errors
    /// The server refuses, or it has not ended in time.
    pub fn quit(&mut self) -> Result<()> {
        self.quit_within(self.options.call_within("quit"))
    }

    /// [`quit`](Self::quit) with a deadline.
    ///
    /// # Errors
    /// Those of [`quit`](Self::quit).
    pub fn quit_within(&mut self, within: Duration) -> Result<()> {
        let now = Instant::now();
        match self.execute_within(Raw::<Empty>::new("quit"), within) {
            Err(error) if !error.is_closed() => return Err(error),
            _ => {}
        }
        self.await_end(now, within)
    }

    /// Receives until the peer has closed, and waits until a process that was launched has ended.
    fn await_end(&mut self, begin: Instant, within: Duration) -> Result<()> {
        let deadline = Deadline::after(begin, within);
        let never = std::cell::Cell::new(false);
        let until = deadline.map(|limit| limit.at);
        self.connection.run(Instant::now(), until, &never, &mut keep_all);
        if self.connection.machine.ended().is_none() {
            return Err(Timeout::new(WaitedFor::Exit, within).into());
        }
        #[cfg(unix)]
        if let Some(process) = &self.process {
            process.wait_within(within.saturating_sub(begin.elapsed()))?;
        }
        Ok(())
    }

    /// Waits, and keeps what arrives meanwhile.
    #[cfg(feature = "qmp")]
    fn pause(&mut self, pause: Duration) {
        let until = Deadline::after(Instant::now(), pause).map(|limit| limit.at);
        let never = std::cell::Cell::new(false);
        self.connection.run(Instant::now(), until, &never, &mut keep_all);
    }

    /// The process that was launched for this connection.
    #[cfg(unix)]
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

#[cfg(unix)]
impl Drop for Client {
    fn drop(&mut self) {
        let Some(process) = &self.process else { return };
        let grace = process.grace();
        if process.is_running() && self.quit_within(grace).is_err() {
            // The process is killed when it is dropped: there is nobody left to report this to.
        }
    }
}
