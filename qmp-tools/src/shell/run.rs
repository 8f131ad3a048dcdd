//! Executes lines, and prints replies and events.

use std::io::{self, Write};
use std::time::Duration;

use qmp_client::blocking::{Client, Events};
use qmp_client::{Error, ErrorClass, Raw, RawEvent, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{layout, parse};
use crate::cli::chain;
use crate::terminal::{self, notice};

/// A shell on a connection. Replies and events are written to its output as JSON, errors to standard
/// error.
#[derive(Debug)]
pub struct Shell<W> {
    client: Client,
    events: Events<RawEvent>,
    output: W,
    pretty: bool,
}

/// The outcome of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The command succeeded, or the line was blank or a comment.
    Done,
    /// The line was not a command, or the command failed.
    Failed,
    /// The connection ended because of `quit`.
    Ended,
    /// The connection ended unexpectedly.
    Lost,
}

impl<W: Write> Shell<W> {
    /// Creates a shell that prints the events of a subscription, writes to `output`, and
    /// pretty-prints JSON if `pretty` is set.
    pub fn new(client: Client, events: Events<RawEvent>, output: W, pretty: bool) -> Self {
        Self { client, events, output, pretty }
    }

    /// Executes a line, and prints the events that arrived before the reply, then the reply.
    ///
    /// # Errors
    /// Returns an error if the output cannot be written.
    pub fn line(&mut self, line: &str) -> io::Result<Outcome> {
        let parsed = match parse(line) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(Outcome::Done),
            Err(error) => {
                notice(&error.to_string());
                return Ok(Outcome::Failed);
            }
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
            // QEMU may exit before it replies.
            Err(error) if quits && error.is_closed() => Ok(Outcome::Ended),
            Err(error) => {
                let lost = error.is_closed();
                print_error(&parsed.name, &error);
                Ok(if lost { Outcome::Lost } else { Outcome::Failed })
            }
        }
    }

    /// Prints the events that have arrived; if there are none yet, waits up to `within` for one.
    ///
    /// # Errors
    /// Returns an error if the output cannot be written.
    pub fn events(&mut self, within: Duration) -> io::Result<Outcome> {
        let mut within = within;
        loop {
            match self.events.next_within(within) {
                Some(Ok(event)) => self.print(&event_json(&event)?)?,
                Some(Err(error)) if error.is_timeout() => return Ok(Outcome::Done),
                Some(Err(error)) if !error.is_closed() => notice(&chain(&error)),
                Some(Err(_)) | None => return Ok(Outcome::Lost),
            }
            within = Duration::ZERO;
        }
    }

    /// Prints a message with a single write, so that other output cannot split it.
    fn print(&mut self, json: &RawValue) -> io::Result<()> {
        let text = if self.pretty { layout::pretty(json) } else { layout::compact(json) };
        self.output.write_all(format!("{}\n", terminal::json(&text)).as_bytes())?;
        self.output.flush()
    }
}

fn print_error(name: &str, error: &Error) {
    let class = match error.class() {
        None | Some(ErrorClass::GenericError) => String::new(),
        Some(class) => format!(" ({})", class.as_str().escape_debug()),
    };
    notice(&format!("{}{class}", chain(error)));
    if error.is_command_not_found() {
        notice(&format!(
            "hint: `query-commands` lists the available commands; `{name}` is not one of them"
        ));
    }
}

/// Returns an event as JSON, in the form that it has on the wire.
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
