//! From an address to a transport.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::attempts::{Attempts, check_alive};
use crate::error::Result;
use crate::options::Options;
use crate::transport::{Tcp, Transport};

/// Opens a transport, with repeated attempts if the options say so, while the process that is
/// expected to open the socket has not ended.
pub(super) fn open(
    address: &Address,
    options: &Options,
    try_wait: &mut dyn FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<Box<dyn Transport>> {
    let mut attempts = Attempts::new(address, options, Instant::now());
    loop {
        let error = match attempt(address, attempts.next(Instant::now())) {
            Ok(transport) => return Ok(transport),
            Err(error) => error,
        };
        check_alive(try_wait)?;
        std::thread::sleep(attempts.failed(error)?);
    }
}

fn attempt(address: &Address, within: Duration) -> io::Result<Box<dyn Transport>> {
    #[cfg(unix)]
    use crate::transport::Unix;
    Ok(match address {
        #[cfg(unix)]
        Address::Unix(path) => Box::new(Unix::connect(path)?),
        #[cfg(unix)]
        Address::Abstract(name) => Box::new(Unix::connect_abstract(name)?),
        Address::Tcp { host, port } => Box::new(Tcp::connect(host, *port, within)?),
        #[cfg(not(unix))]
        _ => return Err(crate::attempts::no_unix_sockets()),
    })
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_that_is_created_after_the_first_attempts() {
        let name = format!("qmp-client-attempts-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let options = Options::new().wait_for_socket(Duration::from_secs(10));
        let (mut attempts, mut listener) = (0, None);
        let opened = open(&path.clone().into(), &options, &mut || {
            attempts += 1;
            if attempts == 3 {
                listener = Some(UnixListener::bind(&path).unwrap());
            }
            Ok(None)
        });
        std::fs::remove_file(&path).unwrap();
        assert!(opened.unwrap().passes_descriptors());
        assert_eq!(attempts, 3);
    }
}
