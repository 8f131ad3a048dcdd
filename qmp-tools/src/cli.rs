//! What the command lines of all programs have in common.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Command};
use clap_complete::Shell;
use qmp_client::blocking::Client;
use qmp_client::{Error, Options, WaitedFor};

/// How long to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct Patience {
    /// Waits this long, in seconds, for the socket, for the greeting, and for each reply
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
}

impl Patience {
    /// Connects to a monitor. If the socket is not there at once, it says that it is waiting.
    ///
    /// # Errors
    /// Nobody listens there in time, or who does is no QMP server.
    pub fn connect(&self, address: &str) -> Result<Client, Error> {
        let options = self.options();
        match Client::connect_with(address, &options.clone().wait_for_socket(Duration::ZERO)) {
            Err(Error::Timeout(timeout))
                if matches!(timeout.waited_for, WaitedFor::Connection(_))
                    && !self.timeout.is_zero() =>
            {
                let cause = timeout.cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                let within = self.timeout;
                eprintln!("Nobody listens at {address}{cause}: waiting for up to {within:?}.");
            }
            other => return other,
        }
        Client::connect_with(address, &options)
    }

    /// The options of a connection that waits so long.
    pub fn options(&self) -> Options {
        Options::new()
            .wait_for_socket(self.timeout)
            .greeting_within(self.timeout)
            .calls_within(self.timeout)
    }
}

/// Help for shells.
#[derive(Args, Clone, Copy, Debug)]
pub struct Completions {
    /// Prints what a shell needs to complete this program's arguments
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

impl Completions {
    /// Whether they were asked for, and are printed.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(&self, mut program: Command) -> io::Result<bool> {
        let Some(shell) = self.completions else { return Ok(false) };
        let name = program.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut program, name, &mut text);
        print(&text)?;
        Ok(true)
    }
}

/// Writes to standard output. A reader that has seen enough is no failure.
///
/// # Errors
/// It cannot be written for another reason.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// An error and what caused it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| String::from("not a number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
