//! A program with a vocabulary of its own: `build.rs` selects a few commands and events of QEMU's
//! schema, and a command of `schema/owner.json`. Nothing else is compiled.
//!
//! Given the address of a server, the program talks to that server; otherwise it runs one itself.

#![deny(warnings, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{Error, Options};

use vmm::AnyEvent;
use vmm::commands::{Cont, QueryStatus, SetOwner, Stop};
use vmm::types::{Owner, RunState};

/// The vocabulary of this program.
pub mod vmm {
    qmp_types::include_vocabulary!("vmm");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = match std::env::args().nth(1) {
        Some(address) => Client::connect(&address)?,
        None => {
            let (ours, theirs) = UnixStream::pair()?;
            std::thread::spawn(move || serve(theirs));
            Client::over(Unix::from_stream(ours)?, &Options::new())?
        }
    };
    talk(client)
}

fn talk(vm: Client) -> Result<(), Box<dyn std::error::Error>> {
    // Events are kept from here on, for as long as `events` exists.
    let mut events = vm.events::<AnyEvent>();

    vm.execute(Stop::new())?;
    let status = vm.execute(QueryStatus::new())?.status;
    println!("status: {status}, paused: {}", status == RunState::Paused);
    vm.execute(Cont::new())?;

    let owner = Owner::new("Ada").mail("ada@example.org");
    match vm.execute(SetOwner::new(owner).note("on call")) {
        Ok(before) => println!("previous owners: {}", before.len()),
        // QEMU itself does not have the command.
        Err(error) => println!("cannot set the owner: {error}"),
    }

    loop {
        match events.next_within(Duration::from_millis(100)) {
            Some(Ok(occurrence)) => match occurrence.event {
                AnyEvent::Stop(_) => println!("stopped"),
                AnyEvent::Resume(_) => println!("resumed"),
                other => println!("other event: {other:?}"),
            },
            Some(Err(Error::Timeout(_))) => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
            None => return Err(vm.closed().into()),
        }
    }
}

/// Runs a server that always replies the same.
fn serve(stream: UnixStream) -> std::io::Result<()> {
    let mut output = stream.try_clone()?;
    let version = r#"{"qemu": {"major": 1, "minor": 0, "micro": 0}, "package": "own"}"#;
    writeln!(output, r#"{{"QMP": {{"version": {version}, "capabilities": []}}}}"#)?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let told = |command: &str| line.contains(&format!("\"{command}\""));
        let event = [("stop", "STOP"), ("cont", "RESUME")].into_iter().find(|(c, _)| told(c));
        if let Some((_, event)) = event {
            let time = r#"{"seconds": 1, "microseconds": 0}"#;
            writeln!(output, r#"{{"event": "{event}", "timestamp": {time}}}"#)?;
        }
        let answer = match () {
            () if told("query-status") => r#"{"running": false, "status": "paused"}"#,
            () if told("set-owner") => r#"[{"name": "Grace"}]"#,
            () => "{}",
        };
        let id = line.split_once("\"id\":").map_or("0", |(_, id)| id);
        let id = id.trim().split([',', '}']).next().unwrap_or("0");
        writeln!(output, r#"{{"return": {answer}, "id": {id}}}"#)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_talks_to_its_own_server() -> Result<(), Box<dyn std::error::Error>> {
        let (ours, theirs) = UnixStream::pair()?;
        std::thread::spawn(move || serve(theirs));
        talk(Client::over(Unix::from_stream(ours)?, &Options::new())?)
    }
}
