//! Adds a release to those by which the dates of the schema are proved, and prints what it tells:
//! `add_release VERSION ADDRESS`. `schema/tests/releases/add` runs it.

#![allow(clippy::unwrap_used, dead_code)] // shares the code of a test

#[path = "../../schema/tests/dates/observed.rs"]
mod observed;
#[path = "../../schema/tests/dates/releases.rs"]
mod releases;
#[path = "../../schema/tests/dates/report.rs"]
mod report;
#[path = "../../schema/tests/dates/verdict.rs"]
mod verdict;
#[path = "../../schema/tests/dates/version.rs"]
mod version;
#[path = "../../schema/tests/dates/written.rs"]
mod written;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_codegen::Root;
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_vm::Launch;
use serde_json::value::RawValue;
use version::Version;

const USAGE: &str = "usage: schema/tests/releases/add VERSION ADDRESS

VERSION is the release, such as 10.0. ADDRESS is one of
  the QMP socket of a running QEMU, such as /run/vm.sock or tcp:localhost:4444
  a QEMU to start, such as /usr/bin/qemu-system-x86_64
  the root of the release's schema, such as qapi/qapi-schema.json";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [version, address] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match add(version, address) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("failed to add QEMU {version}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn add(name: &str, address: &str) -> Result<String, Box<dyn Error>> {
    let version = Version::parse(name).ok_or("the version is not of the form MAJOR.MINOR")?;
    let complete = address.ends_with(".json");
    let lines = if complete {
        of_schema(address)?
    } else if is_program(Path::new(address)) {
        let bare = ["-M", "none", "-display", "none", "-nodefaults", "-S"];
        let vm = Launch::new(address).args(bare).start::<Client>().map_err(|e| e.report())?;
        of_qemu(vm.client(), version)?
    } else {
        let client = Client::connect(address).map_err(|e| e.report())?;
        of_qemu(&client, version)?
    };
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    // Nothing is written that the tests could not read.
    import(&text, &Names::none())?;
    let suffix = if complete { "-schema" } else { "" };
    std::fs::write(releases::directory().join(format!("{version}{suffix}.json")), text)?;

    let roots = [qmp_schema::SPEC, qmp_schema::EVENTS].map(|root| Root::File(root.into()));
    let schema = qmp_codegen::load(roots)?.schema;
    let statements = written::statements(&schema);
    let ours = observed::Ours::new(schema);
    let all = releases::all();
    let added = all.iter().position(|one| one.version == version && one.complete == complete);
    Ok(report::report(&ours, &statements, &all, added.ok_or("the file was not written")?))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Returns the entries of a QEMU's reply as it wrote them.
fn of_qemu(client: &Client, version: Version) -> Result<Vec<String>, Box<dyn Error>> {
    let qemu = &client.version().qemu;
    let actual = format!("{}.{}", qemu.major, qemu.minor);
    if Version::parse(&actual) != Some(version) {
        return Err(format!("this is QEMU {actual}").into());
    }
    let reply = client.execute(Raw::<Vec<Box<RawValue>>>::new("query-qmp-schema"));
    let entries = reply.map_err(|error| error.report())?;
    Ok(entries.iter().map(|entry| entry.get().to_owned()).collect())
}

/// Shows the schema as a QEMU would that has everything in it.
fn of_schema(root: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let schema = qmp_codegen::load([Root::File(root.into())])?.schema;
    let shown = export(&schema, Naming::Unmasked, &|_| true);
    Ok(shown.as_array().into_iter().flatten().map(ToString::to_string).collect())
}
