//! The asynchronous client: a keeper that is a future, and tasks that wait.

use std::fmt;
#[cfg(any(feature = "blocking", feature = "futures-io", feature = "tokio"))]
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use qmp_client::runtime::Clock;
use qmp_client::{Client, Closed, Connecting, End, Options, Result, Timeout, WaitedFor};

use super::connection::Ended;
use super::front::{Limits, Opening, Supervisable};
use super::handle::Supervised;
use super::keep::keep;
use super::shared::{Hold, Phase, Shared, State, deadline_after};
use super::supervision::Supervision;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Open = Box<dyn FnMut(Options) -> BoxFuture<Result<Opened>> + Send>;

/// Where a monitor is reached, for the asynchronous client: an address, a listener with which QEMU
/// connects, or a function that connects.
///
/// The modules of the runtimes create it, such as `tokio::dial`, and
/// [`new`](Self::new) does for any other runtime.
pub struct Source {
    name: Box<str>,
    open: Open,
    /// Whether it waits until QEMU connects, however long that takes.
    waits: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Creates a source from a function that connects once, with a name for errors.
    pub fn new<F>(
        name: impl Into<Box<str>>,
        mut open: impl FnMut(Options) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Opened>> + Send + 'static,
    {
        let open: Open = Box::new(move |options| Box::pin(open(options)));
        Self { name: name.into(), open, waits: false }
    }

    /// Lets an attempt take as long as it takes, as one does that waits until QEMU connects.
    #[must_use]
    pub fn waits(self) -> Self {
        Self { waits: true, ..self }
    }
}

/// A stream that was opened, and its driver.
pub struct Opened {
    connecting: Connecting,
    driver: BoxFuture<()>,
    peer: Option<u32>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Opened {
    /// Creates one from what [`runtime::start`](qmp_client::runtime::start) returns.
    #[must_use]
    pub fn new(connecting: Connecting, driver: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { connecting, driver: Box::pin(driver), peer: None }
    }

    /// Sets the process at the other end, if the system tells.
    #[must_use]
    pub fn peer(self, pid: Option<u32>) -> Self {
        Self { peer: pid.filter(|pid| *pid != 0), ..self }
    }
}

/// Creates a supervised connection and its keeper, which does everything: spawn it. The functions
/// `supervise` of the runtimes' modules do.
pub fn start<K: Clock>(
    source: Source,
    policy: Supervision,
    clock: K,
) -> (Supervised<Client>, Keeper<K>) {
    let shared = Arc::new(Shared::new(source.name.clone(), K::now, &policy, Client::close));
    let supervised = Supervised::new(Hold::new(Arc::clone(&shared)));
    let run = Box::pin(keep(Arc::clone(&shared), source, policy));
    (supervised, Keeper { shared, run: Some(run), clock })
}

/// The future that connects, does the I/O of each connection, and connects again.
///
/// It is ready when the supervision has ended. Dropping it closes the connection, and every waiting
/// caller is told. If a predicate or the policy of the program panics, so does the keeper.
#[must_use = "nothing is connected to while the keeper is not polled"]
pub struct Keeper<K> {
    shared: Arc<Shared<Client>>,
    run: Option<BoxFuture<()>>,
    clock: K,
}

impl<K> fmt::Debug for Keeper<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl<K: Clock> Keeper<K> {
    /// Wakes the tasks whose deadlines have passed, and waits for the next one.
    fn serve_deadlines(&mut self, cx: &mut Context<'_>) {
        loop {
            let (at, _replaced) = self.shared.lock().waiters.arm(cx);
            let Some(at) = at else { return };
            if self.clock.poll_until(cx, at).is_pending() {
                return;
            }
            let late = self.shared.lock().waiters.expire(K::now().max(at));
            late.into_iter().for_each(Waker::wake);
        }
    }
}

impl<K: Clock> Future for Keeper<K> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(run) = &mut this.run else { return Poll::Ready(()) };
        let is_over = run.as_mut().poll(cx).is_ready() || this.shared.lock().deserted;
        if is_over {
            // The last poll has given a driver the occasion to send what was left to be sent.
            this.run = None;
            return Poll::Ready(());
        }
        this.serve_deadlines(cx);
        Poll::Pending
    }
}

// Nothing in it is pinned: the future is boxed.
impl<K> Unpin for Keeper<K> {}

impl<K> Drop for Keeper<K> {
    fn drop(&mut self) {
        self.run = None;
        self.shared.enter(Phase::Ended(Ended::NoKeeper));
    }
}

/// The driver of a connection; `None` when it is done.
pub struct Io(Option<BoxFuture<()>>);

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

impl Io {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.0 else { return Poll::Ready(()) };
        let poll = driver.as_mut().poll(cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}

impl Supervisable for Client {
    type Source = Source;
    type Io = Io;

    async fn open(
        shared: &Arc<Shared<Self>>,
        source: &mut Source,
        options: &Options,
        limits: Limits,
    ) -> Result<Opening<Self>> {
        let until =
            if source.waits { limits.give_up } else { deadline_after(shared.now(), limits.within) };
        let attempt = (source.open)(options.clone());
        let expired = Self::wait(shared, until, |_| None::<()>);
        let Some(opened) = unless(attempt, expired).await else {
            let waited_for = WaitedFor::Connection(source.name.clone());
            return Err(Timeout::new(waited_for, limits.within).into());
        };
        let Opened { connecting, driver, peer } = opened?;
        let mut io = Io(Some(driver));
        let client = Self::beside(&mut io, connecting).await?;
        Ok(Opening { client, io, peer })
    }

    async fn beside<T: Send>(io: &mut Io, future: impl Future<Output = T> + Send) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            // What it receives, the future finds at once.
            let _ = io.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    async fn serve(client: &Self, mut io: Io) -> Closed {
        std::future::poll_fn(|cx| io.poll(cx)).await;
        client.ended().unwrap_or_else(|| Closed::new(None, &Arc::new(End::NoDriver)))
    }

    fn server_version(client: &Self) -> String {
        client.version().to_string()
    }

    fn wait<T: Send>(
        shared: &Shared<Self>,
        deadline: Option<Instant>,
        look: impl FnMut(&mut State<Self>) -> Option<T> + Send,
    ) -> impl Future<Output = Option<T>> + Send {
        Wait { shared, deadline, look, number: None }
    }
}

/// Waits for a future; `None` if `limit` is ready first.
async fn unless<T>(future: impl Future<Output = T>, limit: impl Future) -> Option<T> {
    let (mut future, mut limit) = (pin!(future), pin!(limit));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(found) => Poll::Ready(Some(found)),
        Poll::Pending => limit.as_mut().poll(cx).map(|_| None),
    })
    .await
}

/// Returns the error of a stream that could not be opened.
#[cfg(any(feature = "blocking", feature = "futures-io", feature = "tokio"))]
pub(crate) fn no_stream(name: &str, error: io::Error) -> qmp_client::Error {
    qmp_client::TransportError::new(format!("cannot connect to {name}"), error).into()
}

/// A wait for a state.
struct Wait<'s, L> {
    shared: &'s Shared<Client>,
    deadline: Option<Instant>,
    look: L,
    number: Option<u64>,
}

impl<T, L: FnMut(&mut State<Client>) -> Option<T>> Future for Wait<'_, L> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        let now = this.deadline.map(|_| this.shared.now());
        let (keeper, _replaced) = {
            let mut state = this.shared.lock();
            if let Some(found) = (this.look)(&mut state) {
                return Poll::Ready(Some(found));
            }
            if this.deadline.zip(now).is_some_and(|(at, now)| at <= now) {
                return Poll::Ready(None);
            }
            state.waiters.register(&mut this.number, this.deadline, cx)
        };
        keeper.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

// Nothing in it is pinned.
impl<L> Unpin for Wait<'_, L> {}

impl<L> Drop for Wait<'_, L> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.shared.lock().waiters.remove(number);
            drop(waker);
        }
    }
}
