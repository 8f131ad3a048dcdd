//! Files of the guest.

use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_client::{Error, Result};
use qmp_types::qga::commands::{GuestFileClose, GuestFileOpen, GuestFileRead, GuestFileWrite};

use super::bytes::{decode, encode};
use super::client::Agent;
use super::impossible::impossible;
use crate::limit::Limit;
use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

/// The number of bytes that travel in one message, well below the agent's limits.
const PIECE: usize = 48 * 1024;

impl<M: Monitor> Agent<M> {
    /// Reads a file of the guest, at most `limit` bytes of it. If that many are returned, the file
    /// may be longer. The deadline covers everything; a tenth of it, at most a second, is kept for
    /// closing the file.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// let log = guest.read_file("/var/log/messages", 1 << 20, PATIENCE)?;
    /// println!("{} bytes", log.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The file cannot be read, or not in time, or the agent sends something other than it says or
    /// was asked for.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file is closed in the guest.
    pub fn read_file<'a>(
        &'a self,
        path: &'a str,
        limit: usize,
        within: Duration,
    ) -> M::Outcome<'a, Result<Vec<u8>>> {
        M::run(read(self.client(), path, limit, within))
    }

    /// Writes a file of the guest, and replaces its contents. The deadline covers everything; a tenth
    /// of it, at most a second, is kept for closing the file.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "blocking", feature = "qga"))]
    /// # fn example(guest: qmp_vm::blocking::Agent) -> qmp_client::Result<()> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// guest.write_file("/etc/motd", b"Managed\n", PATIENCE)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The file cannot be written, or not in time, or the agent claims to have written a number of
    /// bytes that is impossible. Part of the file may have been written.
    ///
    /// # Cancel safety
    /// If the future is dropped, part of the file may have been written, and it is closed in the
    /// guest.
    pub fn write_file<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        within: Duration,
    ) -> M::Outcome<'a, Result<()>> {
        M::run(write(self.client(), path, bytes, within))
    }
}

fn limit<M: Monitor>(agent: &M, within: Duration, state: String) -> Limit {
    Limit::new(agent, within, state).with_reserve()
}

/// Opens a file, and returns its handle and the guard that closes it.
async fn open<M: Monitor>(
    agent: &M,
    limit: &Limit,
    open: GuestFileOpen,
) -> Result<(i64, M::Undo<GuestFileClose>)> {
    let within = agent.options().call_within("guest-file-open").min(limit.left(agent));
    let call = agent.call(open).within(within);
    let close = |opened: Result<&i64, &Error>| Some(GuestFileClose::new(*opened.ok()?));
    call.execute_undoable(agent, &Rollback::until(limit.end(), within), close).await
}

async fn read<M: Monitor>(agent: &M, path: &str, most: usize, within: Duration) -> Result<Vec<u8>> {
    let limit = limit(agent, within, format!("`{}` to be read", Printable(path)));
    let (handle, close) = open(agent, &limit, GuestFileOpen::new(path)).await?;
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let wanted = PIECE.min(most - bytes.len());
        let command = GuestFileRead::new(handle).count(i64::try_from(wanted).unwrap_or(1));
        let piece = limit.execute(agent, command).await?;
        let most_text = wanted.div_ceil(3) * 4;
        if piece.buf_b64.len() > most_text {
            let length = piece.buf_b64.len();
            let reason = format!("{length} bytes of base64 where at most {most_text} are possible");
            return Err(impossible::<GuestFileRead>(reason));
        }
        let read = decode::<GuestFileRead>(&piece.buf_b64)?;
        let (count, length) = (piece.count, read.len());
        if length > wanted {
            let reason = format!("{length} bytes where at most {wanted} are possible");
            return Err(impossible::<GuestFileRead>(reason));
        }
        if usize::try_from(count) != Ok(length) {
            let reason = format!("{count} bytes and sends {length}");
            return Err(impossible::<GuestFileRead>(reason));
        }
        bytes.extend_from_slice(&read);
        if piece.eof {
            break;
        }
        if read.is_empty() {
            return Err(impossible::<GuestFileRead>("0 bytes before the end of the file"));
        }
    }
    close.run().await?;
    Ok(bytes)
}

async fn write<M: Monitor>(agent: &M, path: &str, bytes: &[u8], within: Duration) -> Result<()> {
    let limit = limit(agent, within, format!("`{}` to be written", Printable(path)));
    let (handle, close) = open(agent, &limit, GuestFileOpen::new(path).mode("wb")).await?;
    let mut left = bytes;
    while let Some(piece) = left.chunks(PIECE).next() {
        let command = GuestFileWrite::new(handle, encode(piece));
        let written = limit.execute(agent, command).await?.count;
        let most = piece.len();
        match usize::try_from(written) {
            Ok(count) if (1..=most).contains(&count) => left = left.split_at(count).1,
            _ => {
                let reason = format!("{written} bytes where 1 to {most} are possible");
                return Err(impossible::<GuestFileWrite>(reason));
            }
        }
    }
    close.run().await.map(|_| ())
}
