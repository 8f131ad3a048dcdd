//! Executes commands and receives events that the schema does not know: those of a patched QEMU, of
//! a newer one, or of a different server.
//!
//! A raw command has a name, and arguments that serialize to a JSON object; its reply is decoded as
//! a type of your own, or as any JSON. A raw event has a name and its data as text. Everything else
//! works as with typed commands: deadlines, descriptors, waiting for a command and its event
//! together.
//!
//! Some functions of QEMU only exist as commands of its human monitor (HMP). `human_monitor` returns
//! what such a command prints; the text is for people, and changes between releases. A failure is a
//! text, too.
//!
//! If this program is killed, this may be left:
//!
//! - the stopped guest, which `cont` resumes.
//!
//! ```console
//! $ cargo run --example raw -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::AnyEvent;
use qmp_client::{Raw, Result};
use qmp_vm::Workflows;
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: raw ADDRESS".into()) };
    run(address).map_err(|error| error.report())?;
    Ok(())
}

/// The members of a property that this program needs; all others are ignored.
#[derive(Debug, Deserialize)]
struct Property {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The arguments of `qom-list`.
#[derive(Serialize)]
struct Path<'a> {
    path: &'a str,
}

/// Executes raw commands, and returns the names of the events that followed.
pub fn run(address: &str) -> Result<Vec<String>> {
    let vm = Client::connect(address)?;

    // Any JSON as the reply.
    let version: Value = vm.execute(Raw::new("query-version"))?;
    println!("{}", version["qemu"]);

    // Types of your own in both directions.
    let list: Raw<Vec<Property>> = Raw::new("qom-list").arguments(&Path { path: "/machine" });
    for Property { name, kind } in vm.execute(list)? {
        println!("/machine/{name}: {kind}");
    }

    // A command that only exists in the human monitor.
    println!("{}", vm.human_monitor("info mtree")?);

    // A command, and an event by its name.
    let call = vm.call(Raw::<Value>::new("stop")).within(Duration::from_secs(10));
    let stopped = call.until_some(|event| (&*event.name == "STOP").then_some(event.timestamp));
    match stopped {
        Ok((_, timestamp)) => println!("stopped at {timestamp:?}"),
        // A VM that was stopped before does not send the event.
        Err(error) if error.is_timeout() => println!("{}", error.report()),
        Err(error) => return Err(error),
    }

    // All events. Those that the vocabulary does not know keep their name and their data.
    let mut events = vm.raw_events();
    vm.execute(Raw::<Value>::new("cont"))?;
    let mut names = Vec::new();
    while let Some(Ok(event)) = events.next_within(Duration::from_millis(200)) {
        let text = event.data.as_ref().map_or("no data", |data| data.get());
        println!("{}: {text}", event.name);
        if let AnyEvent::Unknown { .. } = event.decode_any()? {
            println!("the schema does not know this event");
        }
        names.push(event.name.to_string());
    }
    Ok(names)
}
