//! Selects the virtual machine that a program talks to: a QEMU at an address, a QEMU that the
//! program launches, or a machine simulated in its own process.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Error, Options};
use qmp_server::Simulator;
use qmp_vm::{Launch, Launched};

use crate::cli::TimeoutArgs;
use crate::terminal::notice;

/// The arguments that select a machine, shared by `vm-info` and `qmp-shell`.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Address of the QMP monitor, such as unix:/run/vm.sock, tcp:localhost:4444 or a socket's path,
    /// or the name of a machine
    ///
    /// An argument of QEMU's options -qmp and -chardev is an address, too. Anything else that is not
    /// a file in the current directory is looked up among the machines that 'qmp ls' shows: by the
    /// name, then by the manager's number, the UUID and the pid. Without such a machine, it is the path
    /// of a socket that may still appear.
    ///
    /// If neither an address nor --launch is given, a simulated machine runs in this process.
    #[arg(conflicts_with = "launch")]
    pub address: Option<String>,

    /// Start a QEMU with all arguments that follow, and quit it at the end
    ///
    /// QEMU ends with this program, also if that is killed. Its standard input is empty; what it writes,
    /// such as the console of a guest with -nographic, is printed to standard error, escaped, line by
    /// line.
    #[arg(
        long,
        value_names = ["PROGRAM", "ARG"],
        num_args = 1..,
        allow_hyphen_values = true
    )]
    pub launch: Vec<OsString>,

    /// The timeout of the connection.
    #[command(flatten)]
    pub timeout: TimeoutArgs,
}

/// The time that a launched QEMU has to end by itself, also after this program was killed.
const GRACE: Duration = Duration::from_secs(2);

/// The output of a launched QEMU: warnings, and the guest's console if that is on standard output.
/// It is printed as notices. Everything before the greeting is kept until then, since the error of a
/// QEMU that does not start has it.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Early>>);

/// The lines before the greeting, as far as they are kept.
#[derive(Debug, Default)]
struct Early {
    lines: Vec<String>,
    is_shown: bool,
}

impl Output {
    /// The number of lines that are kept.
    const KEPT: usize = 100;

    /// Returns a function that takes the lines of one output.
    fn lines(&self) -> impl FnMut(&str) + Send + 'static {
        let shared = Arc::clone(&self.0);
        move |line| {
            let mut early = lock(&shared);
            if early.is_shown {
                notice(line);
            } else if early.lines.len() < Self::KEPT {
                early.lines.push(line.to_owned());
            }
        }
    }

    /// Shows what was kept, and everything from now on.
    fn show(&self) {
        let mut early = lock(&self.0);
        early.is_shown = true;
        early.lines.drain(..).for_each(|line| notice(&line));
    }
}

fn lock(early: &Mutex<Early>) -> MutexGuard<'_, Early> {
    early.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to a machine.
#[derive(Debug)]
pub struct Machine {
    /// The connection.
    pub client: Client,
    /// The kind of machine at the other end.
    pub origin: Origin,
}

/// The kind of machine at the other end of a connection.
#[derive(Debug)]
pub enum Origin {
    /// A QEMU that was running already.
    Address,
    /// A QEMU that this program launched.
    Launched(Launched<Client>),
    /// A machine simulated in this process.
    Simulated,
}

impl MachineArgs {
    /// Connects to the selected machine. A launched QEMU and a simulated machine end when the
    /// returned [`Machine`] is dropped.
    ///
    /// # Errors
    /// Returns an error if nothing listens at the address, if the program cannot be started, or if
    /// the peer is not a QMP server.
    pub fn connect(&self) -> Result<Machine, Box<dyn std::error::Error>> {
        self.connect_with(&self.timeout.options())
    }

    /// Does the same as [`connect`](Self::connect), with other options.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn connect_with(&self, options: &Options) -> Result<Machine, Box<dyn std::error::Error>> {
        if let Some((program, arguments)) = self.launch.split_first() {
            let output = Output::default();
            let vm = Launch::new(program)
                .args(arguments)
                .options(options.clone())
                .grace(GRACE)
                .on_stdout(output.lines())
                .on_stderr(output.lines())
                .start::<Client>()?;
            output.show();
            return Ok(Machine { client: vm.client().clone(), origin: Origin::Launched(vm) });
        }
        if let Some(address) = &self.address {
            let client = self.timeout.connect_with(address, options)?;
            return Ok(Machine { client, origin: Origin::Address });
        }
        let client = Client::over(simulate()?, options)?;
        Ok(Machine { client, origin: Origin::Simulated })
    }
}

impl MachineArgs {
    /// Connects to the selected address again, at once or not at all. `None` if no address was
    /// given: what this program started does not come back.
    ///
    /// # Errors
    /// Returns an error if nothing listens at the address, or if the peer is not a QMP server.
    pub fn reconnect(&self) -> Option<Result<Client, Error>> {
        self.address.as_ref().map(|address| self.timeout.connect_once(address))
    }
}

fn simulate() -> io::Result<Unix> {
    Unix::from_stream(Simulator::new().connect()?)
}

impl Machine {
    /// Quits a QEMU that this program launched, unless it has exited already; leaves any other
    /// machine as it is.
    ///
    /// # Errors
    /// Returns an error if QEMU does not quit.
    pub fn finish(self) -> Result<(), Error> {
        match self.origin {
            Origin::Launched(vm) => vm.quit().map(drop),
            Origin::Address | Origin::Simulated => Ok(()),
        }
    }
}
