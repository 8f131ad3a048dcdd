//! The blocking client: its futures are ready when they are polled for the first time.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[cfg(unix)]
use qmp_client::Greeting;
use qmp_client::blocking::{self, Client};
use qmp_client::{Closed, Error, Options, RawEvent, Request, Result};

use super::guard::Guard;
use super::outcome::Monitor;
use super::rollback::Rollback;
use super::session::{Call, Events, Session};

impl Monitor for Client {
    type Outcome<'a, T: Send + 'a> = T;

    fn run<'a, T: Send + 'a>(workflow: impl Future<Output = T> + Send + 'a) -> T {
        let mut workflow = pin!(workflow);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            // Workflows wait for nothing but this client, so the first poll is the last one.
            match workflow.as_mut().poll(&mut cx) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
}

impl Session for Client {
    type Call<R: Request<Return: Send> + Send> = blocking::Call<R>;
    type Events = blocking::Events<RawEvent>;
    type Undo<U: Request<Return: Send> + Send + 'static> = Guard<U>;

    const BLOCKS: bool = true;

    fn call<R: Request<Return: Send> + Send>(&self, request: R) -> Self::Call<R> {
        Client::call(self, request)
    }

    fn guard<U: Request<Return: Send> + Send + 'static>(
        &self,
        command: U,
        rollback: &Rollback,
    ) -> Guard<U> {
        Guard::new(self, Some(command), rollback)
    }

    fn subscribe(&self, wanted: impl FnMut(&RawEvent) -> bool + Send + 'static) -> Self::Events {
        self.raw_events().matching(wanted)
    }

    async fn closed_within(&self, within: Duration) -> Result<Closed> {
        Client::closed_within(self, within)
    }

    async fn pause(&self, duration: Duration) {
        Client::pause(self, duration);
    }

    fn now(&self) -> Instant {
        Client::now(self)
    }

    fn options(&self) -> &Options {
        Client::options(self)
    }

    #[cfg(unix)]
    fn greeting(&self) -> &Greeting {
        Client::greeting(self)
    }

    fn close(&self) {
        Client::close(self);
    }

    #[cfg(unix)]
    async fn run_blocking<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        Ok(work())
    }
}

impl<R: Request<Return: Send> + Send> Call<Client, R> for blocking::Call<R> {
    fn within(self, within: Duration) -> Self {
        Self::within(self, within)
    }

    #[cfg(unix)]
    fn with_fd(self, descriptor: OwnedFd) -> Self {
        Self::with_fd(self, descriptor)
    }

    async fn execute(self) -> Result<R::Return> {
        Self::execute(self)
    }

    async fn until_some<T: Send>(
        self,
        wanted: impl FnMut(&RawEvent) -> Option<T> + Send,
    ) -> Result<(R::Return, T)> {
        Self::until_some(self, wanted)
    }

    async fn execute_undoable<U: Request<Return: Send> + Send + 'static>(
        self,
        client: &Client,
        rollback: &Rollback,
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, Guard<U>)> {
        let result = match Self::execute(self) {
            // Nothing has been sent.
            Err(error @ Error::Misuse(_)) => return Err(error),
            result => rollback.note(result),
        };
        // After a failure, the guard is dropped here.
        let guard = Guard::new(client, undo(result.as_ref()), rollback);
        result.map(|returned| (returned, guard))
    }
}

impl Events for blocking::Events<RawEvent> {
    async fn next_within(&mut self, within: Duration) -> Option<Result<RawEvent>> {
        Self::next_within(self, within)
    }
}
