//! Files of the guest.

use qmp_client::{Command, Error, Mismatch, Result};
use qmp_types::qga::commands::{GuestFileClose, GuestFileOpen, GuestFileRead, GuestFileWrite};
use serde::{Deserialize, Deserializer};

use super::bytes::{decode, encode};
use super::client::Agent;
use crate::monitor::Monitor;
use crate::monitor::session::{Call, Undo};

/// The number of bytes that travel in one message, well below the agent's limits.
const PIECE: usize = 48 * 1024;

impl<M: Monitor> Agent<M> {
    /// Reads a file of the guest, at most `limit` bytes of it. If that many are returned, the file
    /// may be longer.
    ///
    /// # Errors
    /// The file cannot be read, or the agent sends more than it was asked for.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file is closed in the guest.
    pub fn read_file<'a>(&'a self, path: &'a str, limit: usize) -> M::Outcome<'a, Result<Vec<u8>>> {
        M::run(read(self.client(), path, limit))
    }

    /// Writes a file of the guest, and replaces its contents.
    ///
    /// # Errors
    /// The file cannot be written, or the agent claims to have written a number of bytes that is
    /// impossible. Part of the file may have been written.
    ///
    /// # Cancel safety
    /// If the future is dropped, part of the file may have been written, and it is closed in the
    /// guest.
    pub fn write_file<'a>(&'a self, path: &'a str, bytes: &'a [u8]) -> M::Outcome<'a, Result<()>> {
        M::run(write(self.client(), path, bytes))
    }
}

/// Opens a file, and returns its handle and the guard that closes it.
async fn open<M: Monitor>(
    agent: &M,
    open: GuestFileOpen,
) -> Result<(i64, M::Undo<GuestFileClose>)> {
    let call = agent.call(open);
    call.execute_undoable(|opened| opened.ok().map(|handle| GuestFileClose::new(*handle))).await
}

async fn read<M: Monitor>(agent: &M, path: &str, limit: usize) -> Result<Vec<u8>> {
    let (handle, close) = open(agent, GuestFileOpen::new(path)).await?;
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        let wanted = PIECE.min(limit - bytes.len());
        let command = GuestFileRead::new(handle).count(i64::try_from(wanted).unwrap_or(1));
        let piece = agent.execute(command).await?;
        let read = decode::<GuestFileRead>(&piece.buf_b64)?;
        if read.len() > wanted {
            let read = i64::try_from(read.len()).unwrap_or(i64::MAX);
            return Err(impossible::<GuestFileRead>(read, wanted));
        }
        bytes.extend_from_slice(&read);
        if piece.eof || read.is_empty() {
            break;
        }
    }
    close.run().await?;
    Ok(bytes)
}

async fn write<M: Monitor>(agent: &M, path: &str, bytes: &[u8]) -> Result<()> {
    let (handle, close) = open(agent, GuestFileOpen::new(path).mode("wb")).await?;
    let mut left = bytes;
    while let Some(piece) = left.chunks(PIECE).next() {
        let written = agent.execute(GuestFileWrite::new(handle, encode(piece))).await?.count;
        match usize::try_from(written) {
            Ok(count) if (1..=piece.len()).contains(&count) => left = left.split_at(count).1,
            _ => return Err(impossible::<GuestFileWrite>(written, piece.len())),
        }
    }
    close.run().await.map(|_| ())
}

/// Returns the error of a reply that reports more bytes than are possible, or none.
fn impossible<C: Command>(reported: i64, possible: usize) -> Error {
    match qmp_types::decode::<Impossible>(&format!("[{reported}, {possible}]")) {
        Err(error) => Mismatch::reply(C::NAME.into(), error).into(),
        Ok(never) => match never {},
    }
}

/// The number of bytes that a reply reports, and the number that is possible. They never decode:
/// this makes the error that says so.
enum Impossible {}

impl<'de> Deserialize<'de> for Impossible {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (reported, possible) = <(i64, u64)>::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format_args!(
            "the agent reports {reported} bytes where 1 to {possible} are possible"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_count_is_named() {
        let error = impossible::<GuestFileWrite>(70_000, 5);
        assert_eq!(error.command(), Some("guest-file-write"));
        assert!(error.report().contains("70000 bytes where 1 to 5 are possible"), "{error:?}");
    }
}
