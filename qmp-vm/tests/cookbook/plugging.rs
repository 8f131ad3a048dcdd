//! Plugs in disks, network cards, CPUs and memory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::qmp::commands::{
    Cont, QueryBlock, QueryChardev, QueryCpusFast, QueryMemoryDevices, QueryMemorySizeSummary, Stop,
};
use qmp_client::qmp::types::MemoryDeviceInfo;
use qmp_vm::{Unplugged, Workflows};

use crate::hotplug_disk::Format;
use crate::hotplug_nic::{Backend, Kind};
use crate::vm::{OBLIGING, PATIENCE, Vm, block_on};
use crate::*;

fn open(path: &str) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// Returns the nodes that devices use.
fn disks(vm: &Vm) -> Vec<String> {
    let disks = vm.test.execute(QueryBlock::new()).unwrap();
    disks.into_iter().filter_map(|disk| disk.inserted?.node_name).collect()
}

live! { qemu_img,
    /// The guest releases the disks, and then QEMU has closed the images.
    fn a_disk(qemu) {
        let vm = Vm::with_guest(qemu, OBLIGING, "");
        let before = vm.holdings();
        let image = vm.scratch.qcow2("image", "1M");
        let raw = vm.scratch.file("raw");
        std::fs::write(&raw, vec![0; 1 << 20]).unwrap();

        let address = vm.address();
        hotplug_disk::run(&address, open(&image), Format::Qcow2, "one", None).unwrap();
        hotplug_disk::run(&address, open(&raw), Format::Raw, "two", None).unwrap();
        assert_eq!(disks(&vm), ["guest", "disk-one", "disk-two"]);
        assert_eq!(vm.node("disk-one").unwrap().drv, "qcow2");

        for id in ["one", "two"] {
            assert!(block_on(unplug_disk::run(&address, id, PATIENCE)).unwrap());
        }
        assert_eq!(disks(&vm), ["guest"]);
        assert_eq!(vm.holdings(), before);
        // Unplugging a disk that is gone is not an error.
        assert!(block_on(unplug_disk::run(&address, "one", PATIENCE)).unwrap());
        // `qemu-img` can lock the image, since QEMU has closed it.
        vm.scratch.img(&["resize", "-q", "-f", "qcow2", &image, "2M"]);
    }
}

live! { qemu_img,
    /// Each step fails once, and the earlier ones are undone.
    fn a_disk_that_does_not_fit(qemu) {
        let vm = Vm::start(qemu, "-M pc -m 32 -device virtio-balloon-pci,id=taken");
        let before = vm.holdings();
        let address = vm.address();
        let raw = vm.scratch.file("raw");
        std::fs::write(&raw, vec![0; 1 << 20]).unwrap();
        let no_qcow2 = hotplug_disk::run(&address, open(&raw), Format::Qcow2, "one", None);
        assert_eq!(no_qcow2.unwrap_err().command(), Some("blockdev-add"));
        let taken = hotplug_disk::run(&address, open(&raw), Format::Raw, "taken", None);
        assert_eq!(taken.unwrap_err().command(), Some("device_add"));
        let no_bus = hotplug_disk::run(&address, open(&raw), Format::Raw, "two", Some("bus7"));
        assert_eq!(no_bus.unwrap_err().command(), Some("device_add"));
        assert_eq!(vm.holdings(), before);
    }
}

live! { qemu_img,
    /// The guest does not run, so the disk stays, and can be unplugged again later.
    fn a_disk_that_the_guest_keeps(qemu) {
        let vm = Vm::start(qemu, "-M pc -m 32 -S");
        let address = vm.address();
        let image = vm.scratch.qcow2("image", "1M");
        hotplug_disk::run(&address, open(&image), Format::Qcow2, "one", None).unwrap();
        let before = vm.holdings();
        for _ in 0..2 {
            let patience = Duration::from_secs(1);
            assert!(!block_on(unplug_disk::run(&address, "one", patience)).unwrap());
        }
        assert_eq!(vm.holdings(), before);
        assert_eq!(disks(&vm), ["disk-one"]);
    }
}

live! { qemu,
    /// QEMU refuses a second request while the first is in process, and the guest releases the
    /// device later.
    fn a_device_whose_unplug_timed_out(qemu) {
        let vm = Vm::with_guest(qemu, OBLIGING, "-device virtio-balloon-pci,id=b0");
        vm.test.execute(Stop::new()).unwrap();
        for _ in 0..2 {
            let error = vm.test.unplug("b0", Duration::from_secs(1)).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert!(error.to_string().contains("DEVICE_DELETED of device `b0`"), "{error}");
        }
        let unplugged = std::thread::scope(|scope| {
            let unplugging = scope.spawn(|| vm.test.unplug("b0", PATIENCE).unwrap());
            std::thread::sleep(Duration::from_millis(100));
            vm.test.execute(Cont::new()).unwrap();
            unplugging.join().unwrap()
        });
        assert_eq!(unplugged, Unplugged::Deleted);
    }
}

const MAC: &str = "52:54:00:0c:00:17";

live! { qemu,
    fn a_network_card(qemu) {
        let vm = Vm::start(qemu, "-M pc -m 32 -device virtio-balloon-pci,id=nic-net2");
        let address = vm.address();
        let socket = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (ours, Backend { kind: Kind::Socket, queues: vec![theirs.into()], vhost: Vec::new() })
        };
        let (_peer, backend) = socket();
        hotplug_nic::run(&address, "net1", MAC, backend).unwrap();
        let network = vm.human("info network");
        let card = format!("nic-net1: index=0,type=nic,model=virtio-net-pci,macaddr={MAC}");
        assert!(network.contains(&card), "{network}");
        assert!(network.contains("net1: index=0,type=socket"), "{network}");

        // The card is refused, so the backend is deleted, and its peer sees that.
        let (peer, backend) = socket();
        let taken = hotplug_nic::run(&address, "net2", MAC, backend).unwrap_err();
        assert_eq!(taken.command(), Some("device_add"));
        assert!(!vm.human("info network").contains("net2:"), "{}", vm.human("info network"));
        assert_closed(peer);

        // The backend is refused, so every descriptor that QEMU has not taken is closed. QEMU takes
        // the first one, and does not close it.
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let (peers, queues): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let queues = queues.into_iter().map(OwnedFd::from).collect();
        let backend = Backend { kind: Kind::Tap, queues, vhost: Vec::new() };
        let no_tap = hotplug_nic::run(&address, "net3", MAC, backend).unwrap_err();
        assert_eq!(no_tap.command(), Some("netdev_add"));
        assert!(!vm.human("info network").contains("net3"));
        peers.into_iter().skip(1).for_each(assert_closed);
    }
}

/// Checks that QEMU has closed the other end.
fn assert_closed(peer: UnixStream) {
    use std::io::Read;
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
}

live! { qemu,
    fn cpus(qemu) {
        for machine in ["-M pc -smp 1,maxcpus=3", "-M q35 -smp 2,maxcpus=4,cores=2"] {
            let vm = Vm::start(qemu, &format!("{machine} -S -m 32"));
            let count = |vm: &Vm| vm.test.execute(QueryCpusFast::new()).unwrap().len();
            let before = count(&vm);
            for id in ["cpu1", "cpu2"] {
                assert!(block_on(hotplug_cpu::run(&vm.address(), id)).unwrap());
            }
            assert_eq!(count(&vm), before + 2);
            // In the order in which a destination would have them.
            let cpus = vm.test.execute(QueryCpusFast::new()).unwrap();
            assert!(cpus.is_sorted_by_key(|cpu| {
                let props = cpu.props.as_ref().unwrap();
                (props.socket_id, props.core_id, props.thread_id)
            }));
            assert!(!block_on(hotplug_cpu::run(&vm.address(), "cpu3")).unwrap());
            assert_eq!(count(&vm), before + 2);
        }
    }
}

live! { qemu,
    fn memory(qemu) {
        let vm = Vm::start(qemu, "-M pc -S -m 64,slots=1,maxmem=1G");
        let address = vm.address();
        assert_eq!(hotplug_memory::run(&address, "dimm1", 128 << 20).unwrap(), 128 << 20);
        let summary = vm.test.execute(QueryMemorySizeSummary::new()).unwrap();
        assert_eq!(summary.plugged_memory, Some(128 << 20));

        // The only slot is occupied, so the memory is freed.
        let error = hotplug_memory::run(&address, "dimm2", 128 << 20).unwrap_err();
        assert_eq!(error.command(), Some("device_add"));
        assert!(!vm.human("qom-list /objects").contains("dimm2"));
    }
}

live! { qemu,
    /// Both steps, and then each of them fails.
    fn a_workflow_of_ones_own(qemu) {
        let vm = Vm::start(qemu, "-M pc -S -m 32 -device virtio-serial-pci \
            -device virtio-balloon-pci,id=taken");
        let chardevs = |vm: &Vm| {
            let chardevs = vm.test.execute(QueryChardev::new()).unwrap();
            chardevs.into_iter().map(|chardev| chardev.label).collect::<Vec<_>>()
        };
        let before = chardevs(&vm);
        let socket = vm.scratch.file("agent");
        let taken = own_workflow::plug_agent(&vm.test, "taken", &socket).unwrap_err();
        assert_eq!(taken.command(), Some("device_add"));
        assert_eq!(chardevs(&vm), before);
        own_workflow::plug_agent(&vm.test, "agent", &socket).unwrap();
        UnixStream::connect(&socket).unwrap();
        let again = own_workflow::plug_agent(&vm.test, "agent", &socket).unwrap_err();
        assert_eq!(again.command(), Some("chardev-add"));
        assert!(chardevs(&vm).contains(&"chardev-agent".to_owned()));
    }
}

live! { qemu,
    /// The guest has no driver: the request stays in force, and nothing happens.
    fn memory_that_comes_and_goes(qemu) {
        let vm = Vm::start(qemu, "-M pc -S -m 64,maxmem=1G \
            -object memory-backend-ram,id=more,size=256M \
            -device virtio-mem-pci,id=vmem0,memdev=more,requested-size=0");
        let address = vm.address();
        let soon = Duration::from_secs(1);
        let reached = block_on(resize_memory::run(&address, "vmem0", 64 << 20, soon)).unwrap();
        assert_eq!(reached, Some(0));
        let devices = vm.test.execute(QueryMemoryDevices::new()).unwrap();
        let Some(MemoryDeviceInfo::VirtioMem(device)) = devices.first() else {
            panic!("{devices:?}");
        };
        assert_eq!(device.data.requested_size, 64 << 20);
        let too_much = resize_memory::run(&address, "vmem0", 1 << 30, soon);
        assert_eq!(block_on(too_much).unwrap_err().command(), Some("qom-set"));
        assert_eq!(block_on(resize_memory::run(&address, "vmem1", 0, soon)).unwrap(), None);
    }
}

live! { qemu_img,
    /// A disk that was passed as a descriptor can be used like any other, even by jobs that reopen
    /// it.
    fn a_disk_that_is_opened_again(qemu) {
        let vm = Vm::start(qemu, "-M pc -m 32 -S");
        let address = vm.address();
        let image = vm.scratch.qcow2("image", "1M");
        hotplug_disk::run(&address, open(&image), Format::Qcow2, "one", None).unwrap();
        let overlay = vm.scratch.file("overlay");
        for _ in 0..2 {
            assert_eq!(commit::run(&address, "disk-one", &overlay, || {}).unwrap(), None);
        }
    }
}

#[cfg(feature = "devices")]
live! { qemu,
    /// QEMU has what the type says, and the properties of this release.
    fn a_typed_device(qemu) {
        let vm = Vm::start(qemu, "-M pc -m 32 -S -blockdev null-co,read-zeroes=on,node-name=data");
        let address = vm.address();
        let command = typed_device::run(&address, "data", "disk0", None).unwrap().unwrap();
        assert_eq!(command.properties["drive"], "data");
        let get = |name| vm.test.execute(qmp_client::qmp::commands::QomGet::new("/machine/peripheral/disk0", name)).unwrap();
        assert_eq!(get("serial"), "disk0");
        assert_eq!(get("write-cache"), "on");
        let kind = vm.test.device_capabilities("virtio-blk-pci").unwrap().unwrap();
        let is_new = command.properties.contains_key("stats-intervals");
        assert_eq!(is_new, kind.has("stats-intervals"));
        assert_eq!(kind.property("serial").unwrap().type_, "str");
        assert!(vm.test.device_capabilities("virtio-blk-card").unwrap().is_none());
        let missing = typed_device::run(&address, "nothing", "disk1", None);
        assert_eq!(missing.unwrap_err().command(), Some("device_add"));
    }
}
