//! Calls that are not answered, or whose answer has not been taken.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::task::Waker;

use qmp_protocol::{CallId, Error, ProtocolError};
use serde_json::value::RawValue;

/// The result of a call, as text.
pub(crate) type Answer = Result<Box<RawValue>, Error>;

/// All such calls of a connection, in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiters: VecDeque<Waiter>,
    /// The bytes of all answers that have not been taken.
    held: usize,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    id: CallId,
    command: Cow<'static, str>,
    pub(crate) waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Waiter {
    /// Returns the bytes of the answer.
    fn held(&self) -> usize {
        self.answer.as_ref().map_or(0, size)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

impl Waiters {
    /// Adds a call that has just been submitted.
    pub(crate) fn add(&mut self, id: CallId, command: Cow<'static, str>) {
        self.waiters.push_back(Waiter { id, command, waker: None, answer: None });
    }

    /// Keeps an answer. Answers that have not been taken hold
    /// at most `limit` bytes together: another one fails, unless it is the only one.
    pub(crate) fn answer(
        &mut self,
        id: CallId,
        result: Result<&RawValue, Error>,
        limit: usize,
        woken: &mut Vec<Waker>,
    ) {
        let held = self.held;
        let Some(waiter) = self.get(id) else { return };
        let mut answer = result.map(RawValue::to_owned);
        if held > 0 && held.saturating_add(size(&answer)) > limit {
            let command = waiter.command.clone();
            answer = Err(ProtocolError::NotReceived { command, limit }.into());
        }
        let size = size(&answer);
        waiter.answer = Some(answer);
        woken.extend(waiter.waker.take());
        self.held += size;
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
    pub(crate) fn take_answer(&mut self, id: CallId) -> Option<Answer> {
        let index = self.position(id).filter(|index| self.waiters[*index].is_answered())?;
        let waiter = self.waiters.remove(index)?;
        self.held -= waiter.held();
        waiter.answer
    }

    /// Removes a call that is given up. Its waker and its answer are the caller's to drop.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<(Option<Waker>, Option<Answer>)> {
        let waiter = self.waiters.remove(self.position(id)?)?;
        self.held -= waiter.held();
        Some((waiter.waker, waiter.answer))
    }

    /// Returns the number of calls that are not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.waiters.iter().filter(|waiter| !waiter.is_answered()).count()
    }

    pub(crate) fn release(&mut self) {
        if self.waiters.is_empty() {
            self.waiters = VecDeque::new();
        }
    }
}

fn size(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, |value| value.get().len())
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
        let mut waiters = Waiters::default();
        let mut submit = || connection.submit(qmp_protocol::Submission::new("x")).unwrap();
        let ids = [submit(), submit(), submit()];
        ids.iter().for_each(|id| waiters.add(*id, "x".into()));
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
}
