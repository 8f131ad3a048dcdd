//! Selects the virtual machine that a program talks to: a QEMU at an address, a QEMU that the
//! program launches, or a machine simulated in its own process.

use std::ffi::OsString;
use std::io;

use clap::Args;
use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Error, Options};
use qmp_server::Simulator;
use qmp_vm::{Launch, Launched};

use crate::cli::TimeoutArgs;

/// The arguments that select a machine, shared by `vm-info` and `qmp-shell`.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Address of the QMP monitor: unix:/run/vm.sock, tcp:localhost:4444, or a socket's path
    ///
    /// If neither an address nor --launch is given, a simulated machine runs in this process.
    #[arg(conflicts_with = "launch")]
    pub address: Option<String>,

    /// Start a QEMU with all arguments that follow, and quit it at the end
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
            let launch = Launch::new(program).args(arguments).options(options.clone());
            let vm = launch.start::<Client>()?;
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
        let options = self.timeout.options().wait_for_socket(std::time::Duration::ZERO);
        self.address.as_ref().map(|address| Client::connect_with(address, &options))
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
