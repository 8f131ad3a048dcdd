//! Sockets that the system keeps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{Ready, timespec};

/// Waits for sockets.
#[derive(Debug)]
pub(in crate::threads) struct Poller(OwnedFd);

impl Poller {
    pub(in crate::threads) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Adds a socket under a key of its own. It is not armed.
    pub(in crate::threads) fn add(&self, key: u64, socket: impl AsFd) -> io::Result<()> {
        let (data, flags) = (EventData::new_u64(key), EventFlags::ONESHOT);
        epoll::add(&self.0, &socket, data, flags)?;
        Ok(())
    }

    /// Announces the socket once when one of the wanted events has occurred, or its end.
    pub(in crate::threads) fn arm(
        &self,
        key: u64,
        socket: impl AsFd,
        wanted: PollFlags,
    ) -> io::Result<()> {
        let flags = flags(wanted) | EventFlags::ONESHOT;
        Ok(epoll::modify(&self.0, socket, EventData::new_u64(key), flags)?)
    }

    /// Removes a socket, which is to be closed. Other processes may have it open, too.
    pub(in crate::threads) fn remove(&self, _: u64, socket: impl AsFd) {
        let _ = epoll::delete(&self.0, socket);
    }

    /// Waits until a socket is ready. Returns `None` at the timeout, or earlier.
    pub(in crate::threads) fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<Ready>> {
        // One socket for each thread: others would wait while it executes a command.
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        let count = epoll::wait(&self.0, &mut events[..], timespec(timeout).as_ref())?;
        let [Event { flags, data }] = events;
        Ok((count > 0).then(|| (data.u64(), polled(flags))))
    }
}

/// The flags of both that mean the same.
const SAME: [(PollFlags, EventFlags); 4] = [
    (PollFlags::IN, EventFlags::IN),
    (PollFlags::OUT, EventFlags::OUT),
    (PollFlags::HUP, EventFlags::HUP),
    (PollFlags::ERR, EventFlags::ERR),
];

fn flags(wanted: PollFlags) -> EventFlags {
    let same = SAME.iter().filter(|(flag, _)| wanted.contains(*flag));
    same.fold(EventFlags::empty(), |all, (_, flag)| all | *flag)
}

fn polled(flags: EventFlags) -> PollFlags {
    let same = SAME.iter().filter(|(_, flag)| flags.contains(*flag));
    same.fold(PollFlags::empty(), |all, (flag, _)| all | *flag)
}
