//! The file with the number of the process.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process;

use super::Refusal;
use super::options::Given;
use crate::sim::running::os_error;

/// A file with the number of the process, which is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    pub(crate) fn create(given: &Given) -> Result<Self, Refusal> {
        let path = PathBuf::from(&given.value);
        let open = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = open.and_then(|mut file| writeln!(file, "{}", process::id()));
        match written.and_then(|()| std::path::absolute(&path)) {
            Ok(path) => Ok(Self(path)),
            Err(error) => Err(Refusal::new(format!(
                "cannot create PID file: Could not create '{}': {}",
                given.value,
                os_error(&error)
            ))),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Without the permission to remove it, the file remains.
        let _ = fs::remove_file(&self.0);
    }
}
