//! The loop of the keeper, for both clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::{Error, Options, Result};

use super::backoff::Backoff;
use super::connection::Ended;
use super::front::{Limits, Opening, Supervisable};
use super::identity::Identity;
use super::shared::{Connected, Outage, Phase, Shared, deadline_after};
use super::supervision::Supervision;

/// Connects again and again, until no handle is left or the policy says that it is enough.
pub(super) async fn keep<C: Supervisable>(
    shared: Arc<Shared<C>>,
    source: C::Source,
    policy: Supervision,
) {
    let options = policy.options.clone().name_or(shared.name());
    let backoff = policy.backoff();
    let since = shared.now();
    let mut keeper = Loop { shared, source, options, policy, backoff, since, number: 0 };
    let ended = keeper.run().await;
    keeper.shared.enter(Phase::Ended(ended));
}

struct Loop<C: Supervisable> {
    shared: Arc<Shared<C>>,
    source: C::Source,
    options: Options,
    policy: Supervision,
    backoff: Backoff,
    /// When the outage began.
    since: Instant,
    /// The number of connections so far.
    number: u64,
}

impl<C: Supervisable> Loop<C> {
    async fn run(&mut self) -> Ended {
        loop {
            let failure = match self.connect().await {
                Ok(opening) => {
                    if !self.hold(opening).await {
                        return Ended::Local;
                    }
                    None
                }
                Err(error) => Some(Arc::new(error)),
            };
            if let Some(failure) = &failure {
                self.shared.failed(failure);
            }
            if let Some(ended) = self.end(failure) {
                return ended;
            }
            if self.pause().await {
                return Ended::Local;
            }
        }
    }

    async fn connect(&mut self) -> Result<Opening<C>> {
        let left = self.left();
        let within = self.policy.attempt.min(left);
        let options = self.options.clone().greeting_within(within);
        let give_up = deadline_after(self.shared.now(), left);
        C::open(&self.shared, &mut self.source, &options, Limits { within, give_up }).await
    }

    /// Publishes a connection, and waits until it has ended. Returns false if no handle is left.
    async fn hold(&mut self, opening: Opening<C>) -> bool {
        let Opening { client, mut io, peer } = opening;
        let version = C::server_version(&client);
        let identity = C::beside(&mut io, Identity::ask(&client, version, peer)).await;
        self.number += 1;
        let connected =
            Connected { client: client.clone(), number: self.number, identity: Arc::new(identity) };
        if !self.shared.enter(Phase::Connected(connected)) {
            client.close();
            return false;
        }
        let begin = self.shared.now();
        let closed = C::serve(&client, io).await;
        drop(client);
        self.since = self.shared.now();
        self.backoff.lasted(self.since.saturating_duration_since(begin));
        self.shared.enter(Phase::Outage(Outage { attempts: 0, error: None, lost: Some(closed) }))
    }

    /// Returns the reason why no further attempt is made, if there is one.
    fn end(&mut self, failure: Option<Arc<Error>>) -> Option<Ended> {
        if self.policy.ends_with_process {
            let identity = self.shared.lock().identity.clone();
            let pid = identity.and_then(|identity| identity.ended_process());
            if let Some(pid) = pid {
                return Some(Ended::Process { pid });
            }
        }
        let error = failure?;
        if !self.policy.may_retry(&error) {
            return Some(Ended::Policy(error));
        }
        self.left().is_zero().then_some(Ended::GaveUp { within: self.policy.give_up, error })
    }

    /// Waits until the next attempt is due, and returns whether no handle is left.
    async fn pause(&mut self) -> bool {
        let pause = self.backoff.pause().min(self.left());
        let until = deadline_after(self.shared.now(), pause);
        let look = |deserted: bool, hurry: bool| (deserted || hurry).then_some(deserted);
        let found = C::wait(&self.shared, until, move |state| {
            look(state.deserted, std::mem::take(&mut state.hurry))
        });
        found.await.unwrap_or(false)
    }

    /// Returns how much longer the outage may last.
    fn left(&self) -> Duration {
        let outage = self.shared.now().saturating_duration_since(self.since);
        self.policy.give_up.saturating_sub(outage)
    }
}
