//! The handle of a mirror, and how its holders wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use qmp_client::protocol::End;
use qmp_client::{Closed, Error, Request, Result, Timeout, WaitedFor};

use super::changes::Changes;
use super::keeper::{Keeper, Source};
use super::model::Step;
use super::part::{Part, Parts};
use super::policy::Policy;
use super::round;
use super::rules;
use super::shared::{Shared, WaiterId};
use super::view::View;
use crate::monitor::session::Call;
use crate::supervise::{Supervisable, Supervised};

/// A mirror of a virtual machine: a [`View`] that is kept current.
///
/// It is a handle, cheap to clone. The [module](super) explains it. The connection stays open while the
/// keeper follows it; when the last handle is dropped, the keeper ends.
#[derive(Debug)]
pub struct Mirror<M: Supervisable>(Arc<Hold<M>>);

impl<M: Supervisable> Clone for Mirror<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The possession of a mirror, which all handles share. When it is dropped, the keeper ends.
#[derive(Debug)]
pub(super) struct Hold<M: Supervisable>(Arc<Shared<M>>);

impl<M: Supervisable> Drop for Hold<M> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<M: Supervisable> Mirror<M> {
    /// Creates a mirror of the machine of this client, and what keeps it current, which is to be
    /// [run](Keeper::run).
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::mirror::Mirror;
    ///
    /// let (mirror, keeper) = Mirror::of(&vm);
    /// std::thread::spawn(move || keeper.run());
    /// let view = mirror.current(PATIENCE)?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(vm: &M) -> (Self, Keeper<M>) {
        Self::with(vm, Policy::new())
    }

    /// Creates a mirror with a policy of its own.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: &qmp_client::blocking::Client) {
    /// use qmp_vm::mirror::{Mirror, Policy};
    ///
    /// let (mirror, keeper) = Mirror::with(vm, Policy::new());
    /// # }
    /// ```
    pub fn with(vm: &M, policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Client(vm.clone()))
    }

    /// Creates a mirror that follows a supervised connection, from one connection to the next. It
    /// holds the supervised connection until the last handle of the mirror is dropped.
    pub fn supervised(vm: &Supervised<M>, policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Supervised(vm.changes()))
    }

    /// Creates a mirror of a machine that is not connected yet. Its keeper
    /// [follows](Keeper::follow) one connection after the other.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")] {
    /// use qmp_client::blocking::Client;
    /// use qmp_vm::mirror::{Mirror, Policy};
    ///
    /// let (mirror, keeper) = Mirror::<Client>::unconnected(Policy::new());
    /// # }
    /// ```
    pub fn unconnected(policy: Policy) -> (Self, Keeper<M>) {
        Self::create(policy, Source::Caller)
    }

    fn create(policy: Policy, source: Source<M>) -> (Self, Keeper<M>) {
        // Commands can be executed before the keeper runs.
        let vm = match &source {
            Source::Client(vm) => Some(vm.clone()),
            Source::Supervised(_) | Source::Caller => None,
        };
        let shared = Arc::new(Shared::new(policy, vm));
        let keeper = Keeper::new(Arc::clone(&shared), source);
        (Self(Arc::new(Hold(shared))), keeper)
    }

    /// Returns the present view, without waiting.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// // What is known now; nothing is asked.
    /// println!("{:?}", mirror.view().run_state());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.0.view()
    }

    /// Returns the parts that may differ from the present view: those that are being asked for.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// for part in mirror.stale() {
    ///     println!("{} is to be asked again", part.query());
    /// }
    /// # }
    /// ```
    pub fn stale(&self) -> impl Iterator<Item = Part> + use<M> {
        self.0.0.stale().iter()
    }

    /// Waits until everything that is known to have changed before this call is in the view, and
    /// returns that view. What changed without an event or a [note](Self::note) is not known.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// let view = mirror.current(PATIENCE)?;
    /// println!("running: {}", view.is_running());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The deadline passes, for example because a part cannot be asked for; or the mirror has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn current(&self, within: Duration) -> M::Outcome<'_, Result<Arc<View>>> {
        M::run(async move { self.0.reach(within, false, |_| true).await })
    }

    /// Asks for everything again, and returns the view with the answers.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let view = mirror.refresh(Duration::from_secs(5))?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`current`](Self::current).
    ///
    /// # Cancel safety
    /// If the future is dropped after it was polled, the queries are sent all the same.
    pub fn refresh(&self, within: Duration) -> M::Outcome<'_, Result<Arc<View>>> {
        M::run(async move {
            self.0.0.refresh();
            self.0.reach(within, false, |_| true).await
        })
    }

    /// Waits until a view satisfies a condition, and returns it. The condition is tried with the view
    /// that is [current](Self::current), leaving out parts that cannot be asked for, and then with
    /// each later one.
    ///
    /// Views that follow quickly upon each other are one. Wait for a state that lasts: a job that
    /// dismisses itself may never be seen as concluded.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>)
    /// # -> qmp_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// let view = mirror.wait_until(|vm| vm.job("backup").is_none(), Duration::from_secs(60))?;
    /// println!("{:?}", view.run_state());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The deadline passes, or the mirror has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn wait_until<'a>(
        &'a self,
        condition: impl FnMut(&View) -> bool + Send + 'a,
        within: Duration,
    ) -> M::Outcome<'a, Result<Arc<View>>> {
        M::run(self.0.reach(within, true, condition))
    }

    /// Subscribes to changes, from the present view on.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// let changes = mirror.changes();
    /// println!("{:?}", changes.view().run_state());
    /// # }
    /// ```
    pub fn changes(&self) -> Changes<M> {
        Changes::new(Arc::clone(&self.0))
    }

    /// Executes a command on the connection that the mirror follows, and takes
    /// [note](Self::note) of it when it has been answered.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_client::qmp::commands::Stop;
    ///
    /// // The mirror learns that a command may have changed something.
    /// mirror.execute(Stop::new())?;
    /// assert!(!mirror.current(PATIENCE)?.is_running());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `Client::execute`; and the mirror is not connected, which this does not wait for.
    ///
    /// # Cancel safety
    /// If the future is dropped after the command was sent, the command is executed all the same, and
    /// noted.
    pub fn execute<'a, R: Request<Return: Send> + Send + 'a>(
        &'a self,
        request: R,
    ) -> M::Outcome<'a, Result<R::Return>> {
        M::run(async move {
            let hold = &self.0;
            let changed = match request.is_read_only() {
                true => Parts::NONE,
                false => rules::changed_by_command(&request.name()),
            };
            let Some(vm) = hold.0.vm() else { return Err(hold.unconnected(Some(&request))) };
            let _noted = Noted { shared: &hold.0, changed };
            vm.call(request).execute().await
        })
    }

    /// Takes note that a command of this name has been executed by another handle, so that the parts
    /// that it may have changed are asked for. Nothing happens for a command that only asks.
    ///
    /// ```
    /// # #[cfg(feature = "blocking")]
    /// # fn example(mirror: &qmp_vm::mirror::Mirror<qmp_client::blocking::Client>) {
    /// // Another client of this program has executed it.
    /// mirror.note("object-add");
    /// # }
    /// ```
    pub fn note(&self, command: &str) {
        self.0.0.mark(rules::changed_by_command(command));
    }
}

/// Marks what a command has changed when this is dropped: the command may have been executed.
struct Noted<'a, M> {
    shared: &'a Shared<M>,
    changed: Parts,
}

impl<M> Drop for Noted<'_, M> {
    fn drop(&mut self) {
        self.shared.mark(self.changed);
    }
}

impl<M: Supervisable> Hold<M> {
    pub(super) fn view(&self) -> Arc<View> {
        self.0.view()
    }

    fn unconnected<R: Request>(&self, request: Option<&R>) -> Error {
        let closed = self.0.ended().flatten().or_else(|| self.0.lost());
        let reason = closed.map_or_else(|| Arc::new(End::Local), |closed| closed.reason);
        Closed::new(request.map(Request::name), &reason).into()
    }

    /// Waits for a view that is current as of now and satisfies a condition.
    async fn reach(
        &self,
        within: Duration,
        lenient: bool,
        mut condition: impl FnMut(&View) -> bool + Send,
    ) -> Result<Arc<View>> {
        let target = self.0.target();
        let mut tried = None;
        let found = self.look(within, |view| {
            if !target.is_reached(view, lenient) || tried == Some(view.number()) {
                return None;
            }
            tried = Some(view.number());
            condition(view).then(|| Arc::clone(view))
        });
        match found.await? {
            Some(view) => Ok(view),
            None => Err(self.late(within, lenient, &target.missing(&self.view(), lenient))),
        }
    }

    /// Returns the error of a wait whose deadline has passed.
    fn late(&self, within: Duration, lenient: bool, missing: &Parts) -> Error {
        let view = self.view();
        let state = match lenient {
            true => "the mirror to satisfy a condition",
            false => "the mirror to be current",
        };
        let cause = match missing.iter().next() {
            _ if !view.is_connected() => Some("the mirror is not connected".to_owned()),
            Some(part) => Some(match view.failure(part) {
                Some(failure) => format!("`{part}` failed: {failure}"),
                None => format!("`{part}` has not been answered"),
            }),
            None => None,
        };
        Timeout::new(WaitedFor::State(state.into()), within).because(cause).into()
    }

    /// Waits until `look` finds something in a view, which it is shown whenever there is a new one;
    /// `None` when the deadline has passed.
    pub(super) async fn look<T: Send>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Arc<View>) -> Option<T> + Send,
    ) -> Result<Option<T>> {
        if M::BLOCKS {
            self.look_blocking(within, look).await
        } else {
            self.look_pending(within, &mut look).await
        }
    }

    /// [`look`](Self::look) on the blocking client. The keeper may be waiting for an event, which
    /// nothing interrupts, so that this thread asks by itself for what is stale.
    async fn look_blocking<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Arc<View>) -> Option<T>,
    ) -> Result<Option<T>> {
        let begin = Instant::now();
        loop {
            let view = self.view();
            if let Some(found) = look(&view) {
                return Ok(Some(found));
            }
            if self.0.ended().is_some() {
                return Err(self.unconnected::<qmp_client::Raw>(None));
            }
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(pause) = self.advance(left).await {
                self.0.wait_for_progress(&view, left.min(pause));
            }
        }
    }

    /// Asks for what is stale. If nothing is to be asked for now, returns the time until something is.
    async fn advance(&self, within: Duration) -> Option<Duration> {
        let Some(vm) = self.0.vm() else { return Some(Duration::MAX) };
        match self.0.next(vm.now()) {
            Some(Step::Ask(parts, stamp)) => {
                let is_connected = round::run(&self.0, &vm, parts, stamp, within).await;
                // The keeper sees that the connection has ended.
                (!is_connected).then_some(Duration::MAX)
            }
            Some(Step::Wait(wait)) => Some(wait),
            None => Some(Duration::MAX),
        }
    }

    /// [`look`](Self::look) on the asynchronous client, whose keeper is woken by what happens.
    async fn look_pending<T: Send>(
        &self,
        within: Duration,
        look: &mut (impl FnMut(&Arc<View>) -> Option<T> + Send),
    ) -> Result<Option<T>> {
        let deadline = Instant::now().checked_add(within);
        let mut timer = Timer::new(self.0.vm(), within);
        let mut place = Place { shared: &self.0, waiter: None };
        let waiter = &mut place.waiter;
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(found) = self.0.poll_look(cx, waiter, &mut *look) {
                return Poll::Ready(Ok(Some(found)));
            }
            if self.0.ended().is_some() {
                return Poll::Ready(Err(self.unconnected::<qmp_client::Raw>(None)));
            }
            loop {
                let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                match &mut timer {
                    Timer::Running(pause) => match pause.as_mut().poll(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(true) => return Poll::Ready(Ok(None)),
                        Poll::Ready(false) => {
                            // The keeper, which may be a task of the same thread, has yet to see it.
                            timer = Timer::Outage;
                            self.0.wake_at(deadline);
                            return Poll::Pending;
                        }
                    },
                    Timer::Outage if left.is_some_and(|left| left.is_zero()) => {
                        return Poll::Ready(Ok(None));
                    }
                    Timer::Outage => match self.0.vm() {
                        Some(vm) => timer = Timer::new(Some(vm), left.unwrap_or(Duration::MAX)),
                        None => {
                            self.0.wake_at(deadline);
                            return Poll::Pending;
                        }
                    },
                }
            }
        })
        .await
    }
}

/// The place of a task among those that wait, until this is dropped.
struct Place<'a, M> {
    shared: &'a Shared<M>,
    waiter: Option<WaiterId>,
}

impl<M> Drop for Place<'_, M> {
    fn drop(&mut self) {
        self.waiter.into_iter().for_each(|waiter| self.shared.forget_waiter(waiter));
    }
}

/// The timer of a wait: that of the client, while there is one.
enum Timer {
    /// Returns whether the time has passed; otherwise the connection has ended.
    Running(Pin<Box<dyn Future<Output = bool> + Send>>),
    Outage,
}

impl Timer {
    fn new<M: Supervisable>(vm: Option<M>, within: Duration) -> Self {
        let Some(vm) = vm else { return Self::Outage };
        Self::Running(Box::pin(async move {
            vm.pause(within).await;
            vm.closed_within(Duration::ZERO).await.is_err()
        }))
    }
}
