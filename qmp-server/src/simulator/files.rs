//! The files that a simulated virtual machine can see.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

/// The number of bytes at the beginning of an image that are looked at.
pub(super) const HEAD: usize = 64 << 10;

/// The number of simulated files from which clients create no more.
const MOST_FILES: usize = 1000;

/// Files that exist only in the simulation, and those of the host.
#[derive(Debug)]
pub(super) struct Files {
    simulated: BTreeMap<String, File>,
    /// Whether the machine can open and create files of the host.
    sees_host: bool,
}

/// A file that exists only in the simulation.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) size: u64,
    /// The bytes at the beginning; all others are zero.
    pub(super) head: Vec<u8>,
    pub(super) allocated: u64,
}

/// The known properties of a file.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) allocated: u64,
    pub(super) is_writable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Regular,
    Directory,
    #[cfg_attr(not(unix), allow(dead_code))] // files of other systems are not told apart
    Device,
    Other,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { simulated: BTreeMap::new(), sees_host: true }
    }

    pub(super) fn set_sees_host(&mut self, sees: bool) {
        self.sees_host = sees;
    }

    pub(super) fn sees_host(&self) -> bool {
        self.sees_host
    }

    pub(super) fn add(&mut self, path: &str, file: File) {
        self.simulated.insert(path.to_owned(), file);
    }

    pub(super) fn metadata(&self, path: &str) -> io::Result<Metadata> {
        if let Some(file) = self.simulated.get(path) {
            let (size, allocated) = (file.size, file.allocated);
            return Ok(Metadata { kind: Kind::Regular, size, allocated, is_writable: true });
        }
        self.check_host()?;
        let metadata = fs::metadata(path)?;
        Ok(Metadata {
            kind: kind(&metadata),
            size: metadata.len(),
            allocated: allocated(&metadata),
            is_writable: !metadata.is_file()
                || fs::OpenOptions::new().write(true).open(path).is_ok(),
        })
    }

    /// Checks that the directory of a file exists.
    pub(super) fn check_parent(&self, path: &str) -> io::Result<()> {
        let parent = match path.rsplit_once('/') {
            Some(("", _)) => "/",
            Some((parent, _)) => parent,
            None => ".",
        };
        match self.metadata(parent)?.kind {
            Kind::Directory => Ok(()),
            _ => Err(io::Error::from_raw_os_error(20)),
        }
    }

    /// Reads the beginning of a file, after `offset` bytes.
    pub(super) fn head(&self, path: &str, offset: u64) -> io::Result<Vec<u8>> {
        if let Some(file) = self.simulated.get(path) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(file.head.get(from..).unwrap_or_default().to_vec());
        }
        self.check_host()?;
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Creates a file, or replaces its contents.
    pub(super) fn create(&mut self, path: &str, size: u64, head: &[u8]) -> io::Result<()> {
        if self.sees_host && !self.simulated.contains_key(path) {
            // Opening a pipe would wait for its reader.
            if fs::metadata(path).is_ok_and(|metadata| kind(&metadata) == Kind::Other) {
                return Err(ErrorKind::Unsupported.into());
            }
            let mut file = fs::File::create(path)?;
            file.write_all(head)?;
            return file.set_len(size.max(head.len() as u64));
        }
        if self.simulated.len() >= MOST_FILES && !self.simulated.contains_key(path) {
            // No space left on device.
            return Err(io::Error::from_raw_os_error(28));
        }
        let file = File { size, head: head.to_vec(), allocated: head.len() as u64 };
        self.simulated.insert(path.to_owned(), file);
        Ok(())
    }

    /// Writes to a file that exists, after `offset` bytes.
    pub(super) fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = self.simulated.get_mut(path) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            if from.saturating_add(bytes.len()) <= HEAD {
                file.head.resize(from, 0);
                file.head.extend_from_slice(bytes);
            }
            file.size = file.size.max(offset.saturating_add(bytes.len() as u64));
            return Ok(());
        }
        self.check_host()?;
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    /// Writes the beginning of a file that exists, and makes it as large as needed.
    pub(super) fn write(&mut self, path: &str, size: u64, head: &[u8]) -> io::Result<()> {
        if let Some(file) = self.simulated.get_mut(path) {
            head.clone_into(&mut file.head);
            file.size = size.max(file.size);
            return Ok(());
        }
        self.check_host()?;
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all(head)?;
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        Ok(())
    }

    /// Changes the size of a file.
    pub(super) fn resize(&mut self, path: &str, size: u64) -> io::Result<()> {
        if let Some(file) = self.simulated.get_mut(path) {
            file.size = size;
            return Ok(());
        }
        self.check_host()?;
        fs::OpenOptions::new().write(true).open(path)?.set_len(size)
    }

    fn check_host(&self) -> io::Result<()> {
        match self.sees_host {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(2)),
        }
    }
}

fn kind(metadata: &fs::Metadata) -> Kind {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_block_device() || kind.is_char_device() {
            return Kind::Device;
        }
    }
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Kind::Regular,
        (_, true) => Kind::Directory,
        _ => Kind::Other,
    }
}

#[cfg(unix)]
pub(super) fn allocated(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks().saturating_mul(512)
}

#[cfg(not(unix))]
pub(super) fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}
