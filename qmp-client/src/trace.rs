//! Calls as spans of `tracing`, and events as its events.
//!
//! A caller owns the span of its call: subscribers run in the caller's thread or task, without a lock.
//! The span is entered while the command is written and sent, and while its future is polled; never
//! across an `.await`. Its outcome is recorded when the caller gets the result, or gives the call up.
//!
//! An event is recorded when it arrives, and a message when it is read or written, mostly under the lock
//! of the connection: a subscriber must not use the client.
//!
//! A trace has names, numbers and outcomes. What a command or a reply says is not in it, and neither
//! is the text of an error, since a server may repeat a password in that.
//!
//! Without the feature, all of this is empty.

use qmp_protocol::CallId;

use crate::error::Error;

#[cfg(not(feature = "tracing"))]
pub(crate) use disabled::{CallTrace, Monitor, connected};
#[cfg(feature = "tracing")]
pub(crate) use enabled::{CallTrace, Monitor, connected};

#[cfg(feature = "tracing")]
mod enabled {
    use std::fmt;
    use std::sync::Arc;
    use std::time::Instant;

    use qmp_protocol::{Excerpt, Printable};
    use qmp_types::ErrorClass;
    use tracing::field::Empty;
    use tracing::span::EnteredSpan;
    use tracing::{Level, Span, debug, span};

    use super::{CallId, Error};
    use crate::address::Address;

    /// The longest name of a command or an event that is shown in full, in bytes.
    const NAME: usize = 100;

    /// The name of a monitor in traces.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Monitor(Option<Arc<str>>);

    impl Monitor {
        pub(crate) fn named(name: &str) -> Self {
            Self(Some(name.into()))
        }

        /// Returns this name; if it was not set, another.
        pub(crate) fn or_name(self, name: &str) -> Self {
            Self(self.0.or_else(|| Some(name.into())))
        }

        /// Returns this name; if it was not set, the address.
        pub(crate) fn or_address(&self, address: &Address) -> Self {
            Self(self.0.clone().or_else(|| Some(address.to_string().into())))
        }

        /// Records the arrival of an event. A name that QEMU would not give one is not shown, since a
        /// server may repeat a password in it.
        pub(crate) fn event(&self, name: &str) {
            let is_part = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
            let is_name = name.len() <= NAME && name.bytes().all(is_part);
            let event = if is_name { name } else { "(not a name)" };
            debug!(target: "qmp_client", monitor = %self, event, "an event has arrived");
        }
    }

    impl fmt::Display for Monitor {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Printable(self.0.as_deref().unwrap_or_default()).fmt(f)
        }
    }

    /// Records that the connection to an address has been established, after some attempts.
    pub(crate) fn connected(monitor: &Monitor, address: &Address, attempts: u32) {
        let monitor = monitor.or_address(address);
        let retries = attempts.saturating_sub(1);
        debug!(target: "qmp_client", %monitor, retries, "connected");
    }

    /// The span of a call. If it is dropped before the call has a result, the call was given up.
    #[derive(Debug, Default)]
    pub(crate) struct CallTrace {
        /// Until the outcome is recorded.
        open: Option<Open>,
    }

    #[derive(Debug)]
    struct Open {
        span: Span,
        begin: Instant,
    }

    impl CallTrace {
        pub(crate) fn new(command: &str, monitor: &Monitor) -> Self {
            let span = span!(
                target: "qmp_client",
                Level::DEBUG,
                "call",
                command = %Excerpt(command, NAME),
                %monitor,
                id = Empty,
                outcome = Empty,
                latency_us = Empty,
            );
            // A span that nothing listens to has metadata if it is written to `log`, as a feature of
            // `tracing` does.
            if span.metadata().is_none() {
                return Self::default();
            }
            Self { open: Some(Open { span, begin: Instant::now() }) }
        }

        /// Returns whether anything listens to this call.
        #[cfg(feature = "blocking")]
        pub(crate) fn is_open(&self) -> bool {
            self.open.is_some()
        }

        /// Records the id under which the command was submitted.
        pub(crate) fn submitted(&self, id: CallId) {
            if let Some(open) = &self.open {
                open.span.record("id", id.number());
            }
        }

        /// Enters the span, until what this returns is dropped.
        pub(crate) fn enter(&self) -> Option<EnteredSpan> {
            self.open.as_ref().map(|open| open.span.clone().entered())
        }

        /// Records the outcome.
        pub(crate) fn finish<T>(&mut self, result: Result<&T, &Error>) {
            if let Some(open) = self.open.take() {
                open.record(outcome(result.err()));
            }
        }
    }

    impl Drop for CallTrace {
        fn drop(&mut self) {
            if let Some(open) = self.open.take() {
                open.record("canceled");
            }
        }
    }

    impl Open {
        fn record(self, outcome: &str) {
            self.span.record("outcome", outcome);
            let microseconds = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.span.record("latency_us", microseconds);
        }
    }

    /// Returns the word for an outcome: of an error that the server returned, its class.
    fn outcome(error: Option<&Error>) -> &str {
        match error {
            None => "ok",
            Some(Error::Server(refusal)) => match &refusal.error.class {
                // The server's words may be anything.
                ErrorClass::Unknown(_) => "another class",
                class => class.as_str(),
            },
            Some(Error::Timeout(_)) => "timed out",
            Some(Error::Closed(_)) => "closed",
            Some(Error::Decode(_)) => "mismatched",
            Some(_) => "failed",
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod disabled {
    use super::{CallId, Error};
    use crate::address::Address;

    #[derive(Clone, Debug, Default)]
    pub(crate) struct Monitor(());

    impl Monitor {
        pub(crate) fn named(_: &str) -> Self {
            Self(())
        }

        pub(crate) fn or_name(self, _: &str) -> Self {
            self
        }

        #[cfg(any(feature = "blocking", feature = "tokio"))]
        pub(crate) fn or_address(&self, _: &Address) -> Self {
            Self(())
        }

        pub(crate) fn event(&self, _: &str) {}
    }

    pub(crate) fn connected(_: &Monitor, _: &Address, _: u32) {}

    #[derive(Debug, Default)]
    pub(crate) struct CallTrace;

    pub(crate) struct Entered;

    impl CallTrace {
        pub(crate) fn new(_: &str, _: &Monitor) -> Self {
            Self
        }

        #[cfg(feature = "blocking")]
        pub(crate) fn is_open(&self) -> bool {
            false
        }

        pub(crate) fn submitted(&self, _: CallId) {}

        pub(crate) fn enter(&self) -> Entered {
            Entered
        }

        pub(crate) fn finish<T>(&mut self, _: Result<&T, &Error>) {}
    }
}
