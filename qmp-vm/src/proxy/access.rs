//! The rights of a client, and its events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;

/// A function that says whether a client gets the event with this name.
type Filter = dyn Fn(&str) -> bool + Send + Sync;

/// The rights of a proxy's client: its commands, its events and its deadline. Each socket at which a
/// proxy listens, and each connection within the program, has its own.
#[derive(Clone)]
pub struct Access {
    pub(super) policy: Policy,
    pub(super) calls_within: Option<Duration>,
    events: Option<Arc<Filter>>,
    /// Whether the client is to see the end of the monitor's connection as if it were its own.
    pub(super) is_owner: bool,
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
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::proxy::{Access, Policy};
    ///
    /// let access = Access::new()
    ///     .policy(Policy::read_only())
    ///     .calls_within(Duration::from_secs(10))
    ///     .events(|name| name.starts_with("BLOCK_"));
    /// # drop(access);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { policy: Policy::everything(), calls_within: None, events: None, is_owner: false }
    }

    /// Creates the access of a client that has the proxy to itself: commands that were not answered when
    /// QEMU ends get no error of the proxy, but the end of the connection.
    pub(super) fn owner() -> Self {
        Self { is_owner: true, ..Self::new() }
    }

    /// Sets the commands that are allowed (default: all).
    ///
    /// ```
    /// use qmp_vm::proxy::{Access, Policy};
    ///
    /// let access = Access::default().policy(Policy::nothing().allow(["query-status"]));
    /// ```
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the deadline of each command (default: none). If QEMU has not answered by then, the proxy
    /// answers with an error, and discards the late reply; what an `add-fd` or a `getfd` adds late, stays.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::proxy::Access;
    ///
    /// let access = Access::default().calls_within(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn calls_within(mut self, within: Duration) -> Self {
        self.calls_within = Some(within);
        self
    }

    /// Sets which events the client gets, by name (default: all). The function is called on the
    /// proxy's thread, and must return at once.
    ///
    /// ```
    /// use qmp_vm::proxy::Access;
    ///
    /// let access = Access::default().events(|name| name.starts_with("BLOCK_"));
    /// ```
    #[must_use]
    pub fn events(mut self, wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.events = Some(Arc::new(wanted));
        self
    }

    /// Returns whether a client has less than it would have on a monitor of QEMU's own.
    pub(super) fn is_restricted(&self) -> bool {
        self.policy != Policy::everything() || self.calls_within.is_some() || self.events.is_some()
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
