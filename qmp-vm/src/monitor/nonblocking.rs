//! The asynchronous client.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::{Duration, Instant};

#[cfg(unix)]
use qmp_client::Greeting;
use qmp_client::{self as client, Client, Closed, Error, Options, RawEvent, Request, Result};

use super::outcome::Monitor;
use super::rollback::Rollback;
use super::session::{Call, Events, Session, Undo};

impl Monitor for Client {
    type Outcome<'a, T: Send + 'a> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    fn run<'a, T: Send + 'a>(
        workflow: impl Future<Output = T> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
        Box::pin(workflow)
    }
}

impl Session for Client {
    type Call<R: Request<Return: Send> + Send> = client::Call<R>;
    type Events = client::Events<RawEvent>;
    type Undo<U: Request<Return: Send> + Send + 'static> = client::Undo<U>;

    const BLOCKS: bool = false;

    fn call<R: Request<Return: Send> + Send>(&self, request: R) -> Self::Call<R> {
        Client::call(self, request)
    }

    fn guard<U: Request<Return: Send> + Send + 'static>(
        &self,
        command: U,
        _: &Rollback,
    ) -> client::Undo<U> {
        Client::call(self, command).guard()
    }

    fn subscribe(&self, wanted: impl FnMut(&RawEvent) -> bool + Send + 'static) -> Self::Events {
        self.raw_events().matching(wanted)
    }

    async fn closed_within(&self, within: Duration) -> Result<Closed> {
        Client::closed_within(self, within).await
    }

    async fn pause(&self, duration: Duration) {
        Client::pause(self, duration).await;
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
        crate::process::thread::run(work).await
    }
}

impl<R: Request<Return: Send> + Send> Call<Client, R> for client::Call<R> {
    fn within(self, within: Duration) -> Self {
        Self::within(self, within)
    }

    #[cfg(unix)]
    fn with_fd(self, descriptor: OwnedFd) -> Self {
        Self::with_fd(self, descriptor)
    }

    async fn execute(self) -> Result<R::Return> {
        Self::execute(self).await
    }

    async fn until_some<T: Send>(
        self,
        wanted: impl FnMut(&RawEvent) -> Option<T> + Send,
    ) -> Result<(R::Return, T)> {
        Self::until_some(self, wanted).await
    }

    async fn execute_undoable<U: Request<Return: Send> + Send + 'static>(
        self,
        client: &Client,
        rollback: &Rollback,
        undo: impl Fn(Result<&R::Return, &Error>) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> Result<(R::Return, client::Undo<U>)> {
        // After a timeout, the undo command is not waited for.
        let late = undo.clone();
        let undo = move |result: Result<&R::Return, &Error>| match result {
            Err(error) if error.is_timeout() => None,
            result => undo(result),
        };
        let result = Self::execute_undoable(self, undo).await;
        if let Err(error) = &result {
            let command = if error.is_timeout() { late(Err(error)) } else { None };
            drop(command.map(|command| client.guard(command, rollback)));
        }
        result
    }
}

impl Events for client::Events<RawEvent> {
    async fn next_within(&mut self, within: Duration) -> Option<Result<RawEvent>> {
        Self::next_within(self, within).await
    }
}

impl<U: Request<Return: Send> + Send + 'static> Undo<U> for client::Undo<U> {
    async fn run(self) -> Result<Option<U::Return>> {
        Self::run(self).await
    }

    fn disarm(self) {
        Self::disarm(self);
    }
}
