//! Tells the tests which of QEMU's programs are installed.

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
        // Images are created and inspected with this program; without QEMU, it is not needed.
        if find("QMP_TEST_QEMU_IMG", "qemu-img").is_some() {
            println!("cargo::rustc-cfg=qemu_img");
        }
    }
    if find("QMP_TEST_QEMU_GA", "qemu-ga").is_some() {
        println!("cargo::rustc-cfg=qemu_ga");
    }
}

/// Finds the program that the variable names, or else this one.
fn find(variable: &str, program: &str) -> Option<PathBuf> {
    let name = env::var(variable).unwrap_or_else(|_| program.to_owned());
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).collect::<Vec<_>>();
    // A name with a slash is a path, and is not looked for in the directories.
    let is_path = Path::new(&name).parent().is_some_and(|parent| parent != Path::new(""));
    let candidates = if is_path {
        vec![PathBuf::from(&name)]
    } else {
        directories.iter().map(|directory| directory.join(&name)).collect()
    };
    candidates.into_iter().find(|candidate| candidate.is_file())
}
