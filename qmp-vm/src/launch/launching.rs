//! From a process that was started to a client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use qmp_client::{Client, Connecting, End, Error, Events, RawEvent, Result};

use super::launched::Launched;
use crate::monitor::Monitor;
use crate::process::Process;

/// A process that was started and has not greeted yet; it resolves to the client and the process.
/// The [driver](qmp_client::Driver) must be polled meanwhile.
///
/// # Cancel safety
/// Dropping it kills the process.
#[derive(Debug)]
#[must_use = "awaiting it gives the client, dropping it kills the process"]
pub struct Launching(State);

enum State {
    Connecting(Connecting, Process),
    /// The reason for the failure is being found out.
    Failing(Pin<Box<dyn Future<Output = Error> + Send>>),
    Done,
}

impl Launching {
    /// Takes a connection to a process. A thread waits for the process from now on, so that killing
    /// it does not block.
    ///
    /// # Errors
    /// The system has no thread to offer.
    pub(crate) fn new(connecting: Connecting, process: Process) -> Result<Self> {
        process.watch()?;
        Ok(Self(State::Connecting(connecting, process)))
    }

    /// Subscribes to all events from now on, undecoded: some arrive before the greeting. Returns
    /// `None` if the client has been given out.
    #[must_use]
    pub fn raw_events(&self) -> Option<Events<RawEvent>> {
        match &self.0 {
            State::Connecting(connecting, _) => connecting.raw_events(),
            _ => None,
        }
    }
}

impl Future for Launching {
    type Output = Result<Launched<Client>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let connected = match &mut self.0 {
                State::Connecting(connecting, _) => ready!(Pin::new(connecting).poll(cx)),
                State::Failing(error) => {
                    let error = ready!(error.as_mut().poll(cx));
                    self.0 = State::Done;
                    return Poll::Ready(Err(error));
                }
                State::Done => return Poll::Pending,
            };
            let State::Connecting(_, process) = std::mem::replace(&mut self.0, State::Done) else {
                return Poll::Pending;
            };
            match connected {
                Ok(client) => return Poll::Ready(Ok(Launched::new(client, process))),
                Err(error) => {
                    self.0 = State::Failing(Box::pin(explain::<Client>(process, error)));
                }
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting(..) => "Connecting",
            Self::Failing(_) => "Failing",
            Self::Done => "Done",
        })
    }
}

/// Finds out why a process did not greet: it may have to be given time to end. Then it is killed.
pub(crate) async fn explain<M: Monitor>(process: Process, error: Error) -> Error {
    match error {
        Error::Closed(closed) if !matches!(*closed.reason, End::Local | End::NoDriver) => {
            let inner = Arc::clone(process.inner());
            match M::run_blocking(move || inner.early_end()).await {
                Ok(Some(error)) => error.into(),
                _ => Error::Closed(closed),
            }
        }
        Error::Timeout(timeout) => process.inner().late_greeting(*timeout).into(),
        error => error,
    }
}
