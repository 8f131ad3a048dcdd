//! The process at the other end of a Unix socket, as far as the system tells.

use std::io;

/// Returns the process at the other end of a Unix socket: the one that listens, or that has connected.
#[cfg(all(unix, any(feature = "blocking", feature = "futures-io")))]
pub(crate) fn peer_of(socket: impl std::os::fd::AsFd) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
        peer.pid.as_raw_nonzero().get().try_into().ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        None
    }
}

/// A process that was QEMU when it was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ProcessKey {
    pub(super) pid: u32,
    /// When it began, in the system's ticks since it was booted: process ids are used again.
    pub(super) start: u64,
}

impl ProcessKey {
    /// Looks at a process. Returns `None` if it is not a QEMU: the process that listens may be
    /// another, such as a manager that passed the socket to QEMU, or a proxy.
    pub(super) fn of_qemu(pid: u32) -> Option<Self> {
        let start = start_of(pid)?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        runs_qemu(&arguments).then_some(Self { pid, start })
    }

    /// Returns whether the process has ended.
    pub(super) fn has_ended(self) -> bool {
        cfg!(target_os = "linux") && self.has_ended_by(read_stat(self.pid))
    }

    /// Returns whether the process has ended, by the system's answer. Any error but one says nothing:
    /// this program may have too many open files.
    fn has_ended_by(self, stat: io::Result<String>) -> bool {
        match stat {
            Ok(stat) => parse_start(&stat) != Some(self.start),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// Returns whether the name of a program is one of QEMU's: `qemu-system-x86_64`, `qemu-kvm`, `kvm`.
/// A wrapper may begin with a dot.
fn is_qemu(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default().trim_start_matches('.');
    name.starts_with("qemu") || name == "kvm"
}

/// Returns whether these arguments, each with a null byte, are those of a QEMU. The dynamic loader may
/// have been told to run it.
fn runs_qemu(arguments: &[u8]) -> bool {
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let Some(program) = arguments.next() else { return false };
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_loader = name.starts_with("ld-") && name.contains(".so");
    is_qemu(&program) || (is_loader && arguments.any(|argument| is_qemu(&argument)))
}

/// Returns when a process began; `None` if it has ended.
fn start_of(pid: u32) -> Option<u64> {
    parse_start(&read_stat(pid).ok()?)
}

fn read_stat(pid: u32) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
}

fn parse_start(stat: &str) -> Option<u64> {
    // The name, in parentheses, may have spaces and parentheses of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // The 22nd field; the first of these is the third.
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(start)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_whatever_the_name_is() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_start(&format!("7 (a) S 1 ( 9) {rest}")), Some(4242));
        assert_eq!(parse_start(&format!("7 (a) {}", rest.replace('S', "Z"))), None);
        for text in [
            "",
            "7",
            "7 (a)",
            "7 (a) S",
            "7 (a) S 1 2",
            "7 (a) S x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(parse_start(text), None, "{text}");
        }
    }

    /// libvirt's daemon makes the sockets of its QEMUs, and is not one of them.
    #[test]
    fn a_manager_is_not_a_qemu() {
        for name in
            ["/usr/bin/qemu-system-x86_64", "qemu-kvm", "kvm", "/nix/.qemu-system-arm-wrapped"]
        {
            assert!(is_qemu(name), "{name}");
        }
        for name in ["", "/usr/sbin/virtqemud", "socat", "/opt/qemu/manager"] {
            assert!(!is_qemu(name), "{name}");
        }
        assert!(runs_qemu(
            b"/lib64/ld-linux-x86-64.so.2\0--library-path\0/x\0/x/qemu-system-arm\0-M\0virt\0"
        ));
        assert!(!runs_qemu(b"/usr/bin/socat\0unix:/run/a\0exec:qemu-system-arm\0"));
        assert!(!runs_qemu(b""));
    }

    /// A program without a free descriptor gave up all of its machines.
    #[test]
    fn a_process_that_cannot_be_looked_at_has_not_ended() {
        let process = ProcessKey { pid: 7, start: 4242 };
        for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied] {
            assert!(!process.has_ended_by(Err(kind.into())), "{kind}");
        }
        assert!(process.has_ended_by(Err(io::ErrorKind::NotFound.into())));
        assert!(process.has_ended_by(Ok("7 (a) Z".to_owned())));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_runs_and_is_not_a_qemu() {
        let pid = std::process::id();
        assert_eq!(ProcessKey::of_qemu(pid), None);
        let own = ProcessKey { pid, start: start_of(pid).unwrap() };
        assert!(!own.has_ended());
        assert!(ProcessKey { start: own.start + 1, ..own }.has_ended());
    }
}
