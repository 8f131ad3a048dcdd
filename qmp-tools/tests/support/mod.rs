//! Helpers that run the programs and the servers they talk to.

#![allow(dead_code, unreachable_pub)] // no test file uses everything

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

pub const QMP: &str = env!("CARGO_BIN_EXE_qmp");
pub const VM_INFO: &str = env!("CARGO_BIN_EXE_vm-info");
pub const SHELL: &str = env!("CARGO_BIN_EXE_qmp-shell");
pub const SCHEMA: &str = env!("CARGO_BIN_EXE_qmp-schema");

/// The exit status and the output of a program.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Formats the output, cut to a length that fits a failure message.
impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let out: String = self.out.chars().take(2000).collect();
        write!(f, "status {}\nout: {out}\nerr: {}", self.status, self.err)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Checks that the program succeeded, and returns its standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    /// Returns the standard error without what the program says of a server that is slow to answer, as
    /// on a busy machine.
    pub fn complaints(&self) -> String {
        self.err.split_inclusive('\n').filter(|line| !line.contains("; waiting up to ")).collect()
    }

    /// Checks that the program exited with this status, and returns its standard error.
    #[track_caller]
    pub fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.err
    }
}

/// Runs a program with empty standard input.
pub fn run(program: &str, arguments: &[&str]) -> Ran {
    run_with(program, arguments, "")
}

/// Runs a program with this standard input.
pub fn run_with(program: &str, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program may exit without reading its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

/// Returns whether this process ignores a signal, as one does that `nohup` or a script started in the
/// background. Its children then do as well.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    u64::from_str_radix(set.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

/// Returns an address at which nothing listens. On Linux, it has a loopback address of its own, where no
/// connection of another test is given the same port.
pub fn unused_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = if cfg!(target_os = "linux") { [127, number, high, low] } else { [127, 0, 0, 1] };
    TcpListener::bind((Ipv4Addr::from(host), 0)).unwrap().local_addr().unwrap()
}

/// A temporary directory, removed on drop.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        Self::within(std::env::temp_dir())
    }

    /// Creates a directory that a sandboxed QEMU can access.
    pub fn for_sockets() -> Self {
        Self::within(
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from),
        )
    }

    fn within(directory: PathBuf) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("qmp-tools-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process, killed on drop.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
