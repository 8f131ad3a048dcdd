//! Runs a simulated virtual machine.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use qmp_client::QmpError;
use qmp_server::Simulator;

use crate::cli::seconds;
use crate::sim::emulator;
use crate::sim::{Endpoint, Monitor, Running, Signals, serve_agent};
use crate::terminal::{inline, notice};

/// Run a simulated virtual machine that clients can connect to
///
/// It runs no guest, but answers like QEMU 11.1: it refuses what QEMU refuses, and emits the events
/// that commands cause. It ends at the command `quit`, or at an interrupt.
#[derive(Debug, Parser)]
#[command(name = "sim", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Listen at ADDRESS: unix:/run/vm.sock, tcp:127.0.0.1:4444, or a socket's path; may be repeated
    #[arg(required_unless_present_any = ["agent", "as_qemu"])]
    address: Vec<Endpoint>,

    /// Simulate a guest agent at ADDRESS, too
    #[arg(long, value_name = "ADDRESS")]
    agent: Option<Endpoint>,

    /// Set the name of the virtual machine
    #[arg(long)]
    name: Option<String>,

    /// Set the machine type, such as q35; the machine then has no devices but those given here
    #[arg(long, value_name = "TYPE")]
    machine: Option<String>,

    /// Leave out the devices, disks and network that the machine has by default
    #[arg(long)]
    empty: bool,

    /// Set the number of CPUs
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    cpus: Option<u32>,

    /// Set the size of memory in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: Option<u64>,

    /// Add a simulated disk image, which exists in no file system: PATH=MIB
    #[arg(long, value_name = "PATH=MIB", value_parser = file)]
    file: Vec<(String, u64)>,

    /// Add an object, in the spelling of QEMU's -object
    #[arg(long, value_name = "OPTIONS")]
    object: Vec<String>,

    /// Add a character device, in the spelling of QEMU's -chardev
    #[arg(long, value_name = "OPTIONS")]
    chardev: Vec<String>,

    /// Add a block node, in the spelling of QEMU's -blockdev
    #[arg(long, value_name = "OPTIONS")]
    blockdev: Vec<String>,

    /// Add a network back end, in the spelling of QEMU's -netdev
    #[arg(long, value_name = "OPTIONS")]
    netdev: Vec<String>,

    /// Add a device, in the spelling of QEMU's -device
    #[arg(long, value_name = "OPTIONS")]
    device: Vec<String>,

    /// Wait for the command 'cont' before the virtual machine runs
    #[arg(long)]
    paused: bool,

    /// Fail a command with an error
    #[arg(long, value_name = "COMMAND=ERROR", value_parser = pair)]
    refuse: Vec<(String, String)>,

    /// Delay a command
    #[arg(long, value_name = "COMMAND=SECONDS", value_parser = delay)]
    delay: Vec<(String, Duration)>,

    /// Take the place of qemu-system-x86_64, with its arguments, which follow
    #[arg(
        long,
        value_name = "ARG",
        num_args = 0..,
        allow_hyphen_values = true,
        conflicts_with = "address"
    )]
    as_qemu: Option<Vec<String>>,
}

const EXAMPLES: &str = "\
Called by a name that begins with 'qemu-system-', this program takes QEMU's arguments, so that a \
link to it in PATH takes the place of QEMU in tests:

  ln -s $(command -v qmp) bin/qemu-system-x86_64

Options that change only what a guest sees are accepted and ignored. Options that do not exist, and \
devices, disks and objects that QEMU would refuse, are refused in its words.

Examples:
  qmp sim unix:/tmp/vm.sock                 a machine with a disk, a CD drive and a NIC
  qmp sim /tmp/vm.sock tcp:127.0.0.1:4444 --agent /tmp/agent.sock
  qmp sim /tmp/vm.sock --machine q35 --blockdev null-co,node-name=d --device virtio-blk-pci,drive=d
  qmp sim /tmp/vm.sock --refuse 'stop=not today' --delay query-block=2.5
  qmp sim --as-qemu -qmp unix:/tmp/vm.sock,server=on,wait=off -S";

/// Runs the program, and returns its exit status.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    if let Some(arguments) = &arguments.as_qemu {
        return emulator::main(emulator::NAME, arguments);
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("qmp sim: {}", inline(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let simulator = simulator(arguments)?;
    // Before any thread is spawned.
    let signals = Signals::hold().map_err(|error| error.to_string())?;
    let mut monitors = Vec::new();
    for endpoint in &arguments.address {
        monitors.push(Monitor::open(endpoint)?);
    }
    let agent = arguments.agent.as_ref().map(serve_agent).transpose()?;
    for address in monitors.iter().filter_map(Monitor::address) {
        notice(&format!("listening on {}", inline(&address.to_string())));
    }
    if let Some((Some(address), _)) = &agent {
        notice(&format!("the guest agent is listening on {}", inline(&address.to_string())));
    }
    let serve = || {
        let running = Running::start(simulator, monitors)?;
        running.end_on(signals, |_| {})?;
        running.wait()
    };
    serve().map_err(|error| error.to_string())
}

fn simulator(arguments: &Arguments) -> Result<Simulator, String> {
    let mut builder = Simulator::builder();
    if let Some(machine) = &arguments.machine {
        builder = builder.machine_type(machine);
    }
    if arguments.empty {
        builder = builder.empty();
    }
    if let Some(name) = &arguments.name {
        builder = builder.name(name);
    }
    if let Some(cpus) = arguments.cpus {
        builder = builder.cpus(cpus);
    }
    if let Some(memory) = arguments.memory {
        builder = builder.memory(memory << 20);
    }
    for (path, size) in &arguments.file {
        let format = if path.ends_with(".qcow2") { "qcow2" } else { "raw" };
        builder = builder.file(path, format, size << 20);
    }
    for (option, values) in [
        ("chardev", &arguments.chardev),
        ("object", &arguments.object),
        ("netdev", &arguments.netdev),
        ("blockdev", &arguments.blockdev),
        ("device", &arguments.device),
    ] {
        for value in values {
            builder = builder.option(option, value);
            if let Some(error) = builder.error() {
                return Err(format!("--{option} {value}: {}", error.desc));
            }
        }
    }
    for (command, error) in &arguments.refuse {
        builder = builder.refuse_named(command, QmpError::generic(error.clone()));
    }
    for (command, time) in &arguments.delay {
        builder = builder.delay_named(command, *time);
    }
    builder.paused(arguments.paused).try_build().map_err(|error| error.desc)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn delay(text: &str) -> Result<(String, Duration), String> {
    let (name, value) = pair(text)?;
    Ok((name, seconds(&value)?))
}

fn file(text: &str) -> Result<(String, u64), String> {
    let (path, size) = text.rsplit_once('=').ok_or("expected PATH=MIB")?;
    let size = size.parse().ok().filter(|size| *size <= 1 << 40);
    Ok((path.to_owned(), size.ok_or("not a number of MiB")?))
}
