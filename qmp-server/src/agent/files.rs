//! Files, which are in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qmp_types::qga::commands::{
    GuestFileClose, GuestFileFlush, GuestFileOpen, GuestFileRead, GuestFileSeek, GuestFileWrite,
};
use qmp_types::qga::types::{
    GuestFileRead as Read, GuestFileSeek as Position, GuestFileWhence as Whence,
    GuestFileWrite as Written, QGASeek,
};
use qmp_types::{Empty, QmpError};

use super::guest::{Guest, OpenFile};
use crate::context::Context;
use crate::router::Router;

/// The number of bytes that a read returns if it does not say how many.
const DEFAULT_COUNT: i64 = 4 << 10;

/// The maximum number of bytes that a read returns.
const MAX_COUNT: i64 = 48 << 20;

/// The size of the disk in bytes: that of all files together.
const DISK_SIZE: usize = 256 << 20;

/// The part of the disk in bytes that a file takes besides its contents: an empty one has a path, too.
const FILE_SIZE: usize = 4 << 10;

/// The number of files that can be open.
const MAX_OPEN: usize = 1 << 10;

pub(super) fn add(router: Router<Guest>) -> Router<Guest> {
    router.command(open).command(close).command(read).command(write).command(seek).command(
        |guest: &mut Guest, command: GuestFileFlush, _: &mut Context| {
            find(guest, command.handle).map(|_| Empty {})
        },
    )
}

/// Decodes base64 as the agent does.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, QmpError> {
    let invalid = |_| QmpError::generic("Base64 data contains invalid characters");
    STANDARD.decode(text).map_err(invalid)
}

fn open(guest: &mut Guest, command: GuestFileOpen, _: &mut Context) -> Result<i64, QmpError> {
    let path = command.path;
    let mode = command.mode.unwrap_or_else(|| "r".into());
    let (reads, writes) = match mode.as_str() {
        "r" | "rb" => (true, false),
        "w" | "wb" | "a" | "ab" => (false, true),
        "r+" | "rb+" | "r+b" | "w+" | "wb+" | "w+b" | "a+" | "ab+" | "a+b" => (true, true),
        _ => return Err(QmpError::generic(format!("invalid file open mode '{mode}'"))),
    };
    let failed = |reason: &str| {
        let desc = format!("failed to open file '{path}' (mode: '{mode}'): {reason}");
        QmpError::generic(desc)
    };
    if guest.open_files.len() >= MAX_OPEN {
        return Err(failed("Too many open files"));
    }
    let is_new = !guest.files.contains_key(&path) && !mode.starts_with('r');
    if is_new && path.len() >= FILE_SIZE {
        return Err(failed("File name too long"));
    }
    if is_new && used(guest).saturating_add(FILE_SIZE) > DISK_SIZE {
        return Err(failed("No space left on device"));
    }
    match mode.as_bytes().first() {
        Some(b'r') if !guest.files.contains_key(&path) => {
            return Err(failed("No such file or directory"));
        }
        Some(b'r') => {}
        Some(b'w') => guest.set_file(path.clone(), Vec::new()),
        _ => drop(guest.files.entry(path.clone()).or_default()),
    }
    let appends = mode.starts_with('a');
    let handle = guest.next_handle;
    guest.next_handle += 1;
    let file = OpenFile { path, position: 0, reads, writes, appends, eof: false };
    guest.open_files.insert(handle, file);
    Ok(handle)
}

/// Returns how many bytes of the disk are in use.
fn used(guest: &Guest) -> usize {
    let sizes = guest.files.values().map(|contents| contents.len().saturating_add(FILE_SIZE));
    sizes.fold(0, usize::saturating_add)
}

fn close(guest: &mut Guest, command: GuestFileClose, _: &mut Context) -> Result<Empty, QmpError> {
    let handle = command.handle;
    guest.open_files.remove(&handle).map(|_| Empty {}).ok_or_else(|| unknown(handle))
}

fn read(guest: &mut Guest, command: GuestFileRead, _: &mut Context) -> Result<Read, QmpError> {
    let wanted = command.count.unwrap_or(DEFAULT_COUNT);
    let (file, contents) = find(guest, command.handle)?;
    let count = match usize::try_from(wanted) {
        Ok(count) if wanted <= MAX_COUNT => count,
        _ => return Err(invalid_count(wanted)),
    };
    if !file.reads {
        return Err(QmpError::generic("failed to read file: Bad file descriptor"));
    }
    let rest = contents.get(file.position..).unwrap_or_default();
    let bytes = &rest[..rest.len().min(count)];
    file.position += bytes.len();
    file.eof = bytes.len() < count;
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    Ok(Read::new(length, STANDARD.encode(bytes), file.eof))
}

fn write(guest: &mut Guest, command: GuestFileWrite, _: &mut Context) -> Result<Written, QmpError> {
    let used = used(guest);
    let (file, contents) = find(guest, command.handle)?;
    let bytes = decode(&command.buf_b64)?;
    let bytes = match command.count {
        None => bytes.as_slice(),
        Some(count) => {
            let bytes = usize::try_from(count).ok().and_then(|count| bytes.get(..count));
            bytes.ok_or_else(|| invalid_count(count))?
        }
    };
    if !file.writes {
        return Err(QmpError::generic("failed to write to file: Bad file descriptor"));
    }
    let start = if file.appends { contents.len() } else { file.position };
    let end = start.saturating_add(bytes.len());
    let grown = end.saturating_sub(contents.len());
    if used.saturating_add(grown) > DISK_SIZE {
        return Err(QmpError::generic("failed to write to file: No space left on device"));
    }
    if grown > 0 {
        contents.resize(end, 0);
    }
    contents[start..end].copy_from_slice(bytes);
    file.position = end;
    file.eof = false;
    Ok(Written::new(i64::try_from(bytes.len()).unwrap_or(i64::MAX), false))
}

fn seek(guest: &mut Guest, command: GuestFileSeek, _: &mut Context) -> Result<Position, QmpError> {
    let (file, contents) = find(guest, command.handle)?;
    let base = match command.whence {
        Whence::Value(0) | Whence::Name(QGASeek::Set) => 0,
        Whence::Value(1) | Whence::Name(QGASeek::Cur) => file.position,
        Whence::Value(2) | Whence::Name(QGASeek::End) => contents.len(),
        Whence::Value(code) => {
            return Err(QmpError::generic(format!("invalid whence code {code}")));
        }
        Whence::Name(name) => {
            return Err(QmpError::generic(format!("invalid whence code {}", name.as_str())));
        }
        _ => return Err(QmpError::generic("invalid whence code")),
    };
    let position = i64::try_from(base).ok().and_then(|base| base.checked_add(command.offset));
    let Some((position, at)) =
        position.and_then(|position| Some((position, usize::try_from(position).ok()?)))
    else {
        return Err(QmpError::generic("failed to seek file: Invalid argument"));
    };
    file.position = at;
    file.eof = false;
    Ok(Position::new(position, false))
}

/// Returns an open file and its contents.
fn find(guest: &mut Guest, handle: i64) -> Result<(&mut OpenFile, &mut Vec<u8>), QmpError> {
    let file = guest.open_files.get_mut(&handle).ok_or_else(|| unknown(handle))?;
    let contents = guest.files.entry(file.path.clone()).or_default();
    Ok((file, contents))
}

fn unknown(handle: i64) -> QmpError {
    QmpError::generic(format!("handle '{handle}' has not been found"))
}

fn invalid_count(count: i64) -> QmpError {
    QmpError::generic(format!("value '{count}' is invalid for argument count"))
}
