//! The replies of a recording, and which of them is next.

use std::sync::Arc;

use qmp_types::QmpError;
use serde_json::value::RawValue;

use super::recording::{Event, Recording, missing};
use super::report::Fault;
use super::request::Request;
use crate::schema::Schema;

/// Which requests a replay answers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Order {
    /// The same requests in the same order.
    Strict,
    /// Each request that was recorded, in any order. The arguments are compared as JSON values, so
    /// that the order of members does not matter. Several replies to equal requests are sent in turn,
    /// and the last one repeats, without its events.
    #[default]
    ByRequest,
}

/// The number of faults that are remembered.
const MAX_FAULTS: usize = 1 << 10;

/// The answer to a request, with the events around it. A request that was not answered has no reply.
pub(super) struct Answer {
    pub(super) before: Vec<Event>,
    pub(super) reply: Option<Result<Box<RawValue>, QmpError>>,
    pub(super) after: Vec<Event>,
}

/// The state of a replay, which all its connections share.
pub(super) struct Store {
    recording: Arc<Recording>,
    order: Order,
    schema: Option<Schema>,
    /// For each exchange, whether it has been replayed.
    used: Vec<bool>,
    /// For strict order, the index of the next exchange.
    next: usize,
    pub(super) faults: Vec<Fault>,
}

impl Store {
    pub(super) fn new(recording: Arc<Recording>, order: Order, schema: Option<Schema>) -> Self {
        let used = vec![false; recording.exchanges.len()];
        Self { recording, order, schema, used, next: 0, faults: Vec::new() }
    }

    /// Returns the answer to a request.
    pub(super) fn answer(&mut self, sent: &Request) -> Answer {
        if let Some(error) = self.check(sent) {
            self.note(Fault::Invalid { request: sent.describe(), reason: error.desc.clone() });
        }
        let found = match self.order {
            Order::Strict => self.next_in_order(sent),
            Order::ByRequest => self.by_request(sent),
        };
        found.unwrap_or_else(|error| Answer {
            before: Vec::new(),
            reply: Some(Err(error)),
            after: Vec::new(),
        })
    }

    /// Notes the requests that have not been sent, if the order is strict.
    pub(super) fn note_rest(&mut self) {
        if self.order == Order::Strict {
            let rest = self.recording.exchanges.get(self.next..).unwrap_or_default();
            let rest: Vec<String> =
                rest.iter().map(|exchange| exchange.request.describe()).collect();
            rest.into_iter().for_each(|request| self.note(Fault::NotSent { request }));
        }
    }

    fn next_in_order(&mut self, sent: &Request) -> Result<Answer, QmpError> {
        let recording = Arc::clone(&self.recording);
        match recording.exchanges.get(self.next) {
            Some(exchange) if exchange.request.equals(sent) => {
                let at = self.next;
                self.next += 1;
                Ok(self.take(at))
            }
            expected => {
                let expected = expected.map_or_else(
                    || "nothing more, at the end of the recording".to_owned(),
                    |exchange| exchange.request.describe(),
                );
                let desc = format!("the recording continues with {expected}");
                self.note(Fault::OutOfOrder { request: sent.describe(), expected });
                Err(QmpError::generic(desc))
            }
        }
    }

    fn by_request(&mut self, sent: &Request) -> Result<Answer, QmpError> {
        let recording = Arc::clone(&self.recording);
        let equal = recording.exchanges.iter().enumerate();
        let mut last = None;
        for (at, _) in equal.filter(|(_, exchange)| exchange.request.equals(sent)) {
            last = Some(at);
            if !self.used[at] {
                break;
            }
        }
        match last {
            Some(at) => Ok(self.take(at)),
            None => {
                self.note(Fault::NotRecorded { request: sent.describe() });
                Err(missing(sent))
            }
        }
    }

    /// Returns an exchange's answer. Its events are replayed only once.
    fn take(&mut self, at: usize) -> Answer {
        let exchange = &self.recording.exchanges[at];
        let was_used = std::mem::replace(&mut self.used[at], true);
        let events = |events: &[Event]| if was_used { Vec::new() } else { events.to_vec() };
        Answer {
            before: events(&exchange.before),
            reply: exchange.reply.clone(),
            after: events(&exchange.after),
        }
    }

    /// Checks a request against the schema.
    fn check(&self, sent: &Request) -> Option<QmpError> {
        let schema = self.schema.as_ref()?;
        schema.check_command(&sent.name, &sent.arguments, sent.out_of_band).err()
    }

    fn note(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }
}
