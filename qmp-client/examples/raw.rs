//! Commands and events that no schema knows: of a patched QEMU, of a newer one, of another server.
//!
//! A raw command takes anything that serialises to a JSON object, and its reply is read as a type
//! of your own, or as any JSON. A raw event is a name and a text. All else is as with typed ones:
//! deadlines, descriptors, waiting for an event in one with the command.
//!
//! ```console
//! $ cargo run --example raw -- unix:/run/vm.sock
//! ```

use std::error::Error;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::AnyEvent;
use qmp_client::{Raw, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address] = &arguments[..] else { return Err("usage: raw ADDRESS".into()) };
    run(address).map_err(|error| error.report())?;
    Ok(())
}

/// Only what this program is interested in; other members are passed over.
#[derive(Debug, Deserialize)]
struct Property {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct Path<'a> {
    path: &'a str,
}

/// Says things that no schema knows, and gives the names of the events that came of it.
pub fn run(address: &str) -> Result<Vec<String>> {
    let mut vm = Client::connect(address)?;

    // Any JSON in, any JSON out.
    let version: Value = vm.execute_raw("query-version", None::<&Value>)?;
    println!("{}", version["qemu"]);

    // Types of your own in both directions.
    let list: Raw<Vec<Property>> = Raw::new("qom-list").arguments(&Path { path: "/machine" });
    let properties = vm.execute(list)?;
    for Property { name, kind } in &properties {
        println!("/machine/{name}: {kind}");
    }

    // A command, and an event by its name.
    let command = Raw::<Value>::new("stop");
    let call = vm.call(command).within(Duration::from_secs(10));
    let outcome = call.until_some(|event| (&*event.name == "STOP").then_some(event.timestamp));
    match outcome {
        Ok((_, timestamp)) => println!("stopped at {timestamp:?}"),
        // It was stopped before: there is no event.
        Err(error) if error.is_timeout() => println!("{}", error.report()),
        Err(error) => return Err(error),
    }
    vm.execute::<Raw>(Raw::new("cont"))?;

    // Events as they come: those that the vocabulary does not know are kept whole.
    let mut names = Vec::new();
    while let Ok(event) = vm.next_raw_event(Duration::from_millis(200)) {
        let text = event.data.as_ref().map_or("no data", |data| data.get());
        println!("{}: {text}", event.name);
        if let AnyEvent::Unknown { .. } = event.decode_any()? {
            println!("no schema knows this one");
        }
        names.push(event.name.to_string());
    }
    Ok(names)
}
