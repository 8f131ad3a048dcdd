//! Calls that are not answered, or whose answer has not been taken.

use std::collections::VecDeque;
use std::task::Waker;

use qmp_protocol::{CallId, Error, ProtocolError};
use serde_json::value::RawValue;

/// The result of a call, as text.
pub(crate) type Answer = Result<Box<RawValue>, Error>;

/// All such calls of a connection, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Waiters {
    waiters: VecDeque<Waiter>,
    /// The most bytes that answers may have which were not taken.
    limit: usize,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    id: CallId,
    pub(crate) waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Waiter {
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }
}

impl Waiters {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiters: VecDeque::new(), limit }
    }

    /// Answers a call. Returns the result if no caller waits for it.
    ///
    /// The answer is kept until the caller takes it. A peer must not fill the memory with answers to
    /// callers that wait for something else first.
    pub(crate) fn answer<'i>(
        &mut self,
        id: CallId,
        result: Result<&'i RawValue, Error>,
        woken: &mut Vec<Waker>,
    ) -> Option<Result<&'i RawValue, Error>> {
        let Some(index) = self.position(id) else { return Some(result) };
        let length = |answer: &Answer| answer.as_ref().map_or(0, |text| text.get().len());
        let kept: usize = self.waiters.iter().flat_map(|it| &it.answer).map(length).sum();
        let limit = self.limit;
        let answer = result.and_then(|text| match kept.saturating_add(text.get().len()) > limit {
            true => Err(ProtocolError::TooManyReplies { limit }.into()),
            false => Ok(text.to_owned()),
        });
        let waiter = &mut self.waiters[index];
        waiter.answer = Some(answer);
        woken.extend(waiter.waker.take());
        None
    }

    /// Adds a call that has just been submitted.
    pub(crate) fn add(&mut self, id: CallId) {
        self.waiters.push_back(Waiter { id, waker: None, answer: None });
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
        self.waiters.remove(index)?.answer
    }

    /// Removes a call that is given up. Its waker and its answer are the caller's to drop.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<(Option<Waker>, Option<Answer>)> {
        let waiter = self.waiters.remove(self.position(id)?)?;
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
