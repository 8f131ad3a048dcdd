//! Screenshots, which QEMU writes to memory of this process.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;

use qmp_client::{Error, Request, Result, TransportError};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::disk::add_descriptor;
use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;

/// The largest picture, in bytes. QEMU decides how much it writes, and a screen of 8K in the format
/// PPM has 100 MB.
const LARGEST: u64 = 128 << 20;

pub(crate) async fn screenshot<M: Monitor, R: Request<Return: Send> + Send>(
    vm: &M,
    command: impl FnOnce(&str) -> R + Send,
) -> Result<Vec<u8>> {
    let (picture, writer) = Picture::new()?;
    let rollback = Rollback::default();
    let fdset = add_descriptor(vm, writer.into(), &rollback).await?;
    rollback.note(vm.execute(command(&fdset.path())).await)?;
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
    ///
    /// # Errors
    /// QEMU has written more than [`LARGEST`].
    fn read(self) -> Result<Vec<u8>> {
        let written = self.0.metadata().map_err(unreadable)?.len();
        if written > LARGEST {
            return Err(too_large(written));
        }
        let mut image = Vec::new();
        // Growing would take twice as much.
        let length = usize::try_from(written).unwrap_or(usize::MAX);
        image
            .try_reserve_exact(length)
            .map_err(|_| unreadable(io::Error::from(ErrorKind::OutOfMemory)))?;
        // QEMU may still be writing.
        (&self.0).take(LARGEST + 1).read_to_end(&mut image).map_err(unreadable)?;
        match image.len() as u64 {
            length if length > LARGEST => Err(too_large(length)),
            _ => Ok(image),
        }
    }
}

fn too_large(bytes: u64) -> Error {
    let reason = format!(
        "QEMU has written {bytes} bytes, and at most {LARGEST} are accepted; \
                          `screendump` writes larger pictures to a file"
    );
    unreadable(io::Error::new(ErrorKind::FileTooLarge, reason)).into()
}

fn unreadable(error: io::Error) -> TransportError {
    TransportError::new("cannot read the screenshot", error)
}

fn failed(error: io::Error) -> TransportError {
    TransportError::new("cannot allocate memory for a screenshot", error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::io::Write;

    use super::*;

    /// QEMU decides how much it writes, and this process must not allocate as much.
    #[test]
    fn the_size_of_a_picture_is_limited() {
        let (picture, mut writer) = Picture::new().unwrap();
        writer.write_all(b"P6").unwrap();
        assert_eq!(picture.read().unwrap(), b"P6");

        let (picture, writer) = Picture::new().unwrap();
        writer.set_len(LARGEST).unwrap();
        // As much as the picture has, and not twice as much.
        assert!(picture.read().unwrap().capacity() as u64 <= LARGEST + 64);

        let (picture, writer) = Picture::new().unwrap();
        writer.set_len(3 << 30).unwrap();
        let report = picture.read().unwrap_err().report();
        assert_eq!(
            report,
            "cannot read the screenshot: QEMU has written 3221225472 bytes, and at most 134217728 \
             are accepted; `screendump` writes larger pictures to a file"
        );
    }
}
