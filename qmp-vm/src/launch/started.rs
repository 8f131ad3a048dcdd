//! Programs that were started, and have not greeted.

use std::io;
use std::os::unix::net::UnixStream;

use qmp_client::{Connecting, Error, Options, Result, TransportError};

use super::launching::Launching;
use crate::process::Process;

/// A program that was started, and this side of its monitor.
#[derive(Debug)]
pub struct Started {
    pub(crate) stream: UnixStream,
    pub(crate) process: Process,
    pub(crate) options: Options,
}

impl Started {
    /// Connects the asynchronous client to the monitor.
    ///
    /// # Errors
    /// The socket cannot be used, or the system has no thread to offer; the program is killed.
    pub(crate) fn connect_with<T>(
        self,
        connect: impl FnOnce(UnixStream, &Options) -> io::Result<(Connecting, T)>,
    ) -> Result<(Launching, T)> {
        let (connecting, driver) = connect(self.stream, &self.options).map_err(no_socket)?;
        Ok((Launching::new(connecting, self.process)?, driver))
    }
}

pub(crate) fn no_socket(error: io::Error) -> Error {
    TransportError::new("cannot use a socket pair", error).into()
}
