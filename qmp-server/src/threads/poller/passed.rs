//! Sockets that are passed to the system at each wait.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Ready, timespec};
use crate::sync::lock;

/// Waits for sockets.
#[derive(Debug)]
pub(in crate::threads) struct Poller {
    sockets: Mutex<Sockets>,
    /// Notified when the thread that polls stops.
    polled: Condvar,
    changed: UnixStream,
    change: UnixStream,
}

#[derive(Debug, Default)]
struct Sockets {
    /// Each with the events that it is armed for.
    by_key: BTreeMap<u64, (Arc<OwnedFd>, Option<PollFlags>)>,
    /// Sockets that are ready, and that no thread has taken.
    ready: VecDeque<Ready>,
    /// Whether a thread polls. Others wait for it.
    is_polling: bool,
}

impl Poller {
    pub(in crate::threads) fn new() -> io::Result<Self> {
        let (change, changed) = UnixStream::pair()?;
        change.set_nonblocking(true)?;
        changed.set_nonblocking(true)?;
        Ok(Self { sockets: Mutex::default(), polled: Condvar::new(), changed, change })
    }

    /// Adds a socket under a key of its own. It is not armed.
    pub(in crate::threads) fn add(&self, key: u64, socket: impl AsFd) -> io::Result<()> {
        let socket = Arc::new(socket.as_fd().try_clone_to_owned()?);
        lock(&self.sockets).by_key.insert(key, (socket, None));
        Ok(())
    }

    /// Announces the socket once when one of the wanted events has occurred, or its end.
    #[allow(clippy::unnecessary_wraps)] // as the other one
    pub(in crate::threads) fn arm(
        &self,
        key: u64,
        _: impl AsFd,
        wanted: PollFlags,
    ) -> io::Result<()> {
        if let Some((_, armed)) = lock(&self.sockets).by_key.get_mut(&key) {
            *armed = Some(wanted);
        }
        // If the buffer is full, the thread that polls wakes up in any case.
        let _ = (&self.change).write(&[0]);
        Ok(())
    }

    /// Removes a socket, which is to be closed.
    pub(in crate::threads) fn remove(&self, key: u64, _: impl AsFd) {
        lock(&self.sockets).by_key.remove(&key);
        let _ = (&self.change).write(&[0]);
    }

    /// Waits until a socket is ready. Returns `None` at the timeout, or earlier.
    pub(in crate::threads) fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<Ready>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut sockets = lock(&self.sockets);
        loop {
            if let Some(ready) = sockets.ready.pop_front() {
                return Ok(Some(ready));
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if sockets.is_polling {
                let left = left.unwrap_or(Duration::MAX);
                let waited = self.polled.wait_timeout(sockets, left);
                sockets = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            sockets.is_polling = true;
            drop(sockets);
            let polled = self.poll(left);
            sockets = lock(&self.sockets);
            sockets.is_polling = false;
            // Another thread takes what is ready, too, or polls.
            self.polled.notify_all();
            polled?;
        }
    }

    /// Polls once, and queues what is ready.
    fn poll(&self, timeout: Option<Duration>) -> io::Result<()> {
        let armed: Vec<(u64, Arc<OwnedFd>, PollFlags)> = lock(&self.sockets)
            .by_key
            .iter()
            .filter_map(|(key, (socket, armed))| Some((*key, Arc::clone(socket), (*armed)?)))
            .collect();
        let mut fds = vec![PollFd::new(&self.changed, PollFlags::IN)];
        fds.extend(armed.iter().map(|(_, socket, wanted)| PollFd::new(socket, *wanted)));
        poll(&mut fds, timespec(timeout).as_ref())?;
        if !fds[0].revents().is_empty() {
            let _ = (&self.changed).read(&mut [0; 64]);
        }
        let mut sockets = lock(&self.sockets);
        for ((key, ..), fd) in armed.iter().zip(&fds[1..]) {
            if fd.revents().is_empty() {
                continue;
            }
            // It may have been removed.
            if let Some((_, armed)) = sockets.by_key.get_mut(key) {
                *armed = None;
                sockets.ready.push_back((*key, fd.revents()));
            }
        }
        Ok(())
    }
}
