//! Tells the tests which of QEMU's programs are installed.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(qemu, qemu_ga, qemu_img)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU_GA");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMU_IMG");
    println!("cargo::rerun-if-env-changed=QMP_TEST_QEMUS");
    println!("cargo::rerun-if-changed=build.rs");
    if find("QMP_TEST_QEMU", "qemu-system-x86_64").is_some() {
        println!("cargo::rustc-cfg=qemu");
        // Images are created and inspected with this program; without QEMU, it is not needed.
        if find("QMP_TEST_QEMU_IMG", "qemu-img").is_some() {
            println!("cargo::rustc-cfg=qemu_img");
        }
    }
    if let Some(agent) = find("QMP_TEST_QEMU_GA", "qemu-ga").or_else(beside_qemus) {
        println!("cargo::rustc-cfg=qemu_ga");
        println!("cargo::rerun-if-changed={}", agent.display());
        println!("cargo::rustc-env=QMP_TEST_FOUND_QEMU_GA={}", agent.display());
    }
}

/// Finds a guest agent beside the QEMUs that are tested, unless another one is named.
fn beside_qemus() -> Option<PathBuf> {
    if env::var_os("QMP_TEST_QEMU_GA").is_some() {
        return None;
    }
    let qemus = env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let mut beside = qemus.split([':', '\n']).map(|qemu| Path::new(qemu).with_file_name("qemu-ga"));
    // The newest one is mostly the last, and some tests are about what old ones lack.
    beside.rfind(|agent| agent.is_absolute() && agent.is_file())
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
