//! The table of calls: which commands are queued, in flight, or finished without a reply.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::call::{Call, QueuedCall};
use crate::deadline::sooner;
use crate::encode::Kind;
use crate::error::{End, Error, ProtocolError};
use crate::garbage::Garbage;
use crate::id::CallId;

/// All calls of a connection, oldest first in each list.
#[derive(Debug)]
pub(crate) struct Calls {
    next: u64,
    queued: VecDeque<QueuedCall>,
    queued_out_of_band: usize,
    /// Sent and not answered. The window keeps this list short.
    in_flight: Vec<Call>,
    in_flight_in_band: usize,
    /// The number of calls in flight that have descriptors: at most one in-band.
    in_flight_with_descriptors: usize,
    /// Calls that failed, or succeeded silently, and whose callers have not been told.
    finished: VecDeque<(CallId, Result<(), Error>)>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            next: 1,
            queued: VecDeque::new(),
            queued_out_of_band: 0,
            in_flight: Vec::new(),
            in_flight_in_band: 0,
            in_flight_with_descriptors: 0,
            finished: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn next_id(&mut self) -> CallId {
        let id = CallId::from_number(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Returns whether a command may be sent now without overtaking one of its kind.
    #[inline]
    pub(crate) fn may_send(&self, call: &Call, window: usize) -> bool {
        call.kind == Kind::OutOfBand || (self.queued.is_empty() && self.has_room(call, window))
    }

    /// Commands with descriptors are sent one at a time. QEMU keeps the descriptors that it
    /// received last until a command asks for them, and closes those of an earlier command that it
    /// has not executed yet.
    #[inline]
    fn has_room(&self, call: &Call, window: usize) -> bool {
        self.in_flight_in_band < window
            && !(call.has_descriptors && self.in_flight_with_descriptors > 0)
    }

    /// Adds a call whose command is being sent.
    #[inline]
    pub(crate) fn add_in_flight(&mut self, call: Call) {
        self.in_flight_in_band += usize::from(call.kind == Kind::InBand);
        self.in_flight_with_descriptors += usize::from(call.has_descriptors);
        self.in_flight.push(call);
    }

    pub(crate) fn enqueue(&mut self, queued: QueuedCall) {
        self.queued_out_of_band += usize::from(queued.call.kind == Kind::OutOfBand);
        self.queued.push_back(queued);
    }

    /// Takes the next queued command that may be sent.
    pub(crate) fn dequeue(&mut self, window: usize) -> Option<QueuedCall> {
        if self.queued_out_of_band == 0 {
            let has_room = self.has_room(&self.queued.front()?.call, window);
            return if has_room { self.queued.pop_front() } else { None };
        }
        // Out-of-band commands are queued only before the negotiation is complete.
        let index = self.queued.iter().position(|queued| queued.call.kind == Kind::OutOfBand)?;
        self.queued_out_of_band -= 1;
        self.queued.remove(index)
    }

    /// Takes those queued commands for which `which` returns true.
    pub(crate) fn take_queued(&mut self, which: impl Fn(CallId) -> bool) -> VecDeque<QueuedCall> {
        let mut taken = VecDeque::new();
        for queued in std::mem::take(&mut self.queued) {
            let to = if which(queued.call.id) { &mut taken } else { &mut self.queued };
            to.push_back(queued);
        }
        self.recount();
        taken
    }

    /// Returns the call that a reply without an id answers.
    pub(crate) fn oldest(&self) -> Option<CallId> {
        let in_band = self.in_flight.iter().find(|call| call.kind == Kind::InBand);
        in_band.or(self.in_flight.first()).map(|call| call.id)
    }

    /// Removes the call in flight that is answered by a reply with this id.
    #[inline]
    pub(crate) fn complete(&mut self, id: CallId) -> Option<Call> {
        let index = self.in_flight.iter().position(|call| call.id == id)?;
        // Mostly it is the newest one, for which nothing moves.
        let is_last = index + 1 == self.in_flight.len();
        let call = if is_last { self.in_flight.pop()? } else { self.in_flight.remove(index) };
        self.in_flight_in_band -= usize::from(call.kind == Kind::InBand);
        self.in_flight_with_descriptors -= usize::from(call.has_descriptors);
        Some(call)
    }

    /// Removes a call in flight whose caller waits for the reply, and returns its kind.
    #[inline]
    pub(crate) fn complete_awaited(&mut self, id: CallId) -> Option<Kind> {
        let index = self.in_flight.iter().position(|call| call.id == id && !call.abandoned)?;
        let Call { kind, has_descriptors, .. } = self.in_flight[index];
        self.in_flight_in_band -= usize::from(kind == Kind::InBand);
        self.in_flight_with_descriptors -= usize::from(has_descriptors);
        // In place: mostly it is the newest one, for which nothing moves.
        if index + 1 == self.in_flight.len() {
            self.in_flight.truncate(index);
        } else {
            self.in_flight.remove(index);
        }
        Some(kind)
    }

    pub(crate) fn abandon(&mut self, id: CallId) {
        if let Some(call) = self.in_flight.iter_mut().find(|call| call.id == id) {
            call.abandoned = true;
        }
        // A search by number, since thousands of queued calls may be dropped one by one.
        if let Ok(index) = self.queued.binary_search_by_key(&id, |queued| queued.call.id) {
            self.queued.remove(index);
            self.recount();
        }
        self.finished.retain(|(finished, _)| *finished != id);
    }

    /// Forgets abandoned calls in flight, and returns whether there were any.
    pub(crate) fn forget_abandoned(&mut self) -> bool {
        self.forget(&|call| call.abandoned)
    }

    /// Forgets abandoned calls in flight whose success is not answered, and returns whether there
    /// were any.
    pub(crate) fn forget_silent(&mut self) -> bool {
        self.forget(&|call| call.abandoned && !call.success_response)
    }

    fn forget(&mut self, which: &dyn Fn(&Call) -> bool) -> bool {
        let ids = self.in_flight(which);
        for id in &ids {
            self.complete(*id);
        }
        !ids.is_empty()
    }

    /// Returns the ids of those calls in flight for which `which` returns true.
    fn in_flight(&self, which: &dyn Fn(&Call) -> bool) -> Vec<CallId> {
        self.in_flight.iter().filter(|call| which(call)).map(|call| call.id).collect()
    }

    /// Returns whether the command waits to be sent.
    #[inline]
    pub(crate) fn is_queued(&self, id: CallId) -> bool {
        self.queued.binary_search_by_key(&id, |queued| queued.call.id).is_ok()
    }

    #[inline]
    pub(crate) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Returns whether the command has been sent and not answered.
    pub(crate) fn is_in_flight(&self, id: CallId) -> bool {
        self.in_flight.iter().any(|call| call.id == id)
    }

    /// Returns whether the command has been sent and not answered, and its caller waits for the reply.
    pub(crate) fn is_awaited(&self, id: CallId) -> bool {
        self.in_flight.iter().any(|call| call.id == id && !call.abandoned)
    }

    /// Returns whether there is a finished call whose caller has not been told.
    #[inline]
    pub(crate) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Returns whether the caller will still be told the result of this call.
    pub(crate) fn is_pending(&self, id: CallId) -> bool {
        self.is_awaited(id)
            || self.queued.iter().any(|queued| queued.call.id == id)
            || self.finished.iter().any(|(finished, _)| *finished == id)
    }

    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.in_flight.is_empty() && self.finished.is_empty()
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        // Mostly a single call is in flight.
        if let ([call], true) = (&*self.in_flight, self.queued.is_empty()) {
            return call.pending_deadline().map(|deadline| deadline.at);
        }
        self.earliest_deadline()
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        let mut earliest = None;
        let mut note = |call: &Call| {
            earliest = sooner(earliest, call.pending_deadline().map(|deadline| deadline.at));
        };
        for queued in &self.queued {
            note(&queued.call);
        }
        for call in &self.in_flight {
            note(call);
        }
        earliest
    }

    /// Finishes the calls whose deadline is at or before `now`. `sent` says whether everything in
    /// flight has really been sent.
    pub(crate) fn expire(&mut self, now: Instant, sent: bool) {
        let passed =
            |call: &Call| call.pending_deadline().filter(|deadline| deadline.has_passed(now));
        for call in &mut self.in_flight {
            if let Some(deadline) = passed(call) {
                self.finished.push_back((call.id, call.expired(deadline, sent)));
                call.abandoned = true;
            }
        }
        self.queued.retain(|QueuedCall { call, .. }| match passed(call) {
            Some(deadline) => {
                self.finished.push_back((call.id, Err(call.timeout(deadline, false))));
                false
            }
            None => true,
        });
        self.recount();
    }

    fn recount(&mut self) {
        if self.queued_out_of_band > 0 {
            let oob = self.queued.iter().filter(|queued| queued.call.kind == Kind::OutOfBand);
            self.queued_out_of_band = oob.count();
        }
    }

    /// Fails a call that has been removed from its list.
    pub(crate) fn fail(&mut self, call: &Call, error: Error) {
        if !call.abandoned {
            self.finished.push_back((call.id, Err(error)));
        }
    }

    /// Finishes all calls because the connection has ended. `sent` says whether everything in
    /// flight has really been sent, and nothing from the position `unsent` on has been.
    pub(crate) fn finish_all(&mut self, end: &Arc<End>, sent: bool, unsent: u64) {
        (self.in_flight_in_band, self.in_flight_with_descriptors) = (0, 0);
        self.queued_out_of_band = 0;
        for call in std::mem::take(&mut self.in_flight) {
            if !call.abandoned {
                self.finished.push_back((call.id, call.ended(end, sent, unsent)));
            }
        }
        while let Some(QueuedCall { call, .. }) = self.queued.pop_front() {
            self.finished.push_back((call.id, Err(call.unsent(end))));
        }
    }

    /// Notes garbage that may have been the reply to any command in flight.
    pub(crate) fn note_garbage(&mut self, garbage: &Arc<Garbage>) {
        for call in &mut self.in_flight {
            call.possible_reply = Some(Arc::clone(garbage));
        }
    }

    /// Fails the in-band calls that were overtaken by the reply to `id` and whose own reply may
    /// have been garbage: no reply to them follows.
    pub(crate) fn fail_overtaken(&mut self, id: CallId) {
        let overtaken = self.in_flight(&|call| {
            call.kind == Kind::InBand && call.id < id && call.possible_reply.is_some()
        });
        for id in overtaken {
            let Some(call) = self.complete(id) else { continue };
            if let Some(garbage) = call.possible_reply.clone() {
                let command = call.name.clone();
                self.fail(&call, ProtocolError::LostReply { command, garbage }.into());
            }
        }
    }

    /// Takes the next finished call whose caller has not been told.
    pub(crate) fn next_finished(&mut self) -> Option<(CallId, Result<(), Error>)> {
        self.finished.pop_front()
    }

    #[inline]
    pub(crate) fn release(&mut self) {
        if self.queued.is_empty() && self.queued.capacity() > 0 {
            self.queued = VecDeque::new();
        }
        if self.finished.is_empty() && self.finished.capacity() > 0 {
            self.finished = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A burst of commands is over when all have been given up.
    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut calls = Calls::new();
        for _ in 0..100 {
            let call = Call {
                id: calls.next_id(),
                name: "stop".into(),
                kind: Kind::InBand,
                success_response: true,
                has_descriptors: false,
                deadline: None,
                end: 0,
                abandoned: false,
                possible_reply: None,
            };
            calls.enqueue(QueuedCall { call, text: Box::default(), descriptors: Vec::new() });
        }
        calls.release();
        assert_eq!(calls.queued.len(), 100);
        calls.finish_all(&Arc::new(End::Local), true, 0);
        assert_eq!(calls.finished.len(), 100);
        calls.release();
        assert_eq!((calls.queued.capacity(), calls.finished.len()), (0, 100));
        while calls.next_finished().is_some() {}
        assert!(calls.finished.capacity() >= 100);
        calls.release();
        assert_eq!(calls.finished.capacity(), 0);
    }
}
