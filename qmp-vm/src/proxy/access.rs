//! The rights of a client, and its events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;

/// The rights of a proxy's client: its commands, its events and its deadline. Each socket at which a proxy listens, and each
/// connection within the program, has its own.
#[derive(Clone)]
pub struct Access {
    pub(super) policy: Policy,
    pub(super) calls_within: Option<Duration>,
    events: Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("policy", &self.policy)
            .field("calls_within", &self.calls_within)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Creates the access of a client that may do everything, gets all events, and waits for replies
    /// as long as QEMU takes.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: Policy::everything(), calls_within: None, events: None }
    }

    /// Sets the commands that are allowed (default: all).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the deadline of each command (default: none). If QEMU has not answered by then, the proxy
    /// answers with an error, and discards the late reply; what an `add-fd` or a `getfd` adds late, stays.
    #[must_use]
    pub fn calls_within(mut self, within: Duration) -> Self {
        self.calls_within = Some(within);
        self
    }

    /// Sets which events the client gets, by name (default: all). The function is called on the
    /// proxy's thread, and must return at once.
    #[must_use]
    pub fn events(mut self, wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.events = Some(Arc::new(wanted));
        self
    }

    /// Returns whether the client gets the event with this name.
    pub(super) fn wants(&self, event: &str) -> bool {
        self.events.as_ref().is_none_or(|wanted| wanted(event))
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::new()
    }
}
