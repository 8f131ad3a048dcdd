//! Starts a virtual machine as container runtimes do: a daemon with a monitor and a file with its
//! process number, paused until its devices are there.
//!
//! `tests/stand_in.rs` tests it twice, with QEMU and with `qmp` in the place of QEMU.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    BlockdevAdd, Cont, DeviceAdd, ObjectAdd, QueryBlock, QueryName, QueryStatus, Quit,
};
use qmp_client::qmp::events::{Resume, Shutdown};
use qmp_client::qmp::types::{
    BlockdevOptions, BlockdevOptionsDriver, BlockdevOptionsFile, IothreadProperties, ObjectOptions,
};

/// The time that QEMU has to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a virtual machine in a directory, and returns what it has reported. `qemu` is the command
/// without arguments.
pub(crate) fn run(mut qemu: Command, directory: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let (socket, pid_file) = (directory.join("qmp.sock"), directory.join("pid"));
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    let started = qemu
        .args(["-name", "sandbox-1,debug-threads=on", "-uuid"])
        .arg("12345678-1234-1234-1234-123456789abc")
        .args(["-machine", "pc,accel=tcg", "-m", "128M", "-smp", "1,maxcpus=2"])
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-S"])
        .args(["-object", "rng-random,id=rng0,filename=/dev/urandom"])
        .args(["-device", "virtio-rng-pci,rng=rng0"])
        .args(["-qmp", &monitor, "-daemonize", "-pidfile"])
        .arg(&pid_file)
        .output()?;
    if !started.status.success() {
        return Err(String::from_utf8_lossy(&started.stderr).into_owned().into());
    }
    // The monitor is there, since the first process exits when it is.
    let mut seen = vec![format!("pid file: {}", pid_file.exists())];
    let client = Client::connect(socket.as_path())?;
    let mut resumed = client.events_of::<Resume>();
    let mut ended = client.events_of::<Shutdown>();
    seen.push(format!("name: {:?}", client.execute(QueryName::new())?.name));
    seen.push(format!("status: {}", client.execute(QueryStatus::new())?.status));

    let image = directory.join("rootfs.img");
    File::create(&image)?.set_len(1 << 20)?;
    let image = BlockdevOptionsDriver::File(BlockdevOptionsFile::new(image.to_string_lossy()));
    client.execute(BlockdevAdd::new(BlockdevOptions::new(image).node_name("rootfs")))?;
    client.execute(DeviceAdd::new("virtio-blk-pci").id("disk").property("drive", "rootfs"))?;
    let again = DeviceAdd::new("virtio-blk-pci").id("disk").property("drive", "rootfs");
    if let Err(error) = client.execute(again) {
        seen.push(format!("twice: {error}"));
    }
    client.execute(ObjectAdd::new(ObjectOptions::new(IothreadProperties::new(), "io")))?;
    client.execute(Cont::new())?;
    resumed.next().ok_or("no event RESUME")??;
    seen.push(format!("status: {}", client.execute(QueryStatus::new())?.status));
    for block in client.execute(QueryBlock::new())? {
        let node = block.inserted.and_then(|medium| medium.node_name);
        seen.push(format!("block: {:?} {node:?}", block.qdev));
    }

    client.execute(Quit::new())?;
    let ended = ended.next().ok_or("no event SHUTDOWN")??;
    seen.push(format!("shutdown: {}", ended.event.reason));
    let deadline = Instant::now() + PATIENCE;
    while pid_file.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    seen.push(format!("left: {} {}", pid_file.exists(), socket.exists()));
    Ok(seen)
}

#[allow(dead_code)] // the test calls `run`
fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: container DIRECTORY")?;
    for line in run(Command::new("qemu-system-x86_64"), Path::new(&directory))? {
        println!("{line}");
    }
    Ok(())
}
