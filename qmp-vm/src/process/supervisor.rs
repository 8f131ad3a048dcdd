//! A shell that ends a process when this program has ended, however it ended.
//!
//! A signal at the parent's death (`PR_SET_PDEATHSIG`, and QEMU's `exit-with-parent`, which is made of
//! it) would come when the *thread* ends that started the process, does not reach a QEMU that a wrapper
//! started, and does not end one that hangs.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use crate::sentinel::Sentinel;

/// Asks the process to end, so that it writes its caches to the disks, and kills it if it does not in
/// time. The process is the leader of a group, unless the caller has changed that.
const SCRIPT: &str = r#"
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
pub(super) struct Supervisor(Sentinel);

impl Supervisor {
    /// Starts the shell for a process, which may take `grace` to end by itself.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(super) fn start(id: u32, grace: Duration) -> io::Result<Self> {
        let looks = grace.as_millis().div_ceil(PAUSE.as_millis()).min(i32::MAX as u128);
        let arguments = [id.to_string(), looks.to_string()];
        Sentinel::start("qmp-supervisor", SCRIPT, &arguments, Stdio::null()).map(Self)
    }

    /// Ends the shell. It must have ended before the process is waited for: afterwards, the number of
    /// the process may be another's.
    pub(super) fn dismiss(mut self) {
        self.0.dismiss();
    }
}
