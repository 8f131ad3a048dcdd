//! Serves many clients on one monitor.

use std::error::Error as StdError;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use qmp_client::Error;
use qmp_server::SocketFile;
use qmp_types::recording::Recorder;
use qmp_vm::proxy::{Access, Listener, Policy, Proxy, ProxyEnd, ProxyOptions};

use crate::cli::{chain, seconds, status_of};
use crate::record::output::{Earlier, create};
use crate::sim::{Address, Endpoint, Signals};
use crate::terminal::{inline, notice};

/// Serve many clients on one monitor
///
/// QEMU serves one client per monitor. This program is that client, and serves any number of others
/// at LISTEN: each with its own negotiation, ids and replies, and all events. It ends when the monitor
/// does, or at an interrupt.
#[derive(Debug, Parser)]
#[command(name = "proxy", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Listen at LISTEN: unix:/run/vm.sock, tcp:127.0.0.1:4444, or a socket's path; may be repeated
    #[arg(value_name = "LISTEN", required = true, num_args = 1..)]
    listen: Vec<Endpoint>,

    /// Address of the QMP monitor, or the name of a machine
    #[arg(value_name = "UPSTREAM")]
    upstream: String,

    /// Allow only commands that have no effect on the machine, and mask secrets in replies
    #[arg(long)]
    read_only: bool,

    /// Allow these commands, too; without --read-only, allow no others
    #[arg(long, value_name = "COMMAND,...", value_delimiter = ',')]
    allow: Vec<String>,

    /// Deny these commands, even if they are otherwise allowed
    #[arg(long, value_name = "COMMAND,...", value_delimiter = ',')]
    deny: Vec<String>,

    /// Pass on only these events; a name may end with '*'
    #[arg(long, value_name = "EVENT,...", value_delimiter = ',')]
    events: Option<Vec<String>>,

    /// Record all messages in FILE, with passwords and other secrets masked; '-' is standard output
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Set the permissions of the Unix sockets, in octal
    #[arg(long, default_value = "0600", value_parser = mode)]
    mode: u32,

    /// Wait at most this long for the monitor's greeting
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds,
        allow_negative_numbers = true)]
    timeout: Duration,

    /// Answer a command with an error if the monitor does not answer within this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    reply_timeout: Option<Duration>,
}

const EXAMPLES: &str = "\
A command that is not allowed is answered with an error that says so. A command that this program does \
not know is never read-only, and neither is 'human-monitor-command'. Nothing but the permissions of \
LISTEN says who may connect.

Examples:
  qmp proxy /run/vm-2.sock /run/vm.sock
  qmp proxy --read-only --mode 0660 /run/vm-watch.sock unix:/run/vm.sock
  qmp proxy --deny quit,human-monitor-command /run/vm-2.sock tcp:localhost:4444
  qmp proxy --record session.qmp --events 'JOB_*,BLOCK_JOB_*' /run/vm-2.sock /run/vm.sock

Exit status: 0 after a client's 'quit' or a signal, 1 if the recording or a socket failed, 2 for invalid \
arguments, 3 if the connection to the monitor failed or ended, 4 if it did not greet in time.";

/// The connection to the monitor ended.
const CONNECTION: u8 = 3;

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let status = match run(arguments) {
        Ok(end) => match &end {
            ProxyEnd::Quit | ProxyEnd::Stopped => return ExitCode::SUCCESS,
            ProxyEnd::Upstream(_) => {
                notice(&format!("qmp proxy: {}", chain(&end)));
                CONNECTION
            }
            _ => 1,
        },
        Err(error) => {
            notice(&format!("qmp proxy: {}", chain(&*error)));
            status_of(&*error)
        }
    };
    ExitCode::from(status)
}

fn run(arguments: &Arguments) -> Result<ProxyEnd, Box<dyn StdError>> {
    // Before any thread is spawned.
    let signals = Signals::hold()?;
    let recorder = arguments.record.as_deref().map(record).transpose()?;
    let mut options = ProxyOptions::new().greeting_within(arguments.timeout);
    if let Some((recorder, _)) = &recorder {
        options = options.record(recorder.clone());
    }
    let upstream = crate::host::resolve(&arguments.upstream)?;
    let listeners = arguments.listeners()?;
    let (sender, news) = mpsc::channel();
    let interrupted = sender.clone();
    signals.on_first(move |_| drop(interrupted.send(News::Signal)))?;
    let patience = arguments.timeout;
    thread::Builder::new().name("qmp-connect".to_owned()).spawn(move || {
        let monitor = upstream.clone();
        let connect = move || options.connect_to(&monitor);
        let connected = crate::host::connect_by(&upstream, connect, patience);
        drop(sender.send(News::Connected(connected)));
    })?;
    let end = match news.recv()? {
        News::Signal => ProxyEnd::Stopped,
        News::Connected(proxy) => {
            let proxy = proxy?;
            for (listener, address) in listeners {
                proxy.listen(listener, arguments.access())?;
                notice(&format!("listening on {}", inline(&address.to_string())));
            }
            let handle = proxy.clone();
            thread::Builder::new().spawn(move || {
                // Nothing else is left to be said but that there was a signal.
                if news.recv().is_ok() {
                    handle.stop();
                }
            })?;
            proxy.wait()
        }
    };
    // Before the monitor is connected, nothing is recorded.
    if let Some((recorder, _)) = recorder.filter(|(_, earlier)| !earlier.is_kept()) {
        recorder.finish()?;
    }
    Ok(end)
}

/// The news that the main thread waits for.
enum News {
    /// The attempt to connect has ended.
    Connected(Result<Proxy, Error>),
    Signal,
}

impl Arguments {
    fn access(&self) -> Access {
        let access = Access::new().policy(self.policy());
        let access = match self.reply_timeout {
            Some(within) => access.calls_within(within),
            None => access,
        };
        let Some(patterns) = self.events.clone() else { return access };
        access.events(move |name| {
            patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            })
        })
    }

    fn policy(&self) -> Policy {
        let policy = match (self.read_only, self.allow.is_empty()) {
            (true, _) => Policy::read_only(),
            (false, true) => Policy::everything(),
            (false, false) => Policy::nothing(),
        };
        policy
            .allow(self.allow.iter().map(String::as_str))
            .deny(self.deny.iter().map(String::as_str))
    }

    fn listeners(&self) -> Result<Vec<(Listener, Address)>, Box<dyn StdError>> {
        self.listen.iter().map(|endpoint| listen(&endpoint.address, self.mode)).collect()
    }
}

/// Listens at an address, and returns the address with the port that the system has chosen.
fn listen(address: &Address, mode: u32) -> Result<(Listener, Address), Box<dyn StdError>> {
    let failed = |error| format!("cannot listen at {address}: {error}");
    match address {
        Address::Unix(path) => {
            let file = SocketFile::bind(path, mode).map_err(failed)?;
            let address = Address::Unix(file.path().to_owned());
            Ok((file.into(), address))
        }
        Address::Tcp { host, port } => {
            // A monitor can do everything that QEMU can: other hosts must be asked for.
            let host = if host.is_empty() { "localhost" } else { host };
            let listener = TcpListener::bind((host, *port)).map_err(failed)?;
            let place = listener.local_addr()?;
            let address = Address::Tcp { host: place.ip().to_string(), port: place.port() };
            Ok((listener.into(), address))
        }
        _ => Err(format!("cannot listen at {address}: it is neither a Unix socket nor a TCP port")
            .into()),
    }
}

fn record(path: &Path) -> Result<(Recorder, Earlier), Box<dyn StdError>> {
    let created = create(path);
    let (file, earlier) =
        created.map_err(|error| format!("cannot create '{}': {error}", path.display()))?;
    let by = concat!("qmp proxy ", env!("CARGO_PKG_VERSION"));
    Ok((Recorder::new(file, "proxy").made_by(by), earlier))
}

/// Parses permissions in octal.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "not permissions in octal, such as 0660".to_owned())
}
