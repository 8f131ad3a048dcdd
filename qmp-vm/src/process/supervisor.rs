//! A shell that ends a process when this program has ended, however it ended.
//!
//! The shell reads from a pipe, whose other end only this program has: the system closes it with the
//! program. A signal at the parent's death (`PR_SET_PDEATHSIG`, and QEMU's `exit-with-parent`, which
//! is made of it) would come when the *thread* ends that started the process, does not reach a QEMU
//! that a wrapper started, and does not end one that hangs.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Waits for the end of this program. Then the process is asked to end, so that it writes its caches
/// to the disks, and killed if it does not in time. The process is the leader of a group, unless the
/// caller has changed that.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
read -r line && exit
group="-$1"
kill -s TERM -- "$group" || { group=$1; kill -s TERM "$group" || exit 0; }
looks=$2
while [ "$looks" -gt 0 ]; do
    kill -s 0 -- "$group" || exit 0
    sleep 0.1 || sleep 1
    looks=$((looks - 1))
done
kill -s KILL -- "$group"
"#;

/// The time between two looks of the shell.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Supervisor(Child);

impl Supervisor {
    /// Starts the shell for a process, which may take `grace` to end by itself.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(super) fn start(id: u32, grace: Duration) -> io::Result<Self> {
        let looks = grace.as_millis().div_ceil(PAUSE.as_millis()).min(i32::MAX as u128);
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "qmp-supervisor", &id.to_string(), &looks.to_string()])
            // Where this program was started may have to be unmounted.
            .current_dir("/")
            // What ends this program at its terminal must not end the shell.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// Ends the shell. It must have ended before the process is waited for: afterwards, the number of
    /// the process may be another's.
    pub(super) fn dismiss(mut self) {
        // Errors say that the shell has ended, which is all that matters.
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}
