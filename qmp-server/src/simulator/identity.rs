//! The QEMU version, the machine type and the CPU model that the simulator reports.

use qmp_types::{Version, VersionTriple};

pub(super) const QEMU: VersionTriple = VersionTriple::new(11, 1, 0);

pub(super) const MACHINE_TYPE: &str = "pc-i440fx-11.1";

pub(super) const CPU_TYPE: &str = "qemu64-x86_64-cpu";

pub(super) fn version() -> Version {
    Version::new(QEMU, "simulated machine")
}
