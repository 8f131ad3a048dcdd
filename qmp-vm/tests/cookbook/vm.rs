//! VMs that the programs are run with, and their guests.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryFdsets, QueryNamedBlockNodes, QueryStatus};
use qmp_client::qmp::types::{BlockDeviceInfo, RunState};
use qmp_client::{Address, Options};
use qmp_vm::Workflows;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A guest of one sector, in 16-bit code. It enables the power button and writes `R` to the debug
/// console. Then it polls, forever: if the button was pressed, it powers off, and if a PCI device is
/// to be unplugged, it releases the device.
pub const OBLIGING: &[u8] = &[
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // PM1 enable: power button
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0x07, // loop: PM1 status: pressed?
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // PM1 control: soft off
    0xba, 0x10, 0xae, 0x66, 0x31, 0xc0, 0x66, 0xef, // PCI hotplug: bus 0
    0xba, 0x04, 0xae, 0x66, 0xed, 0x66, 0x85, 0xc0, 0x74, 0xde, // slots to eject?
    0xba, 0x08, 0xae, 0x66, 0xef, 0xeb, 0xd7, // eject them; loop
];

/// A guest that writes `R`, and then echoes what is typed, on the screen and on the debug console.
pub const ECHO: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0x30, 0xe4, 0xcd, 0x16, 0xe6, 0xe9, // loop: read a key, write it
    0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xeb, 0xf1, // show it; loop
];

/// A guest that writes `R`, and then the ASCII code of each key to the first serial port.
pub const TYPEWRITER: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0x30, 0xe4, 0xcd, 0x16, // loop: read a key
    0xba, 0xf8, 0x03, 0xee, // write it to port 0x3f8
    0xeb, 0xf6, // loop
];

/// A guest that writes `R` and suspends itself (S3), each time that it is woken.
pub const SLEEPING: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x24, 0xef, // PM1 control: suspend to RAM
    0xf4, 0xeb, 0xfd, // halt, forever
];

/// A guest that writes `R`, and suspends itself (S3) when a key is pressed.
pub const SUSPENDING: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0x30, 0xe4, 0xcd, 0x16, // read a key
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x24, 0xef, // PM1 control: suspend to RAM
    0xf4, 0xeb, 0xfd, // halt, forever
];

/// A guest that writes `R`, and resets the PC when a key is pressed.
pub const REBOOTING: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0x30, 0xe4, 0xcd, 0x16, // read a key
    0xb0, 0xfe, 0xe6, 0x64, // keyboard controller: reset
    0xf4, 0xeb, 0xfd, // halt, forever
];

/// Returns the QEMUs to test with.
pub fn qemus() -> Vec<String> {
    let named = |variable| std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    let names = named("QMP_TEST_QEMUS").or_else(|| named("QMP_TEST_QEMU"));
    let names = names.unwrap_or_else(|| String::from("qemu-system-x86_64"));
    let names = names.split(['\n', ':']).map(str::trim).filter(|name| !name.is_empty());
    names.map(String::from).collect()
}

/// A directory that is removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let named = |variable| std::env::var_os(variable).map(PathBuf::from);
        let parent = named("QMP_TEST_DIR").or_else(|| named("QMP_TEST_SOCKETS"));
        // Short: the path of a socket has room for about a hundred bytes.
        let path = parent
            .unwrap_or_else(std::env::temp_dir)
            .join(format!("cookbook-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Runs `qemu-img`, and returns what it prints.
    pub fn img(&self, arguments: &[&str]) -> String {
        let program = std::env::var("QMP_TEST_QEMU_IMG").unwrap_or_else(|_| "qemu-img".to_owned());
        let output = Command::new(program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "qemu-img {arguments:?}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Creates a qcow2 image, and returns its path.
    pub fn qcow2(&self, name: &str, size: &str) -> String {
        let path = self.file(name);
        self.img(&["create", "-q", "-f", "qcow2", &path, size]);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is a temporary one anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A QEMU with two monitors, one for the program and one for the test. Dropping it kills QEMU.
pub struct Vm {
    pub child: Child,
    pub scratch: Scratch,
    /// The test's own monitor.
    pub test: Client,
}

impl Vm {
    /// Starts QEMU, without a display and without default devices.
    pub fn start(qemu: &str, arguments: &str) -> Self {
        Self::start_in(Scratch::new(), qemu, arguments)
    }

    /// Starts QEMU with the files of a directory, which `DIR` in the arguments stands for.
    pub fn start_in(scratch: Scratch, qemu: &str, arguments: &str) -> Self {
        let monitor = |name| format!("unix:{},server=on,wait=off", scratch.file(name));
        let directory = scratch.0.display().to_string();
        let mut child = Command::new(qemu)
            .args(["-display", "none", "-nodefaults", "-accel", "tcg"])
            .args(["-qmp", &monitor("qmp"), "-qmp", &monitor("test")])
            .args(arguments.replace("DIR", &directory).split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let options = Options::new().wait_for_socket(PATIENCE).calls_within(PATIENCE);
        let address: Address = monitor("test").parse().unwrap();
        let test = Client::connect_to_child(&address, &options, || child.try_wait()).unwrap();
        Self { child, scratch, test }
    }

    /// Starts a PC with a guest in it, and waits until that runs.
    pub fn with_guest(qemu: &str, guest: &[u8], arguments: &str) -> Self {
        let scratch = Scratch::new();
        let mut image = vec![0; 1 << 20];
        image[..guest.len()].copy_from_slice(guest);
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(scratch.file("guest"), image).unwrap();
        let machine = "-M pc -m 32 -chardev file,id=console,path=DIR/console \
            -device isa-debugcon,iobase=0xe9,chardev=console \
            -blockdev driver=file,filename=DIR/guest,node-name=guest \
            -device ide-hd,drive=guest,bootindex=0";
        let vm = Self::start_in(scratch, qemu, &format!("{machine} {arguments}"));
        eventually("the guest to run", || vm.console().contains('R'));
        vm
    }

    /// Returns what the guest has written to the debug console.
    pub fn console(&self) -> String {
        std::fs::read_to_string(self.scratch.file("console")).unwrap_or_default()
    }

    /// Returns the address of the program's monitor.
    pub fn address(&self) -> String {
        format!("unix:{}", self.scratch.file("qmp"))
    }

    pub fn human(&self, command: &str) -> String {
        self.test.human_monitor(command).unwrap().into_string()
    }

    pub fn status(&self) -> RunState {
        self.test.execute(QueryStatus::new()).unwrap().status
    }

    pub fn node(&self, name: &str) -> Option<BlockDeviceInfo> {
        let nodes = self.test.execute(QueryNamedBlockNodes::new()).unwrap();
        nodes.into_iter().find(|node| node.node_name.as_deref() == Some(name))
    }

    /// Returns the number of block nodes, and that of descriptor sets.
    pub fn holdings(&self) -> (usize, usize) {
        let nodes = self.test.execute(QueryNamedBlockNodes::new()).unwrap().len();
        (nodes, self.test.execute(QueryFdsets::new()).unwrap().len())
    }

    /// Waits until QEMU has exited, and returns whether it exited successfully.
    pub fn has_ended(&mut self) -> bool {
        let mut status = None;
        eventually("QEMU to exit", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().success()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
pub fn eventually(state: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "timed out waiting for {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
