//! A child for which others may wait too.
//!
//! Once they have, its number may be another process's. A descriptor of the process, where there
//! is one, is never another's.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Mutex;

use rustix::io::Errno;

use super::{Exit, LONGEST_PAUSE, lock};

#[derive(Debug)]
pub(super) struct Owned {
    id: u32,
    /// The lock is held for moments: nobody waits for the process with it.
    state: Mutex<State>,
    /// Nothing, if the system has none to give.
    #[cfg(target_os = "linux")]
    descriptor: Option<OwnedFd>,
}

#[derive(Debug)]
struct State {
    child: Child,
    exit: Option<Exit>,
}

impl Owned {
    pub(super) fn new(child: Child) -> Self {
        let id = child.id();
        Self {
            id,
            #[cfg(target_os = "linux")]
            descriptor: descriptor_of(id),
            state: Mutex::new(State { child, exit: None }),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it has.
    pub(super) fn try_wait(&self) -> io::Result<Option<Exit>> {
        self.look(&mut lock(&self.state))
    }

    /// Ends it without asking, unless it has ended, and does not wait until it has.
    pub(super) fn start_kill(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if self.look(&mut state)?.is_some() {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            use rustix::process::{Signal, pidfd_send_signal};
            return match pidfd_send_signal(descriptor, Signal::KILL) {
                // It has ended in between, and somebody else has waited for it.
                Err(Errno::SRCH) => Ok(()),
                sent => Ok(sent?),
            };
        }
        state.child.kill()
    }

    fn look(&self, state: &mut State) -> io::Result<Option<Exit>> {
        if state.exit.is_none() {
            state.exit = match self.is_taken() {
                true => Some(Exit::UNKNOWN),
                false => match state.child.try_wait() {
                    Ok(status) => status.map(Exit::from),
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::CHILD) => {
                        Some(Exit::UNKNOWN)
                    }
                    Err(error) => return Err(error),
                },
            };
        }
        Ok(state.exit)
    }

    /// Whether somebody else is known to have waited for it: then its number says nothing.
    #[cfg(target_os = "linux")]
    fn is_taken(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.descriptor.as_ref().is_some_and(|descriptor| {
            let found = waitid(WaitId::PidFd(descriptor.as_fd()), options);
            found.is_err_and(|error| error == Errno::CHILD)
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn is_taken(&self) -> bool {
        false
    }

    /// Returns when the process has ended, or sooner. It is left to be waited for: otherwise its
    /// number might be another's by the time that a signal is sent to it.
    pub(super) fn until_it_ends(&self) {
        if !self.has_been_seen_to_end() {
            std::thread::sleep(LONGEST_PAUSE);
        }
    }

    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    ))]
    fn has_been_seen_to_end(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            return waitid(WaitId::PidFd(descriptor.as_fd()), options).is_ok();
        }
        pid(self.id).is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok())
    }

    /// Some systems cannot wait and leave it at that.
    #[cfg(not(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    )))]
    fn has_been_seen_to_end(&self) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
fn descriptor_of(id: u32) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    pid(id).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
}

#[cfg(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_vendor = "apple"
))]
fn pid(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw)
}
