//! One round of queries.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use qmp_client::protocol::Printable;
use qmp_client::{Error, Result};

use super::model::Outcome;
use super::part::{self, Answer, Part, Parts};
use super::shared::Shared;
use super::view::{Absence, Stamp};
use crate::limit::Limit;
use crate::monitor::Monitor;

/// The number of queries that are in flight together, so that the program's own commands are not
/// queued for long: a client has room for eight.
const TOGETHER: usize = 4;
/// The longest time that a round may take.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// The queries of a round that are not answered. They are given up when this is dropped.
struct InFlight<'a, M> {
    shared: &'a Shared<M>,
    parts: Parts,
}

impl<M> InFlight<'_, M> {
    fn answer(&mut self, part: Part, stamp: Stamp, outcome: Outcome, now: Instant) {
        self.parts.remove(part);
        self.shared.answer(part, stamp, outcome, now);
    }
}

impl<M> Drop for InFlight<'_, M> {
    fn drop(&mut self) {
        self.shared.finish_round(self.parts);
    }
}

/// Asks for parts, for this long at most. Returns false if the connection has ended.
pub(super) async fn run<M: Monitor>(
    shared: &Shared<M>,
    vm: &M,
    parts: Parts,
    stamp: Stamp,
    within: Duration,
) -> bool {
    let mut in_flight = InFlight { shared, parts };
    let limit = Limit::new(vm, within.min(LONGEST), "the parts of the machine");
    let list: Vec<Part> = parts.iter().collect();
    let mut unanswered: Option<String> = None;
    for chunk in list.chunks(TOGETHER) {
        if let Some(text) = &unanswered {
            for part in chunk {
                in_flight.answer(*part, stamp, Outcome::Failed(text.clone()), vm.now());
            }
            continue;
        }
        let queries = chunk.iter().map(|part| {
            let query = part::ask(vm, &limit, *part);
            Box::pin(async { (*part, query.await) })
        });
        for (part, result) in together(queries.collect()).await {
            if result.as_ref().is_err_and(Error::is_timeout) {
                if within < LONGEST && limit.left(vm).is_zero() {
                    // The caller has no more time, which says nothing about the machine.
                    return true;
                }
                let text = format!("not asked, because `{part}` was not answered");
                unanswered = Some(text);
            }
            let outcome = outcome(result);
            if let Outcome::Lost = outcome {
                return false;
            }
            in_flight.answer(part, stamp, outcome, vm.now());
        }
    }
    true
}

fn outcome(result: Result<Answer>) -> Outcome {
    match result {
        Ok(answer) => Outcome::Answer(answer),
        Err(error) if error.is_closed() => Outcome::Lost,
        Err(error) if error.is_command_not_found() => Outcome::Absent(Absence::NotSupported),
        Err(error) => match error.server() {
            Some(server) => Outcome::Absent(Absence::Missing(Printable(&server.desc).to_string())),
            None => Outcome::Failed(error.report()),
        },
    }
}

/// Waits for all of these futures, and returns their outputs in order.
async fn together<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output>
where
    F::Output: Unpin,
{
    let mut slots: Vec<(F, Option<F::Output>)> =
        futures.into_iter().map(|future| (future, None)).collect();
    std::future::poll_fn(move |cx| {
        let mut is_ready = true;
        for (future, output) in &mut slots {
            if output.is_none() {
                match Pin::new(future).poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if !is_ready {
            return Poll::Pending;
        }
        Poll::Ready(slots.drain(..).filter_map(|(_, output)| output).collect())
    })
    .await
}

/// Waits for the first of two futures; `None` if that is the second.
pub(super) async fn first<T>(
    future: impl Future<Output = T>,
    mut other: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        other(cx).map(|()| None)
    })
    .await
}
