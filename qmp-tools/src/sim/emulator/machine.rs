//! The machine that the options describe.

use qmp_client::QmpError;
use qmp_server::{Simulator, SimulatorBuilder};
use serde_json::{Value, json};

use super::options::{Given, Options};
use super::{Refusal, monitors};
use crate::sim::address::split;

const ACCELERATORS: [&str; 8] = ["hvf", "kvm", "mshv", "nitro", "nvmm", "qtest", "tcg", "whpx"];

const DISPLAYS: [&str; 8] =
    ["curses", "dbus", "default", "egl-headless", "gtk", "none", "sdl", "spice-app"];

/// Builds the machine.
pub(crate) fn build(options: &Options) -> Result<Simulator, Refusal> {
    check(options)?;
    let mut builder = Simulator::builder().unnamed().cpus(1).memory(128 << 20);
    builder = machine_type(builder, options)?;
    builder = sizes(builder, options)?;
    if let Some(given) = options.last("name") {
        let (first, pairs) = split(&given.value);
        let (key, value) = first.split_once('=').unwrap_or(("guest", first));
        for (key, value) in [(key, value)].into_iter().chain(pairs) {
            builder = match key {
                "guest" => builder.name(value),
                "debug-threads" | "process" => builder,
                _ => return Err(Refusal::of(given, format!("Invalid parameter '{key}'"))),
            };
        }
    }
    if let Some(given) = options.last("uuid") {
        builder = step(given, builder.uuid(&given.value))?;
    }
    for name in ["chardev", "object", "netdev", "blockdev"] {
        for given in options.all(&[name]).filter(|given| !monitors::uses(options, given)) {
            builder = step(given, builder.option(name, &given.value))?;
        }
    }
    for given in options.all(&["drive", "hda", "hdb", "hdc", "hdd", "cdrom"]) {
        builder = add_drive(builder, given)?;
    }
    for given in options.all(&["device"]) {
        builder = step(given, builder.option("device", &given.value))?;
    }
    builder = match options.last("incoming").map(|given| (given, given.value.as_str())) {
        None => builder.paused(options.has("S") || options.has("preconfig")),
        Some((_, "defer")) => builder.incoming(),
        Some((given, _)) => {
            return Err(Refusal::of(given, "the simulated machine knows only -incoming defer"));
        }
    };
    let builder = builder.stays_after_shutdown(options.has("no-shutdown"));
    let simulator = builder.try_build().map_err(|error| Refusal::new(error.desc))?;
    check_cpu(&simulator, options)?;
    set_actions(&simulator, options)?;
    Ok(simulator)
}

/// Checks the options that change nothing.
fn check(options: &Options) -> Result<(), Refusal> {
    for given in options.all(&["accel"]) {
        let (name, _) = split(&given.value);
        let name = name.strip_prefix("accel=").unwrap_or(name);
        if !ACCELERATORS.contains(&name) {
            return Err(Refusal::of(given, format!("invalid accelerator {name}")));
        }
    }
    for given in options.all(&["display"]) {
        let (name, _) = split(&given.value);
        if !DISPLAYS.contains(&name) && !name.starts_with("vnc=") {
            let message = format!("Parameter 'type' does not accept value '{name}'");
            return Err(Refusal::of(given, message));
        }
    }
    for given in options.all(&["nic", "net"]) {
        if given.value != "none" {
            return Err(Refusal::of(given, "the simulated machine knows -netdev and -device only"));
        }
    }
    if let Some(given) = options.last("add-fd") {
        return Err(Refusal::of(given, "fd is not valid or already in use"));
    }
    Ok(())
}

fn machine_type(builder: SimulatorBuilder, options: &Options) -> Result<SimulatorBuilder, Refusal> {
    let mut name = "pc".to_owned();
    for given in options.all(&["M", "machine"]) {
        let (first, pairs) = split(&given.value);
        let first = first.split_once('=').unwrap_or(("type", first));
        for (key, value) in [first].into_iter().chain(pairs) {
            if key == "type" {
                value.clone_into(&mut name);
            }
        }
    }
    let builder = builder.machine_type(&name);
    match builder.error() {
        Some(error) => {
            let hint = "Use -machine help to list supported machines";
            Err(Refusal::new(error.desc.clone()).hint(hint))
        }
        None => Ok(builder.empty()),
    }
}

/// Sets the CPUs and the memory.
fn sizes(mut builder: SimulatorBuilder, options: &Options) -> Result<SimulatorBuilder, Refusal> {
    if let Some(given) = options.last("smp") {
        let (first, pairs) = split(&given.value);
        let first = first.split_once('=').unwrap_or(("cpus", first));
        let (mut cpus, mut most, mut product) = (None, None, 1_u32);
        for (key, value) in [first].into_iter().chain(pairs) {
            let Ok(number) = value.parse::<u32>() else {
                return Err(Refusal::new(format!("Parameter 'smp.{key}' expects integer")));
            };
            if number == 0 {
                return Err(Refusal::new(
                    "Invalid CPU topology: CPU topology parameters must be greater than zero",
                ));
            }
            match key {
                "cpus" => cpus = Some(number),
                "maxcpus" => most = Some(number),
                "drawers" | "books" | "sockets" | "dies" | "clusters" | "modules" | "cores"
                | "threads" => product = product.saturating_mul(number),
                _ => return Err(Refusal::new(format!("Parameter 'smp.{key}' is unexpected"))),
            }
        }
        let cpus = cpus.or(most).unwrap_or(product);
        let most = most.unwrap_or(cpus).max(cpus);
        if most > 255 {
            let machine = options.all(&["M", "machine"]).last().map_or("pc", |given| &given.value);
            let (machine, _) = split(machine);
            return Err(Refusal::new(format!(
                "Invalid SMP CPUs {most}. The max CPUs supported by machine '{machine}' is 255"
            )));
        }
        builder = builder.cpus(cpus).max_cpus(most);
    }
    let Some(given) = options.last("m") else { return Ok(builder) };
    let (first, pairs) = split(&given.value);
    let first = first.split_once('=').unwrap_or(("size", first));
    let (mut slots, mut most, mut memory) = (0, 0, 128 << 20);
    for (key, value) in [first].into_iter().chain(pairs) {
        match key {
            "size" => memory = size(given, key, value, 20)?,
            "maxmem" => most = size(given, key, value, 20)?,
            "slots" => slots = size(given, key, value, 0)?,
            _ => return Err(Refusal::of(given, format!("Invalid parameter '{key}'"))),
        }
    }
    builder = builder.memory(memory);
    Ok(if slots > 0 { builder.memory_slots(slots, most.max(memory)) } else { builder })
}

/// Reads a size, which has a suffix or is in units of two to the power of `shift`.
fn size(given: &Given, name: &str, text: &str, shift: u32) -> Result<u64, Refusal> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => Some(shift),
        "B" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        "P" => Some(50),
        "E" => Some(60),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    number.zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift)).ok_or_else(|| {
        let message = format!("Parameter '{name}' expects a non-negative number below 2^64");
        Refusal::of(given, message).hint(
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n\
             and exabytes, respectively.",
        )
    })
}

/// Adds a drive. Options such as `-hda` are short forms of `-drive`.
fn add_drive(builder: SimulatorBuilder, given: &Given) -> Result<SimulatorBuilder, Refusal> {
    let index = ["hda", "hdb", "hdc", "hdd"].iter().position(|name| *name == given.name);
    let place = match (given.name.as_str(), index) {
        ("drive", _) => None,
        (_, Some(index)) => Some(format!("index={index},media=disk")),
        (_, None) => Some("index=2,media=cdrom".to_owned()),
    };
    let argument = match place {
        Some(place) => format!("file={},{place}", given.value.replace(',', ",,")),
        None => given.value.clone(),
    };
    step(given, builder.option("drive", &argument)).map_err(|refusal| {
        // The board creates these devices when the options have been read.
        let is_of_board = ["Block node is read-only", "Device needs media, but drive is empty"]
            .contains(&refusal.message.as_str());
        let is_virtio = argument.split(',').any(|option| option == "if=virtio");
        if is_of_board && !is_virtio { Refusal::new(refusal.message) } else { refusal }
    })
}

/// Checks the model of the CPUs against those that the machine lists.
fn check_cpu(simulator: &Simulator, options: &Options) -> Result<(), Refusal> {
    let Some(given) = options.last("cpu") else { return Ok(()) };
    let (name, _) = split(&given.value);
    let known = execute(simulator, &json!({"execute": "query-cpu-definitions"}))?;
    let is_known = |known: &Value| {
        let names = known.as_array().into_iter().flatten();
        names.into_iter().any(|known| known["name"] == name)
    };
    if is_known(&known) || matches!(name, "host" | "max") {
        return Ok(());
    }
    Err(Refusal::new(format!("unable to find CPU model '{name}'")))
}

fn set_actions(simulator: &Simulator, options: &Options) -> Result<(), Refusal> {
    if options.has("no-reboot") {
        let arguments = json!({"reboot": "shutdown"});
        execute(simulator, &json!({"execute": "set-action", "arguments": arguments}))?;
    }
    for given in options.all(&["action"]) {
        let (first, mut pairs) = split(&given.value);
        pairs.extend(first.split_once('='));
        let arguments: serde_json::Map<String, Value> =
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        execute(simulator, &json!({"execute": "set-action", "arguments": arguments})).map_err(
            |error| {
                let name = error.message.strip_suffix(" is unexpected");
                let name = name.and_then(|text| text.strip_prefix("Parameter "));
                let message = name.map(|name| format!("Invalid parameter {name}"));
                Refusal::of(given, message.unwrap_or(error.message))
            },
        )?;
    }
    Ok(())
}

/// Executes a command before any client does.
fn execute(simulator: &Simulator, command: &Value) -> Result<Value, Refusal> {
    let connection = simulator.connection();
    connection.receive(b"{'execute': 'qmp_capabilities'}");
    drop(connection.take_output());
    connection.receive(command.to_string().as_bytes());
    let output = connection.take_output();
    let reply: Value = serde_json::from_slice(&output).unwrap_or_default();
    match reply.get("error").and_then(|error| error["desc"].as_str()) {
        Some(desc) => Err(Refusal::new(desc)),
        None => Ok(reply["return"].clone()),
    }
}

/// Returns the builder unless QEMU would have refused what an option has added.
fn step(given: &Given, builder: SimulatorBuilder) -> Result<SimulatorBuilder, Refusal> {
    match builder.error() {
        Some(QmpError { desc, .. }) => Err(Refusal::of(given, desc.clone())),
        None => Ok(builder),
    }
}
