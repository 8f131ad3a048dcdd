//! Unix sockets: long paths, abstract names, and file descriptors. The clients are built on these
//! functions, and so can a [runtime](crate::runtime) of your own be.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use qmp_protocol::Descriptor;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketType, sendmsg,
};

/// Do not wait, and raise no signal when the peer has closed. On Apple's systems, the standard
/// library has disabled the signal.
#[cfg(not(target_vendor = "apple"))]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

/// Opens only the place, which needs no permission to read a directory. Part of Linux's interface:
/// for the one number, a client does not compile a whole module of `rustix`.
#[cfg(all(target_os = "linux", any(target_arch = "sparc", target_arch = "sparc64")))]
const O_PATH: i32 = 0x0100_0000;
#[cfg(all(target_os = "linux", not(any(target_arch = "sparc", target_arch = "sparc64"))))]
const O_PATH: i32 = 0x0020_0000;

/// A path to a socket of any length; the system accepts about a hundred bytes.
#[derive(Debug)]
struct SocketPath {
    address: SocketAddrUnix,
    /// The open directory, which has a short path of its own.
    _directory: Option<std::os::fd::OwnedFd>,
}

impl SocketPath {
    fn new(path: &Path) -> io::Result<Self> {
        match SocketAddrUnix::new(path) {
            Err(Errno::NAMETOOLONG) => Self::through_directory(path),
            address => Ok(Self { address: address?, _directory: None }),
        }
    }

    #[cfg(target_os = "linux")]
    fn through_directory(path: &Path) -> io::Result<Self> {
        use std::ffi::OsString;
        use std::fs::OpenOptions;
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::OpenOptionsExt;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = OpenOptions::new().read(true).custom_flags(O_PATH).open(directory)?;
        let mut path = OsString::from(format!("/proc/self/fd/{}/", directory.as_raw_fd()));
        path.push(name);
        let address = SocketAddrUnix::new(&*path)?;
        Ok(Self { address, _directory: Some(directory.into()) })
    }

    #[cfg(not(target_os = "linux"))]
    fn through_directory(_: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"))
    }
}

/// Connects to the socket at `path`, which may be longer than the system's limit, without waiting.
/// The stream is in non-blocking mode.
///
/// ```no_run
/// let stream = qmp_client::socket::connect("/run/vm.sock".as_ref())?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The operating system's; [`WouldBlock`](io::ErrorKind::WouldBlock) if the server has not accepted
/// those who connected earlier, and its queue is full.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    // The directory stays open until the socket is connected.
    let path = SocketPath::new(path)?;
    connect_to(&path.address)
}

/// Connects to a socket in the abstract namespace, like [`connect`].
///
/// # Errors
/// Those of [`connect`]; [`Unsupported`](io::ErrorKind::Unsupported) except on Linux.
pub fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    return connect_to(&SocketAddrUnix::new_abstract_name(name.as_bytes())?);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn connect_to(address: &SocketAddrUnix) -> io::Result<UnixStream> {
    let socket = unix_socket()?;
    ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, address) {
        Err(Errno::AGAIN) => Err(busy()),
        connected => {
            connected?;
            Ok(socket.into())
        }
    }
}

/// Creates a Unix socket that no program inherits.
fn unix_socket() -> rustix::io::Result<std::os::fd::OwnedFd> {
    // A program that another thread starts between two calls would inherit it.
    #[cfg(target_os = "linux")]
    return rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    );
    #[cfg(not(target_os = "linux"))]
    {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(socket)
    }
}

/// Returns the error of a server whose queue of connections is full.
pub(crate) fn busy() -> io::Error {
    let reason = "the server accepts no further connection; another client may be connected";
    io::Error::new(io::ErrorKind::WouldBlock, reason)
}

/// Sends bytes, and file descriptors with the first of them.
///
/// ```
/// use std::fs::File;
/// use std::os::unix::net::UnixStream;
///
/// use qmp_client::socket::send_with_descriptors;
///
/// let (socket, peer) = UnixStream::pair()?;
/// let descriptors = [File::open("/dev/null")?.into()];
/// assert_eq!(send_with_descriptors(&socket, b"{}", &descriptors)?, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn send_with_descriptors(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[Descriptor],
) -> rustix::io::Result<usize> {
    let mut borrowed = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        borrowed.push(descriptor.as_fd());
    }
    let size = rustix::cmsg_space!(ScmRights(borrowed.len()));
    let mut space = vec![std::mem::MaybeUninit::uninit(); size];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&borrowed));
    sendmsg(socket, &[io::IoSlice::new(bytes)], &mut control, AT_ONCE)
}

/// Returns whether the socket is readable.
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// use qmp_client::socket::has_arrived;
///
/// let (socket, mut peer) = UnixStream::pair()?;
/// assert!(!has_arrived(&socket));
/// peer.write_all(b"{}")?;
/// assert!(has_arrived(&socket));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn has_arrived(socket: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&at_once)), Ok(1..))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A directory that may be entered and not read, as those of other users often are, contains
    /// sockets all the same. Only the descriptor of a place is never readable.
    #[test]
    fn a_directory_is_opened_without_permission_to_read_it() {
        let path = SocketPath::through_directory(&std::env::temp_dir().join("socket")).unwrap();
        let mut directory = std::fs::File::from(path._directory.unwrap());
        let error = directory.read(&mut [0]).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::BADF));
    }
}
