//! Records the sessions that faults are injected into.

use std::fs::File;
use std::io;

use qmp_client::blocking::Client;
use qmp_client::recording::Recorder;
use qmp_client::{Dialect, Options, Raw};

/// The commands that are executed on a monitor, a storage daemon and a guest agent.
const PROGRAMS: [(&str, &[(&str, &str)]); 3] = [
    (
        "monitor",
        &[
            ("query-status", "{}"),
            ("query-name", "{}"),
            ("device_del", r#"{"id": "absent"}"#),
            ("cont", "{}"),
            ("stop", "{}"),
            ("qom-get", r#"{"path": "/machine", "property": "type"}"#),
            ("object-add", r#"{"qom-type": "iothread", "id": "worker"}"#),
            ("object-del", r#"{"id": "worker"}"#),
            ("query-kvm", "{}"),
            ("query-version", "{}"),
        ],
    ),
    (
        "storage-daemon",
        &[
            ("blockdev-add", r#"{"driver": "null-co", "node-name": "disk", "size": 1048576}"#),
            ("blockdev-add", r#"{"driver": "null-co", "node-name": "copy", "size": 1048576}"#),
            (
                "blockdev-mirror",
                r#"{"job-id": "mirror", "device": "disk", "target": "copy", "sync": "full"}"#,
            ),
            ("query-jobs", "{}"),
            ("job-cancel", r#"{"id": "mirror"}"#),
            ("blockdev-del", r#"{"node-name": "absent"}"#),
            ("query-block-exports", "{}"),
        ],
    ),
    (
        "agent",
        &[
            ("guest-ping", "{}"),
            ("guest-get-timezone", "{}"),
            ("guest-fsfreeze-status", "{}"),
            ("guest-get-host-name", "{}"),
            ("guest-file-close", r#"{"handle": 77}"#),
            ("guest-get-load", "{}"),
            ("guest-get-users", "{}"),
        ],
    ),
];

/// Executes one of the programs, and records it.
///
/// # Errors
/// The program does not exist, the server cannot be reached, or the file cannot be written.
pub fn record(program: &str, address: &str, file: File) -> io::Result<()> {
    let commands = PROGRAMS.iter().find(|(name, _)| *name == program);
    let (_, commands) = commands.ok_or(io::ErrorKind::NotFound)?;
    let recorder = Recorder::new(file, program);
    let options = Options::new().record(&recorder);
    let options = match program {
        "agent" => options.dialect(Dialect::Agent),
        _ => options,
    };
    let client = Client::connect_with(address, &options).map_err(io::Error::other)?;
    for (name, arguments) in *commands {
        let arguments: serde_json::Value = serde_json::from_str(arguments)?;
        // Refusals are recorded, too.
        let _ = client.execute(Raw::<serde_json::Value>::new(*name).arguments(&arguments));
    }
    // Events that follow.
    let _ = client.raw_events().next_within(std::time::Duration::from_millis(300));
    drop(client);
    recorder.finish()
}
