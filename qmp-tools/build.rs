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
    write_names()?;
    write_reference(&[qmp_schema::SPEC, qmp_schema::EVENTS], "qmp.jsonl")?;
    write_reference(&[qmp_schema::QGA], "qga.jsonl")?;
    write_schemas()?;
    find_qemu();
    Ok(())
}

/// Writes the documentation of a schema, a definition on each line.
fn write_reference(roots: &[&str], file: &str) -> Result<(), Box<dyn Error>> {
    let loaded = qmp_codegen::load(roots.iter().map(|root| Root::File((*root).into())))?;
    for file in loaded.sources.files() {
        println!("cargo::rerun-if-changed={}", file.path.display());
    }
    let definitions = describe::describe(&loaded.schema);
    let mut text = String::new();
    for definition in &definitions {
        text.push_str(&serde_json::to_string(definition)?);
        text.push('\n');
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(directory.join(file), text)?;
    if file == "qmp.jsonl" {
        std::fs::write(directory.join("sizes.txt"), sizes::table(&definitions))?;
    }
    Ok(())
}

/// Writes the table of names that `schema/names.rs` includes: introspection masks type names.
fn write_names() -> Result<(), Box<dyn Error>> {
    let roots = [qmp_schema::SPEC, qmp_schema::EVENTS];
    let loaded = qmp_codegen::load(roots.map(|root| Root::File(root.into())))?;
    for file in loaded.sources.files() {
        println!("cargo::rerun-if-changed={}", file.path.display());
    }
    let names = serde_json::to_string(&Names::from_schema(&loaded.schema).to_json())?;
    let directory = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(directory.join("names.json"), names)?;
    Ok(())
}

/// Writes the texts of the schemas, and what is in each of their files, for `schema/site/builtin.rs`.
fn write_schemas() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let roots: [(&str, &[&str]); 2] =
        [("monitor", &[qmp_schema::SPEC, qmp_schema::EVENTS]), ("agent", &[qmp_schema::QGA])];
    let mut domains = Vec::new();
    for (name, roots) in roots {
        let roots = roots.iter().map(|root| Root::File((*root).into()));
        let loaded = qmp_codegen::load(roots)?;
        for file in loaded.sources.files() {
            println!("cargo::rerun-if-changed={}", file.path.display());
        }
        let text = qmp_codegen::text::write(&loaded.schema);
        std::fs::write(directory.join(format!("{name}.json")), text)?;
        domains.push(domains_of(&loaded.schema));
    }
    std::fs::write(directory.join("domains.json"), serde_json::to_string(&domains)?)?;
    Ok(())
}

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
