//! From an address to a transport.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::attempts::{Attempts, check_alive};
use crate::endpoint;
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
            Ok(transport) => {
                attempts.succeeded(options);
                return Ok(transport);
            }
            Err(error) => error,
        };
        check_alive(try_wait)?;
        std::thread::sleep(attempts.failed(error)?);
    }
}

fn attempt(address: &Address, within: Duration) -> io::Result<Box<dyn Transport>> {
    #[cfg(unix)]
    if let Some(stream) = endpoint::unix_stream(address)? {
        return Ok(Box::new(crate::transport::Unix::from_stream(stream)?));
    }
    let (host, port) = endpoint::host_and_port(address)?;
    Ok(Box::new(Tcp::connect(host, port, within)?))
}
