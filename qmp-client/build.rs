//! Tells the tests whether there is a QEMU to run them against.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(qemu)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU");
    println!("cargo::rerun-if-changed=build.rs");
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
