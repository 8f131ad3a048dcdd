//! Processes, as `/proc` shows them. The files of other users' processes may be unreadable; what is
//! missing is left out.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest command line that is read, in bytes: Linux's limit is usually 2 MiB.
const LONGEST: u64 = 4 << 20;
/// The most descriptors of a process that are looked at.
const MOST_DESCRIPTORS: usize = 64 * 1024;

/// The files of a host, below a directory: `/` for the host itself.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The name of its command, at most 15 bytes long.
    pub command: String,
}

/// The state of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status {
    /// The letter that `ps` shows.
    pub(crate) state: char,
    pub(crate) threads: u32,
}

impl Status {
    /// Returns whether a signal or a debugger has stopped the process.
    pub(crate) fn is_stopped(self) -> bool {
        matches!(self.state, 'T' | 't')
    }
}

impl Default for Host {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Host {
    /// Returns a host whose files are below a directory, such as a mounted image, or a fixture.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns whether it is the host that this program runs on.
    pub(crate) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Returns the place of a file whose absolute path on the host is `path`.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Returns the path on the host of a file at `place`.
    pub(crate) fn path_of(&self, place: &Path) -> PathBuf {
        match place.strip_prefix(&self.root) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => place.to_owned(),
        }
    }

    /// Returns the numbers of all processes, in ascending order.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(self.place(Path::new("/proc"))) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    /// Returns a process with the name of its command.
    pub(crate) fn process(&self, pid: u32) -> Option<Process> {
        let command = read_text(&self.of(pid, "comm"), 64)?;
        Some(Process { pid, command: command.trim_end_matches('\n').to_owned() })
    }

    /// Returns the arguments of a process, the program first; none of a kernel thread.
    pub(crate) fn arguments(&self, pid: u32) -> Vec<String> {
        let Some(bytes) = read(&self.of(pid, "cmdline"), LONGEST) else { return Vec::new() };
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        let arguments = bytes.split(|byte| *byte == 0);
        arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
    }

    pub(crate) fn status(&self, pid: u32) -> Option<Status> {
        let text = read_text(&self.of(pid, "stat"), 4096)?;
        // The command's name is in parentheses and may contain some.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        Some(Status { state, threads })
    }

    /// Returns the user that a process belongs to.
    pub(crate) fn user(&self, pid: u32) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        Some(self.of(pid, "").metadata().ok()?.uid())
    }

    /// Returns the current directory of a process.
    pub(crate) fn directory(&self, pid: u32) -> Option<PathBuf> {
        std::fs::read_link(self.of(pid, "cwd")).ok()
    }

    /// Reads a file that a process refers to, in its own view of the files.
    pub(crate) fn file_of(&self, pid: u32, path: &str, longest: u64) -> Option<String> {
        let directory = self.directory(pid);
        let path = directory.unwrap_or_default().join(path);
        let inside = self.of(pid, "root").join(path.strip_prefix("/").unwrap_or(&path));
        read_text(&inside, longest).or_else(|| read_text(&self.place(&path), longest))
    }

    /// Returns the path by which a process's file can be reached from here: the same one, unless the
    /// process sees other files.
    pub(crate) fn reachable(&self, pid: u32, path: PathBuf) -> PathBuf {
        if path.is_relative() || self.place(&path).exists() {
            return path;
        }
        let inside = self.of(pid, "root").join(path.strip_prefix("/").unwrap_or(&path));
        if inside.exists() { self.path_of(&inside) } else { path }
    }

    /// Returns the number of the socket that a descriptor of a process refers to.
    pub(crate) fn socket_of(&self, pid: u32, descriptor: u32) -> Option<u64> {
        socket_number(&self.of(pid, &format!("fd/{descriptor}")))
    }

    /// Returns the processes, among those that may be looked into, that have any of these sockets
    /// open, each with the socket.
    pub(crate) fn owners(&self, sockets: &[u64]) -> Vec<(u64, Process)> {
        let mut owners = Vec::new();
        if sockets.is_empty() {
            return owners;
        }
        for pid in self.pids() {
            let Ok(entries) = std::fs::read_dir(self.of(pid, "fd")) else { continue };
            let numbers =
                entries.flatten().take(MOST_DESCRIPTORS).filter_map(|e| socket_number(&e.path()));
            let mut own: Vec<u64> = numbers.filter(|number| sockets.contains(number)).collect();
            own.sort_unstable();
            own.dedup();
            for socket in own {
                owners.extend(self.process(pid).map(|process| (socket, process)));
            }
        }
        owners
    }

    pub(crate) fn of(&self, pid: u32, file: &str) -> PathBuf {
        self.place(Path::new("/proc")).join(pid.to_string()).join(file)
    }
}

fn socket_number(link: &Path) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    let text = target.as_os_str().as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a file of at most `longest` bytes.
pub(crate) fn read(path: &Path, longest: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    // A pipe or a device would make this program wait.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(longest).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(crate) fn read_text(path: &Path, longest: u64) -> Option<String> {
    read(path, longest).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
