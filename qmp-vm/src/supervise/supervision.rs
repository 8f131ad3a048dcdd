//! How a connection is looked after.

use std::fmt;
use std::time::Duration;

use qmp_client::{Error, Options};

use super::backoff::Backoff;

type Retry = Box<dyn FnMut(&Error) -> bool + Send>;

/// How a connection is looked after. Everything has a default.
#[must_use]
pub struct Supervision {
    pub(super) options: Options,
    shortest: Duration,
    longest: Duration,
    stable: Duration,
    pub(super) attempt: Duration,
    pub(super) give_up: Duration,
    pub(super) ends_with_process: bool,
    pub(super) fail_fast: bool,
    retry: Option<Retry>,
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("options", &self.options)
            .field("shortest", &self.shortest)
            .field("longest", &self.longest)
            .field("stable", &self.stable)
            .field("give_up", &self.give_up)
            .finish_non_exhaustive()
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            options: Options::new(),
            shortest: Duration::from_millis(50),
            longest: Duration::from_secs(10),
            stable: Duration::from_secs(10),
            attempt: Duration::from_secs(60),
            give_up: Duration::MAX,
            ends_with_process: false,
            fail_fast: false,
            retry: None,
        }
    }
}

impl Supervision {
    /// Returns the defaults: pauses between attempts from 50 ms to 10 s, for as long as it takes, and
    /// calls that wait for the connection.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::supervise::Supervision;
    ///
    /// // A host that restarts its QEMUs is given ten minutes.
    /// let policy = Supervision::new()
    ///     .pauses(Duration::from_millis(100), Duration::from_secs(5))
    ///     .give_up_after(Duration::from_secs(600));
    /// # drop(policy);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of each connection. Two of them are not used, because this type has its own:
    /// [`wait_for_socket`](Options::wait_for_socket) and
    /// [`greeting_within`](Options::greeting_within).
    ///
    /// ```
    /// use qmp_client::Options;
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().options(Options::new().name("web1"));
    /// ```
    pub fn options(mut self, options: Options) -> Self {
        self.options = options.wait_for_socket(Duration::ZERO);
        self
    }

    /// Sets the longest attempt (default: 60 s): to connect, and to wait for the greeting and the
    /// negotiation. A monitor that serves another client greets when that has left, and an attempt
    /// that waits for it keeps its place in the queue.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().attempts_within(Duration::from_secs(3));
    /// ```
    pub fn attempts_within(mut self, within: Duration) -> Self {
        self.attempt = within;
        self
    }

    /// Sets the pauses between attempts (default: 50 ms to 10 s): each is about twice as long as the
    /// one before, and a random part of up to a half is left out, so that many programs do not all try
    /// at once. Less than 1 ms counts as 1 ms.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().pauses(Duration::from_millis(100), Duration::from_secs(30));
    /// ```
    pub fn pauses(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.shortest, self.longest) = (shortest, longest);
        self
    }

    /// Sets the time after which a connection counts as stable (default: 10 s): when it ends, the
    /// pauses start again with the shortest. A QEMU that ends just after it was started is not
    /// connected to in a tight loop.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().stable_after(Duration::from_secs(10));
    /// ```
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable = time;
        self
    }

    /// Sets the longest outage (default: none). After it, the supervision ends with
    /// [`Ended::GaveUp`](super::Ended::GaveUp).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().give_up_after(Duration::from_secs(3600));
    /// ```
    pub fn give_up_after(mut self, outage: Duration) -> Self {
        self.give_up = outage;
        self
    }

    /// Ends the supervision when the connection is lost and the process of QEMU has ended, for
    /// machines that no one starts again at the same address. The process is
    /// [known](super::Identity::pid) on Linux, over Unix sockets.
    ///
    /// ```
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().end_with_process();
    /// ```
    pub fn end_with_process(mut self) -> Self {
        self.ends_with_process = true;
        self
    }

    /// Sets the decision whether another attempt is made after one that failed. Without one, every
    /// failure may pass: a socket that does not exist may be created, and one that may not be opened
    /// may be opened up.
    ///
    /// ```
    /// use qmp_vm::supervise::Supervision;
    ///
    /// // Another client has the monitor: that may take long.
    /// let policy = Supervision::new().retry_if(|error| !error.is_timeout());
    /// # drop(policy);
    /// ```
    pub fn retry_if(mut self, retry: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        self.retry = Some(Box::new(retry));
        self
    }

    /// Lets calls fail at once during an outage, instead of waiting for the connection until their
    /// deadline.
    ///
    /// ```
    /// use qmp_vm::supervise::Supervision;
    ///
    /// let policy = Supervision::new().fail_fast();
    /// ```
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.shortest, self.longest, self.stable)
    }

    pub(super) fn may_retry(&mut self, error: &Error) -> bool {
        self.retry.as_mut().is_none_or(|retry| retry(error))
    }
}
