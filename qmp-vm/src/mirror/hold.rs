//! The common part of the handles of a mirror, and waiting for a view.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use qmp_client::protocol::End;
use qmp_client::{Closed, Error, Request, Result, Timeout, WaitedFor};

use super::model::Step;
use super::part::Parts;
use super::round;
use super::shared::{Shared, WaiterId};
use super::view::View;
use crate::supervise::Supervisable;

/// The possession of a mirror, which all handles share. When it is dropped, the keeper ends.
#[derive(Debug)]
pub(super) struct Hold<M: Supervisable>(pub(super) Arc<Shared<M>>);

impl<M: Supervisable> Drop for Hold<M> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<M: Supervisable> Hold<M> {
    pub(super) fn view(&self) -> Arc<View> {
        self.0.view()
    }

    pub(super) fn unconnected<R: Request>(&self, request: Option<&R>) -> Error {
        let closed = self.0.ended().flatten().or_else(|| self.0.lost());
        let reason = closed.map_or_else(|| Arc::new(End::Local), |closed| closed.reason);
        Closed::new(request.map(Request::name), &reason).into()
    }

    /// Waits for a view that is current as of now and satisfies a condition.
    pub(super) async fn reach(
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
