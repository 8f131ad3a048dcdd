//! Records sessions with monitors, and shows recordings.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use qmp_client::recording::{Reader, Recorder, RecordingError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::shell::status;
use crate::cli::{StandardOutput, chain, seconds, status_of};
use crate::ending::{Blocked, heeded};
use crate::machine::{MachineArgs, Origin};
use crate::record::output::create;
use crate::record::relay::{self, Listener};
use crate::record::timeline::{self, Filter, Form};
use crate::record::{is_standard, open, require_connection};
use crate::shell::script::Tally;
use crate::shell::{Outcome, Session, Settings};
use crate::sim::{Endpoint, Signals, until_interrupted};
use crate::terminal::{inline, notice};

/// Record a session with a QMP monitor to a file, and show recordings
///
/// The file has one JSON object per message. Passwords, keys and other secrets are masked, in
/// whatever syntax they were sent.
#[derive(Debug, Parser)]
#[command(
    name = "record",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = EXAMPLES
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    record: Record,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a recording as a timeline
    Show(Show),
}

/// The arguments of a recording.
#[derive(Args, Debug)]
struct Record {
    /// Write the recording to FILE; '-' is standard output, and replies then go to standard error
    #[arg(short, long, value_name = "FILE", required = true)]
    output: Option<PathBuf>,

    /// Execute COMMAND, and end; may be repeated. Without it, record until an interrupt
    #[arg(short, long, value_name = "COMMAND", conflicts_with = "listen")]
    command: Vec<String>,

    /// After the commands, record events for this long
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, conflicts_with = "listen",
        allow_negative_numbers = true)]
    period: Option<Duration>,

    /// Listen at LISTEN, and pass clients on to the monitor, one after the other
    #[arg(long, value_name = "LISTEN", requires = "address")]
    listen: Option<Endpoint>,

    /// The name of the connection in the recording
    #[arg(long, value_name = "NAME", default_value = "qmp")]
    name: String,

    #[command(flatten)]
    machine: MachineArgs,
}

/// The arguments of `qmp record show`.
#[derive(Args, Debug)]
struct Show {
    /// The recording; '-' is standard input
    file: PathBuf,

    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    form: Form,
}

/// How often it is checked whether the time is over.
const POLL: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
With --listen, the session of another program is recorded: it connects to LISTEN instead of the \
monitor. Nothing is changed on the way, and file descriptors are passed on. Otherwise this program \
connects to the monitor itself.

In a timeline, '>' is a command, '<' a reply, '!' an error and '*' an event.

Examples:
  qmp record unix:/run/vm.sock -o session.qmp --listen unix:/tmp/recorded.sock
  qmp record unix:/run/vm.sock -o session.qmp -c query-status -c query-block
  qmp record unix:/run/vm.sock -o events.qmp             record events until Ctrl-C
  qmp record unix:/run/vm.sock -o - -c query-status | qmp record show -
  qmp record show session.qmp --errors
  qmp record show session.qmp --slower 10 --json
  qmp replay session.qmp unix:/tmp/vm.sock               serve the recording

Exit status: 0 if all was recorded, until the machine ended if it did, 1 if a command failed or a file \
cannot be read or written, 2 for invalid arguments, 3 if the connection failed or ended before a reply, 4 if a \
deadline passed.";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let result = match &arguments.action {
        Some(Action::Show(show)) => show.run().map(|()| ExitCode::SUCCESS),
        None => arguments.record.run(),
    };
    result.unwrap_or_else(|error| {
        notice(&format!("qmp record: {}", chain(&*error)));
        ExitCode::from(status_of(&*error))
    })
}

impl Show {
    fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let named = |error: RecordingError| format!("'{}': {}", self.file.display(), chain(&error));
        let open =
            || open(&self.file).map_err(RecordingError::Io).and_then(Reader::new).map_err(named);
        // Standard input cannot be read twice.
        if let Some(monitor) = self.filter.monitor.as_ref().filter(|_| !is_standard(&self.file)) {
            require_connection(open()?, monitor)?;
        }
        let reader = open()?;
        let mut output = io::BufWriter::new(StandardOutput::new());
        let mut write = |line: &str| output.write_all(line.as_bytes()).map_err(Box::from);
        let shown = timeline::show(reader, &self.filter, self.form, &mut write);
        match shown.and_then(|()| output.flush().map_err(Box::from)) {
            Err(error) if is_broken_pipe(&*error) => Ok(()),
            Err(error) => Err(error.downcast().map_or_else(|other| other, |it| named(*it).into())),
            Ok(()) => Ok(()),
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

impl Record {
    fn run(&self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let path = self.output.clone().unwrap_or_default();
        let cannot = |error: io::Error| match is_standard(&path) {
            true => error.to_string(),
            false => format!("cannot write '{}': {error}", path.display()),
        };
        let by = concat!("qmp record ", env!("CARGO_PKG_VERSION"));
        let (file, earlier) = create(&path).map_err(cannot)?;
        let recorder = Recorder::new(file, &*self.name).made_by(by);
        let recorded = match &self.listen {
            Some(endpoint) => self.relay(endpoint, &recorder),
            None => self.session(&recorder),
        };
        // Every line has been written already. Without any, an earlier recording stays as it is.
        let status = recorded?;
        if earlier.is_kept() {
            return Ok(status);
        }
        match recorder.finish() {
            // As with `| head`.
            Err(error) if is_standard(&path) && error.kind() == io::ErrorKind::BrokenPipe => {}
            finished => finished.map_err(cannot)?,
        }
        Ok(status)
    }

    /// Records the sessions of others.
    fn relay(
        &self,
        endpoint: &Endpoint,
        recorder: &Recorder,
    ) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let address = crate::host::resolve(self.machine.address.as_deref().unwrap_or_default())?;
        // Before any thread is spawned, and before the program says that it listens.
        let signals = Signals::hold()?;
        let listener = Listener::bind(&endpoint.address)?;
        notice(&format!("listening on {}", inline(&listener.address())));
        let (recorder, name) = (recorder.clone(), self.name.clone());
        let acceptor = listener.acceptor()?;
        let served = until_interrupted(signals, move || {
            let report = |error: &io::Error| {
                notice(&format!("{}: {}", inline(&address.to_string()), chain(error)));
            };
            relay::serve(&acceptor, &address, &recorder, &name, &report)
        });
        served?.unwrap_or(Ok(()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Records a session of this program.
    fn session(&self, recorder: &Recorder) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let options = self.machine.timeout.options().record(recorder);
        let machine = self.machine.connect_with(&options)?;
        if matches!(machine.origin, Origin::Simulated) {
            notice("no address was given: recording a simulated machine");
        }
        let timeout = Some(self.machine.timeout.timeout);
        let settings = Settings { timeout, ..Settings::default() };
        let (client, messages) = (machine.client.clone(), Box::new(io::stderr()));
        let replies: Box<dyn Write> = match self.output.as_deref().is_some_and(is_standard) {
            true => Box::new(io::stderr()),
            false => Box::new(StandardOutput::new()),
        };
        let mut session = Session::new(client, replies, messages, settings);
        let (mut tally, mut is_over) = (Tally::default(), false);
        for command in &self.command {
            let outcome = session.line(command)?;
            tally.add(outcome);
            if matches!(outcome, Outcome::Ended | Outcome::Lost) {
                is_over = true;
                break;
            }
        }
        let period = self.period.or((!self.command.is_empty()).then_some(Duration::ZERO));
        // A time that the clock cannot represent never comes.
        let end = period.and_then(|period| Instant::now().checked_add(period));
        let interrupted = interrupt()?;
        while !is_over && !interrupted.load(Ordering::Relaxed) {
            let rest = end.map_or(POLL, |end| end.saturating_duration_since(Instant::now()));
            is_over = rest.is_zero();
            if !is_over && session.pump(rest.min(POLL))? == Outcome::Lost {
                is_over = true;
                // The recording of a machine that has ended is complete.
                if !machine.client.closed().by_peer() {
                    tally.add(session.lost()?);
                }
            }
        }
        drop(session);
        let status = status(tally.worst());
        match machine.finish() {
            Err(error) if error.is_closed() => Ok(status),
            finished => finished.map(|()| status).map_err(Box::from),
        }
    }
}

/// Returns a flag that a signal sets which would end the program. A second one ends it. As with a server
/// ([`Signals::hold`]), only a hangup may be ignored.
fn interrupt() -> io::Result<Arc<AtomicBool>> {
    // While a part is registered, a signal ends the program, as it did before.
    let interrupted = Arc::new(AtomicBool::new(true));
    let signals: Vec<_> = heeded(&[SIGHUP]).into_iter().chain([SIGINT, SIGTERM]).collect();
    let _blocked = Blocked::new(&signals);
    for signal in signals {
        flag::register_conditional_default(signal, interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    interrupted.store(false, Ordering::SeqCst);
    Ok(interrupted)
}
