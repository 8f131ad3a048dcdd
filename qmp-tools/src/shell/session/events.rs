//! Events, and statements that wait for them.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use qmp_client::{Error, RawEvent};

use super::recent::{Condition, Seen};
use super::{Outcome, Session};
use crate::cli::chain;
use crate::shell::output::{ErrorKind, Mode, wire};
use crate::terminal;

/// The longest time without a look at whether the wait is interrupted.
const SLICE: Duration = Duration::from_millis(25);
/// The number of events that can have arrived and not been shown, which the client's queue limits.
const QUEUED: usize = 1024;

impl<W: Write> Session<W> {
    /// Shows the events that have arrived; if there are none yet, waits for one. Those that arrive
    /// meanwhile may be left: replies, deadlines and interrupts are not to wait for a flood's end.
    pub(super) fn show_events(&mut self, within: Duration) -> io::Result<Outcome> {
        let mut within = within;
        for _ in 0..=QUEUED {
            match self.events.next_within(within) {
                Some(Ok(event)) => self.show_event(event)?,
                Some(Err(error)) if error.is_timeout() => return Ok(Outcome::Done),
                Some(Err(error)) if !error.is_closed() => self.output.message(&chain(&error))?,
                Some(Err(_)) | None => return Ok(Outcome::Lost),
            }
            within = Duration::ZERO;
        }
        Ok(Outcome::Done)
    }

    fn show_event(&mut self, event: RawEvent) -> io::Result<()> {
        let is_shown = self.settings.events.shows(&event.name);
        if is_shown {
            self.output.event(&event)?;
        }
        self.recent.push(event, is_shown);
        Ok(())
    }

    /// Waits for an event that came, or is still to come, after the last command was sent. Each event
    /// satisfies one wait, and with it, the events before it are over, too.
    pub(super) fn wait(
        &mut self,
        condition: &Condition,
        timeout: Option<Duration>,
    ) -> io::Result<Outcome> {
        let within = timeout.or(self.settings.timeout);
        let until = within.and_then(|within| Instant::now().checked_add(within));
        let origin = self.origin(Some("wait"));
        self.show_events(Duration::ZERO)?;
        loop {
            if let Some(seen) = self.recent.take(condition) {
                return self.show_awaited(seen);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let outcome = self.show_events(slice)?;
            self.show_late()?;
            if outcome == Outcome::Lost && !self.recent.has(condition) {
                let closed = self.client.closed();
                return self.failed(&origin, &Error::from(closed));
            }
            if self.interrupt.take() {
                return Ok(Outcome::Interrupted);
            }
            if left.is_some_and(|left| left.is_zero()) && !self.recent.has(condition) {
                let message = self.missing(condition, within.unwrap_or_default());
                self.fail(&origin, ErrorKind::Timeout, message)?;
                return Ok(Outcome::Timeout);
            }
        }
    }

    fn show_awaited(&mut self, seen: Seen) -> io::Result<Outcome> {
        if self.output.mode == Mode::Jsonl {
            let origin = self.origin(Some("wait"));
            let event = wire(&seen.event)?;
            self.output.reply(&origin, &event)?;
        } else if !seen.is_shown {
            self.output.event(&seen.event)?;
        }
        Ok(Outcome::Done)
    }

    /// Returns the message about an event that did not come.
    fn missing(&self, condition: &Condition, within: Duration) -> String {
        let condition = condition.to_string();
        let condition = terminal::inline(&condition);
        let command = self.recent.command().map(terminal::inline);
        let after = match command {
            Some(command) if self.recent.has_failed => format!(" after `{command}` (which failed)"),
            Some(command) => format!(" after `{command}`"),
            None => String::new(),
        };
        format!(
            "timed out after {} s waiting for {condition}{after}; to wait longer, use --timeout of \
             `wait`, or `set timeout=SECONDS`",
            within.as_secs_f64()
        )
    }
}
