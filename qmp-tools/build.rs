//! Embeds the type names and the documentation of the toolkit's schema in the programs, which may run
//! where the schema files are missing, and tells the tests whether a QEMU is available.

#[path = "src/reference/describe.rs"]
#[allow(unreachable_pub)]
mod describe;
#[path = "src/reference/model.rs"]
#[allow(unreachable_pub)]
mod model;
#[path = "src/reference/plain.rs"]
#[allow(unreachable_pub)]
mod plain;
#[path = "src/reference/sizes.rs"]
#[allow(unreachable_pub)]
mod sizes;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use qmp_codegen::Root;
use qmp_codegen::introspection::Names;
use qmp_codegen::schema::Schema;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/reference");
    let monitor = load(&[qmp_schema::SPEC, qmp_schema::EVENTS])?;
    let agent = load(&[qmp_schema::QGA])?;
    write("names.json", &Names::from_schema(&monitor).to_json().to_string())?;
    let definitions = describe::describe(&monitor);
    write("sizes.txt", &sizes::table(&definitions))?;
    write("qmp.jsonl", &lines(&definitions)?)?;
    write("qga.jsonl", &lines(&describe::describe(&agent))?)?;
    write("monitor.json", &qmp_codegen::text::write(&monitor))?;
    write("agent.json", &qmp_codegen::text::write(&agent))?;
    let domains = serde_json::json!([domains_of(&monitor), domains_of(&agent)]);
    write("domains.json", &domains.to_string())?;
    find_qemu();
    Ok(())
}

fn load(roots: &[&str]) -> Result<Schema, Box<dyn Error>> {
    let loaded = qmp_codegen::load(roots.iter().map(|root| Root::File((*root).into())))?;
    for file in loaded.sources.files() {
        println!("cargo::rerun-if-changed={}", file.path.display());
    }
    Ok(loaded.schema)
}

fn write(file: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    Ok(std::fs::write(directory.join(file), text)?)
}

/// Returns definitions as JSON, one on each line.
fn lines(definitions: &[model::Definition]) -> Result<String, serde_json::Error> {
    definitions.iter().map(|one| serde_json::to_string(one).map(|line| line + "\n")).collect()
}

/// Returns the files of a schema and what is in each, for `schema/site/builtin.rs`.
fn domains_of(schema: &Schema) -> serde_json::Value {
    let commands = schema.commands.iter().map(|command| &command.definition);
    let events = schema.events.iter().map(|event| &event.definition);
    let types = schema.types.iter().map(|ty| &ty.definition);
    let all: Vec<_> = commands.chain(events).chain(types).collect();
    let domains = schema.modules.iter().enumerate().map(|(at, module)| {
        let is_here = |definition: &&&qmp_codegen::schema::Definition| {
            definition.module.is_some_and(|module| module.0 as usize == at)
        };
        let names: Vec<_> = all.iter().filter(is_here).map(|one| &one.name).collect();
        // The directory is the kind, and that of most is the monitor's.
        let path = Path::new(&module.path);
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned()
        };
        let (directory, file) = (name(path.parent()), name(Some(path)));
        let page = if directory == "qmp" { file.clone() } else { format!("{directory}-{file}") };
        serde_json::json!({
            "path": file, "page": page, "introduction": module.introduction, "definitions": names,
        })
    });
    domains.collect()
}

/// Sets `cfg(qemu)` under the same conditions as the client's build script.
fn find_qemu() {
    println!("cargo::rustc-check-cfg=cfg(qemu)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU");
    if qemu().is_some() {
        println!("cargo::rustc-cfg=qemu");
    }
}

fn qemu() -> Option<PathBuf> {
    let name = env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).collect::<Vec<_>>();
    // A name that contains a slash is a path, and is not looked up in the directories of PATH.
    let is_path = Path::new(&name).parent().is_some_and(|parent| parent != Path::new(""));
    let candidates = if is_path {
        vec![PathBuf::from(&name)]
    } else {
        directories.iter().map(|directory| directory.join(&name)).collect()
    };
    candidates.into_iter().find(|candidate| candidate.is_file())
}
