//! Virtual machines of other architectures.

use super::machines::{Machine, machine, none};
use conformance::Scratch;

/// The commands start the guest, and firmware of s390x panics without a disk to boot from.
const ON_PANIC: &str = "panic=pause,shutdown=pause";

/// Returns the machines to test for an architecture: none, the one for virtualization, and another.
pub(crate) fn all(architecture: &str, scratch: &Scratch) -> Vec<Machine> {
    let more = match architecture {
        "aarch64" => [
            virtio("virt", "virt,accel=tcg", "pci", scratch),
            plain("raspi3b", "raspi3b,accel=tcg"),
        ],
        "riscv64" => [
            virtio("virt", "virt,accel=tcg", "pci", scratch),
            plain("sifive_u", "sifive_u,accel=tcg"),
        ],
        "ppc64" => [
            virtio("pseries", "pseries,accel=tcg", "pci", scratch),
            plain("powernv9", "powernv9,accel=tcg"),
        ],
        "s390x" => [
            virtio("s390-ccw-virtio", "s390-ccw-virtio,accel=tcg", "ccw", scratch),
            plain("s390-ccw-virtio-7.2", "s390-ccw-virtio-7.2,accel=tcg"),
        ],
        _ => return vec![none()],
    };
    [none()].into_iter().chain(more).collect()
}

/// Returns a machine with devices on a bus of virtio, so that replies are not empty.
fn virtio(name: &'static str, option: &str, bus: &str, scratch: &Scratch) -> Machine {
    let disk = scratch.image(&format!("{name}-disk"), 8 << 20);
    // Only devices on PCI have ROMs.
    let rom = if bus == "pci" { ",romfile=" } else { "" };
    let device = |kind: &str, rest: &str| ("-device", format!("virtio-{kind}-{bus}{rest}"));
    machine(
        name,
        [
            ("-M", option.to_owned()),
            ("-action", ON_PANIC.to_owned()),
            ("-m", String::from("256M,slots=4,maxmem=1G")),
            ("-smp", String::from("2")),
            ("-object", String::from("iothread,id=io0")),
            ("-object", String::from("secret,id=secret0,data=letmein1")),
            ("-object", String::from("rng-builtin,id=rng0")),
            ("-blockdev", format!("driver=file,filename={disk},node-name=file0")),
            ("-blockdev", String::from("driver=raw,file=file0,node-name=disk0")),
            ("-netdev", String::from("hubport,id=hub0,hubid=0")),
            ("-chardev", String::from("null,id=null")),
            device("blk", ",drive=disk0,id=blk0,iothread=io0"),
            device("scsi", ",id=scsi0"),
            device("net", &format!(",netdev=hub0,id=nic0{rom}")),
            device("balloon", ",id=balloon0"),
            device("rng", ",rng=rng0"),
            device("serial", ",id=vser0"),
            ("-device", String::from("virtconsole,chardev=null,id=console0")),
            device("gpu", ",id=gpu0"),
            device("tablet", ""),
            device("keyboard", ""),
        ],
    )
}

fn plain(name: &'static str, option: &str) -> Machine {
    machine(name, [("-M", option.to_owned()), ("-action", ON_PANIC.to_owned())])
}
