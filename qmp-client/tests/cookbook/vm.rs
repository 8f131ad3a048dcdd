//! A VM to try the programs on, and what runs in it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryFdsets, QueryNamedBlockNodes, QueryStatus};
use qmp_client::qmp::types::{BlockDeviceInfo, RunState};
use qmp_client::Options;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A guest of one sector, in 16-bit code. It enables the power button and says `R` on the debug
/// console. Then it looks, for ever, whether the button was pressed, and powers off; and whether a
/// PCI device is to go, and lets it.
pub const OBLIGING: &[u8] = &[
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // PM1 enable: power button
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0x07, // loop: PM1 status: pressed?
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // PM1 control: soft off
    0xba, 0x10, 0xae, 0x66, 0x31, 0xc0, 0x66, 0xef, // PCI hotplug: bus 0
    0xba, 0x04, 0xae, 0x66, 0xed, 0x66, 0x85, 0xc0, 0x74, 0xde, // slots that are to go?
    0xba, 0x08, 0xae, 0x66, 0xef, 0xeb, 0xd7, // eject them; loop
];

/// A guest that says `R`, and then shows what is typed, on the screen and on the debug console.
pub const ECHO: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0x30, 0xe4, 0xcd, 0x16, 0xe6, 0xe9, // loop: read a key, say it
    0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xeb, 0xf1, // show it; loop
];

/// A guest that says `R` and falls asleep (S3), as often as it is woken.
pub const SLEEPING: &[u8] = &[
    0xb0, 0x52, 0xe6, 0xe9, // 'R'
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x24, 0xef, // PM1 control: suspend to RAM
    0xf4, 0xeb, 0xfd, // halt, for ever
];

/// The QEMUs to test with.
pub fn qemus() -> Vec<String> {
    let named = |variable| std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    let names = named("QMP_TEST_QEMUS").or_else(|| named("QMP_TEST_QEMU"));
    let names = names.unwrap_or_else(|| String::from("qemu-system-x86_64"));
    let names = names.split(['\n', ':']).map(str::trim).filter(|name| !name.is_empty());
    names.map(String::from).collect()
}

/// A directory that is removed in the end.
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

    /// Runs `qemu-img`, and gives what it prints.
    pub fn img(&self, arguments: &[&str]) -> String {
        let program =
            std::env::var("QMP_TEST_QEMU_IMG").unwrap_or_else(|_| "qemu-img".to_owned());
        let output = Command::new(program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "qemu-img {arguments:?}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes a qcow2 image.
    pub fn qcow2(&self, name: &str, size: &str) -> String {
        let path = self.file(name);
        self.img(&["create", "-q", "-f", "qcow2", &path, size]);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A QEMU with two monitors, one for the program and one for the test. It is killed in the end.
pub struct Vm {
    pub child: Child,
    pub scratch: Scratch,
    /// The test's own monitor.
    pub test: Client,
}

impl Vm {
    /// Starts it, without a display and without default devices.
    pub fn start(qemu: &str, arguments: &str) -> Self {
        Self::start_in(Scratch::new(), qemu, arguments)
    }

    /// Starts it with files that are there: `DIR` in the arguments is the scratch directory.
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
        let address = monitor("test").parse().unwrap();
        let test = Client::connect_to_child(&address, &options, &mut child).unwrap();
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
        eventually("the guest runs", || vm.console().contains('R'));
        vm
    }

    /// What the guest has written to the debug console.
    pub fn console(&self) -> String {
        std::fs::read_to_string(self.scratch.file("console")).unwrap_or_default()
    }

    /// The address for the program.
    pub fn address(&self) -> String {
        format!("unix:{}", self.scratch.file("qmp"))
    }

    pub fn human(&mut self, command: &str) -> String {
        self.test.human_monitor(command).unwrap()
    }

    pub fn status(&mut self) -> RunState {
        self.test.execute(QueryStatus::new()).unwrap().status
    }

    pub fn node(&mut self, name: &str) -> Option<BlockDeviceInfo> {
        let nodes = self.test.execute(QueryNamedBlockNodes::new()).unwrap();
        nodes.into_iter().find(|node| node.node_name.as_deref() == Some(name))
    }

    /// How many block nodes there are, and how many descriptors QEMU was given.
    pub fn holdings(&mut self) -> (usize, usize) {
        let nodes = self.test.execute(QueryNamedBlockNodes::new()).unwrap().len();
        (nodes, self.test.execute(QueryFdsets::new()).unwrap().len())
    }

    /// Waits until QEMU has ended by itself, and says whether it did so in order.
    pub fn has_ended(&mut self) -> bool {
        let mut status = None;
        eventually("QEMU ends", || {
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

pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
