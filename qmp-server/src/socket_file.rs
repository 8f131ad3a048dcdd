//! Unix sockets that the server creates, with their files.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen};

/// The number of clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A listening Unix socket whose file has the given permissions from the start, and is removed when
/// this value is dropped.
///
/// ```no_run
/// use qmp_server::{Router, Server, SocketFile};
/// use qmp_types::Version;
///
/// let server = Server::new(Version::default(), Router::new(), ())?;
/// let socket = SocketFile::bind("/run/vm.sock", 0o600)?;
/// server.serve_unix(socket.listener())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// The device and the number of the file. Another process may have replaced it.
    file: (u64, u64),
}

impl SocketFile {
    /// Listens at a path. The permissions, such as `0o600`, determine who can connect.
    ///
    /// A socket file that a process has left at the path is replaced; one at which a process listens
    /// is not, and neither is any other file. Of several processes that replace the same file at the
    /// same time, more than one may succeed, and clients reach only one of them: where that can happen,
    /// hold a lock of your own.
    ///
    /// ```no_run
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// println!("listening on {}", file.path().display());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`AddrInUse`](ErrorKind::AddrInUse) if a process listens at the path, an error that
    /// names its length if it is too long for a socket, and otherwise the operating system's error.
    pub fn bind(path: impl AsRef<Path>, permissions: u32) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let socket = unix_socket()?;
        let address = SocketAddrUnix::new(&path).map_err(|error| match error {
            Errno::NAMETOOLONG => too_long(&path),
            error => error.into(),
        })?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(&path, &address)?;
                bind(&socket, &address)?;
            }
            bound => bound?,
        }
        // From here on, dropping the value removes the file. No client can connect before `listen`.
        let metadata = fs::symlink_metadata(&path)?;
        let file = (metadata.dev(), metadata.ino());
        let this = Self { listener: socket.into(), path, file };
        rustix::fs::chmod(&this.path, Mode::from_raw_mode(permissions))?;
        listen(&this.listener, BACKLOG)?;
        Ok(this)
    }

    /// Returns the listener, for [`Server::serve_unix`](crate::Server::serve_unix).
    ///
    /// ```no_run
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// let (client, _) = file.listener().accept()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Returns the absolute path.
    ///
    /// ```no_run
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// println!("listening on {}", file.path().display());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let metadata = fs::symlink_metadata(&self.path);
        if metadata.is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file) {
            // Without the permission to remove it, the file remains.
            let _ = fs::remove_file(&self.path);
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

/// Returns the error for a path that does not fit into the address of a socket, of the system's kind. The
/// system's own text is about files, whose paths may be longer.
fn too_long(path: &Path) -> io::Error {
    let length = path.as_os_str().len();
    let reason = format!("a path of {length} bytes is too long for a socket");
    io::Error::new(io::Error::from(Errno::NAMETOOLONG).kind(), reason)
}

/// Removes a socket file at which no process listens.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    // Like the errors of the system, these do not name the path: callers do.
    let in_use = |reason: &str| io::Error::new(ErrorKind::AddrInUse, reason);
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use("a file that is not a socket exists"));
    }
    // The standard library connects to no path of 108 bytes, at which this one can listen.
    let socket = unix_socket()?;
    ioctl_fionbio(&socket, true)?;
    match connect(&socket, address) {
        // Or its queue of clients is full.
        Ok(()) | Err(Errno::AGAIN) => Err(in_use("another process listens there")),
        Err(Errno::CONNREFUSED) => match fs::remove_file(path) {
            // Another process has done so.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        Err(error) => Err(error.into()),
    }
}
