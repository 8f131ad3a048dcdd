//! Virtual machines with many different devices, so that replies are rich in content.

use std::collections::HashSet;
use std::path::Path;

use conformance::{Scratch, Session, Tally};
use qmp_client::qmp::commands::{QomListTypes, QueryMachines, QueryVersion};
use qmp_client::qmp::types::VersionInfo;
use qmp_vm::Launch;

/// A virtual machine, with options in the order in which they are passed to QEMU.
pub(crate) struct Machine {
    /// The name of the machine in the tests.
    pub(crate) title: &'static str,
    /// The machine type.
    name: &'static str,
    options: Vec<(&'static str, String)>,
}

/// The machine types and QOM types that a QEMU supports. Devices of other types are left out.
pub(crate) struct Inventory {
    pub(crate) version: VersionInfo,
    machines: HashSet<String>,
    types: HashSet<String>,
}

impl Inventory {
    /// Queries a QEMU that runs without a machine.
    pub(crate) fn of(qemu: &Path) -> Result<Self, String> {
        let mut tally = Tally::default();
        let launch = Launch::new(qemu).args(BARE).args(["-M", "none"]);
        let mut session = Session::start(launch, "inventory", &mut tally)?;
        let machines = session.ask(QueryMachines::new())?;
        let aliases = machines.iter().filter_map(|machine| machine.alias.clone());
        let names = machines.iter().map(|machine| machine.name.clone());
        let types = session.ask(QomListTypes::new())?.into_iter().map(|ty| ty.name).collect();
        let machines = aliases.chain(names).collect();
        Ok(Self { version: session.ask(QueryVersion::new())?, machines, types })
    }

    /// Returns whether the QEMU has the type of a machine.
    pub(crate) fn has(&self, machine: &Machine) -> bool {
        self.machines.contains(machine.name)
    }

    /// Starts a machine, without the devices that this QEMU does not support.
    pub(crate) fn start<'t>(
        &self,
        qemu: &Path,
        machine: &Machine,
        server: &str,
        tally: &'t mut Tally,
    ) -> Result<Session<'t>, String> {
        let device = |value: &str| {
            let name = value.split(',').next().unwrap_or_default();
            name.starts_with('{') || self.types.contains(name)
        };
        let mut launch = Launch::new(qemu).args(BARE);
        for (option, value) in &machine.options {
            if !matches!(*option, "-device" | "-object") || device(value) {
                launch = launch.arg(option).arg(value);
            }
        }
        Session::start(launch, &format!("{server} {}", machine.title), tally)
    }
}

/// The options for every QEMU: no display, no default devices, and the guest does not run.
const BARE: [&str; 5] = ["-display", "none", "-nodefaults", "-no-user-config", "-S"];

/// Returns all machines to test.
pub(crate) fn all(scratch: &Scratch) -> Vec<Machine> {
    vec![none(), pc(scratch), q35(scratch), microvm(), migrating()]
}

pub(crate) fn machine<const N: usize>(
    name: &'static str,
    options: [(&'static str, String); N],
) -> Machine {
    Machine { title: name, name, options: Vec::from(options) }
}

pub(crate) fn none() -> Machine {
    machine("none", [("-M", "none".into())])
}

/// Returns a PC with disks of many kinds, character devices, network and a screen.
pub(crate) fn pc(scratch: &Scratch) -> Machine {
    let disk = scratch.image("pc-disk", 8 << 20);
    let scsi = scratch.image("pc-scsi", 8 << 20);
    let cd = scratch.image("pc-cd", 1 << 20);
    let vnc = scratch.file("pc-vnc");
    let serial = scratch.file("pc-serial");
    machine(
        "pc",
        [
            ("-M", "pc,accel=tcg".into()),
            ("-m", "128,slots=4,maxmem=1G".into()),
            ("-smp", "2,maxcpus=4".into()),
            ("-name", "conformance".into()),
            ("-uuid", "12345678-1234-5678-1234-567812345678".into()),
            ("-object", "iothread,id=io0".into()),
            ("-object", "secret,id=secret0,data=letmein1".into()),
            ("-object", "throttle-group,id=slow,x-iops-total=1000".into()),
            ("-object", "rng-builtin,id=rng0".into()),
            ("-object", "authz-simple,id=authz0,identity=tester".into()),
            ("-object", "memory-backend-ram,id=dimm0,size=64M".into()),
            ("-blockdev", format!("driver=file,filename={disk},node-name=file0")),
            ("-blockdev", "driver=raw,file=file0,node-name=disk0".into()),
            ("-blockdev", format!("driver=file,filename={scsi},node-name=file1")),
            ("-blockdev", "driver=throttle,throttle-group=slow,file=file1,node-name=disk1".into()),
            ("-drive", format!("if=none,id=cd0,media=cdrom,readonly=on,format=raw,file={cd}")),
            ("-drive", "if=none,id=null0,driver=null-co,size=1M,bps=1000000,iops_rd=100".into()),
            ("-device", "virtio-blk-pci,drive=disk0,id=blk0,iothread=io0".into()),
            ("-device", "virtio-scsi-pci,id=scsi0".into()),
            ("-device", "scsi-hd,drive=disk1,id=sd0,bus=scsi0.0".into()),
            ("-device", "ide-cd,drive=cd0,id=idecd".into()),
            ("-device", "ide-hd,drive=null0,id=idehd".into()),
            ("-device", "pc-dimm,id=pcdimm0,memdev=dimm0".into()),
            ("-device", "virtio-balloon-pci,id=balloon0".into()),
            ("-device", "virtio-rng-pci,rng=rng0".into()),
            ("-device", "virtio-serial-pci,id=vser0".into()),
            ("-chardev", "null,id=null".into()),
            ("-chardev", "ringbuf,id=ring,size=1024".into()),
            ("-chardev", format!("socket,id=sock,path={serial},server=on,wait=off")),
            ("-chardev", "udp,id=udp,host=127.0.0.1,port=9".into()),
            ("-device", "virtconsole,chardev=ring,id=console0".into()),
            ("-device", "isa-serial,chardev=sock".into()),
            ("-netdev", "hubport,id=hub0,hubid=0".into()),
            ("-netdev", "socket,id=net0,udp=127.0.0.1:9,localaddr=127.0.0.1:0".into()),
            ("-device", "virtio-net-pci,netdev=net0,id=nic0,romfile=".into()),
            ("-device", "e1000,netdev=hub0,id=nic1,romfile=".into()),
            ("-device", "VGA,id=vga0,romfile=".into()),
            ("-device", "usb-ehci,id=ehci".into()),
            ("-device", "usb-tablet,bus=ehci.0,id=tablet".into()),
            ("-device", "vmgenid,guid=auto".into()),
            ("-device", "i6300esb".into()),
            ("-vnc", format!("unix:{vnc}")),
            ("-rtc", "base=utc".into()),
            ("-trace", "qmp_*".into()),
        ],
    )
}

/// Returns a Q35 machine with PCI Express, NUMA, other kinds of hot-plugged memory, NVMe, CXL, audio
/// and a rocker switch.
fn q35(scratch: &Scratch) -> Machine {
    let nvme = scratch.image("q35-nvme", 8 << 20);
    let nvdimm = scratch.image("q35-nvdimm", 8 << 20);
    machine(
        "q35",
        [
            ("-M", "q35,accel=tcg,nvdimm=on,cxl=on".into()),
            ("-m", "256M,slots=4,maxmem=2G".into()),
            ("-smp", "4,sockets=2,cores=2,maxcpus=4".into()),
            ("-object", "memory-backend-ram,id=ram0,size=128M".into()),
            ("-object", "memory-backend-ram,id=ram1,size=128M".into()),
            ("-object", "memory-backend-ram,id=vmem0,size=64M".into()),
            ("-object", format!("memory-backend-file,id=nv0,mem-path={nvdimm},size=8M,share=on")),
            ("-numa", "node,nodeid=0,memdev=ram0,cpus=0-1".into()),
            ("-numa", "node,nodeid=1,memdev=ram1,cpus=2-3".into()),
            ("-numa", "dist,src=0,dst=1,val=20".into()),
            ("-device", "pcie-root-port,id=rp0,slot=1,chassis=1".into()),
            ("-device", "pcie-root-port,id=rp1,slot=2,chassis=2".into()),
            ("-device", "virtio-mem-pci,id=vmem,memdev=vmem0,requested-size=32M,node=0".into()),
            ("-device", "nvdimm,id=nvdimm0,memdev=nv0".into()),
            ("-blockdev", format!("driver=file,filename={nvme},node-name=nvmefile")),
            ("-blockdev", "driver=raw,file=nvmefile,node-name=nvme0".into()),
            ("-device", "nvme,serial=1,drive=nvme0,id=nvmedev,bus=rp0".into()),
            ("-device", "qemu-xhci,id=xhci".into()),
            ("-device", "usb-kbd,bus=xhci.0".into()),
            ("-device", "intel-hda,id=hda".into()),
            ("-audiodev", "none,id=audio0".into()),
            ("-device", "hda-duplex,audiodev=audio0".into()),
            ("-device", "rocker,name=sw1".into()),
            ("-device", "virtio-vga,id=vga0,romfile=".into()),
            ("-device", "virtio-tablet-pci".into()),
            ("-device", "edu".into()),
            ("-boot", "menu=on,strict=on".into()),
            ("-fw_cfg", "name=opt/conformance,string=1".into()),
        ],
    )
}

/// Returns a machine without devices that block migration.
fn migrating() -> Machine {
    let options = [
        ("-M", "pc,accel=tcg".into()),
        ("-m", "32".into()),
        ("-device", "virtio-balloon-pci".into()),
    ];
    Machine { title: "migrated pc", ..machine("pc", options) }
}

fn microvm() -> Machine {
    machine(
        "microvm",
        [
            ("-M", "microvm,accel=tcg".into()),
            ("-chardev", "null,id=null".into()),
            ("-device", "isa-serial,chardev=null".into()),
            ("-device", "virtio-balloon-device".into()),
        ],
    )
}
