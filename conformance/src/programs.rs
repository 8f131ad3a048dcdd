//! Finds the programs to test against. The build script includes this file, too.

use std::env;
use std::path::{Path, PathBuf};

/// Returns the QEMUs in `QMP_TEST_QEMUS`, separated by newlines or colons. If it is not set, returns
/// the one in `QMP_TEST_QEMU`, or else `qemu-system-x86_64` from the search path.
pub fn qemus() -> Vec<PathBuf> {
    let named = |variable| env::var(variable).ok().filter(|value| !value.trim().is_empty());
    let names = named("QMP_TEST_QEMUS")
        .or_else(|| named("QMP_TEST_QEMU"))
        .unwrap_or_else(|| String::from("qemu-system-x86_64"));
    let names = names.split(['\n', ':']).map(str::trim).filter(|name| !name.is_empty());
    names.filter_map(find).collect()
}

/// The architectures that the tests cover, besides x86_64 of [`qemus`].
pub const TARGETS: [&str; 4] = ["aarch64", "ppc64", "riscv64", "s390x"];

/// Returns the QEMUs for other architectures, from the directories of the QEMUs.
pub fn targets() -> Vec<PathBuf> {
    TARGETS.iter().flat_map(|name| beside_qemus(&format!("qemu-system-{name}"))).collect()
}

/// Returns another program from the directories of the QEMUs, or else from the search path.
pub fn beside_qemus(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for qemu in qemus() {
        let beside = qemu.with_file_name(name);
        if beside.is_file() && !found.contains(&beside) {
            found.push(beside);
        }
    }
    if found.is_empty() {
        found.extend(find(name));
    }
    found
}

/// Finds a program by its path, or by its name on the search path.
fn find(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.components().count() > 1 {
        return path.is_file().then(|| path.to_owned());
    }
    let search = env::var_os("PATH")?;
    env::split_paths(&search).map(|directory| directory.join(name)).find(|path| path.is_file())
}
