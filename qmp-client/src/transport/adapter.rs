//! Any stream.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use super::Transport;

/// A transport of anything that reads and writes: a pipe, a tunnel, a program's standard input
/// and output.
///
/// A thread reads, since not everything that reads can be told to stop waiting: it ends when the
/// peer closes, or with the next bytes after this was dropped. Writes wait as long as the writer
/// does.
pub struct Adapter<W> {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// What has been received of the present piece and not been asked for.
    rest: Vec<u8>,
    writer: W,
}

impl<W> fmt::Debug for Adapter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}

impl<W: Write + Send> Adapter<W> {
    /// A transport that reads from one and writes to the other.
    pub fn new(mut reader: impl Read + Send + 'static, writer: W) -> Self {
        let (sender, pieces) = sync_channel(4);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.map(|count| buffer[..count].to_vec()),
                };
                let last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
                if sender.send(piece).is_err() || last {
                    return;
                }
            }
        });
        Self { pieces, rest: Vec::new(), writer }
    }
}

impl<W: Write + Send> Transport for Adapter<W> {
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        if self.rest.is_empty() {
            let piece = match timeout {
                Some(Duration::ZERO) => self.pieces.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
                Some(timeout) => self.pieces.recv_timeout(timeout),
                None => self.pieces.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.rest = match piece {
                Ok(piece) => piece?,
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                // It has told of the end before.
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            };
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.writer.flush()?;
        Ok(count)
    }
}
