//! The capabilities of many QEMUs: what is kept of them, and what they answer.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmp_client::transport::Unix;
use qmp_client::{Options, blocking};
use qmp_vm::{Capabilities, Workflows};
use serde_json::{Value, json};

/// Held by each test: one of them measures the memory of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what a QEMU of a release says of itself.
fn recorded(release: &str) -> String {
    let releases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/tests/releases");
    std::fs::read_to_string(releases.join(release)).unwrap().replace('\n', " ")
}

/// Connects to a server that answers each `query-qmp-schema` with a text.
fn connect(schema: Arc<str>) -> blocking::Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || serve(&theirs, &schema));
    blocking::Client::over(Unix::from_stream(ours).unwrap(), &Options::new()).unwrap()
}

/// Serves until the client has disconnected.
fn serve(stream: &UnixStream, schema: &str) -> Option<()> {
    let mut out = stream;
    let version = json!({"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""});
    writeln!(out, "{}", json!({"QMP": {"version": version, "capabilities": []}})).ok()?;
    for line in BufReader::new(stream).lines() {
        let command: Value = serde_json::from_str(&line.ok()?).ok()?;
        let result = if command["execute"] == "query-qmp-schema" { schema } else { "{}" };
        let id = command.get("id").map(|id| format!(", \"id\": {id}")).unwrap_or_default();
        out.write_all(format!("{{\"return\": {result}{id}}}\n").as_bytes()).ok()?;
    }
    Some(())
}

/// Returns the memory of this process.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// A manager keeps what each of its machines can do. Each kept more than a megabyte, so that ten
/// thousand machines of three builds of QEMU took ten gigabytes.
///
/// `QMP_TEST_MONITORS` is the number of machines.
#[test]
fn the_capabilities_of_all_machines_of_a_build_are_kept_once() {
    let _alone = alone();
    let count = std::env::var("QMP_TEST_MONITORS").map_or(40, |count| count.parse().unwrap());
    let builds: Vec<_> = ["7.2.json", "10.0.json", "11.1.json"]
        .map(|release| connect(recorded(release).into()))
        .into();
    let ask = |at: usize| builds[at % builds.len()].capabilities().unwrap();
    // The buffers of the connections have their size after this.
    let warm: Vec<Capabilities> = (0..12).map(ask).collect();
    let before = memory_kib();
    let kept: Vec<Capabilities> = (0..count).map(ask).collect();
    let grown = memory_kib().saturating_sub(before);
    println!("capabilities of {count} machines: {grown} KiB");
    assert!(grown < 1024, "{grown} KiB for {count} machines");
    for (at, capabilities) in warm.iter().chain(&kept).enumerate() {
        let has = capabilities.has("query-status/ret-type/running");
        assert!(has, "{at}: {capabilities:?}");
    }
}

#[test]
fn what_is_asked_for_is_found_in_the_reply() {
    let _alone = alone();
    let qemu = connect(recorded("11.1.json").into()).capabilities().unwrap();
    let typed: Vec<_> = qmp_types::decode(&recorded("11.1.json")).unwrap();
    // From values, and from the reply.
    for qemu in [qemu, Capabilities::new(typed)] {
        for path in [
            "query-status",
            "query-status/ret-type/status/running",
            "SHUTDOWN/reason/guest-reset",
            "blockdev-add/arg-type/driver/qcow2",
            "blockdev-add/arg-type/qcow2/data-file",
            "blockdev-add/qcow2/backing/qcow2/data-file",
            "device_add/$json-cli",
            "query-cpus-fast/ret-type/cpu-index",
        ] {
            assert!(qemu.has(path), "{path}");
        }
        for path in
            ["", "0", "1", "query-statu", "query-status/x", "blockdev-add/driver/qcow3", "STOP/$x"]
        {
            assert!(!qemu.has(path), "{path}");
        }
    }
}

/// A peer that describes a type by itself ended the process: a path was followed by recursion.
#[test]
fn types_that_lead_to_themselves_are_followed_once() {
    let _alone = alone();
    let mut schema = String::from(
        r#"[{"name": "a", "meta-type": "command", "arg-type": "0", "ret-type": "list"},
            {"name": "list", "meta-type": "array", "element-type": "list"},
            {"name": "either", "meta-type": "alternate",
             "members": [{"type": "either"}, {"type": "0"}]},
            {"name": "0", "meta-type": "object", "members": [{"name": "m", "type": "either"}],
             "tag": "m", "variants": [{"case": "c", "type": "0"}, {"case": "d", "type": "chain0"}]}"#,
    );
    // Deeper than a stack.
    for at in 0..50_000 {
        let next = at + 1;
        write!(
            schema,
            r#", {{"name": "chain{at}", "meta-type": "array", "element-type": "chain{next}"}}"#
        )
        .unwrap();
    }
    schema.push_str(
        r#", {"name": "chain50000", "meta-type": "enum", "values": [], "members": [{"name": "end"}]}]"#,
    );
    let qemu = connect(schema.into()).capabilities().unwrap();
    for path in ["a/x", "a/ret-type/x", "a/m/m/m/x", "a/c/c/c/c/x"] {
        assert!(!qemu.has(path), "{path}");
    }
    for path in ["a/m/m/m", "a/c/c/c", "a/end", "a/c/d/end"] {
        assert!(qemu.has(path), "{path}");
    }
}

#[test]
fn a_reply_of_another_form_is_an_error() {
    let _alone = alone();
    for (schema, message) in [
        ("{}", "expected an array"),
        ("[{\"meta-type\": \"array\"}]", "missing member `name`"),
        ("[{\"name\": null}]", "expected a string for the member `name`"),
    ] {
        let error = connect(schema.into()).capabilities().unwrap_err();
        let chain = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(chain.contains(message), "{chain}");
    }
}
