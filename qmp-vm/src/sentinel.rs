//! A shell that acts when this program has ended, however it ended.
//!
//! The shell reads from a pipe, whose other end only this program has: the system closes it with the
//! program.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// How each script begins: a signal that ends this program at its terminal does not end the shell, and
/// the script goes on when this program has ended.
const WAIT: &str = "trap '' HUP INT QUIT TERM\nread -r line && exit\n";

#[derive(Debug)]
pub(crate) struct Sentinel(Child);

impl Sentinel {
    /// Starts the shell. When this program has ended, it executes the script, with these arguments and
    /// this standard output.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(crate) fn start(
        name: &str,
        script: &str,
        arguments: &[String],
        stdout: Stdio,
    ) -> io::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("{WAIT}{script}"), name])
            .args(arguments)
            // Where this program was started may have to be unmounted.
            .current_dir("/")
            // What ends this program at its terminal must not end the shell.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// Ends the shell.
    pub(crate) fn dismiss(&mut self) {
        // Errors say that the shell has ended, which is all that matters.
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }

    /// Does to the shell what the end of this program does.
    #[cfg(all(test, feature = "qga"))]
    pub(crate) fn abandon(&mut self) {
        drop(self.0.stdin.take());
    }
}
