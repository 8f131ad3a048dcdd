//! Deadlines that cover several calls.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use qmp_client::{Error, Request, Result, Timeout, WaitedFor};

use crate::monitor::Monitor;
use crate::monitor::session::Call;

/// The longest part of a deadline that is kept for its end.
const LONGEST_RESERVE: Duration = Duration::from_secs(1);

/// The deadline of a workflow.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    begin: Instant,
    within: Duration,
    /// The part of it that is left when this limit has passed.
    reserve: Duration,
    /// The state that is waited for, such as "QEMU to exit".
    state: Cow<'static, str>,
}

impl Limit {
    /// Starts the clock.
    pub(crate) fn new<M: Monitor>(
        vm: &M,
        within: Duration,
        state: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { begin: vm.now(), within, reserve: Duration::ZERO, state: state.into() }
    }

    /// Keeps a tenth of the time, at most a second, for what has to be done when this limit has
    /// passed.
    pub(crate) fn with_reserve(self) -> Self {
        Self { reserve: (self.within / 10).min(LONGEST_RESERVE), ..self }
    }

    /// Returns the same limit without the reserve, for what the time was kept for.
    pub(crate) fn to_the_end(&self) -> Self {
        Self { reserve: Duration::ZERO, ..self.clone() }
    }

    /// Returns the time at which everything has to be done; `None` if that is never.
    #[cfg(feature = "qga")]
    pub(crate) fn end(&self) -> Option<Instant> {
        self.begin.checked_add(self.within)
    }

    /// Returns this limit, or one of `least` from now on if this one is zero.
    pub(crate) fn or_if_zero<M: Monitor>(&self, vm: &M, least: Duration) -> Self {
        if self.within.is_zero() { Self::new(vm, least, self.state.clone()) } else { self.clone() }
    }

    /// Replaces the description of the state that is waited for.
    pub(crate) fn describe(&mut self, state: impl Into<Cow<'static, str>>) {
        self.state = state.into();
    }

    /// Returns the time that is left.
    pub(crate) fn left<M: Monitor>(&self, vm: &M) -> Duration {
        let within = self.within.saturating_sub(self.reserve);
        within.saturating_sub(vm.now().saturating_duration_since(self.begin))
    }

    /// Returns the length of the next pause: `longest`, or what is left.
    ///
    /// # Errors
    /// The deadline has passed.
    pub(crate) fn pause<M: Monitor>(&self, vm: &M, longest: Duration) -> Result<Duration> {
        let left = self.left(vm);
        if left.is_zero() { Err(self.passed().into()) } else { Ok(left.min(longest)) }
    }

    /// Executes a command within its default deadline, or the time that is left if that is less.
    ///
    /// # Errors
    /// Those of `Client::execute`; when this deadline has passed, that is said in the error.
    pub(crate) async fn execute<M: Monitor, R: Request<Return: Send> + Send>(
        &self,
        vm: &M,
        request: R,
    ) -> Result<R::Return> {
        let default = vm.options().call_within(&request.name());
        let within = default.min(self.left(vm));
        match vm.call(request).within(within).execute().await {
            Err(Error::Timeout(timeout)) if self.left(vm).is_zero() => {
                let mut passed = self.passed();
                passed.sent = timeout.sent;
                // A call that had no time says nothing about the peer.
                let cause = (!within.is_zero()).then_some(*timeout);
                Err(passed.because(cause).into())
            }
            other => other,
        }
    }

    /// Returns the error of a workflow whose deadline has passed.
    pub(crate) fn passed(&self) -> Timeout {
        Timeout::new(WaitedFor::State(self.state.clone()), self.within)
    }
}
