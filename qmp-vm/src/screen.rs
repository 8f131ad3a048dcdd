//! Screenshots, which QEMU writes to memory of this process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;

use qmp_client::{Result, TransportError};
use qmp_types::qmp::commands::Screendump;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::disk::add_descriptor;
use crate::monitor::Monitor;

pub(crate) async fn screenshot<M: Monitor>(vm: &M) -> Result<Vec<u8>> {
    let (picture, writer) = Picture::new()?;
    let fdset = add_descriptor(vm, writer.into()).await?;
    vm.execute(Screendump::new(fdset.path())).await?;
    fdset.remove_now().await?;
    picture.read()
}

/// Memory that is a file to QEMU.
#[derive(Debug)]
struct Picture(File);

impl Picture {
    /// Creates an empty one, and the descriptor with which QEMU writes to it.
    fn new() -> Result<(Self, File)> {
        let memory = memfd_create("screenshot", MemfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let memory = File::from(memory);
        // QEMU opens the set for writing only, and accepts no descriptor that can do more.
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let writer = OpenOptions::new().write(true).open(path).map_err(failed)?;
        Ok((Self(memory), writer))
    }

    /// Returns what QEMU has drawn. This does not block: it is memory.
    fn read(mut self) -> Result<Vec<u8>> {
        let mut image = Vec::new();
        self.0.read_to_end(&mut image).map_err(failed)?;
        Ok(image)
    }
}

fn failed(error: io::Error) -> TransportError {
    TransportError::new("cannot allocate memory for a screenshot", error)
}
