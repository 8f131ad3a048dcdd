//! A connection that checks all replies and events.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Events};
use qmp_client::{Command, Options, RawEvent, Request};
use qmp_vm::{Launch, Launched};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Outcome, Tally, check, check_event};

/// The timeout for calls, events and everything else that a test waits for.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection that checks every reply and every event.
#[derive(Debug)]
pub struct Session<'t> {
    vm: Launched<Client>,
    events: Events<RawEvent>,
    tally: &'t mut Tally,
    /// The name of the server in failures.
    server: String,
    /// Events that have arrived and that no test has waited for.
    unclaimed: Vec<(String, serde_json::Value)>,
}

/// A typed command whose return value is not decoded.
struct Undecoded<C>(C);

impl<C: Command> Request for Undecoded<C> {
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
    /// Starts a program and connects to it.
    ///
    /// # Errors
    /// Returns a description if the program does not start or does not accept the connection.
    pub fn start(launch: Launch, server: &str, tally: &'t mut Tally) -> Result<Self, String> {
        let options = Options::new().calls_within(TIMEOUT).greeting_within(TIMEOUT);
        let launch = launch.options(options.event_capacity(100_000));
        let vm = launch.start::<Client>().map_err(|error| error.report())?;
        // Nothing is received outside of calls, so this subscription misses no event.
        let events = vm.raw_events();
        Ok(Self { vm, events, tally, server: server.to_owned(), unclaimed: Vec::new() })
    }

    /// Returns the client of the connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.vm.client()
    }

    /// Executes a command, checks the reply, and returns it.
    ///
    /// # Errors
    /// Returns the server's error, or a description if the reply cannot be decoded. The latter is
    /// also counted as a failure.
    pub fn ask<C>(&mut self, command: C) -> Result<C::Return, String>
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if self.vm.ended().is_some() {
            // The first command after the end has been counted as a failure.
            return Err(String::from("the connection has ended"));
        }
        let text = match self.vm.execute(Undecoded(command)) {
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
        qmp_types::decode(text.get()).map_err(|error| error.to_string())
    }

    /// Waits for an event that satisfies `predicate`, or returns one that has already arrived and
    /// that no test has waited for. Checks all events that arrive meanwhile.
    ///
    /// # Errors
    /// Returns a description if the event does not arrive within [`TIMEOUT`].
    pub fn wait(
        &mut self,
        name: &str,
        predicate: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value, String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let found = self.unclaimed.iter().position(|(n, data)| n == name && predicate(data));
            if let Some(index) = found {
                return Ok(self.unclaimed.remove(index).1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.next_event(left) {
                let end = self.end().unwrap_or_default();
                let others = self.unclaimed.iter().map(|(name, _)| name.as_str());
                let others = others.collect::<Vec<_>>().join(" ");
                return Err(format!(
                    "failed to wait for {name}: {error}{end}; other events: {others}"
                ));
            }
        }
    }

    /// Checks the events that have arrived.
    pub fn drain_events(&mut self) {
        while self.next_event(Duration::ZERO).is_ok() {}
    }

    /// Discards the events that no test has waited for.
    pub fn forget_events(&mut self) {
        self.drain_events();
        self.unclaimed.clear();
    }

    fn next_event(&mut self, within: Duration) -> Result<(), String> {
        let event = self.events.next_within(within).ok_or("the connection has ended")?;
        let event = event.map_err(|error| error.report())?;
        let data = event.data.as_deref().map_or("{}", RawValue::get);
        *self.tally.events.entry(event.name.to_string()).or_default() += 1;
        match check_event(&event.name, data) {
            Ok(checked) => self.unclaimed.push((event.name.to_string(), checked.value)),
            Err(lost) => {
                self.fail(&event.name, &lost);
                let value = serde_json::from_str(data).unwrap_or_default();
                self.unclaimed.push((event.name.to_string(), value));
            }
        }
        Ok(())
    }

    /// Returns the exit status and the standard error of the server, if it has ended.
    fn end(&mut self) -> Option<String> {
        let process = self.vm.process();
        let status = process.wait_within(Duration::from_secs(1)).ok()?;
        Some(format!(" ({status}: {})", process.stderr().trim()))
    }

    fn fail(&mut self, name: &str, reason: &str) {
        let line = format!("{}: {name}: {reason}", self.server);
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
