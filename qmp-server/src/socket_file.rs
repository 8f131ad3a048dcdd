//! Unix sockets that the server creates, with their files.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen};

/// The number of clients that may wait to be accepted.
const BACKLOG: i32 = 128;
/// The longest wait for the lock of a directory, which other programs may hold for reasons of their own.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// The pause between two attempts to lock it.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

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
    /// is not, and neither is any other file. The directory is locked meanwhile (with `flock`), so that
    /// of several processes that replace the same file, one listens there in the end, and the others
    /// fail.
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
        // Until this process listens, its own file looks stale to others.
        let lock = lock_directory(&path);
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(&path, &address, lock.as_ref().err())?;
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
        drop(lock);
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
fn unix_socket() -> rustix::io::Result<OwnedFd> {
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

/// Locks the directory of a path, until the result is dropped. This leaves no file.
fn lock_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let directory = path.parent().unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let begin = Instant::now();
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begin.elapsed() < LOCK_WAIT => sleep(LOCK_PAUSE),
            Err(Errno::INTR) => {}
            locked => return locked.map(|()| directory),
        }
    }
}

/// Removes a socket file at which no process listens, unless its directory is not locked: another
/// process may have replaced the file since it was looked at.
fn remove_stale(
    path: &Path,
    address: &SocketAddrUnix,
    not_locked: Option<&Errno>,
) -> io::Result<()> {
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
        Err(Errno::CONNREFUSED) if not_locked.is_some() => Err(in_use(
            "a socket file exists, and is not replaced, since its directory cannot be locked",
        )),
        Err(Errno::CONNREFUSED) => match fs::remove_file(path) {
            // Another process has done so.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        Err(error) => Err(error.into()),
    }
}
