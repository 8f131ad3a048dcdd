//! A program that starts "QEMU" by its name, with the simulated machine in QEMU's place and, where
//! it is installed, with QEMU.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "../examples/container.rs"]
mod container;
mod support;

use std::path::Path;
use std::process::Command;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryBlock, QueryName, QueryStatus};
use qmp_vm::Launch;
use support::{Directory, QMP, Ran};

/// The name by which programs start QEMU.
const NAME: &str = "qemu-system-x86_64";

/// Returns a directory in which the name of QEMU leads to our program.
fn stand_in() -> Directory {
    let directory = Directory::new();
    std::os::unix::fs::symlink(QMP, directory.path(NAME)).unwrap();
    directory
}

/// Returns the command that starts QEMU by its name, which leads to our program.
fn command(directory: &Directory) -> Command {
    let mut command = Command::new(NAME);
    let path = directory.path("");
    command.env("PATH", Path::new(&path));
    command
}

/// A monitor that is taken for the port of a guest agent greets, and the error showed the greeting.
#[test]
#[cfg(target_os = "linux")]
fn a_monitor_is_not_a_guest_agent() {
    let directory = stand_in();
    let path = directory.path("qmp");
    let mut qemu = command(&directory);
    qemu.args(["-display", "none", "-qmp", &format!("unix:{path},server=on,wait=off")]);
    let _qemu = support::Process(qemu.spawn().unwrap());
    support::run(QMP, &["info", &path]).ok();
    let error = support::run(QMP, &["agent", &path, "-c", "fsinfo"]).failed(3);
    assert!(error.contains("this is a QMP monitor of the QEMU with the pid"), "{error}");
}

fn refused(mut qemu: Command, arguments: &[&str]) -> String {
    let ran: Ran = qemu.args(arguments).output().unwrap().into();
    ran.failed(1)
}

#[test]
fn a_container_runtime_is_tested_without_qemu() {
    let directory = stand_in();
    let run = Directory::for_sockets();
    let seen = container::run(command(&directory), Path::new(&run.path(""))).unwrap();
    assert_eq!(
        seen,
        [
            "pid file: true",
            "name: Some(\"sandbox-1\")",
            "status: prelaunch",
            "twice: device_add failed: Duplicate device ID 'disk'",
            "status: running",
            "block: Some(\"/machine/peripheral/disk/virtio-backend\") Some(\"rootfs\")",
            "shutdown: host-qmp-quit",
            "left: false false",
        ]
    );
}

#[test]
#[cfg_attr(not(qemu), ignore = "QEMU is not installed")]
fn qemu_behaves_alike() {
    let name = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| NAME.to_owned());
    let (directory, runs) = (stand_in(), [Directory::for_sockets(), Directory::for_sockets()]);
    let simulated = container::run(command(&directory), Path::new(&runs[0].path(""))).unwrap();
    let real = container::run(Command::new(name), Path::new(&runs[1].path(""))).unwrap();
    assert_eq!(simulated, real);
}

/// Our own launcher passes one end of a socket pair as a descriptor.
#[test]
fn launch_starts_the_stand_in() {
    let directory = stand_in();
    let launch = || {
        let path = directory.path("");
        Launch::new(NAME).configure(move |command| {
            command.env("PATH", path);
        })
    };
    let vm = launch()
        .args(["-M", "q35", "-display", "none", "-S", "-name", "launched"])
        .start::<Client>()
        .unwrap();
    assert_eq!(vm.execute(QueryName::new()).unwrap().name.as_deref(), Some("launched"));
    assert_eq!(vm.execute(QueryStatus::new()).unwrap().status.as_str(), "prelaunch");
    assert!(vm.quit().unwrap().success());
    let error = launch().args(["-device", "nope"]).start::<Client>();
    let error = format!("{:?}", error.unwrap_err());
    assert!(error.contains("-device nope: 'nope' is not a valid device model name"), "{error}");
}

/// Returns the version of an executable, such as `11.1.3 (...)`.
fn version(program: &str) -> String {
    let version = Command::new(program).arg("-version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    version.strip_prefix("QEMU emulator version ").unwrap_or_default().to_owned()
}

/// Drives as the command line describes them, where `IMAGE` and `RAW` are files, and a line for each
/// back end: its name, its device, whether it is removable and has a tray, and its medium.
const DRIVES: &[(&[&str], &[&str])] = &[
    (&["-hda", "IMAGE"], &["ide0-hd0 /machine/unattached/device[4] false None qcow2 IMAGE"]),
    (&["IMAGE"], &["ide0-hd0 /machine/unattached/device[4] false None qcow2 IMAGE"]),
    (
        &["-hdb", "IMAGE", "-cdrom", "RAW"],
        &[
            "ide0-hd1 /machine/unattached/device[4] false None qcow2 IMAGE",
            "ide1-cd0 /machine/unattached/device[5] true Some(false) raw RAW, read-only",
        ],
    ),
    (
        &["-hdd", "IMAGE", "-drive", "media=cdrom"],
        &[
            "ide1-hd1 /machine/unattached/device[5] false None qcow2 IMAGE",
            "ide0-cd0 /machine/unattached/device[4] true Some(false)",
        ],
    ),
    (
        &["-M", "q35", "-hda", "IMAGE", "-hdb", "RAW"],
        &[
            "ide0-hd0 /machine/unattached/device[13] false None qcow2 IMAGE",
            "ide1-hd0 /machine/unattached/device[14] false None raw RAW",
        ],
    ),
    (&["-M", "none", "-hda", "IMAGE"], &["none0  true None qcow2 IMAGE"]),
    (
        &["-drive", "file=RAW,format=raw,if=virtio,read-only=on"],
        &["virtio0 /machine/peripheral-anon/device[0]/virtio-backend false None raw RAW, \
             read-only"],
    ),
    (
        &["-drive", "file=IMAGE,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0,id=vb"],
        &["d0 /machine/peripheral/vb/virtio-backend false None qcow2 IMAGE"],
    ),
    (
        &["-drive", "if=none,id=n0", "-drive", "if=floppy,file=RAW,format=raw"],
        &["n0  true None", "floppy0 /machine/unattached/device[10] true None raw RAW"],
    ),
    (
        &["-drive", "if=pflash,file=RAW,format=raw"],
        &["pflash0 /machine/system.flash0 false None raw RAW"],
    ),
];

/// Checks the back ends that a program has for drives.
fn has_the_drives(configure: impl Fn(&mut Command) + Clone + Send + 'static, program: &str) {
    let directory = Directory::new();
    let (image, raw) = (directory.path("a.qcow2"), directory.path("b.raw"));
    let mut header = b"QFI\xfb\0\0\0\x02".to_vec();
    // A cluster of 64 KiB, and an image of 1 MiB with one table.
    header.resize(20, 0);
    header.extend(16_u32.to_be_bytes());
    header.extend((1_u64 << 20).to_be_bytes());
    header.extend([0; 4]);
    header.extend(1_u32.to_be_bytes());
    header.extend((3_u64 << 16).to_be_bytes());
    header.extend((1_u64 << 16).to_be_bytes());
    header.extend(1_u32.to_be_bytes());
    header.resize(4 << 16, 0);
    header[1 << 16..(1 << 16) + 8].copy_from_slice(&(2_u64 << 16).to_be_bytes());
    for cluster in 0..4 {
        header[(2 << 16) + 2 * cluster + 1] = 1;
    }
    std::fs::write(&image, header).unwrap();
    std::fs::write(&raw, vec![0; 1 << 20]).unwrap();
    for (arguments, expected) in DRIVES {
        let given = arguments.iter().map(|text| text.replace("IMAGE", &image).replace("RAW", &raw));
        let vm = Launch::new(program)
            .configure(configure.clone())
            .args(["-display", "none", "-nodefaults", "-S"])
            .args(given)
            .start::<Client>()
            .unwrap();
        let blocks = vm.execute(QueryBlock::new()).unwrap();
        let lines: Vec<String> = blocks
            .iter()
            .map(|block| {
                let medium = block.inserted.as_ref().map(|node| {
                    let file = node.file.replace(&image, "IMAGE").replace(&raw, "RAW");
                    let mode = if node.ro { ", read-only" } else { "" };
                    format!(" {} {file}{mode}", node.drv)
                });
                let qdev = block.qdev.as_deref().unwrap_or_default();
                format!(
                    "{} {qdev} {} {:?}{}",
                    block.device,
                    block.removable,
                    block.tray_open,
                    medium.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(lines, *expected, "{arguments:?}");
        vm.quit().unwrap();
    }
}

/// They had other names, and an image in qcow2 was reported as a plain file.
#[test]
fn drives_are_those_of_qemu() {
    let directory = stand_in();
    let path = directory.path("");
    let configure = move |command: &mut Command| {
        command.env("PATH", &path);
    };
    has_the_drives(configure, NAME);
}

#[test]
#[cfg_attr(not(qemu), ignore = "QEMU is not installed")]
fn the_drives_are_qemus() {
    let name = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| NAME.to_owned());
    // Older releases number the devices of the board otherwise.
    let version = version(&name);
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.unwrap_or_else(|| panic!("unknown version: {version}")) >= 10 {
        has_the_drives(|_| {}, &name);
    }
}

/// Arguments that QEMU refuses, with its messages, which it prints after the arguments.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-device", "nope"], "'nope' is not a valid device model name"),
    (&["-nope"], "invalid option"),
    (&["-device"], "requires an argument"),
    (&["-blockdev", "null-co,node-name=a,nope=1"], "Parameter 'nope' is unexpected"),
    (&["-blockdev", "null-co,node-name=a,size=x"], "Parameter 'size' expects integer"),
    (&["-blockdev", "null-co,node-name=9a"], "Invalid node-name: '9a'"),
    (&["-netdev", "user"], "Parameter 'id' is missing"),
    (&["-netdev", "user,id=a,nope=1"], "Invalid parameter 'nope'"),
    (&["-netdev", "user,id=a,restrict=maybe"], "Parameter 'restrict' expects 'on' or 'off'"),
    (&["-netdev", "nope,id=a"], "Parameter 'type' does not accept value 'nope'"),
    (&["-object", "nope,id=a"], "Parameter 'qom-type' does not accept value 'nope'"),
    (&["-object", "iothread"], "Parameter 'id' is missing"),
    (&["-chardev", "nope,id=a"], "'nope' is not a valid char driver name"),
    (&["-chardev", "null,id=a,nope=1"], "Invalid parameter 'nope'"),
    (&["-device", "virtio-rng-pci,vectors=abc"], "Parameter 'vectors' expects integer"),
    (&["-device", "virtio-rng-pci,nope=1"], "Property 'virtio-rng-pci.nope' not found"),
    (&["-device", "virtio-blk-pci"], "drive property not set"),
    (&["-device", "virtio-net-pci,csum=maybe"], "Parameter 'csum' expects 'on' or 'off'"),
    (&["-uuid", "nope"], "failed to parse UUID string: wrong format"),
    (&["-accel", "nope"], "invalid accelerator nope"),
    (&["-name", "a,nope=1"], "Invalid parameter 'nope'"),
    (&["-add-fd", "fd=99,set=1"], "fd is not valid or already in use"),
    (&["-drive", "if=virtio"], "Device needs media, but drive is empty"),
    (&["-drive", "if=nope"], "unsupported bus type 'nope'"),
    (&["-drive", "media=nope"], "'nope' invalid media"),
    (&["-drive", "index=x"], "Parameter 'index' expects a number"),
    (&["-drive", "index=1,unit=1"], "index cannot be used with bus and unit"),
    (&["-drive", "driver=null-co,cache=nope"], "invalid cache option"),
    (&["-drive", "driver=null-co,aio=nope"], "invalid aio option"),
    (&["-drive", "driver=null-co,discard=nope"], "Invalid discard option"),
    (&["-drive", "driver=null-co,detect-zeroes=x"], "invalid parameter value: x"),
    (&["-drive", "driver=null-co,werror=x"], "'x' invalid write error action"),
    (&["-drive", "driver=null-co,rerror=x"], "'x' invalid read error action"),
    (&["-drive", "driver=null-co,read-only=x"], "Parameter 'read-only' expects 'on' or 'off'"),
    (&["-drive", "format=raw,driver=raw"], "Cannot specify both 'driver' and 'format'"),
    (&["-drive", "format=raw,if=none"], "A block device must be specified for \"file\""),
    (&["-drive", "file=/dev/null,format=nope"], "Unknown driver 'nope'"),
    (
        &["-drive", "file=/dev/null,format=raw,nope.x=1"],
        "Block format 'raw' does not support the option 'nope.x'",
    ),
    (&["-drive", "file=/nope/x,format=raw"], "Could not open '/nope/x': No such file or directory"),
    (&["-hda", "/nope/x"], "Could not open '/nope/x': No such file or directory"),
    (&["-drive", "if=scsi,driver=null-co"], "machine type does not support if=scsi,bus=0,unit=0"),
    (&["-action", "nope=1"], "Invalid parameter 'nope'"),
    (&["-action", "reboot=nope"], "Parameter 'reboot' does not accept value 'nope'"),
    (&["-qmp", "chardev:nope"], "chardev \"nope\" not found"),
    (&["-qmp", "tcp:nope"], "parse error: tcp:nope"),
    (
        &["-qmp", "unix:/nope/x,server=on,wait=off"],
        "Failed to bind socket to /nope/x: No such file or directory",
    ),
    (&["-qmp", "unix:/nope/x"], "Failed to connect to '/nope/x': No such file or directory"),
    (&["-chardev", "socket,id=a"], "Unable to parse FD number "),
    (&["-chardev", "null"], "chardev: no id specified"),
    (&["-object", "monitor-qmp,id=q"], "Parameter 'chardev' is missing"),
];

/// Arguments that QEMU refuses without repeating them.
const REFUSED_AS_A_WHOLE: &[(&[&str], &str)] = &[
    (&["-cpu", "nope"], "unable to find CPU model 'nope'"),
    (&["-nographic", "-daemonize"], "-nographic cannot be used with -daemonize"),
    (&["-smp", "nope=1"], "Parameter 'smp.nope' is unexpected"),
    (&["-smp", "x"], "Parameter 'smp.cpus' expects integer"),
    (&["-drive", "if=ide"], "Device needs media, but drive is empty"),
    (&["-drive", "driver=null-co,read-only=on"], "Block node is read-only"),
    (&["-object", "monitor-qmp,id=q,chardev=nope"], "chardev \"nope\" not found"),
];

/// Checks that a program refuses what QEMU refuses, in its words.
fn refuses_in_qemus_words(qemu: impl Fn() -> Command) {
    for (arguments, message) in REFUSED {
        let expected = format!("{NAME}: {}: {message}\n", arguments.join(" "));
        assert_eq!(refused(qemu(), arguments), expected);
    }
    for (arguments, message) in REFUSED_AS_A_WHOLE {
        assert_eq!(refused(qemu(), arguments), format!("{NAME}: {message}\n"));
    }
    let hint = "Use -machine help to list supported machines";
    let expected = format!("{NAME}: unsupported machine type: \"nope\"\n{hint}\n");
    assert_eq!(refused(qemu(), &["-M", "nope"]), expected);
    // A daemon that cannot start says so before its first process exits.
    let refusal = refused(qemu(), &["-daemonize", "-display", "none", "-device", "nope"]);
    assert_eq!(refusal, format!("{NAME}: -device nope: 'nope' is not a valid device model name\n"));
}

#[test]
fn what_qemu_refuses_is_refused_in_its_words() {
    let directory = stand_in();
    refuses_in_qemus_words(|| command(&directory));
}

#[test]
#[cfg_attr(not(qemu), ignore = "QEMU is not installed")]
fn the_words_are_qemus() {
    let name = std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| NAME.to_owned());
    // Other releases have other words.
    if version(&name).starts_with("11.1") {
        refuses_in_qemus_words(|| Command::new(&name));
    }
}
