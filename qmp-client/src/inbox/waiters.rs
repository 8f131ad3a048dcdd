//! Calls that are not answered, or whose answer has not been taken.

use std::collections::VecDeque;
use std::task::Waker;

use qmp_protocol::{CallId, Error};
use serde_json::value::RawValue;

/// The result of a call, as text.
pub(crate) type Answer = Result<Box<RawValue>, Error>;

/// All such calls of a connection, in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Waiters(VecDeque<Waiter>);

#[derive(Debug)]
pub(crate) struct Waiter {
    id: CallId,
    pub(crate) waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Waiter {
    pub(crate) fn answer(&mut self, result: Result<&RawValue, Error>, woken: &mut Vec<Waker>) {
        self.answer = Some(result.map(RawValue::to_owned));
        woken.extend(self.waker.take());
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

impl Waiters {
    /// Adds a call that has just been submitted.
    pub(crate) fn add(&mut self, id: CallId) {
        self.0.push_back(Waiter { id, waker: None, answer: None });
    }

    fn position(&self, id: CallId) -> Option<usize> {
        // Mostly the newest call is the one.
        if self.0.back().is_some_and(|waiter| waiter.id == id) {
            return Some(self.0.len() - 1);
        }
        self.0.binary_search_by_key(&id, |waiter| waiter.id).ok()
    }

    pub(crate) fn get(&mut self, id: CallId) -> Option<&mut Waiter> {
        self.position(id).and_then(|index| self.0.get_mut(index))
    }

    /// Takes the answer, if it has arrived.
    pub(crate) fn take_answer(&mut self, id: CallId) -> Option<Answer> {
        let index = self.position(id).filter(|index| self.0[*index].is_answered())?;
        self.0.remove(index)?.answer
    }

    /// Removes a call that is given up. Its waker and its answer are the caller's to drop.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<(Option<Waker>, Option<Answer>)> {
        let waiter = self.0.remove(self.position(id)?)?;
        Some((waiter.waker, waiter.answer))
    }

    /// Returns the number of calls that are not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.0.iter().filter(|waiter| !waiter.is_answered()).count()
    }

    pub(crate) fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }
}
