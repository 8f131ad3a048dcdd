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

use super::argument::{Argument, Secret};
use super::shell::quote;
use super::started::{Started, no_socket};
use crate::process::{Hooks, Process};
#[cfg(feature = "proxy")]
use crate::proxy::shared::share;

/// The placeholder of the number of the monitor's descriptor.
const FD: &str = "{fd}";

/// The shell that becomes the program.
const SHELL: &str = "/bin/sh";

/// A function that sets up the command.
pub(super) type Configure = Box<dyn FnOnce(&mut Command) + Send>;

/// Everything that is known about a program when it is started.
pub(super) struct Start {
    pub(super) program: OsString,
    pub(super) arguments: Vec<Argument>,
    /// The first argument that could not be made, and why.
    pub(super) refused: Option<String>,
    pub(super) monitor: Vec<String>,
    pub(super) console: Option<OwnedFd>,
    pub(super) configure: Vec<Configure>,
    pub(super) hooks: Hooks,
    pub(super) grace: Duration,
    pub(super) supervised: bool,
    #[cfg(feature = "proxy")]
    pub(super) shared: bool,
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
        #[cfg(feature = "proxy")]
        let shared = self.shared;
        match self.spawn(&ours, theirs, program.clone()) {
            #[cfg(feature = "proxy")]
            Ok(process) if shared => {
                let stream = share(ours).map_err(no_socket)?;
                Ok(Started { stream, process, options })
            }
            Ok(process) => Ok(Started { stream: ours, process, options }),
            Err(error) => Err(LaunchError::not_started(program, error).into()),
        }
    }

    fn spawn(self, ours: &UnixStream, theirs: UnixStream, name: Box<str>) -> io::Result<Process> {
        let (mut words, mut secrets) = (Vec::new(), Vec::new());
        for argument in self.arguments {
            match argument {
                Argument::Plain(word) => words.push(word),
                Argument::Typed(option, json) => words.extend([option.into(), json.into()]),
                Argument::Secret(secret) => secrets.push(secret),
            }
        }
        if let Some(why) = self.refused.or_else(|| refuse(&words, &self.monitor)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut command = Command::new(SHELL);
        command
            .arg("-c")
            .arg(Script::new(&self.monitor, &secrets, self.console.is_some()).text())
            .arg("qmp-launch")
            .arg(&self.program)
            .args(words)
            // A terminal's interrupt is for this program.
            .process_group(0)
            .stdout(Stdio::null());
        let lines: String = secrets.iter().map(|secret| format!("{}\n", secret.data)).collect();
        let lines = format!("\n{lines}");
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
        let process = Process::new(
            spawned.map_err(|error| of_shell(error, SHELL))?,
            name,
            self.grace,
            self.hooks,
        )?;
        if self.supervised {
            process.supervise()?;
        }
        // The shell continues after a line, and takes the secrets. An error means that it has ended,
        // which the connection reports.
        let _ = (&*ours).write_all(lines.as_bytes());
        Ok(process)
    }
}

/// Returns why a program with these arguments would not work.
fn refuse(arguments: &[OsString], monitor: &[String]) -> Option<String> {
    let is_on_stdin = !monitor.iter().any(|argument| argument.contains(FD));
    arguments.iter().find_map(|argument| {
        let text = argument.to_string_lossy();
        let option = text.strip_prefix("--").or(text.strip_prefix('-'));
        if option == Some("daemonize") {
            return Some(format!(
                "with `{text}`, QEMU leaves the process that is launched; launch it without, or start \
                 it as a command and connect to its socket"
            ));
        }
        let device = text.strip_prefix("mon:").unwrap_or(&text);
        let uses_stdin = option == Some("nographic") || device.split(',').next() == Some("stdio");
        (is_on_stdin && uses_stdin).then(|| {
            format!("`{text}` uses the standard input, where `Launch::monitor_args` has the monitor")
        })
    })
}

/// A script that becomes the program.
struct Script {
    /// The lines that prepare it.
    lines: Vec<String>,
    /// The arguments that are added, as words of the shell.
    secrets: Vec<String>,
    monitor: Vec<String>,
    /// The redirections of the program, and the texts that they read.
    redirections: String,
    texts: String,
}

impl Script {
    fn new(monitor: &[String], secrets: &[Secret], has_console: bool) -> Self {
        let mut script = Self {
            lines: Vec::new(),
            secrets: Vec::new(),
            monitor: monitor.iter().map(|argument| with_variable(argument, FD, "qmp_fd")).collect(),
            redirections: String::new(),
            texts: String::new(),
        };
        for number in 0..secrets.len() {
            script.lines.push(format!("read -r qmp_text{number} || exit"));
        }
        if monitor.iter().any(|argument| argument.contains(FD)) {
            script.lines.push("qmp_free; qmp_fd=$qmp_number".to_owned());
            script.redirections += " $qmp_fd<&0";
            script.redirections += if has_console { " <&1" } else { " </dev/null" };
        }
        for (number, secret) in secrets.iter().enumerate() {
            script.secret(number, secret);
        }
        script
    }

    /// Puts a secret into a pipe, from which the program reads it.
    fn secret(&mut self, number: usize, secret: &Secret) {
        const PLACE: &str = "/dev/fd/{secret}";
        let variable = format!("qmp_secret{number}");
        self.lines.push(format!("qmp_free; {variable}=$qmp_number"));
        self.secrets.push("-object".to_owned());
        self.secrets.push(with_variable(&secret.json(PLACE), "{secret}", &variable));
        self.redirections += &format!(" ${variable}<<END{number}");
        self.texts += &format!("\n$qmp_text{number}\nEND{number}");
    }

    /// Returns the text. A descriptor is free if it cannot be duplicated; `command` keeps the shell
    /// from exiting because of that. The number of a redirection cannot be a variable, hence `eval`.
    /// Some shells take a program that begins with `-` for an option of `exec`, others do not know `--`.
    /// A variable that has the name of one in the environment would be passed on, hence the prefix.
    fn text(&self) -> String {
        let Self { lines, secrets, monitor, redirections, texts } = self;
        let (lines, secrets, monitor) = (lines.join("\n"), secrets.join(" "), monitor.join(" "));
        format!(
            r#"read -r qmp_line || exit
qmp_taken=
qmp_free() {{
    for qmp_number in 9 8 7 6 5 4 3; do
        case $qmp_taken in *$qmp_number*) continue ;; esac
        {{ command : <&$qmp_number; }} 2>/dev/null || {{ qmp_taken=$qmp_taken$qmp_number; return; }}
    done
    echo 'too few of the descriptors from 3 to 9 are free for the monitor and for secrets' >&2
    exit 1
}}
{lines}
qmp_program=$1
shift
case $qmp_program in -*) qmp_program=$(command -v -- "$qmp_program") ;; esac
set -- "$qmp_program" {secrets} "$@" {monitor}
eval "exec \"\$@\"{redirections}{texts}
""#
        )
    }
}

/// Quotes a word in which a placeholder stands for the value of a variable.
fn with_variable(word: &str, placeholder: &str, variable: &str) -> String {
    let parts: Vec<_> = word.split(placeholder).map(quote).collect();
    parts.join(&format!("\"${variable}\""))
}

/// Checks that the program exists, since the shell would report it in words of its own.
fn find(program: &OsStr, command: &Command) -> io::Result<()> {
    let directory = command.get_current_dir().unwrap_or(Path::new(""));
    if program.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the program's name is empty"));
    }
    if command.get_current_dir().is_some() {
        check_directory(directory)?;
    }
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

/// Checks the working directory, since the system's error would seem to be about the program.
fn check_directory(directory: &Path) -> io::Result<()> {
    let found = match std::fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => Err(Errno::NOTDIR.into()),
        found => found,
    };
    found.map(drop).map_err(|error| {
        let why =
            format!("cannot change to its working directory {}: {error}", directory.display());
        io::Error::new(error.kind(), why)
    })
}

/// Returns the error of a shell that could not be started, after the program has been found.
fn of_shell(error: io::Error, shell: &str) -> io::Error {
    // A container may have none.
    match error.kind() == io::ErrorKind::NotFound && !Path::new(shell).exists() {
        true => io::Error::new(error.kind(), format!("{shell}, which starts it, does not exist")),
        false => error,
    }
}

/// Checks that a file can be executed, as far as its permissions tell.
fn check(file: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(file)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(Errno::ACCESS.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program seemed not to exist.
    #[test]
    fn a_shell_that_does_not_exist_is_named() {
        let missing = "/no/such/shell";
        let error = of_shell(Errno::NOENT.into(), missing);
        assert_eq!(error.to_string(), "/no/such/shell, which starts it, does not exist");
        // Then something else is missing.
        assert_eq!(of_shell(Errno::NOENT.into(), "/").raw_os_error(), Some(2));
        assert_eq!(of_shell(Errno::TOOBIG.into(), missing).raw_os_error(), Some(7));
    }
}
