//! Calls that are not answered, or whose answer has not been taken.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::task::Waker;
use std::time::{Duration, Instant};

use qmp_protocol::{CallId, Error, ProtocolError};
use qmp_types::QmpError;
use serde_json::value::RawValue;

use crate::stats::{CallStats, Counters, Histogram};

/// The result of a call, as text.
pub(crate) type Answer = Result<Box<RawValue>, Error>;

/// All such calls of a connection, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Waiters {
    waiters: VecDeque<Waiter>,
    /// The bytes of all answers that have not been taken.
    held: usize,
    counters: Counters,
    now: fn() -> Instant,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    id: CallId,
    command: Cow<'static, str>,
    submitted: Instant,
    pub(crate) waker: Option<Waker>,
    answer: Option<Answer>,
    /// Whether the answer is counted and dropped.
    is_detached: bool,
}

impl Waiter {
    /// Returns the bytes of the answer.
    #[inline]
    fn held(&self) -> usize {
        self.answer.as_ref().map_or(0, size)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.submitted)
    }
}

impl Waiters {
    pub(crate) fn new(now: fn() -> Instant) -> Self {
        Self { waiters: VecDeque::new(), held: 0, counters: Counters::default(), now }
    }

    /// Adds a call that has just been submitted.
    #[inline]
    pub(crate) fn add(&mut self, id: CallId, command: Cow<'static, str>, submitted: Instant) {
        self.counters.submitted();
        let (waker, answer, is_detached) = (None, None, false);
        self.waiters.push_back(Waiter { id, command, submitted, waker, answer, is_detached });
    }

    /// Has the answer to a call counted and dropped.
    #[cfg(feature = "blocking")]
    pub(crate) fn detach(&mut self, id: CallId) {
        match self.get(id) {
            Some(waiter) if !waiter.is_answered() => waiter.is_detached = true,
            _ => drop(self.remove(id)),
        }
    }

    /// Sets the waker of a call that has just been added.
    pub(crate) fn wake_newest(&mut self, id: CallId, waker: &Waker) {
        if let Some(waiter) = self.waiters.back_mut().filter(|waiter| waiter.id == id) {
            waiter.waker = Some(waker.clone());
        }
    }

    /// Returns the numbers of calls by outcome, and the latencies of those that were answered.
    #[inline]
    pub(crate) fn stats(&self) -> (CallStats, Histogram) {
        let (calls, latency) = self.counters.snapshot();
        (CallStats { in_flight: self.unanswered() as u64, ..calls }, latency)
    }

    /// Removes a call whose result its caller takes at once, and counts the result. No other thread or
    /// task waits for it.
    #[cfg(feature = "blocking")]
    #[inline]
    pub(crate) fn complete(&mut self, id: CallId, result: Result<&RawValue, &Error>) {
        let Some(index) = self.position(id) else { return };
        let submitted = self.waiters[index].submitted;
        let latency = || (self.now)().saturating_duration_since(submitted);
        self.counters.finished(result, latency);
        drop(self.take(index));
    }

    /// Records that the reply of a call that had succeeded does not match the type.
    pub(crate) fn mismatched(&mut self) {
        self.counters.mismatched();
    }

    /// Keeps an answer, or returns it if no caller waits for it. Answers that have not been taken hold at
    /// most `limit` bytes together: another one fails, unless it is the only one.
    #[inline]
    pub(crate) fn answer<'i>(
        &mut self,
        id: CallId,
        result: Result<&'i RawValue, Error>,
        limit: usize,
        woken: &mut Vec<Waker>,
    ) -> Option<Result<&'i RawValue, Error>> {
        let held = self.held;
        let Some(index) = self.position(id) else { return Some(result) };
        if self.waiters[index].is_detached {
            let waiter = self.take(index)?;
            self.counters.finished(result.as_deref(), || waiter.age((self.now)()));
            return None;
        }
        let waiter = &mut self.waiters[index];
        let mut answer = result.map(RawValue::to_owned);
        if held > 0 && held.saturating_add(size(&answer)) > limit {
            let command = waiter.command.clone();
            answer = Err(ProtocolError::NotReceived { command, limit }.into());
        }
        let size = size(&answer);
        self.counters.finished(answer.as_deref(), || waiter.age((self.now)()));
        waiter.answer = Some(answer);
        woken.extend(waiter.waker.take());
        self.held += size;
        None
    }

    /// Returns the bytes of all answers that have not been taken.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    fn position(&self, id: CallId) -> Option<usize> {
        // Mostly the newest call is the one.
        if self.waiters.back().is_some_and(|waiter| waiter.id == id) {
            return Some(self.waiters.len() - 1);
        }
        self.waiters.binary_search_by_key(&id, |waiter| waiter.id).ok()
    }

    pub(crate) fn get(&mut self, id: CallId) -> Option<&mut Waiter> {
        self.position(id).and_then(|index| self.waiters.get_mut(index))
    }

    /// Takes the answer, if it has arrived.
    #[inline]
    pub(crate) fn take_answer(&mut self, id: CallId) -> Option<Answer> {
        let index = self.position(id).filter(|index| self.waiters[*index].is_answered())?;
        let waiter = self.take(index)?;
        self.held -= waiter.held();
        waiter.answer
    }

    fn take(&mut self, index: usize) -> Option<Waiter> {
        // Mostly it is the newest one, for which nothing moves.
        if index + 1 == self.waiters.len() {
            return self.waiters.pop_back();
        }
        self.waiters.remove(index)
    }

    /// Removes a call that is given up. Its waker and its answer are the caller's to drop.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<(Option<Waker>, Option<Answer>)> {
        let waiter = self.waiters.remove(self.position(id)?)?;
        self.held -= waiter.held();
        if !waiter.is_answered() {
            self.counters.canceled();
        }
        Some((waiter.waker, waiter.answer))
    }

    /// Returns the number of calls that are not answered.
    #[inline]
    pub(crate) fn unanswered(&self) -> usize {
        self.waiters.iter().filter(|waiter| !waiter.is_answered()).count()
    }

    pub(crate) fn release(&mut self) {
        if self.waiters.is_empty() {
            self.waiters = VecDeque::new();
        }
    }
}

/// Returns the memory of an answer, about, in bytes.
#[inline]
fn size(answer: &Answer) -> usize {
    match answer {
        Ok(value) => value.get().len(),
        Err(error) => error_size(error),
    }
}

#[cold]
fn error_size(error: &Error) -> usize {
    // Whatever other errors quote of a peer is short.
    let Error::Server(refusal) = error else { return 0 };
    let QmpError { class, desc, rest } = &refusal.error;
    class.as_str().len() + desc.len() + rest.text().len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    /// A caller that sends many commands before it receives a reply was at the mercy of the peer: each
    /// reply may be as large as a message may be.
    #[test]
    fn answers_that_are_not_taken_are_limited_together() {
        let connection = qmp_protocol::Connection::new(qmp_protocol::Settings::default(), None);
        let mut connection = connection;
        let mut waiters = Waiters::new(Instant::now);
        let mut submit = || connection.submit(qmp_protocol::Submission::new("x")).unwrap();
        let ids = [submit(), submit(), submit()];
        ids.iter().for_each(|id| waiters.add(*id, "x".into(), Instant::now()));
        let value = RawValue::from_string(format!("\"{}\"", "x".repeat(98))).unwrap();
        let answer = |waiters: &mut Waiters, id| {
            waiters.answer(id, Ok(&value), 150, &mut Vec::new());
        };
        answer(&mut waiters, ids[0]);
        answer(&mut waiters, ids[1]);
        assert_eq!(waiters.held(), 100);
        let error = waiters.take_answer(ids[1]).unwrap().unwrap_err();
        assert!(error.to_string().contains("150 bytes"), "{error}");
        waiters.take_answer(ids[0]).unwrap().unwrap();
        assert_eq!(waiters.held(), 0);
        answer(&mut waiters, ids[2]);
        assert!(waiters.remove(ids[2]).unwrap().1.unwrap().is_ok());
        assert_eq!(waiters.held(), 0);
    }

    /// Errors did not count.
    #[test]
    fn errors_that_are_not_taken_count_as_values() {
        let mut connection = qmp_protocol::Connection::new(qmp_protocol::Settings::default(), None);
        let mut waiters = Waiters::new(Instant::now);
        let mut refuse = |waiters: &mut Waiters, error: &QmpError| {
            let id = connection.submit(qmp_protocol::Submission::new("x")).unwrap();
            waiters.add(id, "x".into(), Instant::now());
            let error = qmp_protocol::ServerError::new("x".into(), error.clone());
            waiters.answer(id, Err(error.into()), 100_000, &mut Vec::new());
            id
        };
        let mut error = QmpError::generic("no");
        refuse(&mut waiters, &error);
        let small = waiters.held();
        assert!(small < 100, "{small}");
        error.rest.insert("data", "x".repeat(60_000));
        let first = refuse(&mut waiters, &error);
        assert!((60_000..100_000).contains(&waiters.held()), "{}", waiters.held());
        let second = refuse(&mut waiters, &error);
        let dropped = waiters.take_answer(second).unwrap().unwrap_err();
        assert!(matches!(dropped, Error::Protocol(_)), "{dropped}");
        waiters.take_answer(first).unwrap().unwrap_err();
        assert_eq!(waiters.held(), small);
    }
}
