//! Which virtual machine a program talks to: one at an address, one that it launches, or one that
//! is simulated in its own process.

use std::ffi::OsString;
use std::io;

use clap::Args;
use qmp_client::Error;
use qmp_client::blocking::{Client, Launch};
use qmp_client::transport::Unix;
use qmp_server::Simulator;

use crate::cli::Patience;

/// The arguments that choose a machine, the same for every program.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Where QEMU offers QMP: unix:/run/vm.sock, tcp:localhost:4444, or a path
    ///
    /// Without it, a simulated machine is started in this process.
    #[arg(conflicts_with = "launch")]
    pub address: Option<String>,

    /// Starts a QEMU with these arguments, and ends it afterwards; everything that follows is its
    #[arg(
        long,
        value_names = ["PROGRAM", "ARG"],
        num_args = 1..,
        allow_hyphen_values = true
    )]
    pub launch: Vec<OsString>,

    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
}

/// A machine that a program talks to.
#[derive(Debug)]
pub struct Machine {
    /// The connection.
    pub client: Client,
    /// What is at the other end.
    pub origin: Origin,
}

/// What is at the other end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A QEMU that was running already.
    Address,
    /// A QEMU of this program's own.
    Launched,
    /// A machine that is simulated in this process.
    Simulated,
}

impl MachineArgs {
    /// Connects. A launched QEMU and a simulated machine end with the result.
    ///
    /// # Errors
    /// There is nobody at the address, the program does not start, or what answers is no QMP.
    pub fn connect(&self) -> Result<Machine, Box<dyn std::error::Error>> {
        let options = self.patience.options();
        if let Some((program, arguments)) = self.launch.split_first() {
            let client = Launch::new(program).args(arguments).options(options).start()?;
            return Ok(Machine { client, origin: Origin::Launched });
        }
        if let Some(address) = &self.address {
            let client = self.patience.connect(address)?;
            return Ok(Machine { client, origin: Origin::Address });
        }
        let client = Client::from_transport(simulate()?, &options)?;
        Ok(Machine { client, origin: Origin::Simulated })
    }
}

fn simulate() -> io::Result<Unix> {
    Unix::from_stream(Simulator::new().connect()?)
}

impl Machine {
    /// Ends a QEMU of this program's own; any other machine is left as it is.
    ///
    /// # Errors
    /// It does not end.
    pub fn finish(mut self) -> Result<(), Error> {
        match self.origin {
            Origin::Launched => self.client.quit(),
            Origin::Address | Origin::Simulated => Ok(()),
        }
    }
}
