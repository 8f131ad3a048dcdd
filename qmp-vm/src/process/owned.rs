//! A child that other code of this program may wait for too.
//!
//! After that, its process id may belong to another process. A process descriptor, where the system
//! has them, never does.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::Errno;

use super::exit::Exit;
use super::supervisor::Supervisor;
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
    /// Ends the process when this program has ended; `None` if it does not, or not any more.
    supervisor: Option<Supervisor>,
}

/// How far a process is.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // Not every system tells all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// As far as the system tells.
    Running,
    /// Ended, and the number is still its own.
    Ended,
    /// Other code has waited for it: then its number means nothing.
    Taken,
}

impl Phase {
    #[cfg(target_os = "linux")]
    fn of(found: &rustix::io::Result<Option<rustix::process::WaitIdStatus>>) -> Self {
        match found {
            Ok(Some(_)) => Self::Ended,
            Err(Errno::CHILD) => Self::Taken,
            Ok(None) | Err(_) => Self::Running,
        }
    }
}

impl Owned {
    pub(super) fn new(child: Child) -> Self {
        let id = child.id();
        Self {
            id,
            #[cfg(target_os = "linux")]
            descriptor: descriptor_of(id),
            state: Mutex::new(State { child, exit: None, supervisor: None }),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Ends the process when this program has ended, and the processes of its group when the process
    /// has ended.
    ///
    /// # Errors
    /// The supervisor cannot be started.
    pub(super) fn supervise(&self, grace: Duration) -> io::Result<()> {
        lock(&self.state).supervisor = Some(Supervisor::start(self.id, grace)?);
        Ok(())
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
        // A wrapper may have started the process that matters. No other group has this number, since
        // the process has not been waited for.
        if self.kill_group() {
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

    /// Kills the process group that the process leads; returns false if it does not lead one.
    fn kill_group(&self) -> bool {
        use rustix::process::{Signal, getpgid, kill_process_group};
        let Some(pid) = pid(self.id) else { return false };
        getpgid(Some(pid)) == Ok(pid) && kill_process_group(pid, Signal::KILL).is_ok()
    }

    fn look(&self, state: &mut State) -> io::Result<Option<Exit>> {
        if state.exit.is_none() {
            let phase = self.phase();
            if phase != Phase::Running {
                if let Some(supervisor) = state.supervisor.take() {
                    supervisor.dismiss();
                    // What a wrapper left behind.
                    if phase == Phase::Ended {
                        self.kill_group();
                    }
                }
            }
            state.exit = match phase {
                Phase::Taken => Some(Exit::UNKNOWN),
                Phase::Running | Phase::Ended => match state.child.try_wait() {
                    Ok(status) => status.map(Exit::from),
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::CHILD) => {
                        Some(Exit::UNKNOWN)
                    }
                    Err(error) => return Err(error),
                },
            };
            if state.exit.is_some() {
                // On systems that do not tell the phase.
                state.supervisor.take().into_iter().for_each(Supervisor::dismiss);
            }
        }
        Ok(state.exit)
    }

    /// Finds out whether the process has ended, without waiting for it.
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    ))]
    fn phase(&self) -> Phase {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            return Phase::of(&waitid(WaitId::PidFd(descriptor.as_fd()), options));
        }
        match pid(self.id).map(|pid| waitid(WaitId::Pid(pid), options)) {
            // The number may be another child's.
            Some(Ok(Some(_))) => Phase::Ended,
            _ => Phase::Running,
        }
    }

    #[cfg(not(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_vendor = "apple"
    )))]
    fn phase(&self) -> Phase {
        Phase::Running
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

fn pid(id: u32) -> Option<rustix::process::Pid> {
    i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw)
}
