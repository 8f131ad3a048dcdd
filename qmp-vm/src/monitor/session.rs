//! The operations of a client, as futures. Those of the blocking client are ready when they return.

use std::fmt;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

#[cfg(unix)]
use qmp_client::Greeting;
use qmp_client::{Closed, Error, Options, RawEvent, Request, Result};

use super::rollback::Rollback;

/// A client, and the types of what it hands out.
pub trait Session: Clone + fmt::Debug + Send + Sync + 'static {
    /// A call that is being put together.
    type Call<R: Request<Return: Send> + Send>: Call<Self, R>;
    /// A subscription to events.
    type Events: Events;
    /// A guard that executes a command when it is dropped.
    type Undo<U: Request<Return: Send> + Send + 'static>: Undo<U>;

    /// Whether the futures are ready when they return, because the client blocks its thread.
    const BLOCKS: bool;

    /// Begins a call.
    fn call<R: Request<Return: Send> + Send>(&self, request: R) -> Self::Call<R>;

    /// Executes a command with its default deadline.
    fn execute<R: Request<Return: Send> + Send>(
        &self,
        request: R,
    ) -> impl Future<Output = Result<R::Return>> + Send {
        self.call(request).execute()
    }

    /// Returns a guard that executes a command. The blocking client waits for as long as the rollback
    /// has time.
    fn guard<U: Request<Return: Send> + Send + 'static>(
        &self,
        command: U,
        rollback: &Rollback,
    ) -> Self::Undo<U>;

    /// Subscribes to the events that satisfy a predicate, from now on.
    fn subscribe(&self, wanted: impl FnMut(&RawEvent) -> bool + Send + 'static) -> Self::Events;

    /// Waits until the connection has ended.
    fn closed_within(&self, within: Duration) -> impl Future<Output = Result<Closed>> + Send;

    /// Waits; not for longer than the connection lasts.
    fn pause(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Returns the time by the client's clock.
    fn now(&self) -> Instant;

    /// Returns the options of the connection.
    fn options(&self) -> &Options;

    /// Returns the greeting of the server.
    #[cfg(unix)]
    fn greeting(&self) -> &Greeting;

    /// Closes the connection.
    fn close(&self);

    /// Runs code that blocks its thread: on this thread if the client blocks too, otherwise on a
    /// new one.
    #[cfg(unix)]
    fn run_blocking<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// A call that is being put together.
pub trait Call<S: Session, R: Request<Return: Send> + Send>: Sized + Send {
    /// Sets the deadline.
    fn within(self, within: Duration) -> Self;

    /// Adds a file descriptor that travels with the command.
    #[cfg(unix)]
    fn with_fd(self, descriptor: OwnedFd) -> Self;

    /// Executes the command.
    fn execute(self) -> impl Future<Output = Result<R::Return>> + Send;

    /// Executes the command, and waits for an event.
    fn until_some<T: Send>(
        self,
        wanted: impl FnMut(&RawEvent) -> Option<T> + Send,
    ) -> impl Future<Output = Result<(R::Return, T)>> + Send;

    /// Executes the command, and returns the guard that undoes it.
    fn execute_undoable<U: Request<Return: Send> + Send + 'static>(
        self,
        session: &S,
        rollback: &Rollback,
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> impl Future<Output = Result<(R::Return, S::Undo<U>)>> + Send;
}

/// A subscription to events.
pub trait Events: fmt::Debug + Send {
    /// Waits for the next event; `None` after the end of the connection was reported.
    fn next_within(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Option<Result<RawEvent>>> + Send;
}

/// A guard that executes a command when it is dropped.
pub trait Undo<U: Request>: fmt::Debug + Send {
    /// Executes the command now; `None` if the guard has no command.
    fn run(self) -> impl Future<Output = Result<Option<U::Return>>> + Send;

    /// Drops the guard without executing the command.
    fn disarm(self);
}
