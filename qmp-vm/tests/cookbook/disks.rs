//! Copies, moves and exports disks that are in use.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use qmp_client::qmp::commands::{
    Cont, NbdServerStop, QueryBlock, QueryBlockExports, QueryJobs, SnapshotDelete, SnapshotLoad,
    SnapshotSave, Stop,
};
use qmp_client::qmp::types::RunState;
use qmp_vm::Workflows;
use serde_json::{Value, json};

use crate::agent::serve_agent;
use crate::backup::Disk;
use crate::vm::{PATIENCE, Scratch, Vm, block_on};
use crate::{backup, commit, mirror, nbd_export, stream};

const SOON: Duration = Duration::from_millis(300);

/// Starts a VM with a disk of four mebibytes, the first of which is written.
fn with_disk(qemu: &str, arguments: &str) -> Vm {
    let scratch = Scratch::new();
    scratch.qcow2("disk0", "4M");
    let disk = "-M pc -S -m 32 \
        -blockdev driver=qcow2,file.driver=file,file.filename=DIR/disk0,node-name=disk0 \
        -device virtio-blk-pci,drive=disk0,share-rw=on,id=blk0";
    let vm = Vm::start_in(scratch, qemu, &format!("{disk} {arguments}"));
    write(&vm, "disk0", "-P 1 0 1M");
    vm
}

/// A disk that takes seconds to read.
const SLOW: &str = "-blockdev driver=null-co,size=268435456,latency-ns=200000000,node-name=slow \
    -device virtio-blk-pci,drive=slow,id=blk1";

/// Writes to a disk as a guest would, and flushes the image for other readers.
fn write(vm: &Vm, node: &str, what: &str) {
    for command in [format!("write {what}"), String::from("flush")] {
        vm.human(&format!("qemu-io {node} \"{command}\""));
    }
}

/// Checks that two images have the same contents. They may be in use.
fn assert_identical(vm: &Vm, one: &str, other: &str) {
    let output = vm.scratch.img(&["compare", "-U", &vm.scratch.file(one), &vm.scratch.file(other)]);
    assert!(output.contains("identical"), "{output}");
}

/// Returns the number of bytes that the disk's bitmap records, if the disk has the bitmap.
fn dirty(vm: &Vm, node: &str) -> Option<i64> {
    let bitmaps = vm.node(node).unwrap().dirty_bitmaps.unwrap_or_default();
    let bitmap = bitmaps.iter().find(|bitmap| bitmap.name.as_deref() == Some("backup"))?;
    assert!(bitmap.recording && !bitmap.busy);
    Some(bitmap.count)
}

fn disk(node: &str, target: String, changes: bool) -> Disk {
    Disk { node: node.into(), target, changes }
}

fn assert_no_jobs(vm: &Vm) {
    assert_eq!(vm.test.execute(QueryJobs::new()).unwrap(), []);
}

live! { qemu_img,
    fn backups(qemu) {
        let mut vm = with_disk(qemu, "");
        let nodes = vm.holdings();
        let address = vm.address();
        // Nothing has been recorded before the first backup, so it copies everything.
        let full = vm.scratch.qcow2("full", "4M");
        let disks = [disk("disk0", full.clone(), true)];
        assert!(backup::run(&address, None, &disks, PATIENCE).unwrap().is_empty());
        assert_identical(&vm, "disk0", "full");
        assert_eq!(dirty(&vm, "disk0"), Some(0));

        write(&vm, "disk0", "-P 2 2M 64k");
        let changes = vm.scratch.file("changes");
        vm.scratch.img(&["create", "-q", "-f", "qcow2", "-b", &full, "-F", "qcow2", &changes]);
        let disks = [disk("disk0", changes.clone(), true)];
        assert!(backup::run(&address, None, &disks, PATIENCE).unwrap().is_empty());
        assert_identical(&vm, "disk0", "changes");
        let map = vm.scratch.img(&["map", "--output=json", &changes]);
        let map: Vec<Value> = serde_json::from_str(&map).unwrap();
        let own = map.iter().filter(|piece| piece["depth"] == 0 && piece["data"] == true);
        let own: Vec<_> = own.map(|piece| (&piece["start"], &piece["length"])).collect();
        assert_eq!(own, [(&json!(2 << 20), &json!(65536))]);

        assert_eq!(vm.holdings(), nodes);
        assert_no_jobs(&vm);
        // The bitmap outlives QEMU.
        vm.test.quit().unwrap();
        assert!(vm.has_ended());
        let info = vm.scratch.img(&["info", "--output=json", &vm.scratch.file("disk0")]);
        let info: Value = serde_json::from_str(&info).unwrap();
        let bitmap = &info["format-specific"]["data"]["bitmaps"][0];
        assert_eq!((&bitmap["name"], &bitmap["flags"]), (&json!("backup"), &json!(["auto"])));
    }
}

live! { qemu_img,
    /// The changes are still recorded, and nothing else is left in QEMU.
    fn backups_that_fail(qemu) {
        let vm = with_disk(qemu, SLOW);
        let nodes = vm.holdings();
        let address = vm.address();
        let target = |vm: &Vm, name: &str, size: &str| vm.scratch.qcow2(name, size);
        // Refused at once, without a bitmap and with one.
        let small = target(&vm, "small", "1M");
        let refused = [disk("disk0", small, true)];
        assert!(backup::run(&address, None, &refused, PATIENCE).unwrap_err().server().is_some());
        assert_eq!(dirty(&vm, "disk0"), None);
        let first = [disk("disk0", target(&vm, "full", "4M"), false)];
        assert!(backup::run(&address, None, &first, PATIENCE).unwrap().is_empty());
        write(&vm, "disk0", "-P 2 2M 64k");
        assert!(backup::run(&address, None, &refused, PATIENCE).is_err());
        assert_eq!(dirty(&vm, "disk0"), Some(65536));

        // One of them takes too long, so both are cancelled.
        let both = [
            disk("disk0", target(&vm, "changes", "4M"), true),
            disk("slow", target(&vm, "slow", "256M"), false),
        ];
        let failures = backup::run(&address, None, &both, SOON).unwrap();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert_eq!((dirty(&vm, "disk0"), dirty(&vm, "slow")), (Some(65536), None));
        assert_eq!(vm.holdings(), nodes);
        assert_no_jobs(&vm);
    }
}

live! { qemu_img,
    /// The jobs start between freezing and thawing, and the guest is thawed if they do not start.
    fn backups_of_a_frozen_guest(qemu) {
        let vm = with_disk(qemu, SLOW);
        let path = vm.scratch.file("agent");
        let listener = UnixListener::bind(&path).unwrap();
        for (size, jobs_when_thawed, ends) in [("256M", 1, true), ("1M", 0, false)] {
            let target = vm.scratch.qcow2(&format!("target-{size}"), size);
            let disks = [disk("slow", target, false)];
            let mut told = Vec::new();
            let address = vm.address();
            let done = std::thread::scope(|scope| {
                let running = scope.spawn(|| {
                    backup::run(&address, Some(&format!("unix:{path}")), &disks, SOON)
                });
                serve_agent(&listener, |name| {
                    told.push((name.to_owned(), vm.test.execute(QueryJobs::new()).unwrap().len()));
                    Some(json!(1))
                });
                running.join().unwrap()
            });
            assert_eq!(done.is_ok(), ends, "{done:?}");
            let freeze = String::from("guest-fsfreeze-freeze");
            let thaw = String::from("guest-fsfreeze-thaw");
            assert_eq!(told, [(freeze, 0), (thaw, jobs_when_thawed)]);
            assert_no_jobs(&vm);
        }
    }
}

/// Returns the node of the first device.
fn in_use(vm: &Vm) -> String {
    let disks = vm.test.execute(QueryBlock::new()).unwrap();
    let inserted = disks.into_iter().find_map(|disk| disk.inserted);
    inserted.and_then(|inserted| inserted.node_name).unwrap()
}

live! { qemu_img,
    fn mirrors(qemu) {
        let vm = with_disk(qemu, "");
        let address = vm.address();
        let small = vm.scratch.qcow2("small", "1M");
        let moved = mirror::run(&address, "disk0", "new", &small, PATIENCE);
        assert!(!moved.unwrap());
        assert_eq!(in_use(&vm), "disk0");
        assert!(vm.node("new").is_none());

        let image = vm.scratch.qcow2("image", "4M");
        assert!(mirror::run(&address, "disk0", "new", &image, PATIENCE).unwrap());
        assert_eq!(in_use(&vm), "new");
        assert!(vm.node("disk0").is_none());
        assert_no_jobs(&vm);
        assert_identical(&vm, "disk0", "image");
    }
}

live! { qemu_img,
    fn mirrors_that_take_too_long(qemu) {
        let scratch = Scratch::new();
        std::fs::write(scratch.file("slow"), vec![1; 4 << 20]).unwrap();
        let vm = Vm::start_in(scratch, qemu, "-M pc -S -m 32 \
            -object throttle-group,id=group,x-bps-total=2097152 \
            -blockdev driver=file,filename=DIR/slow,node-name=file \
            -blockdev driver=throttle,throttle-group=group,file=file,node-name=slow \
            -device virtio-blk-pci,drive=slow");
        let image = vm.scratch.qcow2("image", "4M");
        assert!(!mirror::run(&vm.address(), "slow", "new", &image, SOON).unwrap());
        assert_eq!(in_use(&vm), "slow");
        assert!(vm.node("new").is_none());
        assert_no_jobs(&vm);
    }
}

live! { qemu_img,
    fn commits(qemu) {
        let mut vm = with_disk(qemu, "");
        let address = vm.address();
        let nodes = vm.holdings();
        let overlay = vm.scratch.file("overlay");
        let copy = |vm: &Vm| {
            assert_eq!(in_use(vm), "disk0-overlay");
            write(vm, "disk0-overlay", "-P 9 2M 64k");
            std::fs::copy(vm.scratch.file("disk0"), vm.scratch.file("copy")).unwrap();
        };
        let failure = commit::run(&address, "disk0", &overlay, || copy(&vm)).unwrap();
        assert_eq!(failure, None);
        assert_eq!(in_use(&vm), "disk0");
        assert_eq!(vm.holdings(), nodes);
        assert_no_jobs(&vm);
        // The copy has the contents at the moment of the snapshot.
        let copy = vm.scratch.file("copy");
        let map = vm.scratch.img(&["map", "--output=json", &copy]);
        let map: Vec<Value> = serde_json::from_str(&map).unwrap();
        let data: Vec<_> = map.iter().filter(|piece| piece["data"] == true).collect();
        assert!(data.iter().all(|piece| piece["start"].as_u64() < Some(1 << 20)), "{data:?}");

        let nowhere = vm.scratch.file("no/overlay");
        let refused = commit::run(&address, "disk0", &nowhere, || panic!("the snapshot was refused"));
        assert!(refused.unwrap_err().server().is_some());
        assert_eq!(in_use(&vm), "disk0");

        // The image has what was written meanwhile.
        vm.test.quit().unwrap();
        assert!(vm.has_ended());
        let raw = vm.scratch.file("raw");
        vm.scratch.img(&["convert", "-O", "raw", &vm.scratch.file("disk0"), &raw]);
        let bytes = std::fs::read(raw).unwrap();
        assert_eq!((bytes[0], bytes[2 << 20], bytes[3 << 20]), (1, 9, 0));
    }
}

live! { qemu_img,
    fn streams(qemu) {
        let scratch = Scratch::new();
        let (base, disk) = (scratch.qcow2("base", "4M"), scratch.file("disk0"));
        scratch.img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", "qcow2", &disk]);
        let vm = Vm::start_in(scratch, qemu, "-M pc -S -m 32 \
            -blockdev driver=qcow2,file.driver=file,file.filename=DIR/disk0,node-name=disk0 \
            -device virtio-blk-pci,drive=disk0,share-rw=on");
        assert_eq!(vm.node("disk0").unwrap().backing_file_depth, 1);
        let outcome = block_on(stream::run(&vm.address(), "disk0", PATIENCE)).unwrap();
        assert!(outcome.success(), "{outcome:?}");
        assert_eq!(vm.node("disk0").unwrap().backing_file_depth, 0);
        assert_no_jobs(&vm);
        let info = vm.scratch.img(&["info", "-U", &disk]);
        assert!(!info.contains("backing file:"), "{info}");
    }
}

live! { qemu_img,
    fn exports(qemu) {
        let vm = with_disk(qemu, "");
        let address = vm.address();
        let socket = vm.scratch.file("nbd");
        let url = format!("nbd+unix:///disk0?socket={socket}");
        let read = async {
            let info = vm.scratch.img(&["info", &url]);
            assert!(info.contains("4 MiB"), "{info}");
        };
        block_on(nbd_export::run(&address, "disk0", &socket, read)).unwrap();

        // A client is still connected.
        let node = "-M none -blockdev \
            driver=nbd,server.type=unix,export=disk0,node-name=far,read-only=on";
        let mut far = None;
        let connect = async {
            far = Some(Vm::start(qemu, &format!("{node},server.path={socket}")));
        };
        block_on(nbd_export::run(&address, "disk0", &socket, connect)).unwrap();
        drop(far);
        assert_eq!(vm.test.execute(QueryBlockExports::new()).unwrap(), []);
        // The server does not run any more, so it cannot be stopped again.
        assert!(vm.test.execute(NbdServerStop::new()).is_err());

        // The export is refused, and the server is stopped all the same.
        let refused = nbd_export::run(&address, "no-such-node", &socket, async {});
        assert!(block_on(refused).unwrap_err().server().is_some());
        assert!(vm.test.execute(NbdServerStop::new()).is_err());
    }
}

live! { qemu_img,
    /// The machine was paused before, and still is.
    fn a_snapshot_of_a_paused_machine(qemu) {
        let vm = with_disk(qemu, "");
        vm.test.execute(Cont::new()).unwrap();
        vm.test.execute(Stop::new()).unwrap();
        let nodes = || vec!["disk0".to_owned()];
        let save = SnapshotSave::new("job", "tag", "disk0", nodes());
        vm.test.run_job(save, "job", PATIENCE).unwrap().into_result().unwrap();
        assert_eq!(vm.status(), RunState::Paused);
        let load = SnapshotLoad::new("job", "tag", "disk0", nodes());
        vm.test.run_job(load, "job", PATIENCE).unwrap().into_result().unwrap();
        assert_eq!(vm.status(), RunState::Paused);
        let delete = SnapshotDelete::new("job", "tag", nodes());
        vm.test.run_job(delete, "job", PATIENCE).unwrap().into_result().unwrap();
        // The snapshot is gone, which is a failure of the job, and not of the command.
        let load = SnapshotLoad::new("job", "tag", "disk0", nodes());
        let outcome = vm.test.run_job(load, "job", PATIENCE).unwrap();
        assert!(outcome.concluded && !outcome.success(), "{outcome:?}");
        assert_eq!(vm.test.execute(QueryJobs::new()).unwrap(), []);
    }
}
