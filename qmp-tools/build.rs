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

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/reference");
    write_names()?;
    write_reference(&[qmp_schema::SPEC, qmp_schema::EVENTS], "qmp.jsonl")?;
    write_reference(&[qmp_schema::QGA], "qga.jsonl")?;
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
