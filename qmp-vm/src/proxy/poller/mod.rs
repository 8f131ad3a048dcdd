//! Waiting for many sockets at once.
//!
//! Linux keeps the sockets, so that idle ones cost nothing at each wait. Elsewhere they are passed to
//! `poll`. Both have the same methods; tests try both.

#[cfg(any(target_os = "android", target_os = "linux"))]
mod kept;
#[cfg(any(not(any(target_os = "android", target_os = "linux")), test))]
mod passed;

#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) use kept::Poller;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) use passed::Poller;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use rustix::event::PollFlags;

    /// The steps are the same for both pollers, which have no type in common.
    macro_rules! tell_what_is_ready {
        ($poller:expr) => {
            let mut poller = $poller;
            let (mut first, theirs) = UnixStream::pair().unwrap();
            let (second, mut other) = UnixStream::pair().unwrap();
            poller.add(1, &theirs, PollFlags::IN).unwrap();
            poller.add(2, &other, PollFlags::empty()).unwrap();
            assert_eq!(poller.wait(Some(Instant::now())).unwrap(), []);
            first.write_all(b"x").unwrap();
            (&second).write_all(b"x").unwrap();
            assert_eq!(poller.wait(None).unwrap(), [(1, PollFlags::IN)]);
            // What is not read is told again.
            assert_eq!(poller.wait(None).unwrap(), [(1, PollFlags::IN)]);
            poller.change(1, &theirs, PollFlags::OUT).unwrap();
            poller.change(2, &other, PollFlags::IN).unwrap();
            let mut ready = poller.wait(None).unwrap();
            ready.sort_unstable_by_key(|(key, _)| *key);
            assert_eq!(ready, [(1, PollFlags::OUT), (2, PollFlags::IN)]);
            // A socket that is open elsewhere is forgotten, too.
            let duplicate = theirs.try_clone().unwrap();
            poller.remove(1, &theirs);
            drop(theirs);
            other.read_exact(&mut [0]).unwrap();
            let begin = Instant::now();
            let soon = Some(begin + Duration::from_millis(20));
            assert_eq!(poller.wait(soon).unwrap(), []);
            assert!(begin.elapsed() >= Duration::from_millis(19), "{:?}", begin.elapsed());
            drop((duplicate, second));
            // The end is told whatever is waited for.
            poller.change(2, &other, PollFlags::empty()).unwrap();
            let ready = poller.wait(None).unwrap();
            assert!(ready.len() == 1 && ready[0].1.contains(PollFlags::HUP), "{ready:?}");
        };
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[test]
    fn kept_sockets_tell_what_is_ready() {
        tell_what_is_ready!(super::kept::Poller::new().unwrap());
    }

    #[test]
    fn passed_sockets_tell_what_is_ready() {
        tell_what_is_ready!(super::passed::Poller::new().unwrap());
    }
}
