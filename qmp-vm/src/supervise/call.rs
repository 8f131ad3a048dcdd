//! Calls that outlast connections.

use std::error::Error as StdError;
use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::{Error, Request, Result, TransportError};

use super::connection::Ended;
use super::front::Supervisable;
use super::identity::Identity;
use super::shared::{Connected, Hold, Phase, Shared, deadline_after};
use super::written::Written;
use crate::monitor::session::Call as _;

/// The fate of the command of a call that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// The server answered: with an error, or with a reply that cannot be decoded.
    Answered,
    /// The command was not sent, so that it has certainly not been executed.
    NotExecuted,
    /// The command may have been executed: it was sent, and not answered.
    MaybeExecuted,
}

impl Fate {
    /// Returns the fate of the command of a call that failed with this error.
    ///
    /// ```
    /// # fn example(error: &qmp_client::Error) {
    /// use qmp_vm::supervise::Fate;
    ///
    /// println!("{:?}", Fate::of(error));
    /// # }
    /// ```
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Server(_) | Error::Decode(_) => Self::Answered,
            Error::Misuse(_) | Error::Launch(_) => Self::NotExecuted,
            Error::Closed(closed) if closed.not_executed => Self::NotExecuted,
            Error::Timeout(timeout) if !timeout.sent => Self::NotExecuted,
            _ => Self::MaybeExecuted,
        }
    }
}

/// The failure of a supervised call.
#[non_exhaustive]
pub struct CallError {
    /// The fate of the command, in all attempts.
    pub fate: Fate,
    /// The error, of the last attempt.
    pub error: Error,
}

impl CallError {
    fn new(fate: Fate, error: impl Into<Error>) -> Self {
        Self { fate, error: error.into() }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "CallError", self, format_args!(" ({:?})", self.fate))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        error.error
    }
}

/// A call that is being built; [`Supervised::call`](super::Supervised::call) begins it.
#[must_use = "`execute` makes the call"]
pub struct Call<C: Supervisable, R> {
    hold: Hold<C>,
    request: R,
    within: Option<Duration>,
    fails_fast: bool,
    repeats: bool,
    any_qemu: bool,
    #[cfg(unix)]
    descriptors: Vec<OwnedFd>,
}

impl<C: Supervisable, R> fmt::Debug for Call<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("within", &self.within).finish_non_exhaustive()
    }
}

impl<C: Supervisable, R: Request<Return: Send> + Send> Call<C, R> {
    pub(super) fn new(hold: Hold<C>, request: R) -> Self {
        let (fails_fast, repeats) = (hold.shared().fails_fast(), request.is_read_only());
        Self {
            hold,
            request,
            within: None,
            fails_fast,
            repeats,
            any_qemu: false,
            #[cfg(unix)]
            descriptors: Vec::new(),
        }
    }

    /// Sets the deadline, which covers the wait for the connection and all repetitions, instead of
    /// that of the [options](qmp_client::Options::calls_within).
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use std::time::Duration;
    ///
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// let status = vm.call(QueryStatus::new()).within(Duration::from_secs(2)).execute();
    /// # }
    /// ```
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    /// Fails at once without a connection, as [`Supervision::fail_fast`](super::Supervision::fail_fast)
    /// does for all calls.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// // Without waiting for a connection.
    /// let status = vm.call(QueryStatus::new()).fail_fast().execute();
    /// # }
    /// ```
    pub fn fail_fast(mut self) -> Self {
        self.fails_fast = true;
        self
    }

    /// Lets the command be repeated on the next connection, as commands are that only ask. It may be
    /// executed several times then, and by another QEMU.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// // Also if it may have been executed.
    /// let status = vm.call(QueryStatus::new()).repeat().execute();
    /// # }
    /// ```
    pub fn repeat(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Lets the command be executed by another QEMU than that of the last connection when the call
    /// began.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// // Also if another QEMU has taken the place of the first.
    /// let status = vm.call(QueryStatus::new()).on_any_qemu().execute();
    /// # }
    /// ```
    pub fn on_any_qemu(mut self) -> Self {
        self.any_qemu = true;
        self
    }

    /// Adds a file descriptor that travels with the command, as `getfd` and `add-fd` expect.
    #[cfg(unix)]
    pub fn with_fd(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.descriptors.push(descriptor.into());
        self
    }

    /// Executes the command, and waits for its reply.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_vm::supervise::Supervised<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use qmp_client::qmp::commands::QueryStatus;
    ///
    /// println!("{}", vm.call(QueryStatus::new()).execute()?.status);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`. The connection may have ended for good, or not been made in time,
    /// or be one to another QEMU. [`CallError::fate`] says what became of the command.
    ///
    /// # Cancel safety
    /// If the future is dropped while it waits for a connection, the command is not sent. Later, it is
    /// executed all the same, and its reply is dropped. Nothing else is affected.
    pub fn execute<'a>(self) -> C::Outcome<'a, Result<R::Return, CallError>>
    where
        R: 'a,
    {
        C::run(self.run())
    }

    async fn run(self) -> Result<R::Return, CallError> {
        let mut attempted = Fate::NotExecuted;
        self.attempts(&mut attempted).await.map_err(|CallError { fate, error }| {
            // An attempt that was not made does not undo those before it.
            let fate = if fate == Fate::NotExecuted { attempted } else { fate };
            CallError { fate, error }
        })
    }

    /// Makes attempts until one counts. `attempted` says what became of those that did not.
    async fn attempts(self, attempted: &mut Fate) -> Result<R::Return, CallError> {
        let shared = self.hold.shared();
        let name = self.request.name();
        let within = self.within.unwrap_or_else(|| shared.options().call_within(&name));
        let begin = shared.now();
        let wait =
            Wait { shared, until: deadline_after(begin, within), fails_fast: self.fails_fast };
        let not_executed = |error: Error| CallError { fate: Fate::NotExecuted, error };
        let written = Written::new(&self.request).map_err(|misuse| not_executed(misuse.into()))?;
        let before = shared.lock().identity.clone();
        let mut number = 0;
        loop {
            let connected = wait.connection(number).await;
            let connected =
                connected.map_err(|missing| not_executed(missing.error(shared, &name, within)))?;
            if let Some(before) = before.as_ref().filter(|_| !self.repeats && !self.any_qemu) {
                self.check_same(before, &connected)?;
            }
            let left = within.saturating_sub(shared.now().saturating_duration_since(begin));
            let call = connected.client.call(written.clone()).within(left);
            #[cfg(unix)]
            let call = self.add_descriptors(call)?;
            let error = match call.execute().await {
                Ok(returned) => return Ok(returned),
                Err(error) => error,
            };
            let fate = Fate::of(&error);
            if !error.is_closed() || (fate != Fate::NotExecuted && !self.repeats) {
                return Err(CallError { fate, error });
            }
            if fate != Fate::NotExecuted {
                *attempted = fate;
            }
            number = connected.number;
        }
    }

    fn check_same(&self, before: &Identity, now: &Connected<C>) -> Result<(), CallError> {
        let same_qemu = before.compare(&now.identity);
        if !same_qemu.is_another() {
            return Ok(());
        }
        let attempt = format!("cannot execute `{}` on another QEMU", self.request.name());
        let error = TransportError::new(attempt, io::Error::other(same_qemu.to_string()));
        Err(CallError::new(Fate::NotExecuted, error))
    }

    #[cfg(unix)]
    fn add_descriptors(
        &self,
        call: C::Call<Written<R::Return>>,
    ) -> Result<C::Call<Written<R::Return>>, CallError> {
        self.descriptors.iter().try_fold(call, |call, descriptor| {
            let copy = descriptor.try_clone().map_err(|error| {
                let error = TransportError::new("cannot duplicate a file descriptor", error);
                CallError::new(Fate::NotExecuted, error)
            })?;
            Ok(call.with_fd(copy))
        })
    }
}

/// A wait for a connection.
#[derive(Clone, Copy)]
pub(super) struct Wait<'s, C> {
    pub(super) shared: &'s Shared<C>,
    pub(super) until: Option<Instant>,
    pub(super) fails_fast: bool,
}

/// The reason why a wait for a connection has ended without one.
pub(super) enum Missing {
    Ended(Ended),
    Outage(Option<Arc<Error>>),
    Timeout,
}

impl<C: Supervisable> Wait<'_, C> {
    /// Waits for a connection with a higher number.
    pub(super) async fn connection(&self, number: u64) -> Result<Connected<C>, Missing> {
        let fails_fast = self.fails_fast;
        let look = move |phase: &Phase<C>| match phase {
            Phase::Connected(connected) if connected.number > number => Some(Ok(connected.clone())),
            Phase::Ended(ended) => Some(Err(Missing::Ended(ended.clone()))),
            Phase::Outage(outage) if fails_fast => Some(Err(Missing::Outage(outage.error.clone()))),
            Phase::Connected(_) if fails_fast => Some(Err(Missing::Outage(None))),
            _ => None,
        };
        let found = C::wait(self.shared, self.until, move |state| look(&state.phase)).await;
        found.unwrap_or(Err(Missing::Timeout))
    }
}

impl Missing {
    /// Returns the error of a call.
    pub(super) fn error<C: Supervisable>(
        self,
        shared: &Shared<C>,
        command: &str,
        within: Duration,
    ) -> Error {
        match self {
            Self::Ended(ended) => ended.error(Some(command)),
            Self::Timeout => shared.passed(within),
            Self::Outage(error) => {
                let attempt =
                    format!("cannot execute `{command}`: not connected to {}", shared.name());
                let error = match error {
                    Some(error) => io::Error::new(io::ErrorKind::NotConnected, error),
                    None => io::ErrorKind::NotConnected.into(),
                };
                TransportError::new(attempt, error).into()
            }
        }
    }
}
