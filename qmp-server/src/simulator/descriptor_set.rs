//! Sets of file descriptors, and what can be done with a descriptor.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use qmp_types::QmpError;

use super::files;
use super::machine::Machine;
use super::replies::{os_error, refuse};

/// The beginning of a path that names a set.
pub(super) const PREFIX: &str = "/dev/fdset/";

/// The flags with which QEMU opens a file to read it.
pub(super) const READ: u32 = 0;
/// The flags with which QEMU opens a file to write to its end.
pub(super) const WRITE: u32 = 1;
/// The flags with which QEMU opens a file to read and write it.
pub(super) const READ_WRITE: u32 = 2;
/// The flags with which QEMU opens a file that it creates.
pub(super) const CREATE: u32 = 0o1101;
/// The flags with which QEMU opens a file that may exist.
pub(super) const CREATE_OR_OPEN: u32 = 0o101;

/// The part of the flags that says whether a file is read, written, or both.
const ACCESS: u32 = 3;

/// A set of descriptors.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) id: i64,
    pub(super) members: Vec<Member>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: i64,
    pub(super) opaque: Option<String>,
    pub(super) file: Arc<File>,
}

impl Set {
    /// Returns the first descriptor that allows exactly the access in `flags`, as QEMU demands.
    pub(super) fn open(&self, flags: u32) -> Option<Arc<File>> {
        let allowed = self.members.iter().map(|member| &member.file);
        let mut allowed = allowed.filter(|file| access(file) == Some(flags & ACCESS));
        allowed.next().cloned()
    }
}

#[cfg(unix)]
fn access(file: &File) -> Option<u32> {
    Some(rustix::fs::fcntl_getfl(file).ok()?.bits() & ACCESS)
}

#[cfg(not(unix))]
fn access(_: &File) -> Option<u32> {
    None
}

/// Returns the size of a file, and how much of it is allocated.
pub(super) fn size(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), files::allocated(&metadata)))
}

pub(super) fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(unix)]
pub(super) fn is_socket(file: &File) -> bool {
    use std::os::unix::fs::FileTypeExt;
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(not(unix))]
pub(super) fn is_socket(_: &File) -> bool {
    false
}

#[cfg(unix)]
pub(super) fn listen(file: &File) -> io::Result<()> {
    Ok(rustix::net::listen(file, 1)?)
}

#[cfg(not(unix))]
pub(super) fn listen(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Checks that a descriptor is a queue of a TAP device.
#[cfg(unix)]
pub(super) fn check_tap(file: &File) -> Result<(), QmpError> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = file.metadata();
    let is_tun = metadata.is_ok_and(|metadata| {
        let device = metadata.rdev();
        let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
        metadata.file_type().is_char_device() && numbers == TUN
    });
    match is_tun {
        true => Ok(()),
        false => refuse(format!(
            "Unable to query TUNGETIFF on FD {}: Inappropriate ioctl for device",
            file.as_raw_fd()
        )),
    }
}

#[cfg(not(unix))]
pub(super) fn check_tap(_: &File) -> Result<(), QmpError> {
    refuse("this system has no TAP devices")
}

/// The numbers of the device `/dev/net/tun`.
#[cfg(unix)]
const TUN: (u32, u32) = (10, 200);

/// Reads the beginning of a regular file, after `offset` bytes. Leaves the position as it is.
pub(super) fn head(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    if is_regular(file) {
        let mut file = file;
        let before = file.stream_position()?;
        file.seek(SeekFrom::Start(offset))?;
        let read = file.take(files::HEAD as u64).read_to_end(&mut head);
        file.seek(SeekFrom::Start(before))?;
        read?;
    }
    Ok(head)
}

/// Writes bytes where the position of a file is, and makes the file as large as if there were `size`
/// of them.
pub(super) fn write(file: &File, size: u64, bytes: &[u8]) -> io::Result<()> {
    let mut writer = file;
    if !is_regular(file) {
        return writer.write_all(bytes);
    }
    let end = writer.stream_position()?.saturating_add(size);
    writer.write_all(bytes)?;
    grow(file, end)
}

/// Writes the beginning of a file, and makes it as large as needed.
pub(super) fn overwrite(file: &File, size: u64, head: &[u8]) -> io::Result<()> {
    let mut writer = file;
    writer.seek(SeekFrom::Start(0))?;
    writer.write_all(head)?;
    grow(file, size)
}

fn grow(file: &File, size: u64) -> io::Result<()> {
    match file.metadata()?.len() < size {
        true => file.set_len(size),
        false => Ok(()),
    }
}

impl Machine {
    /// Creates a file, or writes to a set of descriptors.
    pub(super) fn create_file(
        &mut self,
        path: &str,
        size: u64,
        head: &[u8],
    ) -> Result<(), QmpError> {
        let created = match self.descriptors.open(path, CREATE) {
            Some(descriptor) => write(&*descriptor?, size, head),
            None => self.files.create(path, size, head),
        };
        created.or_else(|error| refuse(format!("Could not create '{path}': {}", os_error(&error))))
    }
}
