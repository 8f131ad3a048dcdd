//! Sockets that are passed to the system at each wait.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};

use crate::proxy::upstream::timeout;

/// Waits for sockets.
#[derive(Debug)]
pub(crate) struct Poller(BTreeMap<u64, (OwnedFd, PollFlags)>);

impl Poller {
    #[allow(clippy::unnecessary_wraps)] // as the other one
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(BTreeMap::new()))
    }

    /// Adds a socket under a key of its own, and what to wait for. Its end is waited for in any case.
    pub(crate) fn add(&mut self, key: u64, socket: impl AsFd, wanted: PollFlags) -> io::Result<()> {
        self.0.insert(key, (socket.as_fd().try_clone_to_owned()?, wanted));
        Ok(())
    }

    /// Sets what to wait for.
    #[allow(clippy::unnecessary_wraps)] // as the other one
    pub(crate) fn change(&mut self, key: u64, _: impl AsFd, wanted: PollFlags) -> io::Result<()> {
        if let Some(socket) = self.0.get_mut(&key) {
            socket.1 = wanted;
        }
        Ok(())
    }

    /// Removes a socket, which is to be closed.
    pub(crate) fn remove(&mut self, key: u64, _: impl AsFd) {
        self.0.remove(&key);
    }

    /// Waits until a socket is ready, or until the deadline, and returns the keys of those that are.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Vec<(u64, PollFlags)>> {
        let sockets = self.0.values();
        let mut fds: Vec<_> =
            sockets.map(|(socket, wanted)| PollFd::new(socket, *wanted)).collect();
        poll(&mut fds, timeout(deadline).as_ref())?;
        let ready = self.0.keys().zip(&fds).map(|(key, fd)| (*key, fd.revents()));
        Ok(ready.filter(|(_, ready)| !ready.is_empty()).collect())
    }
}
