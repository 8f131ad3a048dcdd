//! The machines of the tests: simulated ones, and QEMUs.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qmp_server::Simulator;
use serde_json::json;

use super::PATIENCE;

/// A machine with two monitors.
pub trait World: Send + Sync {
    /// Connects to the monitor that the mirror follows.
    fn connect(&self) -> Option<UnixStream>;
    /// Connects to another monitor.
    fn connect_other(&self) -> Option<UnixStream>;
    /// The prefix of the paths of images.
    fn files(&self) -> String;
    /// Ends the machine if it does not answer any more.
    fn kill(&self) {}
    /// Starts the machine again if it has ended, and returns whether it had.
    fn revive(&self) -> bool {
        false
    }
}

pub struct Simulated(Simulator);

impl Simulated {
    pub fn new() -> Self {
        let mut builder = Simulator::builder()
            .empty()
            .machine_type("pc")
            .memory(64 << 20)
            .memory_slots(4, 1 << 30)
            .device(json!({"driver": "virtio-scsi-pci", "id": "scsi"}))
            .device(json!({"driver": "nec-usb-xhci", "id": "xhci"}))
            .device(json!({"driver": "virtio-serial-pci", "id": "serial"}))
            .device(json!({"driver": "virtio-balloon-pci", "id": "balloon"}))
            .netdev(json!({"type": "hubport", "id": "net0", "hubid": 0}))
            .device(json!({"driver": "virtio-net-pci", "id": "nic", "netdev": "net0"}))
            .disk_speed(64 << 20)
            .migration_takes(Duration::from_millis(50));
        for number in 0..3 {
            builder = builder.file(&format!("/images/{number}.raw"), "raw", 1 << 20);
        }
        assert!(builder.error().is_none(), "{:?}", builder.error());
        Self(builder.build())
    }
}

impl World for Simulated {
    fn connect(&self) -> Option<UnixStream> {
        self.0.connect().ok()
    }

    fn connect_other(&self) -> Option<UnixStream> {
        self.0.connect().ok()
    }

    fn files(&self) -> String {
        "/images/".to_owned()
    }
}

/// A QEMU whose CPU halts at once, with two monitors.
pub struct Qemu {
    program: String,
    directory: PathBuf,
    child: Mutex<Child>,
}

impl Qemu {
    pub fn start(program: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = root.join(format!("qmp-mirror-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for number in 0..3 {
            let file = std::fs::File::create(directory.join(format!("{number}.raw"))).unwrap();
            file.set_len(1 << 20).unwrap();
        }
        // Firmware of nothing but `hlt`.
        std::fs::write(directory.join("halt"), [0xf4; 64 << 10]).unwrap();
        let child = Mutex::new(spawn(program, &directory));
        Self { program: program.to_owned(), directory, child }
    }

    fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    fn socket(&self, name: &str) -> Option<UnixStream> {
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(self.directory.join(name)) {
                Ok(stream) => return Some(stream),
                Err(_) if Instant::now() > end || self.has_ended() => return None,
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

fn spawn(program: &str, directory: &std::path::Path) -> Child {
    let monitor =
        |name: &str| format!("unix:{},server=on,wait=off", directory.join(name).display());
    let log = std::fs::File::create(directory.join("log")).unwrap();
    Command::new(program)
        .args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-bios", "halt"])
        .args(["-m", "64,slots=4,maxmem=1G"])
        .args(["-device", "virtio-scsi-pci,id=scsi", "-device", "nec-usb-xhci,id=xhci"])
        .args(["-device", "virtio-serial-pci,id=serial"])
        .args(["-device", "virtio-balloon-pci,id=balloon", "-netdev", "hubport,id=net0,hubid=0"])
        .args(["-device", "virtio-net-pci,id=nic,netdev=net0,romfile="])
        .args(["-qmp", &monitor("mirror"), "-qmp", &monitor("other")])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl World for Qemu {
    fn connect(&self) -> Option<UnixStream> {
        self.socket("mirror")
    }

    fn connect_other(&self) -> Option<UnixStream> {
        self.socket("other")
    }

    fn files(&self) -> String {
        format!("{}/", self.directory.display())
    }

    fn kill(&self) {
        println!("{} does not answer", self.program);
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn revive(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        let Some(status) = child.try_wait().unwrap() else { return false };
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        println!("QEMU has ended ({status}): {log}");
        for name in ["mirror", "other"] {
            let _ = std::fs::remove_file(self.directory.join(name));
        }
        *child = spawn(&self.program, &self.directory);
        true
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
