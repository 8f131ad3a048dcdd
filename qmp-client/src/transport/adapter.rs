//! Any stream.

// Few programs need it. Its functions are `#[inline]`, so that only those programs compile them, and the
// channels.

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
/// The time that a write may take even if it is not to wait.
const MOMENT: Duration = Duration::from_millis(1);

/// A transport of anything that reads and writes: a pipe, a tunnel, a program's standard input and
/// output.
///
/// One thread reads and another writes, since not every stream can be told to stop waiting. A write
/// that has not ended in time goes on, and the next one waits for it. The threads end when the peer
/// closes the connection, or with the first bytes that arrive, or are accepted, after the transport
/// was dropped.
pub struct Adapter {
    reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    /// Wakes a read that waits.
    closer: SyncSender<io::Result<Vec<u8>>>,
}

struct Reader {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// The part of the current piece that has not been asked for.
    rest: Vec<u8>,
    ended: bool,
}

struct Writer {
    pieces: SyncSender<Vec<u8>>,
    /// The number of bytes that have been written of each piece.
    written: Receiver<io::Result<usize>>,
    /// Whether a piece is being written.
    is_writing: bool,
}

impl fmt::Debug for Adapter {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}

impl Adapter {
    /// Creates a transport that reads from one stream and writes to the other.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::process::{Command, Stdio};
    ///
    /// use qmp_client::{Options, blocking::Client, transport::Adapter};
    ///
    /// // The monitor of a machine on another host.
    /// let mut ssh = Command::new("ssh")
    ///     .args(["host", "socat", "-", "unix:/run/vm.sock"])
    ///     .stdin(Stdio::piped())
    ///     .stdout(Stdio::piped())
    ///     .spawn()?;
    /// let (input, output) = (ssh.stdin.take().expect("piped"), ssh.stdout.take().expect("piped"));
    /// let vm = Client::over(Adapter::new(output, input), &Options::new())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        mut reader: impl Read + Send + 'static,
        mut writer: impl Write + Send + 'static,
    ) -> Self {
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
        let (to_write, to_be_written) = sync_channel::<Vec<u8>>(1);
        let (has_written, written) = sync_channel(1);
        std::thread::spawn(move || {
            for piece in to_be_written {
                if has_written.send(write_some(&mut writer, &piece)).is_err() {
                    return;
                }
            }
        });
        let reader = Reader { pieces, rest: Vec::new(), ended: false };
        let writer = Writer { pieces: to_write, written, is_writing: false };
        Self { reader: Mutex::new(reader), writer: Mutex::new(writer), closer }
    }
}

/// Writes at least one byte, and sends it on.
fn write_some(writer: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match writer.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            written => return writer.flush().and(written),
        }
    }
}

impl Writer {
    /// Writes the first bytes. After a timeout, the same bytes are to be passed again.
    #[inline]
    fn write(&mut self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        if !self.is_writing {
            let piece = bytes[..bytes.len().min(PIECE)].to_vec();
            self.pieces.send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.is_writing = true;
        }
        let written = match timeout {
            // Mostly the other thread takes less.
            Some(timeout) => match self.written.recv_timeout(timeout.max(MOMENT)) {
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
                Ok(written) => written,
            },
            None => self.written.recv().map_err(gone)?,
        };
        self.is_writing = false;
        written
    }
}

impl Reader {
    /// Waits until there is a piece to read from, or the stream has ended.
    #[inline]
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

    #[inline]
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

impl Transport for Adapter {
    #[inline]
    fn read(&self, buffer: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        let mut reader = lock(&self.reader);
        reader.fill(timeout)?;
        let count = reader.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&reader.rest[..count]);
        reader.rest.drain(..count);
        Ok(count)
    }

    #[inline]
    fn write(
        &self,
        bytes: &[u8],
        descriptors: &[Descriptor],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        lock(&self.writer).write(bytes, timeout)
    }

    #[inline]
    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        lock(&self.reader).fill(timeout).map(|()| true)
    }

    #[inline]
    fn close(&self) {
        // If the channel is full, a read does not wait.
        let _ = self.closer.try_send(Ok(Vec::new()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
