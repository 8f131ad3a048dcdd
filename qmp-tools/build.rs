//! Takes the names of the toolkit's own types along, for programs that run where its schema is
//! not, and tells the tests whether there is a QEMU to run them against.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use qmp_codegen::Root;
use qmp_codegen::introspection::Names;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    write_names()?;
    look_for_qemu();
    Ok(())
}

/// Introspection shows the types of a schema without their names: see `schema/names.rs`.
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

/// The same as the client's tests do.
fn look_for_qemu() {
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
    // A name with a slash in it is joined to no directory.
    let beside = Path::new(&name).parent().is_some_and(|parent| parent != Path::new(""));
    let candidates = if beside {
        vec![PathBuf::from(&name)]
    } else {
        directories.iter().map(|directory| directory.join(&name)).collect()
    };
    candidates.into_iter().find(|candidate| candidate.is_file())
}
