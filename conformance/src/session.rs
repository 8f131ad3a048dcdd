//! A connection that checks everything that passes.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Launch};
use qmp_client::types::Command;
use qmp_client::{Options, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Outcome, Tally, check, check_event};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that checks every reply and every event.
#[derive(Debug)]
pub struct Session<'t> {
    client: Client,
    tally: &'t mut Tally,
    /// What to call the server in failures.
    server: String,
    /// Events that have arrived and were not waited for.
    seen: Vec<(String, serde_json::Value)>,
}

/// A typed command whose reply is wanted as it came.
struct AsItCame<C>(C);

impl<C: Command> Request for AsItCame<C> {
    type Return = Box<RawValue>;

    fn name(&self) -> Cow<'static, str> {
        self.0.name()
    }

    fn has_arguments(&self) -> bool {
        self.0.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.0.write_arguments(out)
    }
}

impl<'t> Session<'t> {
    /// Starts a program and talks to it.
    ///
    /// # Errors
    /// It does not start; the text says why.
    pub fn start(launch: Launch, server: &str, tally: &'t mut Tally) -> Result<Self, String> {
        let options = Options::new().calls_within(PATIENCE).greeting_within(PATIENCE);
        let client =
            launch.options(options.event_capacity(100_000)).start().map_err(|e| e.report())?;
        Ok(Self { client, tally, server: server.to_owned(), seen: Vec::new() })
    }

    /// The connection itself.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Executes a command, checks the reply, and gives it.
    ///
    /// # Errors
    /// What the server says; and a reply that does not fit, which is counted as a failure, too.
    pub fn ask<C>(&mut self, command: C) -> Result<C::Return, String>
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if self.client.ended().is_some() {
            // That it ended has been counted.
            return Err(String::from("the connection has ended"));
        }
        let text = match self.client.execute(AsItCame(command)) {
            Ok(text) => text,
            Err(error) => {
                let report = error.report();
                let outcome = match error.server() {
                    Some(_) if error.is_command_not_found() => Outcome::Unknown,
                    Some(_) => Outcome::Refused,
                    None => {
                        let end = self.end().unwrap_or_default();
                        self.fail(C::NAME, &format!("{report}{end}"));
                        Outcome::Refused
                    }
                };
                self.tally.command(C::NAME, outcome);
                self.tally.refusals.insert(C::NAME.to_owned(), report.clone());
                return Err(report);
            }
        };
        if let Err(lost) = check::<C::Return>(text.get()) {
            self.fail(C::NAME, &lost);
            self.tally.command(C::NAME, Outcome::Refused);
        } else {
            self.tally.command(C::NAME, Outcome::Decoded);
        }
        qmp_client::types::decode(text.get()).map_err(|error| error.to_string())
    }

    /// Waits for an event that satisfies `predicate`; earlier ones are checked on the way. One
    /// that has arrived and was not waited for yet counts.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait(
        &mut self,
        name: &str,
        predicate: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.seen.iter().position(|(n, data)| n == name && predicate(data));
            if let Some(index) = found {
                return Ok(self.seen.remove(index).1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.next_event(left) {
                let end = self.end().unwrap_or_default();
                let seen = self.seen.iter().map(|(name, _)| name.as_str());
                let seen = seen.collect::<Vec<_>>().join(" ");
                return Err(format!("{name} does not come: {error}{end}; not waited for: {seen}"));
            }
        }
    }

    /// Checks the events that have arrived.
    pub fn drain_events(&mut self) {
        while self.next_event(Duration::ZERO).is_ok() {}
    }

    /// Forgets the events that were not waited for.
    pub fn forget_events(&mut self) {
        self.drain_events();
        self.seen.clear();
    }

    fn next_event(&mut self, within: Duration) -> Result<(), String> {
        let event = self.client.next_raw_event(within).map_err(|error| error.report())?;
        let data = event.data.as_deref().map_or("{}", RawValue::get);
        *self.tally.events.entry(event.name.to_string()).or_default() += 1;
        match check_event(&event.name, data) {
            Ok(checked) => self.seen.push((event.name.to_string(), checked.value)),
            Err(lost) => {
                self.fail(&event.name, &lost);
                let value = serde_json::from_str(data).unwrap_or_default();
                self.seen.push((event.name.to_string(), value));
            }
        }
        Ok(())
    }

    /// How the server ended, if it has.
    fn end(&mut self) -> Option<String> {
        let process = self.client.process()?;
        let status = process.wait_within(Duration::from_secs(1)).ok()?;
        Some(format!(" ({status}: {})", process.stderr().trim()))
    }

    fn fail(&mut self, what: &str, why: &str) {
        let line = format!("{}: {what}: {why}", self.server);
        if !self.tally.failures.contains(&line) {
            self.tally.failures.push(line);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.drain_events();
    }
}
