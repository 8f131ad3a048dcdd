//! The table of calls: which command waits, which is in flight, which has failed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::Deadline;
use super::framing::Garbage;
use super::output::Descriptor;
use crate::error::{Closed, End, Error, ProtocolError, Timeout, WaitedFor};

/// A call, by the id that its command has on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(u64);

impl CallId {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn parse(id: &RawValue) -> Option<Self> {
        Self::from_digits(id.get())
    }

    pub(super) fn from_digits(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a command is executed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// One after the other, answered in order.
    InBand,
    /// Ahead of those that wait.
    OutOfBand,
}

/// A command whose reply is to come.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: CallId,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) abandoned: bool,
    /// Whether success is answered.
    success_response: bool,
    /// Whether descriptors travel with it.
    carries: bool,
    deadline: Option<Deadline>,
    /// What arrived meanwhile and may have been the reply.
    suspect: Option<Arc<Garbage>>,
}

impl Flight {
    pub(super) fn new(
        id: CallId,
        name: Cow<'static, str>,
        kind: Kind,
        deadline: Option<Deadline>,
    ) -> Self {
        let (success_response, carries) = (true, false);
        Self {
            id,
            name,
            kind,
            abandoned: false,
            success_response,
            carries,
            deadline,
            suspect: None,
        }
    }

    pub(super) fn with(self, success_response: bool, carries: bool) -> Self {
        Self { success_response, carries, ..self }
    }

    fn live_deadline(&self) -> Option<Deadline> {
        if self.abandoned { None } else { self.deadline }
    }

    fn timeout(&self, deadline: Deadline) -> Error {
        Timeout::new(WaitedFor::Reply(self.name.clone()), deadline.within)
            .because(self.suspect.as_deref().cloned())
            .into()
    }

    /// What silence until the deadline means, once it has been sent.
    fn silence(&self, deadline: Deadline) -> Result<(), Error> {
        if self.success_response { Err(self.timeout(deadline)) } else { Ok(()) }
    }

    /// What the end of the connection means, and whether it has been sent.
    fn ending(self, end: &Arc<End>, sent: bool) -> Result<(), Error> {
        match **end {
            End::Eof if sent && !self.success_response => Ok(()),
            _ => Err(self.closed(end)),
        }
    }

    fn closed(self, end: &Arc<End>) -> Error {
        Closed::new(Some(self.name), end).into()
    }
}

/// A command that has not been sent yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Flight,
    pub(super) text: Box<[u8]>,
    pub(super) descriptors: Vec<Descriptor>,
}

/// All calls of a connection, oldest first everywhere.
#[derive(Debug)]
pub(super) struct Calls {
    negotiation: u64,
    next: u64,
    waiting: VecDeque<Waiting>,
    waiting_out_of_band: usize,
    /// Sent, and not answered yet; few, since the window limits them.
    flying: Vec<Flight>,
    flying_in_band: usize,
    /// How many of them carry descriptors: never more than one, but for out-of-band ones.
    flying_carriers: usize,
    /// To be told: what failed, or succeeded in silence.
    settled: VecDeque<(CallId, Result<(), Error>)>,
}

impl Calls {
    pub(super) fn new(negotiation_id: u64) -> Self {
        Self {
            negotiation: negotiation_id,
            next: 1,
            waiting: VecDeque::new(),
            waiting_out_of_band: 0,
            flying: Vec::new(),
            flying_in_band: 0,
            flying_carriers: 0,
            settled: VecDeque::new(),
        }
    }

    pub(super) fn negotiation_id(&self) -> CallId {
        CallId(self.negotiation)
    }

    pub(super) fn next_id(&mut self) -> CallId {
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Whether a command may be sent now, without overtaking one of its kind.
    pub(super) fn may_fly(&self, call: &Flight, window: usize) -> bool {
        call.kind == Kind::OutOfBand || (self.waiting.is_empty() && self.has_room(call, window))
    }

    /// Descriptors are sent one command at a time: QEMU keeps those that it received last until a
    /// command asks for them, and closes those of an earlier command that it has not come to yet.
    fn has_room(&self, call: &Flight, window: usize) -> bool {
        self.flying_in_band < window && !(call.carries && self.flying_carriers > 0)
    }

    pub(super) fn fly(&mut self, call: Flight) {
        self.flying_in_band += usize::from(call.kind == Kind::InBand);
        self.flying_carriers += usize::from(call.carries);
        self.flying.push(call);
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting_out_of_band += usize::from(waiting.call.kind == Kind::OutOfBand);
        self.waiting.push_back(waiting);
    }

    /// The next command to be sent, if there is one that need not wait any longer.
    pub(super) fn next_waiting(&mut self, window: usize) -> Option<Waiting> {
        if self.waiting_out_of_band == 0 {
            let room = self.has_room(&self.waiting.front()?.call, window);
            return if room { self.waiting.pop_front() } else { None };
        }
        // Only those that were submitted before the negotiation was through wait at all.
        let oob = self.waiting.iter().position(|waiting| waiting.call.kind == Kind::OutOfBand)?;
        self.waiting_out_of_band -= 1;
        self.waiting.remove(oob)
    }

    /// The commands among these that wait.
    pub(super) fn take_waiting(&mut self, which: impl Fn(CallId) -> bool) -> VecDeque<Waiting> {
        let (taken, left) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting: &Waiting| which(waiting.call.id));
        self.waiting = left;
        self.recount();
        taken
    }

    /// The command that a reply without an id belongs to.
    pub(super) fn oldest(&self) -> Option<CallId> {
        let in_band = self.flying.iter().find(|call| call.kind == Kind::InBand);
        in_band.or(self.flying.first()).map(|call| call.id)
    }

    /// The reply to a command in flight has come.
    pub(super) fn land(&mut self, id: CallId) -> Option<Flight> {
        let index = self.flying.iter().position(|call| call.id == id)?;
        let call = self.flying.remove(index);
        self.flying_in_band -= usize::from(call.kind == Kind::InBand);
        self.flying_carriers -= usize::from(call.carries);
        Some(call)
    }

    pub(super) fn abandon(&mut self, id: CallId) {
        if let Some(call) = self.flying.iter_mut().find(|call| call.id == id) {
            call.abandoned = true;
        }
        // Whoever drops thousands of calls does so one by one.
        if let Ok(index) = self.waiting.binary_search_by_key(&id, |waiting| waiting.call.id) {
            self.waiting.remove(index);
            self.recount();
        }
        self.settled.retain(|(settled, _)| *settled != id);
    }

    /// Forgets the commands in flight whose reply nobody waits for; whether there were any.
    pub(super) fn forget_abandoned(&mut self) -> bool {
        let abandoned: Vec<CallId> =
            self.flying.iter().filter(|call| call.abandoned).map(|call| call.id).collect();
        abandoned.iter().filter_map(|id| self.land(*id)).count() > 0
    }

    /// Whether there are commands that have not been sent yet.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets the commands in flight whose reply nobody waits for, and whose success is not
    /// answered; whether there were any.
    pub(super) fn forget_silent(&mut self) -> bool {
        let silent = |call: &&Flight| call.abandoned && !call.success_response;
        let silent: Vec<CallId> = self.flying.iter().filter(silent).map(|call| call.id).collect();
        silent.iter().filter_map(|id| self.land(*id)).count() > 0
    }

    /// Whether it has been sent, and is not answered.
    pub(super) fn is_flying(&self, id: CallId) -> bool {
        self.flying.iter().any(|call| call.id == id)
    }

    pub(super) fn is_pending(&self, id: CallId) -> bool {
        self.flying.iter().any(|call| call.id == id && !call.abandoned)
            || self.waiting.iter().any(|waiting| waiting.call.id == id)
            || self.settled.iter().any(|(settled, _)| *settled == id)
    }

    /// Whether nothing waits, is in flight, or is to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty() && self.settled.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|waiting| &waiting.call);
        waiting.chain(&self.flying).filter_map(Flight::live_deadline).map(|limit| limit.at).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let passed = |call: &Flight| call.live_deadline().filter(|limit| limit.at <= now);
        for call in &mut self.flying {
            if let Some(limit) = passed(call) {
                self.settled.push_back((call.id, call.silence(limit)));
                call.abandoned = true;
            }
        }
        self.waiting.retain(|Waiting { call, .. }| match passed(call) {
            Some(limit) => {
                self.settled.push_back((call.id, Err(call.timeout(limit))));
                false
            }
            None => true,
        });
        self.recount();
    }

    fn recount(&mut self) {
        if self.waiting_out_of_band > 0 {
            let oob = self.waiting.iter().filter(|waiting| waiting.call.kind == Kind::OutOfBand);
            self.waiting_out_of_band = oob.count();
        }
    }

    /// The call, which is in none of the tables any more, has failed.
    pub(super) fn fail(&mut self, call: Flight, error: Error) {
        if !call.abandoned {
            self.settled.push_back((call.id, Err(error)));
        }
    }

    /// The connection has ended; `sent` says whether all that is in flight has been sent indeed.
    pub(super) fn fail_all(&mut self, end: &Arc<End>, sent: bool) {
        (self.flying_in_band, self.flying_carriers, self.waiting_out_of_band) = (0, 0, 0);
        let flying = self.flying.drain(..).filter(|call| !call.abandoned);
        self.settled.extend(flying.map(|call| (call.id, call.ending(end, sent))));
        let waiting = self.waiting.drain(..).map(|waiting| waiting.call);
        self.settled.extend(waiting.map(|call| (call.id, Err(call.closed(end)))));
    }

    /// Garbage has arrived that could have been the reply to any command in flight.
    pub(super) fn suspect(&mut self, garbage: &Arc<Garbage>) {
        for call in &mut self.flying {
            call.suspect = Some(Arc::clone(garbage));
        }
    }

    /// The in-band command `id` has been answered: earlier ones whose reply may have been garbage
    /// will not be.
    pub(super) fn fail_overtaken(&mut self, id: CallId) {
        let overtaken: Vec<CallId> = self
            .flying
            .iter()
            .filter(|call| call.kind == Kind::InBand && call.id < id && call.suspect.is_some())
            .map(|call| call.id)
            .collect();
        for call in overtaken.into_iter().filter_map(|id| self.land(id)).collect::<Vec<_>>() {
            if let Some(garbage) = call.suspect.clone() {
                let command = call.name.clone();
                self.fail(call, ProtocolError::LostReply { command, garbage }.into());
            }
        }
    }

    /// A call that is settled, and nobody was told.
    pub(super) fn next_settled(&mut self) -> Option<(CallId, Result<(), Error>)> {
        self.settled.pop_front()
    }

    pub(super) fn release(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        if self.settled.is_empty() {
            self.settled = VecDeque::new();
        }
    }
}
