//! Waiting for many sockets, by several threads at once.
//!
//! A socket is announced once, to one of the threads, and then not until it is armed again. Linux keeps
//! the sockets, so that idle ones cost nothing. Elsewhere they are passed to `poll` by one thread at a
//! time. Both have the same methods; tests try both.

#[cfg(any(target_os = "android", target_os = "linux"))]
mod kept;
#[cfg(any(not(any(target_os = "android", target_os = "linux")), test))]
mod passed;

#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) use kept::Poller;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) use passed::Poller;

use std::time::Duration;

use rustix::event::Timespec;

/// A socket's key, and the events that have occurred.
pub(super) type Ready = (u64, rustix::event::PollFlags);

fn timespec(timeout: Option<Duration>) -> Option<Timespec> {
    timeout.and_then(|timeout| Timespec::try_from(timeout).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use rustix::event::PollFlags;

    const SOON: Option<Duration> = Some(Duration::from_millis(20));
    const DEADLINE: Option<Duration> = Some(Duration::from_secs(20));

    /// The steps are the same for both pollers, which have no type in common.
    macro_rules! announce_a_socket_once {
        ($poller:expr) => {
            let poller = $poller;
            let (mut first, theirs) = UnixStream::pair().unwrap();
            poller.add(1, &theirs).unwrap();
            first.write_all(b"x").unwrap();
            assert_eq!(poller.wait(SOON).unwrap(), None);
            poller.arm(1, &theirs, PollFlags::IN).unwrap();
            assert_eq!(poller.wait(DEADLINE).unwrap(), Some((1, PollFlags::IN)));
            assert_eq!(poller.wait(SOON).unwrap(), None);
            // Two threads get a socket each; one waits before a socket is armed.
            let (mut second, other) = UnixStream::pair().unwrap();
            poller.add(2, &other).unwrap();
            second.write_all(b"x").unwrap();
            std::thread::scope(|scope| {
                let wait = || loop {
                    if let Some((key, _)) = poller.wait(DEADLINE).unwrap() {
                        return key;
                    }
                };
                let waiting = [scope.spawn(wait), scope.spawn(wait)];
                poller.arm(1, &theirs, PollFlags::IN).unwrap();
                poller.arm(2, &other, PollFlags::IN | PollFlags::OUT).unwrap();
                let mut keys = waiting.map(|thread| thread.join().unwrap());
                keys.sort_unstable();
                assert_eq!(keys, [1, 2]);
            });
            // The end is announced whatever is waited for, and a removed socket is not.
            poller.arm(1, &theirs, PollFlags::empty()).unwrap();
            poller.arm(2, &other, PollFlags::IN).unwrap();
            poller.remove(2, &other);
            drop(first);
            let (key, ready) = poller.wait(DEADLINE).unwrap().unwrap();
            assert!(key == 1 && ready.contains(PollFlags::HUP), "{key} {ready:?}");
            assert_eq!(poller.wait(SOON).unwrap(), None);
        };
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[test]
    fn kept_sockets_are_announced_once() {
        announce_a_socket_once!(super::kept::Poller::new().unwrap());
    }

    #[test]
    fn passed_sockets_are_announced_once() {
        announce_a_socket_once!(super::passed::Poller::new().unwrap());
    }
}
