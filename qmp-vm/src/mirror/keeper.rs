//! The loop that keeps a mirror current: it hears events and asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::{Closed, Error};

use super::model::Step;
use super::round::{self, first};
use super::shared::Shared;
use crate::monitor::session::Events;
use crate::supervise::{Change, Changes, Supervisable};

/// The longest wait of a thread of the blocking client, which nothing but an event interrupts: so long
/// it may take until it learns that no handle is left.
const SLICE: Duration = Duration::from_secs(1);

/// The driver of a mirror, to be run: spawned as a task, or on a thread of its own.
///
/// When it is dropped, the mirror ends: what waits for it fails.
#[derive(Debug)]
#[must_use = "a mirror is only kept current while its keeper runs"]
pub struct Keeper<M: Supervisable> {
    shared: Arc<Shared<M>>,
    source: Source<M>,
    closed: Option<Closed>,
}

/// The connections that a mirror follows.
#[derive(Debug)]
pub(super) enum Source<M: Supervisable> {
    /// The connection of one client.
    Client(M),
    /// The connections of a supervised monitor.
    Supervised(Changes<M>),
    /// Connections that the caller makes.
    Caller,
}

impl<M: Supervisable> Keeper<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, source: Source<M>) -> Self {
        Self { shared, source, closed: None }
    }

    /// Keeps the mirror current until its connection ends, or until its supervised connection does for
    /// good, and returns why the last connection ended. It ends, too, when the last handle of the
    /// mirror is dropped, which gives `None`.
    ///
    /// On the blocking client, this blocks its thread, and learns of the last handle within a second.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(keeper: qmp_vm::mirror::Keeper<qmp_client::blocking::Client>) {
    /// std::thread::spawn(move || keeper.run());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// If the future is dropped, the mirror ends.
    pub fn run(mut self) -> M::Outcome<'static, Option<Closed>> {
        M::run(async move {
            let closed = match &mut self.source {
                Source::Client(vm) => follow(&self.shared, vm).await,
                Source::Supervised(changes) => follow_all(&self.shared, changes).await,
                Source::Caller => None,
            };
            self.closed.clone_from(&closed);
            closed
        })
    }

    /// Keeps the mirror current until the connection of this client ends, and returns why it did;
    /// `None` if that is because the last handle of the mirror was dropped. The mirror then goes on
    /// with the next connection that is followed: for programs that connect again by themselves.
    ///
    /// The deadlines of what waits for the mirror pass while a connection is followed.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(keeper: &mut qmp_vm::mirror::Keeper<qmp_client::blocking::Client>, vm: &qmp_client::blocking::Client) {
    /// // Until this connection ends; another one may follow.
    /// keeper.follow(vm);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// If the future is dropped, the mirror shows that it is not connected.
    pub fn follow<'a>(&'a mut self, vm: &'a M) -> M::Outcome<'a, Option<Closed>> {
        M::run(async move {
            let closed = follow(&self.shared, vm).await;
            self.closed.clone_from(&closed);
            closed
        })
    }
}

impl<M: Supervisable> Drop for Keeper<M> {
    fn drop(&mut self) {
        self.shared.end(self.closed.take());
    }
}

/// A connection that is followed, until this is dropped.
struct Following<'a, M>(&'a Shared<M>);

impl<M> Drop for Following<'_, M> {
    fn drop(&mut self) {
        self.0.disconnect();
    }
}

async fn follow<M: Supervisable>(shared: &Arc<Shared<M>>, vm: &M) -> Option<Closed> {
    // Before the first query is sent: an event between the two would be missed. The queue holds no
    // more than one event between two rounds, and what it drops has been heard.
    let hook = Arc::clone(shared);
    let mut events = vm.subscribe(move |event| hook.hear(&event.name));
    shared.connect(vm.clone());
    let _following = Following(shared);
    loop {
        match shared.next(vm.now())? {
            Step::Ask(parts, stamp) => {
                let round = round::run(shared, vm, parts, stamp, round::LONGEST);
                let is_connected = first(round, |cx| shared.poll_abandoned(cx)).await?;
                if !is_connected {
                    return closed(shared, vm).await;
                }
            }
            Step::Wait(wait) => {
                let wait = if M::BLOCKS { wait.min(SLICE) } else { wait };
                let event = events.next_within(wait);
                match first(event, |cx| shared.poll_nudged(cx)).await {
                    None | Some(Some(Ok(_) | Err(Error::Lagged(_)))) => {}
                    Some(Some(Err(error))) if error.is_timeout() => {}
                    Some(Some(Err(_)) | None) => return closed(shared, vm).await,
                }
            }
        }
    }
}

/// Follows one connection after the other.
async fn follow_all<M: Supervisable>(
    shared: &Arc<Shared<M>>,
    changes: &mut Changes<M>,
) -> Option<Closed> {
    let mut last = None;
    loop {
        if shared.ended().is_some() {
            return None;
        }
        // Until there is a connection, its timer does not tell the waiters when to give up.
        let now = Instant::now();
        let deadline = shared.tick(now);
        let wait = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        let wait = if M::BLOCKS { wait.min(SLICE) } else { wait };
        match first(changes.take_within(wait), |cx| shared.poll_nudged(cx)).await {
            Some(Some(Ok(Change::Connected(connection)))) => {
                if connection.same_qemu.is_another() {
                    shared.forget();
                }
                last = Some(follow(shared, &connection.client).await?);
            }
            Some(Some(Ok(Change::Ended(_))) | None) => return last,
            // The deadline of a waiter, something to look at, or an end that `follow` has seen.
            Some(Some(Ok(Change::Lost(_)) | Err(_))) | None => {}
        }
    }
}

/// Returns the reason why a connection has ended.
async fn closed<M: Supervisable>(shared: &Shared<M>, vm: &M) -> Option<Closed> {
    let closed = vm.closed_within(Duration::ZERO).await.ok();
    closed.iter().for_each(|closed| shared.lose(closed));
    closed
}
