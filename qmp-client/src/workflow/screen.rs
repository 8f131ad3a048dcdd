//! Where QEMU draws what is on the screen.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::error::{Result, TransportError};

/// A piece of memory that is a file to QEMU.
#[derive(Debug)]
pub(crate) struct Picture(File);

impl Picture {
    /// An empty one, and what QEMU is given to write to it.
    pub(crate) fn new() -> Result<(Self, File)> {
        let memory = memfd_create("screenshot", MemfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let memory = File::from(memory);
        // QEMU opens the set for writing alone, and takes no descriptor that can do more.
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let writer = OpenOptions::new().write(true).open(path).map_err(failed)?;
        Ok((Self(memory), writer))
    }

    /// What QEMU has drawn. Nothing is waited for: it is memory.
    pub(crate) fn read(mut self) -> Result<Vec<u8>> {
        let mut image = Vec::new();
        self.0.read_to_end(&mut image).map_err(failed)?;
        Ok(image)
    }
}

fn failed(error: std::io::Error) -> TransportError {
    TransportError::new("cannot make room for a screenshot", error)
}
