#![allow(clippy::unwrap_used)] // tests

use std::sync::mpsc::{Receiver, channel};

use qmp_client::Options;
use qmp_client::transport::Unix;
use qmp_server::Simulator;

use super::*;

const LONG: Duration = Duration::from_secs(30);

/// Connects to a simulated machine; each answer is received as `()`.
fn simulated() -> (Machine, Client, Receiver<()>) {
    let stream = Unix::from_stream(Simulator::new().connect().unwrap()).unwrap();
    let client = Client::over(stream, &Options::new()).unwrap();
    let (answered, answers) = channel();
    let wake = move || {
        let _ = answered.send(());
    };
    let machine = Machine::new(&client, Peer::Monitor, wake);
    answers.recv_timeout(LONG).unwrap();
    assert!(machine.is_ready());
    (machine, client, answers)
}

fn names(machine: &Machine, kind: Kind<'_>) -> Vec<String> {
    machine.candidates(kind).into_iter().map(|candidate| candidate.insert).collect()
}

#[test]
fn what_is_not_known_is_asked_for_in_the_background() {
    let (machine, _client, answers) = simulated();
    assert_eq!(names(&machine, Kind::Job), [""; 0]);
    assert!(machine.take_pending());
    answers.recv_timeout(LONG).unwrap();
    names(&machine, Kind::Job);
    assert!(!machine.take_pending());
    machine.changed();
    names(&machine, Kind::Job);
    assert!(machine.take_pending());
}

#[test]
fn types_are_waited_for_where_a_command_is_executed() {
    let (machine, _client, _answers) = simulated();
    let patient = machine.patient(LONG);
    let properties = patient.properties(Owner::Device("virtio-blk-pci"));
    let named = |properties: Arc<[ObjectPropertyInfo]>| {
        properties.iter().any(|property| property.name == "drive")
    };
    assert!(properties.is_some_and(named));
    assert!(patient.properties(Owner::Device("no-such-device")).is_none());
}

/// A machine that does not answer blocks neither keys nor commands for long.
#[test]
fn a_silent_machine_blocks_nobody() {
    use std::io::Write;
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let answering = std::thread::spawn(move || {
        let mut there = there;
        let version = r#"{"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}"#;
        writeln!(there, r#"{{"QMP": {{"version": {version}, "capabilities": []}}}}"#).unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(there.try_clone().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        let id: serde_json::Value = serde_json::from_str(&line).unwrap();
        writeln!(there, r#"{{"return": {{}}, "id": {}}}"#, id["id"]).unwrap();
        // Silent from here on, but connected.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let client = Client::over(Unix::from_stream(here).unwrap(), &Options::new()).unwrap();
    let machine = Machine::new(&client, Peer::Monitor, || ());
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(machine.candidates(Kind::BlockNode).is_empty());
        assert!(machine.properties(Owner::Device("e1000")).is_none());
    }
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    let patient = machine.patient(Duration::from_millis(50));
    assert!(patient.properties(Owner::Device("e1000")).is_none());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    client.close();
    answering.join().unwrap();
}
