//! A child that other code of this program may wait for too.
//!
//! After that, its process id may belong to another process. A process descriptor, where the system
//! has them, never does.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Mutex;

use rustix::io::Errno;

use super::exit::Exit;
use super::sync::lock;

#[derive(Debug)]
pub(super) struct Owned {
    id: u32,
    /// The lock is never held while waiting for the process.
    state: Mutex<State>,
    /// `None` if the system has no process descriptors.
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

    /// Returns how the process ended, if it has.
    pub(super) fn try_wait(&self) -> io::Result<Option<Exit>> {
        self.look(&mut lock(&self.state))
    }

    /// Kills the process unless it has ended, and does not wait until it has.
    pub(super) fn start_kill(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if self.look(&mut state)?.is_some() {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            use rustix::process::{Signal, pidfd_send_signal};
            return match pidfd_send_signal(descriptor, Signal::KILL) {
                // It has ended in between, and other code has waited for it.
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

    /// Returns whether other code is known to have waited for the process: then its id means
    /// nothing.
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

    /// Waits until the process has ended, and returns true; or returns false at once, on systems
    /// that cannot wait without reaping. The process is not reaped, so that its id cannot be
    /// another's by the time that a signal is sent to it.
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    ))]
    pub(super) fn has_been_seen_to_end(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            return waitid(WaitId::PidFd(descriptor.as_fd()), options).is_ok();
        }
        pid(self.id).is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok())
    }

    #[cfg(not(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    )))]
    pub(super) fn has_been_seen_to_end(&self) -> bool {
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
