//! Serves recordings, and checks them against schemas.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use qmp_client::recording::Reader;
use qmp_server::replay::{Order, Recording, Replay, ReplayError, ReplayServer};
use serde_json::json;

use crate::cli::{TimeoutArgs, chain, print};
use crate::record::check::{Checked, check};
use crate::record::relay::{Acceptor, Listener};
use crate::record::{is_standard, open, require_connection};
use crate::schema;
use crate::sim::{Endpoint, Signals, until_interrupted};
use crate::terminal::{self, inline, notice};

/// Serve a recorded session as a QMP server, or check it against a schema
///
/// Commands get the replies that were recorded for them. A masked secret equals any text.
#[derive(Debug, Parser)]
#[command(name = "replay", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// The recording; '-' is standard input
    file: PathBuf,

    /// Listen at LISTEN: unix:/run/vm.sock, tcp:127.0.0.1:4444, or a socket's path
    #[arg(required_unless_present = "check", conflicts_with = "check")]
    listen: Option<Endpoint>,

    /// Expect the same commands in the same order
    #[arg(long, conflicts_with = "check")]
    strict: bool,

    /// Serve one client, and exit with status 1 if its commands do not fit the recording
    #[arg(long, conflicts_with = "check")]
    once: bool,

    /// Replay only the connection with this name
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    monitor: Option<String>,

    /// Check what a server with another schema would refuse, instead of serving
    #[arg(long)]
    check: bool,

    /// The schema for --check: a schema file, introspection data, the address of a QEMU, or 'builtin'
    #[arg(long, value_name = "SCHEMA", default_value = "builtin", requires = "check")]
    against: String,

    /// Print the result of --check as JSON
    #[arg(long, requires = "check")]
    json: bool,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
The exit status of --check is 1 if something that succeeded when it was recorded would fail, or an \
event that was recorded does not exist; deprecated commands and events are listed, too.

Examples:
  qmp replay session.qmp unix:/tmp/vm.sock
  qmp replay session.qmp unix:/tmp/vm.sock --strict --once
  qmp replay session.qmp --check --against unix:/run/newer-vm.sock
  qmp replay session.qmp --check --against v7.2/qapi/qapi-schema.json";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let result = match &arguments.listen {
        Some(endpoint) => arguments.serve(endpoint),
        None => arguments.check(),
    };
    result.unwrap_or_else(|error| {
        notice(&format!("qmp replay: {}", chain(&*error)));
        ExitCode::FAILURE
    })
}

impl Arguments {
    fn open(&self) -> Result<Box<dyn BufRead>, String> {
        open(&self.file).map_err(|error| format!("cannot read {}: {error}", self.name()))
    }

    fn name(&self) -> String {
        format!("'{}'", inline(&self.file.display().to_string()))
    }

    fn serve(&self, endpoint: &Endpoint) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let file = self.open()?;
        let recording = match &self.monitor {
            Some(name) => {
                // Standard input cannot be read twice.
                if !is_standard(&self.file) {
                    require_connection(Reader::new(self.open()?)?, name)?;
                }
                Recording::of_monitor(file, name)
            }
            None => Recording::read(file),
        };
        let recording = recording.map_err(|error| format!("{}: {}", self.name(), chain(&error)))?;
        let order = if self.strict { Order::Strict } else { Order::ByRequest };
        let count = recording.request_count();
        // Before any thread is spawned, and before the program says that it listens.
        let signals = Signals::hold()?;
        let replay = Replay::of(recording).order(order).start();
        let listener = Listener::bind(&endpoint.address)?;
        notice(&format!("listening on {} ({count} commands)", inline(&listener.address())));
        let (acceptor, once) = (listener.acceptor()?, self.once);
        let replay = Arc::new(replay);
        let serving = Arc::clone(&replay);
        let served = until_interrupted(signals, move || -> io::Result<_> {
            accept(&serving, &acceptor)?;
            if once {
                return Ok(serving.wait());
            }
            loop {
                accept(&serving, &acceptor)?;
            }
        })?;
        // Interrupted, the replay tells what it has seen.
        let result = served.unwrap_or_else(|| Ok(replay.finish()));
        Ok(report(result?))
    }

    fn check(&self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let schema = schema::read(&self.against, self.timeout)?;
        let reader = Reader::new(self.open()?);
        let checked = reader
            .map_err(Box::<dyn std::error::Error>::from)
            .and_then(|reader| check(reader, &schema));
        let checked = checked.map_err(|error| format!("{}: {}", self.name(), chain(&*error)))?;
        print(self.findings(&checked).as_bytes())?;
        let breaks = checked.findings.iter().any(|finding| finding.kind.breaks());
        Ok(if breaks { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn findings(&self, checked: &Checked) -> String {
        if self.json {
            let findings = checked.findings.iter().map(|finding| {
                json!({
                    "line": finding.line, "count": finding.count, "name": finding.name,
                    "kind": finding.kind.as_str(), "reason": finding.reason,
                })
            });
            let findings: Vec<_> = findings.collect();
            let text =
                format!("{:#}\n", json!({"messages": checked.messages, "findings": findings}));
            return terminal::json(&text).into_owned();
        }
        let mut text: String =
            checked.findings.iter().map(|finding| format!("{finding}\n")).collect();
        let breaking = checked.findings.iter().filter(|finding| finding.kind.breaks()).count();
        text += &format!(
            "{} commands and events checked against {}: {breaking} would break\n",
            checked.messages,
            inline(&self.against)
        );
        terminal::lines(&text).into_owned()
    }
}

fn accept(replay: &ReplayServer, acceptor: &Acceptor) -> io::Result<()> {
    match acceptor {
        Acceptor::Unix(listener) => replay.accept_unix(listener),
        Acceptor::Tcp(listener) => replay.accept_tcp(listener),
    }
}

fn report(result: Result<(), ReplayError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
