//! Sockets that the system keeps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::proxy::upstream::timeout;

/// The number of sockets that one wait returns. Others are returned by the next one.
const MOST: usize = 64;

/// Waits for sockets.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Adds a socket under a key of its own, and what to wait for. Its end is waited for in any case.
    pub(crate) fn add(&mut self, key: u64, socket: impl AsFd, wanted: PollFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, EventData::new_u64(key), flags(wanted))?)
    }

    /// Sets what to wait for.
    pub(crate) fn change(
        &mut self,
        key: u64,
        socket: impl AsFd,
        wanted: PollFlags,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.0, socket, EventData::new_u64(key), flags(wanted))?)
    }

    /// Removes a socket, which is to be closed. Other processes may have it open, too.
    pub(crate) fn remove(&mut self, _: u64, socket: impl AsFd) {
        let _ = epoll::delete(&self.0, socket);
    }

    /// Waits until a socket is ready, or until the deadline, and returns the keys of those that are.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Vec<(u64, PollFlags)>> {
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; MOST];
        let count = epoll::wait(&self.0, &mut events[..], timeout(deadline).as_ref())?;
        let ready = |event: &Event| {
            let (flags, data) = (event.flags, event.data);
            (data.u64(), polled(flags))
        };
        Ok(events.iter().take(count).map(ready).collect())
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
