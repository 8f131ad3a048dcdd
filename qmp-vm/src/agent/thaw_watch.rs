//! Thawing for a program that has been killed.

use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;

use qmp_client::{Result, TransportError};

use crate::sentinel::Sentinel;

/// Thaws the guest's file systems. The first byte makes the agent forget a command that this program
/// has sent half of. The connection stays open until QEMU has read everything: it drops what it has
/// not read when a connection ends. A socket of an asynchronous client may have no room at first.
const SCRIPT: &str = r#"
sent=0
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    printf '\377{"execute": "guest-fsfreeze-thaw"}\n' && sent=$((sent + 1))
    sleep 1
    [ "$sent" -lt 2 ] || exit 0
done
"#;

/// A shell that thaws the guest's file systems when this program ends, however it ends: even if it is
/// killed (`SIGKILL`), when no guard can act.
///
/// It shares the connection to the agent, and uses it only when this program has ended. Start it
/// before [`freeze`](super::Agent::freeze), and drop it when the file systems are thawed, which ends
/// the shell:
///
/// ```no_run
/// # #[cfg(feature = "blocking")] {
/// use std::os::unix::net::UnixStream;
///
/// use qmp_client::{Options, transport::Unix};
/// use qmp_vm::{ThawWatch, blocking::Agent};
///
/// let stream = UnixStream::connect("/run/vm-agent.sock")?;
/// let watch = ThawWatch::start(&stream)?;
/// let guest = Agent::over(Unix::from_stream(stream)?, &Options::new())?;
/// let frozen = guest.freeze()?;
/// // ... take the snapshot.
/// frozen.thaw()?;
/// drop(watch);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Limits
/// The shell (`/bin/sh`) cannot act if it is killed as well, as when a control group is, or the host
/// crashes; nor if this program has been forked, and the other process still runs. A connection
/// through TLS or SSH cannot be shared.
#[derive(Debug)]
#[must_use = "dropping it ends the shell"]
pub struct ThawWatch(Sentinel);

impl ThawWatch {
    /// Starts the shell for a connection, which is a socket that leads to the agent. This takes as
    /// long as starting a process does.
    ///
    /// # Errors
    /// The connection cannot be duplicated, or the shell cannot be started.
    pub fn start(connection: impl AsFd) -> Result<Self> {
        let start = || -> io::Result<Sentinel> {
            let connection = connection.as_fd().try_clone_to_owned()?;
            Sentinel::start("qmp-thaw-watch", SCRIPT, &[], Stdio::from(connection))
        };
        let failed =
            |error| TransportError::new("cannot start the shell that would thaw the guest", error);
        Ok(Self(start().map_err(failed)?))
    }
}

impl Drop for ThawWatch {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_of_the_program_thaws() {
        let (mut ours, mut agent) = UnixStream::pair().unwrap();
        agent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut watch = ThawWatch::start(&ours).unwrap();
        ours.write_all(b"{\"execute\": \"gue").unwrap();
        watch.0.abandon();
        drop(ours);
        let thaw = b"\xFF{\"execute\": \"guest-fsfreeze-thaw\"}\n";
        let expected = [&b"{\"execute\": \"gue"[..], thaw].concat();
        let mut received = vec![0; expected.len()];
        agent.read_exact(&mut received).unwrap();
        assert_eq!(received, expected);
        // The agent's reply finds an open connection.
        agent.write_all(b"{\"return\": 1}\n").unwrap();
    }

    /// The shell gave up when the socket of an asynchronous client was full.
    #[test]
    fn a_socket_without_room_is_tried_again() {
        let (mut ours, mut agent) = UnixStream::pair().unwrap();
        agent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[b' '; 4096]).is_ok() {}
        let mut watch = ThawWatch::start(&ours).unwrap();
        watch.0.abandon();
        drop(ours);
        // Time for the first attempt, which fails. If it comes later, it succeeds.
        std::thread::sleep(Duration::from_millis(300));
        let (mut received, mut bytes) = (Vec::new(), [0; 4096]);
        while !received.ends_with(b"thaw\"}\n") {
            let count = agent.read(&mut bytes).unwrap();
            assert!(count > 0, "the shell has given up");
            received.extend_from_slice(&bytes[..count]);
        }
    }

    /// A guest that was frozen by another program later must not be thawed.
    #[test]
    fn a_watch_that_is_dropped_sends_nothing() {
        let (ours, mut agent) = UnixStream::pair().unwrap();
        agent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        drop(ThawWatch::start(&ours).unwrap());
        drop(ours);
        assert_eq!(agent.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
