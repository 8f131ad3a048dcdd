//! The asynchronous client: a handle that is cheap to clone, and a driver.
//!
//! Nothing here knows a runtime. The driver is a future that owns the socket and the timer, by
//! way of a [`Link`](link::Link) and a [`Clock`](link::Clock); the handles share the
//! [machine](crate::machine) with it, behind a lock:
//!
//! ```text
//!   Client, Call, Events ──lock──> State ──lock── Driver ──> Link, Clock
//!       (handles)         machine, waiters,                (a runtime's)
//!                         subscriptions
//! ```
//!
//! There is one lock, of [`State`](state::State), and it is held for moments: never across an
//! `.await`, never while somebody is woken, never while bytes are moved. Of others' code, it is held
//! only for predicates and the transcript, which must not use the client.

#[cfg(feature = "qga")]
mod agent;
mod call;
mod connecting;
mod detached;
mod driver;
mod events;
#[cfg(any(feature = "qga", all(feature = "qmp", unix)))]
mod guard;
#[cfg(feature = "qmp")]
mod helpers;
#[cfg(unix)]
mod launching;
pub(crate) mod link;
mod state;
mod until;
mod written;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use qmp_types::{AllowOob, Empty, Event, Greeting, Version, Vocabulary};

#[cfg(feature = "qmp")]
use crate::error::End;
use crate::error::{Closed, Error, Misuse, Result, Timeout, WaitedFor};
use crate::events::{Occurrence, RawEvent};
use crate::machine::{Descriptor, Dropped};
use crate::request::{OutOfBand, Raw, Request};
use state::Hold;

#[cfg(feature = "qga")]
pub use agent::{Agent, ConnectingAgent, Frozen};
pub use call::Call;
pub use connecting::Connecting;
pub(crate) use connecting::start;
pub use driver::Driver;
pub use events::{Events, Next};
#[cfg(all(unix, feature = "qmp"))]
pub use helpers::FdsetGuard;
#[cfg(feature = "qmp")]
pub use helpers::Jobs;
#[cfg(unix)]
pub use launching::{Launched, Launching};
pub use until::Until;

/// QEMU takes so many descriptors in one go and drops the others.
const MOST_DESCRIPTORS: usize = 16;

/// A connection to a monitor, for asynchronous programs.
///
/// It is a handle: cheap to clone, used through `&self`, by as many tasks as you like. Its
/// [driver](Driver) does the input and output. When the last handle of a connection is dropped
/// (clients, calls, subscriptions and guards are handles), the connection is closed; if guards
/// have left something to be executed, when that is answered.
///
/// # Cancel safety
///
/// Every future of this client may be dropped at any moment, and nothing else is harmed: no other
/// call, no subscription, not the connection.
///
/// - A command that has not been sent is not sent any more. That is so before the call is polled
///   for the first time, and while it waits since eight others are in flight.
/// - One that has been sent is executed: dropping its call does not undo it. Its reply is dropped
///   when it comes, counted in [`Dropped::late_replies`], and never taken for another's.
/// - A subscription loses no event when the future of its [`next`](Events::next) is dropped.
/// - A guard that is dropped has its command executed, though nobody waits for that: it is in its
///   place before any command that is submitted later. A workflow undoes what it has done in the
///   same way; what only a reply tells to be undone, when that has come. The connection stays
///   open for it, but no longer than a deadline, that of
///   [`recommended`](crate::deadlines::recommended) or less if the
///   [options](crate::Options::calls_within) say so. If the runtime ends at once, the driver sends
///   what the socket takes, and waits for nothing. It does so also for guards that are still there
///   when it is dropped, since they could not do it later.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    hold: Hold,
    /// Set before a client is given out.
    greeting: OnceLock<Greeting>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("version", self.version()).finish_non_exhaustive()
    }
}

impl Client {
    fn new(hold: Hold) -> Self {
        Self { inner: Arc::new(Inner { hold, greeting: OnceLock::new() }) }
    }

    fn hold(&self) -> &Hold {
        &self.inner.hold
    }

    /// Executes a command: awaiting the call gives what it returns. The command is submitted when
    /// the call is polled for the first time; several calls that are polled together are in
    /// flight together.
    ///
    /// # Errors
    /// The server refuses the command, its reply does not fit, the deadline passes, or the
    /// connection ends.
    pub fn execute<R: Request>(&self, request: R) -> Call<R> {
        Call::new(self.clone(), request)
    }

    /// Executes a command out-of-band, ahead of those that wait.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute), and [`Misuse::OobNotEnabled`].
    pub fn execute_oob<C: AllowOob>(&self, command: C) -> Call<OutOfBand<C>> {
        self.execute(OutOfBand(command))
    }

    /// All events from now on, their data still as text.
    pub fn events(&self) -> Events {
        Events::subscribe(self.clone(), None, |event| Some(Ok(event)))
    }

    /// All events from now on, as those of the vocabulary `V`, such as
    /// `qmp_client::qmp::AnyEvent`.
    pub fn events_as<V: Vocabulary>(&self) -> Events<Occurrence<V>> {
        Events::subscribe(self.clone(), None, |event| {
            Some(event.decode_any().map(|found| Occurrence::new(found, event.timestamp)))
        })
    }

    /// The events `E` from now on.
    pub fn events_of<E: Event>(&self) -> Events<Occurrence<E>> {
        Events::subscribe(self.clone(), Some(E::NAME), |event: RawEvent| {
            let found = event.decode().transpose()?;
            Some(found.map(|found| Occurrence::new(found, event.timestamp)))
        })
    }

    /// What the server said of itself.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        self.inner.greeting.get_or_init(Greeting::default)
    }

    /// The version of the server.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.greeting().version
    }

    /// Whether out-of-band execution is enabled.
    #[must_use]
    pub fn oob_enabled(&self) -> bool {
        self.hold().lock().machine.oob_enabled()
    }

    /// What was received and given to nobody.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.hold().lock().machine.dropped()
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Closed> {
        self.hold().lock().machine.ended().map(|end| Closed::new(None, end))
    }

    /// How many calls are not answered yet, those that guards have left included, and how many
    /// subscriptions there are.
    #[must_use]
    pub fn pending(&self) -> (usize, usize) {
        self.hold().lock().pending()
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        let mut end = Events::<RawEvent>::subscribe(self.clone(), Some(""), |_| None);
        loop {
            if let Some(Err(Error::Closed(closed))) = end.next().await {
                return *closed;
            }
        }
    }

    /// Closes the connection at once. Calls that are not answered fail; what guards have left is
    /// sent, if the socket takes it at once, and not waited for.
    pub fn close(&self) {
        self.hold().close();
    }

    /// Ends QEMU, and waits until it has closed the connection. The connection may end before the
    /// reply: that is success.
    ///
    /// # Errors
    /// The server refuses, or it has not ended in time.
    pub async fn quit(&self) -> Result<()> {
        let within = self.hold().options().call_within("quit");
        self.quit_within(within).await
    }

    /// [`quit`](Self::quit) with a deadline.
    ///
    /// # Errors
    /// Those of [`quit`](Self::quit).
    pub async fn quit_within(&self, within: Duration) -> Result<()> {
        let mut end = Events::<RawEvent>::subscribe(self.clone(), Some(""), |_| None);
        let deadline = self.hold().deadline_after(within);
        match self.execute(Raw::<Empty>::new("quit")).within(within).await {
            Err(error) if !error.is_closed() => return Err(error),
            _ => {}
        }
        loop {
            match end.next_before(deadline).await {
                Some(Err(error)) if error.is_timeout() => {
                    return Err(Timeout::new(WaitedFor::Exit, within).into());
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Why nothing more comes, after the reason was given once.
    #[cfg(feature = "qmp")]
    fn gone(&self) -> Error {
        self.ended().unwrap_or_else(|| Closed::new(None, &Arc::new(End::Local))).into()
    }

    /// Waits. The driver has the timer, so this needs no runtime.
    #[cfg(any(feature = "qga", feature = "qmp"))]
    async fn pause(&self, pause: Duration) {
        let mut nothing = Events::<RawEvent>::subscribe(self.clone(), Some(""), |_| None);
        nothing.next_within(pause).await;
    }

    fn check_descriptors<R: Request>(&self, request: &R, with: &[Descriptor]) -> Result<()> {
        let command = || request.name();
        if with.len() > MOST_DESCRIPTORS {
            return Err(Misuse::TooManyDescriptors { command: command() }.into());
        }
        if !with.is_empty() && !self.hold().passes_descriptors() {
            return Err(Misuse::NoDescriptors { command: command() }.into());
        }
        Ok(())
    }
}
