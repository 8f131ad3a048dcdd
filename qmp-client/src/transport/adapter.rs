//! Any stream.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qmp_protocol::Descriptor;

use super::Transport;

/// The number of pieces that are read ahead.
const PIECES: usize = 4;
/// The size of a piece, in bytes.
const PIECE: usize = 16 * 1024;

/// A transport of anything that reads and writes: a pipe, a tunnel, a program's standard input and
/// output.
///
/// A thread reads, since not every reader can be told to stop waiting. It ends when the peer closes
/// the connection, or with the first bytes that arrive after the transport was dropped. Writes wait
/// as long as the writer does.
pub struct Adapter<W> {
    reader: Mutex<Reader>,
    writer: Mutex<W>,
    /// Wakes a read that waits.
    closer: SyncSender<io::Result<Vec<u8>>>,
}

struct Reader {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// The part of the current piece that has not been asked for.
    rest: Vec<u8>,
    ended: bool,
}

impl<W> fmt::Debug for Adapter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}

impl<W: Write + Send> Adapter<W> {
    /// Creates a transport that reads from one stream and writes to the other.
    pub fn new(mut reader: impl Read + Send + 'static, writer: W) -> Self {
        let (sender, pieces) = sync_channel(PIECES);
        let closer = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; PIECE];
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
        let reader = Reader { pieces, rest: Vec::new(), ended: false };
        Self { reader: Mutex::new(reader), writer: Mutex::new(writer), closer }
    }
}

impl Reader {
    /// Waits until there is a piece to read from, or the stream has ended.
    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.rest.is_empty() && !self.ended {
            self.rest = match self.next_piece(timeout) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                piece => {
                    // An error and an empty piece are the last.
                    self.ended = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
                    piece?
                }
            };
        }
        Ok(())
    }

    fn next_piece(&mut self, timeout: Option<Duration>) -> io::Result<Vec<u8>> {
        let piece = match timeout {
            Some(Duration::ZERO) => self.pieces.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
            Some(timeout) => self.pieces.recv_timeout(timeout),
            None => self.pieces.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match piece {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Ok(Vec::new()),
        }
    }
}

impl<W: Write + Send> Transport for Adapter<W> {
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let mut reader = lock(&self.reader);
        reader.fill(timeout)?;
        let count = reader.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&reader.rest[..count]);
        reader.rest.drain(..count);
        Ok(count)
    }

    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        _: Option<Duration>,
    ) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut writer = lock(&self.writer);
        let count = writer.write(bytes)?;
        writer.flush()?;
        Ok(count)
    }

    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        lock(&self.reader).fill(timeout).map(|()| true)
    }

    fn close(&self) {
        // If the channel is full, a read does not wait.
        let _ = self.closer.try_send(Ok(Vec::new()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
