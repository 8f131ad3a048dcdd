//! Executes lines, and prints what comes of it.

use std::io::{self, Write};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::{Error, Raw, RawEvent};
use serde_json::{Value, json};

use super::{LineError, parse};
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
        let mut request = Raw::<Value>::new(parsed.name.clone());
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
                Ok(event) => self.print(&event_json(&event))?,
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
    fn print(&mut self, value: &Value) -> io::Result<()> {
        let text = if self.pretty { format!("{value:#}\n") } else { format!("{value}\n") };
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }
}

fn event_json(event: &RawEvent) -> Value {
    let mut json = json!({
        "event": event.name,
        "timestamp": {
            "seconds": event.timestamp.seconds,
            "microseconds": event.timestamp.microseconds,
        },
    });
    if let Some(data) = &event.data {
        json["data"] = serde_json::from_str(data.get()).unwrap_or_default();
    }
    json
}
