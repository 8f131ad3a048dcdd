//! Starting a program with its monitor on a socket pair.
//!
//! A shell is started, which becomes the program by `exec`. It has the monitor as its standard input,
//! as only the three standard descriptors are given to one new process and to no other, and puts it
//! elsewhere, so that the program's standard input is free. It waits for a line from this program,
//! which is sent when the supervisor is there: nothing is started that would be left behind.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use qmp_client::{LaunchError, Options, Result};
use rustix::io::Errno;

use super::shell::quote;
use super::started::{Started, no_socket};
use crate::process::{Hooks, Process};

/// The placeholder of the number of the monitor's descriptor.
const FD: &str = "{fd}";

/// A function that sets up the command.
pub(super) type Configure = Box<dyn FnOnce(&mut Command) + Send>;

/// Everything that is known about a program when it is started.
pub(super) struct Start {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) monitor: Vec<String>,
    pub(super) console: Option<OwnedFd>,
    pub(super) configure: Vec<Configure>,
    pub(super) hooks: Hooks,
    pub(super) grace: Duration,
    pub(super) supervised: bool,
    pub(super) options: Options,
}

impl Start {
    /// Starts the program.
    ///
    /// # Errors
    /// The program cannot be started, or its arguments contradict its being launched.
    pub(super) fn start(self) -> Result<Started> {
        let program: Box<str> = self.program.to_string_lossy().into();
        let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
        let options = self.options.clone();
        match self.spawn(&ours, theirs, program.clone()) {
            Ok(process) => Ok(Started { stream: ours, process, options }),
            Err(error) => Err(LaunchError::not_started(program, error).into()),
        }
    }

    fn spawn(self, ours: &UnixStream, theirs: UnixStream, name: Box<str>) -> io::Result<Process> {
        self.refuse()?;
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(script(&self.monitor, self.console.is_some()))
            .arg("qmp-launch")
            .arg(&self.program)
            .args(&self.arguments)
            // A terminal's interrupt is for this program.
            .process_group(0)
            .stdout(Stdio::null());
        self.configure.into_iter().for_each(|configure| configure(&mut command));
        find(&self.program, &command)?;
        if let Some(console) = self.console {
            command.stdout(Stdio::from(console));
        } else if self.hooks.stdout.is_some() {
            command.stdout(Stdio::piped());
        }
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::piped());
        let spawned = command.spawn();
        // The command holds the other end; while it is open, the end of the process goes unnoticed.
        drop(command);
        let process = Process::new(spawned?, name, self.grace, self.hooks)?;
        if self.supervised {
            process.supervise()?;
        }
        // An error means that the shell has ended, which the connection reports.
        let _ = (&*ours).write_all(b"\n");
        Ok(process)
    }

    /// Refuses what would not work, with the reason.
    fn refuse(&self) -> io::Result<()> {
        let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let is_on_stdin = is_on_stdin(&self.monitor);
        for argument in &self.arguments {
            let text = argument.to_string_lossy();
            let option = text.strip_prefix("--").or(text.strip_prefix('-'));
            if option == Some("daemonize") {
                return refused(format!(
                    "with `{text}`, QEMU leaves the process that is launched; launch it without, or \
                     start it as a command and connect to its socket"
                ));
            }
            let device = text.strip_prefix("mon:").unwrap_or(&text);
            let uses_stdin = device.split(',').next() == Some("stdio");
            if is_on_stdin && (option == Some("nographic") || uses_stdin) {
                return refused(format!(
                    "`{text}` uses the standard input, where `Launch::monitor_args` has the monitor"
                ));
            }
        }
        Ok(())
    }
}

/// Returns the script that becomes the program. A descriptor is free if it cannot be duplicated;
/// `command` keeps the shell from exiting because of that.
fn script(monitor: &[String], has_console: bool) -> String {
    if is_on_stdin(monitor) {
        let arguments: Vec<_> = monitor.iter().map(|argument| quote(argument)).collect();
        return format!("read -r line || exit\nexec \"$@\" {}", arguments.join(" "));
    }
    let arguments = monitor.iter().map(|argument| {
        let parts: Vec<_> = argument.split(FD).map(quote).collect();
        parts.join("\"$fd\"")
    });
    let arguments: Vec<_> = arguments.collect();
    let stdin = if has_console { "<&1" } else { "</dev/null" };
    format!(
        r#"read -r line || exit
fd=
for number in 9 8 7 6 5 4 3; do
    {{ command : <&$number; }} 2>/dev/null || {{ fd=$number; break; }}
done
[ "$fd" ] || {{ echo 'no descriptor from 3 to 9 is free for the monitor' >&2; exit 1; }}
set -- "$@" {}
eval "exec \"\$@\" $fd<&0 {stdin}""#,
        arguments.join(" ")
    )
}

/// Returns whether a program with these arguments has its monitor on its standard input.
fn is_on_stdin(monitor: &[String]) -> bool {
    !monitor.iter().any(|argument| argument.contains(FD))
}

/// Checks that the program exists, since the shell would report it in words of its own.
fn find(program: &OsStr, command: &Command) -> io::Result<()> {
    let directory = command.get_current_dir().unwrap_or(Path::new(""));
    if program.as_bytes().contains(&b'/') {
        return check(&directory.join(program));
    }
    let own = command.get_envs().find(|(name, _)| *name == "PATH");
    let path = match own {
        Some((_, path)) => path.map(OsStr::to_owned),
        None => std::env::var_os("PATH"),
    };
    // Without a path, the shell has one of its own.
    let Some(path) = path else { return Ok(()) };
    let places: Vec<PathBuf> =
        std::env::split_paths(&path).map(|place| directory.join(place).join(program)).collect();
    let mut failure = Errno::NOENT;
    for place in places {
        match check(&place) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                failure = Errno::ACCESS
            }
            Err(_) => {}
        }
    }
    Err(failure.into())
}

/// Checks that a file can be executed, as far as its permissions tell.
fn check(file: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(file)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(Errno::ACCESS.into())
}
