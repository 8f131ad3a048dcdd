//! Tells the tests whether there is a QEMU to run them against.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(qemu, qemu_ga, qemu_img)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU_GA");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU_IMG");
    println!("cargo::rerun-if-changed=build.rs");
    if find("QMP_TEST_QEMU", "qemu-system-x86_64").is_some() {
        println!("cargo::rustc-cfg=qemu");
        // What images are made and looked at with: no use without the other.
        if find("QMP_TEST_QEMU_IMG", "qemu-img").is_some() {
            println!("cargo::rustc-cfg=qemu_img");
        }
    }
    if find("QMP_TEST_QEMU_GA", "qemu-ga").is_some() {
        println!("cargo::rustc-cfg=qemu_ga");
    }
}

/// The program that the variable names, or else this one.
fn find(variable: &str, program: &str) -> Option<PathBuf> {
    let name = env::var(variable).unwrap_or_else(|_| program.to_owned());
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
