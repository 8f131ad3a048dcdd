//! Guest agents that run on this host instead of in a guest.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Returns the agents to test with: the one that the build script has found, and those that are
/// installed beside the QEMUs of `QMP_TEST_QEMUS`.
pub(crate) fn programs() -> Vec<String> {
    let found = option_env!("QMP_TEST_FOUND_QEMU_GA").unwrap_or("qemu-ga").to_owned();
    let qemus = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let beside = qemus.split([':', '\n']).filter(|qemu| !qemu.is_empty());
    let beside = beside.map(|qemu| Path::new(qemu).with_file_name("qemu-ga"));
    let beside = beside.filter(|agent| agent.is_file()).map(|agent| agent.display().to_string());
    let beside: Vec<_> = beside.filter(|agent| *agent != found).collect();
    std::iter::once(found).chain(beside).collect()
}

/// An agent. Dropping it kills the agent, and removes its directory.
pub(crate) struct RealAgent {
    child: Child,
    directory: PathBuf,
}

impl RealAgent {
    /// Starts an agent that listens in a new directory, whose name contains this one.
    pub(crate) fn start(program: &str, name: &str) -> Self {
        let parent =
            std::env::var_os("QMP_TEST_SOCKETS").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = parent.join(format!("qmp-vm-ga-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let child = Command::new(program)
            .args(["-m", "unix-listen", "-p"])
            .arg(directory.join("agent"))
            .arg("-t")
            .arg(&directory)
            .stderr(Stdio::null())
            .spawn();
        Self { child: child.unwrap(), directory }
    }

    /// Returns the path of the agent's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("agent")
    }

    /// Returns the path of a file for the test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
