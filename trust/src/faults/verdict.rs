//! The judgment of the results of a plan.

use std::time::Duration;

use qmp_client::{Error, ProtocolError};
use serde_json::Value;

use super::fault::Fault;
use super::session::Reply;
use super::{Outcome, Plan, Played};

/// The number of calls that may fail because of one byte: its own, and those whose bytes are beside
/// it.
const MOST_AFFECTED: usize = 2;

type Verdict<T = ()> = Result<T, String>;

/// Returns the outcome.
///
/// # Errors
/// Describes the rule that was violated.
pub(crate) fn judge(plan: &Plan, played: &Played) -> Verdict<Outcome> {
    let fault = plan.fault.map(|(fault, _)| fault).filter(|_| played.struck);
    let judge = Judge { plan, played, fault };
    if let Some(error) = &played.refused {
        judge.no_client(error)?;
        return Ok(Outcome::NoClient);
    }
    let mut wrong = 0;
    for (index, (result, took)) in played.calls.iter().enumerate() {
        let is_right = judge.call(index, result, *took).map_err(|violation| {
            format!("call {index}, `{}`: {violation}", plan.session.steps[index].name)
        })?;
        wrong += usize::from(!is_right);
    }
    judge.all(wrong)?;
    let closed =
        played.calls.iter().any(|(result, _)| result.as_ref().is_err_and(Error::is_closed));
    Ok(match wrong {
        _ if closed => Outcome::Closed,
        0 => Outcome::AllRight,
        _ => Outcome::SomeFailed,
    })
}

struct Judge<'p> {
    plan: &'p Plan,
    played: &'p Played,
    /// The fault, if it was injected.
    fault: Option<Fault>,
}

fn check(holds: bool, violation: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(violation()) }
}

impl Judge<'_> {
    /// Without a client, the fault has to be the reason.
    fn no_client(&self, error: &Error) -> Verdict {
        let excuse = match self.fault {
            Some(fault) if !fault.is_harmless() => fault,
            _ => return Err(format!("no client: {}", error.report())),
        };
        let is_excused = match error {
            Error::Timeout(_) => excuse.may_take_time(),
            Error::Closed(_) => !matches!(excuse, Fault::Stall | Fault::Late),
            // A part of a greeting may be taken for another protocol.
            Error::Protocol(_) => excuse.damages() || matches!(excuse, Fault::Cut | Fault::Reset),
            _ => excuse.damages(),
        };
        check(is_excused, || format!("no client after {excuse:?}: {}", error.report()))
    }

    /// Judges a call, and returns whether it has its right answer.
    fn call(&self, index: usize, result: &Result<Value, Error>, took: Duration) -> Verdict<bool> {
        let step = &self.plan.session.steps[index];
        let error = match (result, &step.reply) {
            (Ok(value), Reply::Return(_)) if *value == step.reply.value() => return Ok(true),
            (Ok(value), _) => {
                check(self.was_sent(index, "return", value), || format!("wrong answer: {value}"))?;
                return Ok(false);
            }
            (Err(error), _) => error,
        };
        let command = error.command();
        check(command == Some(&*step.name), || format!("error of {command:?}: {error}"))?;
        let report =
            || format!("{}: {}", self.fault.map_or("no fault", Fault::kind), error.report());
        match error {
            Error::Server(_) if self.is_recorded(index, error) => return Ok(true),
            Error::Server(server) => {
                let text = String::from_utf8_lossy(&self.played.sent);
                let is_sent = self.damages() && text.contains("\"error\"");
                check(is_sent, || format!("the server did not send {:?}", server.error))?;
            }
            Error::Timeout(_) => {
                let late = took >= self.plan.within();
                check(late, || format!("after {took:?}: {}", report()))?;
                check(self.fault.is_some_and(Fault::may_take_time), report)?;
            }
            Error::Closed(closed) => {
                let fault = self.fault;
                let is_excused = matches!(fault, Some(Fault::Cut | Fault::Reset | Fault::Refuse));
                check(is_excused, report)?;
                // The server knows better whether it has the command.
                let received = self.played.received.len() > index;
                check(!closed.not_executed || !received, || format!("executed: {}", report()))?;
                check(!closed.sent || received, || format!("not sent: {}", report()))?;
            }
            Error::Protocol(protocol) => {
                let is_about_reply = matches!(
                    **protocol,
                    ProtocolError::BadReply { .. } | ProtocolError::LostReply { .. }
                );
                check(is_about_reply && self.damages(), report)?;
            }
            _ => return Err(report()),
        }
        Ok(false)
    }

    fn damages(&self) -> bool {
        self.fault.is_some_and(Fault::damages)
    }

    fn is_recorded(&self, index: usize, error: &Error) -> bool {
        let Reply::Error(_) = self.plan.session.steps[index].reply else { return false };
        let recorded = self.plan.session.steps[index].reply.value();
        error.server().is_some_and(|error| {
            recorded["desc"] == *error.desc && recorded["class"] == error.class.as_str()
        })
    }

    /// Returns whether a value was sent for a call: with its id, or where its reply belongs.
    fn was_sent(&self, index: usize, key: &str, value: &Value) -> bool {
        let Some(received) = self.played.received.get(index).filter(|_| self.damages()) else {
            return false;
        };
        let sent = &self.played.sent;
        let has_ids = !received.id.is_null();
        // One byte more or less, and whatever the fault has added.
        let (start, end) = (received.reply.0 as usize, received.reply.1 as usize + 2);
        let places =
            if has_ids { 0..sent.len() } else { start.saturating_sub(2)..end.min(sent.len()) };
        places.filter(|place| sent[*place] == b'{').any(|place| {
            let mut messages = serde_json::Deserializer::from_slice(&sent[place..]).into_iter();
            let Some(Ok(message)) = messages.next() else { return false };
            let message: Value = message;
            message[key] == *value && (!has_ids || message["id"] == received.id)
        })
    }

    /// Judges all calls together. `wrong` of them did not get their right answer.
    fn all(&self, wrong: usize) -> Verdict {
        let Played { calls, events, pending, stats, .. } = self.played;
        let steps = &self.plan.session.steps;
        check(calls.len() == steps.len() || self.played.is_hopeless(), || {
            format!("only {} calls", calls.len())
        })?;
        check(pending.calls == 0 && pending.subscriptions == 0, || format!("left: {pending:?}"))?;
        let counted = stats.calls.submitted == stats.calls.finished();
        check(counted && stats.calls.in_flight == 0, || format!("counted: {:?}", stats.calls))?;
        let recorded = steps.iter().flat_map(|step| &step.events).count();
        let harmless = self.fault.is_none_or(Fault::is_harmless);
        if harmless {
            check(wrong == 0, || format!("{wrong} calls failed"))?;
            check(events.len() == recorded, || format!("events: {events:?}"))?;
            let dropped = stats.dropped;
            check(dropped == qmp_client::Dropped::default(), || format!("{dropped:?}"))?;
        }
        // Commands for an agent wait until the one before is answered, and their deadlines pass.
        if self.damages() && !(self.plan.session.is_agent && self.plan.pipelined) {
            check(wrong <= MOST_AFFECTED, || format!("{wrong} calls failed"))?;
        }
        if self.fault == Some(Fault::Late) && !self.plan.pipelined {
            check(wrong <= 1, || format!("{wrong} calls failed"))?;
        }
        // What arrived before the end counts.
        if let Some(Fault::Cut | Fault::Reset | Fault::Stall) = self.fault {
            let position = self.played.lengths.0;
            let complete = |received: &&super::stream::Received| received.reply.1 <= position;
            let complete = self.played.received.iter().filter(complete).count();
            check(calls.len() - wrong.min(calls.len()) >= complete, || {
                format!("{complete} replies arrived, and {wrong} of {} calls failed", calls.len())
            })?;
        }
        Ok(())
    }
}
