//! Arguments and output that all programs share.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use qmp_client::blocking::Client;
use qmp_client::protocol::Printable;
use qmp_client::{Error, Options, WaitedFor};

use crate::terminal::notice;

/// The `--timeout` argument.
#[derive(Args, Clone, Copy, Debug)]
pub struct TimeoutArgs {
    /// Wait at most this long for the socket, for the greeting, and for each reply
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds,
        allow_negative_numbers = true)]
    pub timeout: Duration,
}

impl TimeoutArgs {
    /// Connects to a monitor by its address, or by the name of a machine of this host. If nothing
    /// listens at the address yet and a server may still appear, prints a notice to standard error and
    /// keeps trying until the timeout. A server that does not greet soon is looked up, and the reason
    /// is printed: most monitors serve one client at a time.
    ///
    /// # Errors
    /// Returns an error if nothing listens there before the timeout, or if the peer is not a QMP
    /// server.
    pub fn connect(&self, address: &str) -> Result<Client, Error> {
        self.connect_with(address, &self.options())
    }

    /// Does the same as [`connect`](Self::connect), with other options.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn connect_with(&self, address: &str, options: &Options) -> Result<Client, Error> {
        #[cfg(unix)]
        return crate::host::connect(address, options, self.timeout);
        #[cfg(not(unix))]
        Client::connect_with(address, options)
    }

    /// Connects to a monitor by its address, or by the name of a machine of this host, at once or not
    /// at all, and prints nothing.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn connect_once(&self, address: &str) -> Result<Client, Error> {
        let options = self.options().wait_for_socket(Duration::ZERO);
        #[cfg(unix)]
        return crate::host::connect_once(address, &options);
        #[cfg(not(unix))]
        Client::connect_with(address, &options)
    }

    /// Returns the options of a connection with this timeout.
    pub fn options(&self) -> Options {
        Options::new()
            .wait_for_socket(self.timeout)
            .greeting_within(self.timeout)
            .calls_within(self.timeout)
    }
}

/// The `--completions` argument.
#[derive(Args, Clone, Copy, Debug)]
pub struct Completions {
    /// Print a script that lets SHELL complete this program's arguments
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

impl Completions {
    /// Prints the completion script of a program, and returns its exit status; `None` if no script was
    /// requested.
    #[must_use]
    pub fn main<P: CommandFactory>(&self) -> Option<ExitCode> {
        let program = P::command();
        let name = program.get_name().to_owned();
        match self.print(program) {
            Ok(false) => None,
            Ok(true) => Some(ExitCode::SUCCESS),
            Err(error) => {
                notice(&format!("{name}: {error}"));
                Some(ExitCode::FAILURE)
            }
        }
    }

    /// Prints the completion script if one was requested, and returns whether it was.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn print(&self, mut program: Command) -> io::Result<bool> {
        let Some(shell) = self.completions else { return Ok(false) };
        let name = program.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut program, name, &mut text);
        print(&text)?;
        Ok(true)
    }
}

/// Returns the exit status for an error: 1 if the server refused a command, 2 for invalid arguments, 3 if
/// the connection failed, 4 if a deadline passed.
#[must_use]
pub fn status_of(error: &(dyn std::error::Error + 'static)) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(Error::Server(_)) => 1,
        Some(Error::Misuse(_)) => 2,
        Some(Error::Transport(error)) if error.error.kind() == io::ErrorKind::InvalidInput => 2,
        Some(Error::Timeout(timeout)) => match timeout.waited_for {
            WaitedFor::Connection(_) => 3,
            _ => 4,
        },
        Some(_) => 3,
        None => 1,
    }
}

/// Standard output, whose errors say that they are about it.
#[derive(Debug)]
pub struct StandardOutput(io::Stdout);

impl StandardOutput {
    /// Returns the standard output of this program.
    #[must_use]
    #[allow(clippy::new_without_default)] // it is not a value
    pub fn new() -> Self {
        Self(io::stdout())
    }

    fn named(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
    }
}

impl Write for StandardOutput {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text).map_err(Self::named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(Self::named)
    }
}

/// Writes to standard output. A closed pipe, as with `| head`, is not an error.
///
/// # Errors
/// Returns an error if writing fails for any other reason.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut output = StandardOutput::new();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Creates a directory if it does not exist.
///
/// # Errors
/// Returns the system's error; a file in its place is not a directory.
pub fn create_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path).map_err(|error| match error.kind() {
        // The system says only that it exists.
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
        _ => error,
    })
}

/// Formats an error and its chain of causes on one line. Both can quote files and peers, so that
/// characters that would control a terminal are escaped.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = Printable(&error.to_string()).to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {}", Printable(&error.to_string()));
        cause = error.source();
    }
    text
}

/// Parses a number of seconds.
///
/// # Errors
/// Returns an error if the text is not a number, or the number is not a duration.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().unwrap_or(f64::NAN);
    if seconds.is_nan() {
        return Err(String::from("not a number of seconds"));
    }
    if seconds < 0.0 {
        return Err(String::from("must not be negative"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| String::from("too long"))
}
