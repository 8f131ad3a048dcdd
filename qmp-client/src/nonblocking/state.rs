//! What the handles of a connection and its driver share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qmp_types::Timestamp;
use serde_json::value::RawValue;

use super::detached::Detached;
use super::events::Predicate;
use super::written::Written;
use crate::error::{Closed, Error, Result};
use crate::events::{EventCapacity, EventQueue, RawEvent};
use crate::machine::{CallId, Deadline, Descriptor, Dialect, Incoming, Machine};
use crate::options::Options;

/// What does not change, and what does, behind the one lock.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    options: Options,
    now: fn() -> Instant,
    passes_descriptors: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: Machine,
    /// In the order of their ids.
    waiters: VecDeque<Waiter>,
    /// Calls that nobody waits for, and that keep the connection open.
    pub(super) detached: Detached,
    subscriptions: Vec<Subscription>,
    next_subscription: u64,
    /// Who waits for the negotiation.
    negotiation: Option<Waker>,
    pub(super) driver: Option<Waker>,
    /// When the driver is going to look at the deadlines by itself.
    pub(super) armed: Option<Instant>,
    /// Whether the connection is to be closed at once.
    closing: bool,
    /// Whether no handle is left.
    unheld: bool,
}

/// A call that is not answered, or whose answer is not taken.
#[derive(Debug)]
struct Waiter {
    id: CallId,
    waker: Option<Waker>,
    answer: Option<Result<Box<RawValue>>>,
}

/// Somebody who takes events.
#[derive(Debug)]
pub(super) struct Subscription {
    number: u64,
    /// The one name that is taken, if not all are.
    name: Option<&'static str>,
    /// What is taken of those.
    predicate: Option<Predicate>,
    events: EventQueue,
    waker: Option<Waker>,
    deadline: Option<Instant>,
    /// Whether what arrives now is from before the command that this one was made for.
    pub(super) fenced: bool,
}

impl Shared {
    pub(super) fn new(
        machine: Machine,
        options: Options,
        now: fn() -> Instant,
        passes_descriptors: bool,
    ) -> Self {
        let state = State {
            machine,
            waiters: VecDeque::new(),
            detached: Detached::new(&options, now),
            subscriptions: Vec::new(),
            next_subscription: 0,
            negotiation: None,
            driver: None,
            armed: None,
            closing: false,
            unheld: false,
        };
        Self { state: Mutex::new(state), options, now, passes_descriptors }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is whole between any two statements that can panic; what a
        // predicate leaves that panics, the driver ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share in a connection that keeps it open: when the last one goes, it is closed as soon as
/// no [detached](Detached) call is left.
#[derive(Debug)]
pub(super) struct Hold(Arc<Shared>);

impl Hold {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn passes_descriptors(&self) -> bool {
        self.0.passes_descriptors
    }

    pub(super) fn now(&self) -> Instant {
        (self.0.now)()
    }

    pub(super) fn deadline_after(&self, within: Duration) -> Option<Deadline> {
        Deadline::after(self.now(), within)
    }

    /// Closes at once.
    pub(super) fn close(&self) {
        self.change(|state| state.closing = true);
    }

    /// Changes what the driver has to look at.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, driver) = {
            let mut state = self.lock();
            (change(&mut state), state.driver.take())
        };
        driver.into_iter().for_each(Waker::wake);
        changed
    }

    /// Gives a command to the machine, and the driver something to do. An event, or all, are
    /// subscribed to from when the command is sent.
    pub(super) fn submit(
        &self,
        command: &Written,
        deadline: Option<Deadline>,
        descriptors: Vec<Descriptor>,
        event: Option<Option<&'static str>>,
    ) -> Result<(CallId, Option<u64>)> {
        self.change(|state| {
            let id = command.submit(&mut state.machine, deadline, descriptors)?;
            state.waiters.push_back(Waiter { id, waker: None, answer: None });
            let capacity = self.options().kept_events(Dialect::Monitor);
            Ok((id, event.map(|name| state.subscribe(name, capacity, true))))
        })
    }

    pub(super) fn poll_answer(
        &self,
        id: CallId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<RawValue>>> {
        // It is dropped behind the lock.
        let _replaced;
        let mut state = self.lock();
        let Some(index) = state.waiter(id) else {
            // What cannot be: it has been taken.
            return Poll::Pending;
        };
        if state.waiters[index].answer.is_none() {
            _replaced = register(&mut state.waiters[index].waker, cx);
            return Poll::Pending;
        }
        match state.waiters.remove(index).and_then(|waiter| waiter.answer) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }

    /// The next event of a subscription, and all others that there are into `more`; nothing once
    /// it has given the reason for the end.
    pub(super) fn poll_event(
        &self,
        number: u64,
        deadline: Option<Instant>,
        more: &mut VecDeque<RawEvent>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RawEvent>>> {
        let now = deadline.map(|_| self.now());
        let (driver, _replaced) = {
            let mut state = self.lock();
            let Some(index) = state.subscription(number) else { return Poll::Ready(Ok(None)) };
            let subscription = &mut state.subscriptions[index];
            subscription.deadline = None;
            match subscription.events.pop() {
                Ok(None) => {}
                found => {
                    if found.is_ok() {
                        subscription.events.take_all(more);
                    }
                    return Poll::Ready(found);
                }
            }
            if let Some(end) = state.machine.ended() {
                let closed = Closed::new(None, end).into();
                let gone = state.subscriptions.remove(index);
                // A predicate is somebody's code, and may own a client.
                drop(state);
                drop(gone);
                return Poll::Ready(Err(closed));
            }
            if let (Some(at), Some(now)) = (deadline, now)
                && at <= now
            {
                return Poll::Ready(Ok(None));
            }
            let subscription = &mut state.subscriptions[index];
            subscription.deadline = deadline;
            let replaced = register(&mut subscription.waker, cx);
            // The driver may sleep for longer than this one wants to wait.
            let sooner = deadline.is_some_and(|at| state.armed.is_none_or(|armed| at < armed));
            (if sooner { state.driver.take() } else { None }, replaced)
        };
        driver.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    pub(super) fn unsubscribe(&self, number: u64) {
        let gone = {
            let mut state = self.lock();
            let index = state.subscription(number);
            index.map(|index| state.subscriptions.remove(index))
        };
        drop(gone);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.change(|state| state.unheld = true);
    }
}

impl State {
    fn waiter(&self, id: CallId) -> Option<usize> {
        self.waiters.binary_search_by_key(&id, |waiter| waiter.id).ok()
    }

    /// Nobody waits for this call any more: the answer, if it has come.
    pub(super) fn forget_waiter(&mut self, id: CallId) -> Option<Result<Box<RawValue>>> {
        let index = self.waiter(id)?;
        self.waiters.remove(index)?.answer
    }

    /// Whether the connection is to be closed now.
    pub(super) fn is_deserted(&self) -> bool {
        self.closing || (self.unheld && self.detached.is_empty())
    }

    fn subscription(&self, number: u64) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.number == number)
    }

    pub(super) fn subscribe(
        &mut self,
        name: Option<&'static str>,
        capacity: EventCapacity,
        fenced: bool,
    ) -> u64 {
        let number = self.next_subscription;
        self.next_subscription += 1;
        let (events, predicate) = (EventQueue::new(capacity), None);
        let subscription =
            Subscription { number, name, predicate, events, waker: None, deadline: None, fenced };
        self.subscriptions.push(subscription);
        number
    }

    /// Takes what satisfies this predicate, and what that may have been before, from now on; the
    /// queue keeps no other. If there is no such subscription any more, the predicate is given back.
    #[must_use = "it is dropped behind the lock"]
    pub(super) fn filter(&mut self, number: u64, mut predicate: Predicate) -> Option<Predicate> {
        let Some(index) = self.subscription(number) else { return Some(predicate) };
        let subscription = &mut self.subscriptions[index];
        subscription.events.forget(|event| !predicate.holds(event));
        subscription.predicate = Some(match subscription.predicate.take() {
            Some(before) => before.and(predicate),
            None => predicate,
        });
        None
    }

    pub(super) fn pending(&self) -> (usize, usize) {
        let calls = self.waiters.iter().filter(|waiter| waiter.answer.is_none());
        (calls.count() + self.detached.len(), self.subscriptions.len())
    }

    /// Whether a command waits until what arrived before it is read.
    pub(super) fn is_fenced(&self) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.fenced)
    }

    pub(super) fn lift_fences(&mut self) {
        self.subscriptions.iter_mut().for_each(|subscription| subscription.fenced = false);
    }

    /// Gives every message that has arrived to whom it is for. Those to be woken are collected,
    /// for when the lock is released.
    pub(super) fn distribute(&mut self, woken: &mut Vec<Waker>) {
        let Self { machine, waiters, subscriptions, negotiation, detached, .. } = self;
        machine.drain(&mut |incoming| match incoming {
            Incoming::Ready => woken.extend(negotiation.take()),
            Incoming::Reply { id, result } => {
                let found = waiters.binary_search_by_key(&id, |waiter| waiter.id).ok();
                if let Some(waiter) = found.and_then(|index| waiters.get_mut(index)) {
                    waiter.answer = Some(result.map(RawValue::to_owned));
                    woken.extend(waiter.waker.take());
                } else {
                    detached.answered(id, result);
                }
            }
            Incoming::Event { name, data, timestamp } => {
                for subscription in subscriptions.iter_mut() {
                    if subscription.takes(&name, data, timestamp) {
                        subscription.events.push(&name, data, timestamp);
                        woken.extend(subscription.waker.take());
                    }
                }
            }
            Incoming::Garbage(_) => {}
        });
        detached.follow_up(machine);
        if machine.ended().is_some() {
            woken.extend(negotiation.take());
            let waiting = subscriptions.iter_mut();
            woken.extend(waiting.filter_map(|subscription| subscription.waker.take()));
        }
    }

    /// The next moment at which somebody's patience ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.subscriptions.iter().filter_map(|subscription| subscription.deadline);
        let detached = self.detached.deadline();
        self.machine.deadline().into_iter().chain(waiting).chain(detached).min()
    }

    /// What has a deadline at `now` or earlier is told.
    pub(super) fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        self.machine.expire(now);
        self.detached.expire(now, &mut self.machine);
        for subscription in &mut self.subscriptions {
            if subscription.deadline.is_some_and(|at| at <= now) {
                subscription.deadline = None;
                woken.extend(subscription.waker.take());
            }
        }
    }

    /// Gives memory back while nothing is going on.
    pub(super) fn release(&mut self) {
        self.machine.release(0);
        if self.waiters.is_empty() {
            self.waiters = VecDeque::new();
        }
        self.detached.release();
        self.subscriptions.iter_mut().for_each(|subscription| subscription.events.release());
    }

    /// Whether greeting and negotiation are through.
    pub(super) fn poll_negotiated(
        &mut self,
        cx: &mut Context<'_>,
        replaced: &mut Option<Waker>,
    ) -> Poll<Result<(), Error>> {
        if self.machine.ended().is_some() {
            return Poll::Ready(Err(crate::error::handshake_error(self.machine.take_ended())));
        }
        if self.machine.is_ready() {
            return Poll::Ready(Ok(()));
        }
        *replaced = register(&mut self.negotiation, cx);
        Poll::Pending
    }
}

impl Subscription {
    fn takes(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) -> bool {
        if self.fenced || self.name.is_some_and(|wanted| wanted != name) {
            return false;
        }
        let Some(predicate) = &mut self.predicate else { return true };
        predicate.holds(&RawEvent::new(name.into(), data, timestamp))
    }
}

/// Whom to wake, if it is not known already. It takes the place of another one, with which a task
/// may go, and whatever that owns.
#[must_use = "it is dropped behind the lock"]
pub(super) fn register(place: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => place.replace(cx.waker().clone()),
    }
}
