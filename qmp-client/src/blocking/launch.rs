//! Starting a QEMU and waiting for its greeting.

use super::Client;
use crate::error::{Error, Result};
use crate::launch::{Launch, Started, no_pair};
use crate::transport::Unix;

impl Launch {
    /// Starts the program and waits for its greeting. It ends when the client is dropped.
    ///
    /// # Errors
    /// [`Error::Launch`](crate::Error::Launch), with what the program wrote to its standard error,
    /// if it does not start, ends first or does not greet in time; and those of [`Client::from_transport`].
    pub fn start(self) -> Result<Client> {
        let Started { stream, process, options } = self.spawn()?;
        let transport = Unix::from_stream(stream).map_err(no_pair)?;
        match Client::from_transport(transport, &options) {
            Ok(mut client) => {
                client.process = Some(process);
                Ok(client)
            }
            Err(error) if error.is_closed() => {
                Err(process.inner().early_end().map_or(error, Error::from))
            }
            Err(Error::Timeout(timeout)) => Err(process.inner().late_greeting(*timeout).into()),
            Err(error) => Err(error),
        }
    }
}
