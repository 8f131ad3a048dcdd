//! Executes lines, and prints what comes of it.

use std::io::{self, Write};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::types::Timestamp;
use qmp_client::{Error, Raw, RawEvent};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{LineError, layout, parse};
use crate::cli::chain;

/// A shell on a connection. Answers go to its output, as JSON; errors to standard error.
#[derive(Debug)]
pub struct Shell<W> {
    client: Client,
    output: W,
    pretty: bool,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was executed, or there was nothing to execute.
    Done,
    /// It was no command, or the machine refused it.
    Failed,
    /// The connection has ended, as it was asked to.
    Ended,
    /// The connection has ended by itself.
    Lost,
}

impl<W: Write> Shell<W> {
    /// A shell that prints to `output`, over several lines if `pretty`.
    pub fn new(client: Client, output: W, pretty: bool) -> Self {
        Self { client, output, pretty }
    }

    /// The connection.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Gives the connection back.
    pub fn into_client(self) -> Client {
        self.client
    }

    /// Executes a line, and prints the answer, and events that came before it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, line: &str) -> io::Result<Outcome> {
        let parsed = match parse(line) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(Outcome::Done),
            Err(error) => return self.complain(&error),
        };
        let mut request = Raw::<Box<RawValue>>::new(parsed.name.clone());
        if let Some(arguments) = parsed.arguments {
            request = request.arguments(&arguments);
        }
        let quits = parsed.name == "quit";
        let result = self.client.execute(request);
        self.events(Duration::ZERO)?;
        match result {
            Ok(value) => {
                self.print(&value)?;
                Ok(if quits { Outcome::Ended } else { Outcome::Done })
            }
            // The machine may be gone before it has answered.
            Err(error) if quits && error.is_closed() => Ok(Outcome::Ended),
            Err(error) => {
                let lost = error.is_closed();
                self.refused(&parsed.name, &error)?;
                Ok(if lost { Outcome::Lost } else { Outcome::Failed })
            }
        }
    }

    /// Prints the events that are there, or that come within a time.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn events(&mut self, within: Duration) -> io::Result<Outcome> {
        let mut within = within;
        loop {
            match self.client.next_raw_event(within) {
                Ok(event) => self.print(&event_json(&event)?)?,
                Err(error) if error.is_timeout() => return Ok(Outcome::Done),
                Err(error) if error.is_closed() => return Ok(Outcome::Lost),
                Err(error) => eprintln!("{}", chain(&error)),
            }
            within = Duration::ZERO;
        }
    }

    fn complain(&mut self, error: &LineError) -> io::Result<Outcome> {
        eprintln!("{error}");
        Ok(Outcome::Failed)
    }

    fn refused(&mut self, name: &str, error: &Error) -> io::Result<()> {
        eprintln!("{}", chain(error));
        if error.class().is_some_and(|class| class.as_str() == "CommandNotFound") {
            eprintln!("`query-commands` lists what there is; '{name}' is not in it");
        }
        Ok(())
    }

    /// One write a message, so that others cannot come in between.
    fn print(&mut self, json: &RawValue) -> io::Result<()> {
        let text = if self.pretty { layout::pretty(json) } else { layout::compact(json) };
        self.output.write_all(format!("{text}\n").as_bytes())?;
        self.output.flush()
    }
}

/// An event as it is on the wire.
fn event_json(event: &RawEvent) -> io::Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct OnTheWire<'e> {
        timestamp: Time,
        event: &'e str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'e RawValue>,
    }

    #[derive(Serialize)]
    struct Time {
        seconds: i64,
        microseconds: i64,
    }

    let Timestamp { seconds, microseconds, .. } = event.timestamp;
    let timestamp = Time { seconds, microseconds };
    let event = OnTheWire { timestamp, event: &event.name, data: event.data.as_deref() };
    Ok(to_raw_value(&event)?)
}
