//! Stopping a process, such as a QEMU that is to answer nothing.

use std::process::Command;
use std::time::{Duration, Instant};

/// The longest time that a process takes to stop, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stops a process with a signal, and waits until it has stopped.
pub(crate) fn stop(id: u32) {
    let id = id.to_string();
    assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
    // The threads stop one after the other, and one that still runs would answer.
    let begin = Instant::now();
    while cfg!(target_os = "linux") && !has_stopped(&id) {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether every thread of a process has stopped.
fn has_stopped(id: &str) -> bool {
    let state = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    std::fs::read_dir(format!("/proc/{id}/task")).unwrap().all(|thread| state(thread.unwrap()))
}
