//! The devices, each with two properties that do not have their defaults.

use qmp_client::devices::*;
use qmp_client::qmp::commands::DeviceAdd;
use qmp_client::qmp::types::OnOffAuto;

/// How a device is plugged.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum On {
    /// Cold, on q35.
    Q35,
    /// Hot, on q35.
    Hot,
    /// Cold, on a q35 of its own.
    Alone,
    /// Hot, on a q35 whose CPUs are `max`.
    MaxCpu,
    /// Cold, on pc.
    Pc,
    /// Cold, on a pc of its own.
    PcAlone,
    /// Cold, on microvm.
    Microvm,
}

/// A device, and the properties that are read back.
pub(crate) struct Row {
    pub(crate) on: On,
    pub(crate) device: DeviceAdd,
    pub(crate) set: &'static [&'static str],
}

/// The devices that cannot be plugged where tests run.
pub(crate) const NOT_HERE: &[(&str, &str)] = &[
    ("host-x86_64-cpu", "needs KVM"),
    ("ivshmem-doorbell", "needs a server of shared memory"),
    ("scsi-block", "needs a disk of the host that takes SCSI commands"),
    ("scsi-generic", "needs a device of the host that takes SCSI commands"),
    ("tpm-crb", "needs an emulator of a TPM"),
    ("tpm-tis", "needs an emulator of a TPM"),
    ("usb-host", "needs a USB device of the host"),
    ("vfio-pci", "needs a PCI device of the host, and an IOMMU"),
    ("vhost-scsi-pci", "needs a target of the host's kernel"),
    ("vhost-user-blk-pci", "needs a server that speaks vhost-user"),
    ("vhost-user-fs-pci", "needs a server that speaks vhost-user"),
    ("vhost-vsock-pci", "needs a device of the host's kernel"),
    ("virtio-input-host-pci", "needs an input device of the host"),
];

/// The devices that do not have two properties in every release that could be given another value.
pub(crate) const SHORT: &[&str] = &["nvme-subsys", "ramfb", "sd-card", "vmcoreinfo", "vmgenid"];

/// The number of root ports for devices that are plugged hot.
const PORTS: u8 = 40;

/// Returns all devices that can be plugged here.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Rows { rows: Vec::new(), ports: 0 };
    rows.ports();
    rows.storage();
    rows.drives();
    rows.network();
    rows.bridges();
    rows.usb();
    rows.displays();
    rows.consoles();
    rows.sound();
    rows.memory();
    rows.others();
    rows.rows
}

struct Rows {
    rows: Vec<Row>,
    ports: u8,
}

impl Rows {
    /// Adds a device on the bus that it names, or that QEMU chooses.
    fn on(&mut self, on: On, device: impl Into<DeviceAdd>, set: &'static [&'static str]) {
        let mut device = device.into();
        device.id.get_or_insert_with(|| format!("d-{}", device.driver));
        self.rows.push(Row { on, device, set });
    }

    /// Adds a device that is plugged hot, on a root port of its own.
    fn port(&mut self, device: impl Into<DeviceAdd>, set: &'static [&'static str]) {
        let mut device = device.into();
        device.bus = Some(format!("port{}", self.ports));
        self.ports += 1;
        assert!(self.ports <= PORTS);
        self.on(On::Hot, device, set);
    }

    fn ports(&mut self) {
        for number in 0..PORTS {
            let port = PcieRootPort::new()
                .id(format!("port{number}"))
                .chassis(number + 1)
                .slot(u16::from(number) + 1)
                .addr(format!("{:x}.{:x}", 0x10 + number / 8, number % 8))
                .multifunction(true);
            self.on(On::Q35, port, &["chassis", "slot", "multifunction"]);
        }
    }

    fn storage(&mut self) {
        let disk = VirtioBlkPci::new("node0").serial("4711").num_queues(4).iothread("io0");
        self.port(disk, &["serial", "num-queues"]);
        let scsi = VirtioScsiPci::new().num_queues(2).virtqueue_size(128).iothread("io0");
        self.port(scsi, &["num_queues", "virtqueue_size", "iothread"]);
        let pmem = VirtioPmemPci::new("mem3").packed(true).disable_legacy(OnOffAuto::On);
        self.on(On::Q35, pmem, &["memdev", "packed"]);
        let share = Virtio9pPci::new("fs0", "share").packed(true);
        self.port(share, &["mount_tag", "fsdev", "packed"]);
        self.on(
            On::Q35,
            Ich9Ahci::new().multifunction(true).rombar(0),
            &["multifunction", "rombar"],
        );
        self.on(On::Q35, NvmeSubsys::new().nqn("nqn.one").id("subsys"), &["nqn"]);
        let nvme = Nvme::new("serial").max_ioqpairs(8).mdts(5).subsys("subsys").id("nvme0");
        self.on(On::Q35, nvme, &["serial", "max_ioqpairs", "mdts", "subsys"]);
        let namespace = NvmeNs::new("node1").bus("nvme0").nsid(7).zoned(true).zoned_max_open(3);
        let namespace = namespace.zoned_max_active(4);
        self.on(On::Q35, namespace, &["nsid", "zoned", "zoned.max_open"]);
        self.port(Lsi53c895a::new().rombar(0).romfile(""), &["rombar", "romfile"]);
        self.port(Megasas::new().max_cmds(100).hba_serial("1234"), &["max_cmds", "hba_serial"]);
        self.port(Pvscsi::new().use_msg(0).rombar(0), &["use_msg", "rombar"]);
        let floppy = Floppy::new().drive("node2").write_cache(OnOffAuto::On).unit(0);
        self.on(On::Pc, floppy.share_rw(true), &["write-cache", "share-rw"]);
        self.on(On::Pc, SdhciPci::new().maxcurr(7).rombar(0).id("sdhci"), &["maxcurr", "rombar"]);
        let disk = VirtioBlkDevice::new("node3").serial("4712").queue_size(64);
        self.on(On::Microvm, disk, &["serial", "queue-size"]);
        let scsi = VirtioScsiDevice::new().num_queues(2).virtqueue_size(64);
        self.on(On::Microvm, scsi, &["num_queues", "virtqueue_size"]);
    }

    fn drives(&mut self) {
        let bus = "d-virtio-scsi-pci.0";
        let disk = ScsiHd::new("node4").serial("4713").lun(1).rotation_rate(1).bus(bus);
        self.on(On::Hot, disk, &["serial", "lun", "rotation_rate"]);
        let cd = ScsiCd::new().drive("node5").ver("1.0").lun(2).bus(bus);
        self.on(On::Hot, cd, &["ver", "lun"]);
        let disk = IdeHd::new("node6").serial("4714").model("disk").bus("ide.0");
        self.on(On::Q35, disk, &["serial", "model"]);
        let cd = IdeCd::new().serial("4715").ver("1").bus("ide.1");
        self.on(On::Q35, cd, &["serial", "ver"]);
        self.on(On::Pc, SdCard::new().drive("node7").spec_version(2), &["spec_version"]);
    }

    fn network(&mut self) {
        let mac = "52:54:00:12:34:01";
        let card = VirtioNetPci::new().netdev("net0").mac(mac).rx_queue_size(512).romfile("");
        self.port(card, &["mac", "rx_queue_size", "romfile"]);
        let card = VirtioNetDevice::new().netdev("net1").mac(mac).packed(true);
        self.on(On::Microvm, card, &["mac", "packed"]);
        self.port(
            E1000Device::new().netdev("net2").mac(mac).bootindex(3).romfile(""),
            &["mac", "bootindex"],
        );
        self.port(
            E1000e::new().netdev("net3").mac(mac).subsys_ven(7).romfile(""),
            &["mac", "subsys_ven"],
        );
        self.port(Igb::new().netdev("net4").mac(mac).romfile(""), &["mac", "romfile"]);
        self.port(Rtl8139::new().netdev("net5").mac(mac).romfile(""), &["mac", "romfile"]);
        self.port(Vmxnet3::new().netdev("net6").mac(mac).romfile(""), &["mac", "romfile"]);
        self.port(Pcnet::new().netdev("net7").mac(mac).romfile(""), &["mac", "romfile"]);
    }

    fn bridges(&mut self) {
        let bridge = PciePciBridge::new().msi(OnOffAuto::Off).rombar(0);
        self.on(On::Q35, bridge.id("bridge0"), &["msi", "rombar"]);
        let bridge = PciBridge::new(77).msi(OnOffAuto::Off).bus("bridge0").addr("3");
        self.on(On::Q35, bridge, &["chassis_nr", "msi"]);
        let up = X3130Upstream::new().bus(format!("port{}", PORTS - 1)).rombar(0).id("up0");
        self.on(On::Q35, up.romfile(""), &["rombar", "romfile"]);
        let down = Xio3130Downstream::new().bus("up0").chassis(99).slot(9);
        self.on(On::Q35, down, &["chassis", "slot"]);
        self.on(
            On::PcAlone,
            Pxb::new().bus_nr(128).bypass_iommu(true),
            &["bus_nr", "bypass_iommu"],
        );
        self.on(
            On::Alone,
            PxbPcie::new().bus_nr(160).bypass_iommu(true),
            &["bus_nr", "bypass_iommu"],
        );
    }

    fn usb(&mut self) {
        self.on(On::Q35, QemuXhci::new().p2(8).p3(8).id("xhci"), &["p2", "p3"]);
        self.on(
            On::Q35,
            UsbEhci::new().maxframes(64).rombar(0).id("ehci"),
            &["maxframes", "rombar"],
        );
        let uhci = Piix3UsbUhci::new().maxframes(64).bandwidth(1000).id("uhci");
        self.on(On::Pc, uhci, &["maxframes", "bandwidth"]);
        let stick = UsbStorage::new("node8").serial("4716").removable(true).bus("xhci.0").port("1");
        self.on(On::Hot, stick, &["serial", "removable", "port"]);
        let uas = UsbUas::new().msos_desc(false).log_scsi_req(1).bus("xhci.0").port("2");
        self.on(On::Hot, uas, &["msos-desc", "log-scsi-req"]);
        let hub = UsbHub::new().ports(4).port_power(true).bus("xhci.0").port("3");
        self.on(On::Hot, hub, &["ports", "port-power"]);
        let tablet = UsbTablet::new().usb_version(1).serial("4717").bus("xhci.0").port("4");
        self.on(On::Hot, tablet, &["usb_version", "serial"]);
        let keyboard = UsbKbd::new().usb_version(1).serial("4718").bus("xhci.0").port("5");
        self.on(On::Hot, keyboard, &["usb_version", "serial"]);
        let mouse = UsbMouse::new().usb_version(1).serial("4719").bus("xhci.0").port("6");
        self.on(On::Hot, mouse, &["usb_version", "serial"]);
        let serial = UsbSerial::new("char0").always_plugged(true).serial("4720").bus("uhci.0");
        self.on(On::Pc, serial, &["always-plugged", "serial"]);
        let sound = UsbAudio::new().audiodev("snd0").multi(true).buffer(4096).bus("uhci.0");
        self.on(On::Pc, sound, &["multi", "buffer", "audiodev"]);
        let card = UsbNet::new().netdev("net8").mac("52:54:00:12:34:02").serial("4721");
        self.on(On::Hot, card.bus("xhci.0").port("7"), &["mac", "serial"]);
        let redirected = UsbRedir::new("char1").debug(1).bus("xhci.0").port("8").bootindex(9);
        self.on(On::Hot, redirected, &["debug", "bootindex"]);
    }

    fn displays(&mut self) {
        let card = VirtioGpuPci::new().xres(800).yres(600).max_outputs(2);
        self.on(On::Q35, card, &["xres", "yres", "max_outputs"]);
        self.on(On::Alone, VirtioVga::new().xres(800).yres(600), &["xres", "yres"]);
        self.on(On::Alone, Vga::new().vgamem_mb(32).xres(800).edid(false), &["vgamem_mb", "edid"]);
        let card = BochsDisplay::new().vgamem(32 << 20).edid(false);
        self.on(On::Q35, card, &["vgamem", "edid"]);
        self.on(On::Alone, CirrusVga::new().vgamem_mb(8).rombar(0), &["vgamem_mb", "rombar"]);
        self.on(On::Alone, VmwareSvga::new().vgamem_mb(32).rombar(0), &["vgamem_mb", "rombar"]);
        self.on(On::Q35, Ramfb::new(), &[]);
        let keyboard = VirtioKeyboardPci::new().serial("4722").packed(true);
        self.port(keyboard, &["serial", "packed"]);
        let mouse = VirtioMousePci::new().serial("4723").packed(true);
        self.port(mouse, &["serial", "packed"]);
        let tablet = VirtioTabletPci::new().serial("4724").packed(true);
        self.port(tablet, &["serial", "packed"]);
    }

    fn consoles(&mut self) {
        let bus = VirtioSerialPci::new().max_ports(7).packed(true);
        self.port(bus, &["max_ports", "packed"]);
        let bus = "d-virtio-serial-pci.0";
        let port = Virtserialport::new().chardev("char2").name("org.example.0").nr(3).bus(bus);
        self.on(On::Hot, port, &["name", "nr", "chardev"]);
        let console = Virtconsole::new().chardev("char3").name("console").nr(4).bus(bus);
        self.on(On::Hot, console, &["name", "nr"]);
        let bus = VirtioSerialDevice::new().max_ports(7).packed(true);
        self.on(On::Microvm, bus, &["max_ports", "packed"]);
        self.on(On::Pc, IsaSerial::new("char1").iobase(0x2e8).irq(5), &["iobase", "irq"]);
        self.port(PciSerial::new("char4").romfile("").rombar(0), &["romfile", "rombar"]);
        self.on(
            On::Pc,
            IsaDebugcon::new("char2").iobase(0x402).readback(7),
            &["iobase", "readback"],
        );
    }

    fn sound(&mut self) {
        let card = VirtioSoundPci::new().audiodev("snd0").jacks(1).streams(3);
        self.on(On::Q35, card, &["jacks", "streams"]);
        self.on(
            On::Q35,
            IntelHda::new().debug(1).msi(OnOffAuto::Off).id("hda6"),
            &["debug", "msi"],
        );
        let controller = Ich9IntelHda::new().debug(1).msi(OnOffAuto::Off).id("hda9");
        self.on(On::Q35, controller, &["debug", "msi"]);
        let codec = HdaDuplex::new().audiodev("snd0").mixer(false).cad(1).bus("hda9.0");
        self.on(On::Q35, codec, &["mixer", "cad"]);
        let codec = HdaOutput::new().audiodev("snd0").mixer(false).cad(3).bus("hda9.0");
        self.on(On::Q35, codec, &["mixer", "cad"]);
        let codec = HdaMicro::new().audiodev("snd0").mixer(false).cad(3).bus("hda6.0");
        self.on(On::Q35, codec, &["mixer", "cad"]);
        self.on(On::Q35, Ac97::new().audiodev("snd0").rombar(0), &["audiodev", "rombar"]);
    }

    fn memory(&mut self) {
        let balloon = VirtioBalloonPci::new().deflate_on_oom(true).free_page_reporting(true);
        self.port(balloon, &["deflate-on-oom", "free-page-reporting"]);
        let balloon = VirtioBalloonDevice::new().deflate_on_oom(true).free_page_reporting(true);
        self.on(On::Microvm, balloon, &["deflate-on-oom", "free-page-reporting"]);
        let memory = VirtioMemPci::new("mem0").requested_size(4 << 20).block_size(2 << 20);
        self.port(memory, &["requested-size", "block-size", "memdev"]);
        self.on(On::Hot, PcDimm::new("mem1").slot(2), &["slot", "memdev"]);
        let module = Nvdimm::new("mem2").label_size(2 << 20).slot(3);
        self.on(On::Q35, module, &["label-size", "slot"]);
        let cpu = Qemu64X8664Cpu::new().socket_id(2).core_id(0).thread_id(0);
        self.on(On::Hot, cpu, &["socket-id", "core-id"]);
        let cpu = MaxX8664Cpu::new().socket_id(2).core_id(0).thread_id(0);
        self.on(On::MaxCpu, cpu, &["socket-id", "core-id"]);
    }

    fn others(&mut self) {
        let random = VirtioRngPci::new().rng("rng0").max_bytes(1024).period(1000);
        self.port(random, &["rng", "max-bytes", "period"]);
        let random = VirtioRngDevice::new().rng("rng1").max_bytes(1024).period(1000);
        self.on(On::Microvm, random, &["rng", "max-bytes", "period"]);
        self.port(VirtioCryptoPci::new("crypto0").packed(true), &["cryptodev", "packed"]);
        let iommu = VirtioIommuPci::new().boot_bypass(false).packed(true);
        self.on(On::Alone, iommu, &["boot-bypass", "packed"]);
        let iommu = IntelIommu::new().caching_mode(true).aw_bits(48).intremap(OnOffAuto::Off);
        self.on(On::Alone, iommu, &["caching-mode", "aw-bits", "intremap"]);
        self.port(I6300esb::new().rombar(0).romfile(""), &["rombar", "romfile"]);
        self.on(On::Pc, Pvpanic::new().ioport(0x506).events(1), &["ioport", "events"]);
        self.on(On::Q35, PvpanicPci::new().events(1).rombar(0), &["events", "rombar"]);
        let identity = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87";
        self.on(On::Q35, Vmgenid::new().guid(identity), &["guid"]);
        self.on(On::Q35, Vmcoreinfo::new(), &[]);
        self.port(
            IvshmemPlain::new("mem4").master(OnOffAuto::On).romfile(""),
            &["master", "romfile"],
        );
        self.on(On::Pc, IsaDebugExit::new().iobase(0x601).iosize(4), &["iobase", "iosize"]);
        self.on(
            On::Q35,
            Loader::new().addr(0x1000).data(7).data_len(4),
            &["addr", "data", "data-len"],
        );
    }
}
