//! How often a mirror asks.

use std::time::Duration;

/// How often a mirror asks, on top of what events tell.
///
/// ```
/// use std::time::Duration;
///
/// use qmp_vm::mirror::Policy;
///
/// let policy = Policy::new().period(Some(Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    pub(super) period: Option<Duration>,
    pub(super) motion: Duration,
    pub(super) pace: Duration,
    pub(super) echo: Duration,
}

impl Policy {
    /// Creates a policy with the defaults.
    ///
    /// ```
    /// let policy = qmp_vm::mirror::Policy::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            period: Some(Duration::from_secs(30)),
            motion: Duration::from_secs(1),
            pace: Duration::from_millis(25),
            echo: Duration::from_millis(200),
        }
    }

    /// Sets the time after which all parts are asked for again, even if nothing seems to have changed;
    /// `None` turns this off (default: 30 seconds).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::mirror::Policy;
    ///
    /// let policy = Policy::new().period(Some(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn period(mut self, period: Option<Duration>) -> Self {
        self.period = period;
        self
    }

    /// Sets the time after which parts are asked for again that change by themselves: during a
    /// migration, and while jobs work (default: 1 second).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::mirror::Policy;
    ///
    /// let policy = Policy::new().motion(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn motion(mut self, motion: Duration) -> Self {
        self.motion = motion;
        self
    }

    /// Sets the shortest time between two rounds of queries (default: 25 milliseconds). All events of
    /// this time lead to one round.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::mirror::Policy;
    ///
    /// let policy = Policy::new().pace(Duration::from_millis(200));
    /// ```
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the time after which the parts that an event concerns are asked for a second time (default:
    /// 200 milliseconds): QEMU may send an event before it has finished what the event tells.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::mirror::Policy;
    ///
    /// let policy = Policy::new().echo(Duration::from_millis(50));
    /// ```
    #[must_use]
    pub fn echo(mut self, echo: Duration) -> Self {
        self.echo = echo;
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
