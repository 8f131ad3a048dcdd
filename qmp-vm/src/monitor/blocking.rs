//! The blocking client: its futures are ready when they are polled for the first time.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_client::blocking::{self, Client};
use qmp_client::{Closed, Error, Options, RawEvent, Request, Result};

use super::outcome::Monitor;
use super::session::{Call, Events, Session, Undo};

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
    type Undo<U: Request<Return: Send> + Send + 'static> = blocking::Undo<U>;

    fn call<R: Request<Return: Send> + Send>(&self, request: R) -> Self::Call<R> {
        Client::call(self, request)
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
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, blocking::Undo<U>)> {
        Self::execute_undoable(self, undo)
    }

    fn guard(self) -> blocking::Undo<R>
    where
        R: 'static,
    {
        Self::guard(self)
    }
}

impl Events for blocking::Events<RawEvent> {
    async fn next_within(&mut self, within: Duration) -> Option<Result<RawEvent>> {
        Self::next_within(self, within)
    }
}

impl<U: Request<Return: Send> + Send + 'static> Undo<U> for blocking::Undo<U> {
    async fn run(self) -> Result<Option<U::Return>> {
        Self::run(self)
    }

    fn disarm(self) {
        Self::disarm(self);
    }
}
