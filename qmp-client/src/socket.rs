//! What every front end does with sockets: paths, and descriptors.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::machine::Descriptor;

/// Never wait, and no signal when the peer has closed. On Apple's systems the standard library
/// has seen to the signal.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
pub(crate) const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

/// A path to a socket, however long it is: the system takes about a hundred bytes.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: std::path::PathBuf,
    /// An open directory has a short name of its own.
    _directory: Option<std::os::fd::OwnedFd>,
}

impl SocketPath {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        // This is how the standard library says that a path is too long.
        if std::os::unix::net::SocketAddr::from_pathname(path).is_ok() {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        Self::through_directory(path)
    }

    #[cfg(target_os = "linux")]
    fn through_directory(path: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        use std::os::fd::AsRawFd;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(directory, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }

    #[cfg(not(target_os = "linux"))]
    fn through_directory(_: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"))
    }

    /// The path to give to the system while this one is alive.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Connects to a socket in the abstract name space, which never makes anybody wait.
pub(crate) fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        UnixStream::connect_addr(&address)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Sends descriptors with the first byte.
pub(crate) fn send_with_descriptors(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[Descriptor],
) -> rustix::io::Result<usize> {
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let size = rustix::cmsg_space!(ScmRights(borrowed.len()));
    let mut space = vec![std::mem::MaybeUninit::uninit(); size];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&borrowed));
    sendmsg(socket, &[io::IoSlice::new(bytes)], &mut control, AT_ONCE)
}

/// Whether there is something to be read.
#[cfg(any(feature = "tokio", feature = "futures-io"))]
pub(crate) fn has_arrived(socket: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&at_once)), Ok(1..))
}
