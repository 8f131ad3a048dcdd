//! From a process that was started to a client.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::state::register;
use super::{Client, Connecting, Events};
use crate::error::{End, Error, LaunchError, Result};
use crate::process::{Process, spawn_thread};

/// A client, and the process that was [launched](crate::Launch) for it.
///
/// They are two things: the client may be cloned, and whoever has the process says how long it
/// lives. It is killed when it is dropped. To end QEMU in good order, tell it to, and wait:
///
/// ```no_run
/// # #[cfg(feature = "tokio")]
/// # async fn example() -> qmp_client::Result<()> {
/// use qmp_client::{Client, Launch, Launched};
///
/// let qemu = Launch::new("qemu-system-x86_64").args(["-M", "none", "-display", "none"]);
/// let Launched { client, process } = Client::launch(qemu).await?;
/// println!("{}", client.version());
/// client.quit().await?;
/// println!("{}", process.wait().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the process is killed when it is dropped"]
pub struct Launched {
    /// The client of its monitor.
    pub client: Client,
    /// The process.
    pub process: Process,
}

/// A process that was started and has not greeted yet: awaiting it gives the client. Its
/// [driver](super::Driver) must be polled meanwhile.
///
/// # Cancel safety
///
/// Dropping it kills the process.
#[derive(Debug)]
#[must_use = "awaiting it gives the client, dropping it kills the process"]
pub struct Launching {
    connecting: Connecting,
    process: Option<Process>,
    failure: Option<Failure>,
}

impl Launching {
    /// A connection to a process, whose end is watched from now on: then nobody has to wait for
    /// it when it is killed.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn new(connecting: Connecting, process: Process) -> Result<Self> {
        process.watch()?;
        Ok(Self { connecting, process: Some(process), failure: None })
    }

    /// All events from now on: some come before the greeting. Nothing, if the client has been
    /// given out.
    #[must_use]
    pub fn events(&self) -> Option<Events> {
        self.connecting.events()
    }
}

impl Future for Launching {
    type Output = Result<Launched>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Launched>> {
        let this = &mut *self;
        if let Some(failure) = &this.failure {
            return failure.poll(cx).map(Err);
        }
        let connected = ready!(Pin::new(&mut this.connecting).poll(cx));
        let Some(process) = &this.process else { return Poll::Pending };
        match connected {
            Ok(client) => match this.process.take() {
                Some(process) => Poll::Ready(Ok(Launched { client, process })),
                None => Poll::Pending,
            },
            Err(error) if is_of_the_peers(&error) => {
                this.failure.insert(Failure::find(process, error)).poll(cx).map(Err)
            }
            Err(Error::Timeout(timeout)) => {
                Poll::Ready(Err(process.inner().late_greeting(*timeout).into()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Whether it was not this side that ended the connection.
fn is_of_the_peers(error: &Error) -> bool {
    match error {
        Error::Closed(closed) => !matches!(*closed.reason, End::Local | End::NoDriver),
        _ => false,
    }
}

/// Why a process did not greet. A thread finds out, since it has to wait for the process to end,
/// and may have to give up.
#[derive(Debug)]
struct Failure(Arc<Mutex<Finding>>);

#[derive(Debug)]
struct Finding {
    /// What is known: at first, only that the connection has ended.
    error: Option<Error>,
    is_final: bool,
    waker: Option<Waker>,
}

impl Failure {
    fn find(process: &Process, error: Error) -> Self {
        let finding = Finding { error: Some(error), is_final: false, waker: None };
        let failure = Self(Arc::new(Mutex::new(finding)));
        // The process itself stays with whoever waits: dropping that kills it.
        let inner = Arc::clone(process.inner());
        let told = Self(Arc::clone(&failure.0));
        if spawn_thread(move || told.tell(inner.early_end())).is_err() {
            failure.tell(None);
        }
        failure
    }

    /// There is nothing more to be found.
    fn tell(&self, error: Option<LaunchError>) {
        let mut finding = self.lock();
        finding.is_final = true;
        if let Some(error) = error {
            finding.error = Some(error.into());
        }
        let waker = finding.waker.take();
        drop(finding);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Error> {
        let _replaced;
        let mut finding = self.lock();
        if finding.is_final
            && let Some(error) = finding.error.take()
        {
            return Poll::Ready(error);
        }
        _replaced = register(&mut finding.waker, cx);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
