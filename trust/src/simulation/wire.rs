//! A socket between the client and the peer.
//!
//! ```text
//! peer ──> travelling ──deliver──> kernel ──(reported)──> poll_read
//! peer <── outgoing <── (buffer) <── poll_write, try_write
//! ```
//!
//! As with a runtime's socket, bytes may have arrived that the runtime has not reported yet.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use qmp_client::runtime::{Link, Sender};

use crate::random::Random;

/// The number of bytes between two messages.
const SEPARATOR: usize = "\r\n".len();

/// Both directions of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) random: Random,
    /// Sent by the peer, in pieces, with what each contains of interest.
    pub(crate) travelling: VecDeque<Piece>,
    kernel: VecDeque<u8>,
    /// Whether the runtime knows that there is something to read.
    reported: bool,
    /// Whether the peer sends nothing more.
    pub(crate) peer_ended: bool,
    /// Whether the peer accepts nothing more.
    pub(crate) peer_deaf: bool,
    /// The bytes that the client has written and the peer has not read.
    pub(crate) outgoing: VecDeque<u8>,
    /// The number of bytes that the peer has not read at which writes wait.
    pub(crate) window: usize,
    /// The bytes that the link keeps until it is flushed.
    buffer: Vec<u8>,
    pub(crate) buffered: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When which byte was handed to the link, by the number of bytes.
    offered: Vec<(u64, Moment)>,
    written_in_all: u64,
    /// When an event arrived, by its number.
    pub(crate) arrived: Vec<(u64, Moment)>,
    pub(crate) now: Moment,
    /// The bytes that have been moved by the client: its progress.
    pub(crate) moved: u64,
    /// Whether the link is still owned by a driver.
    pub(crate) open: bool,
    /// Whether the peer has answered the negotiation. That has an id of a random length, on which
    /// nothing may depend.
    pub(crate) negotiated: bool,
    /// Whether the client has read that answer.
    reads_parts: bool,
    /// The number of bytes that a read gives at most.
    pub(crate) longest_read: usize,
    /// In how many of a thousand cases an operation is put off although it is possible.
    pub(crate) put_off: usize,
    /// Whether the link never says that bytes have arrived: a fault that is planted.
    pub(crate) unaware: bool,
    /// Whether a byte is lost now and then: a fault that is planted.
    pub(crate) leaky: bool,
}

/// A point in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) step: u64,
    /// The number of reads since there was last nothing to read.
    pub(crate) reads: u64,
}

/// Bytes on their way to the client.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// The numbers of the events that end in it.
    pub(crate) events: Vec<u64>,
    /// Whether it arrives as a whole.
    pub(crate) whole: bool,
}

impl Wire {
    pub(crate) fn new(random: Random, window: usize, direct: bool) -> Self {
        Self {
            random,
            travelling: VecDeque::new(),
            kernel: VecDeque::new(),
            reported: false,
            peer_ended: false,
            peer_deaf: false,
            outgoing: VecDeque::new(),
            window,
            buffer: Vec::new(),
            // A link that buffers has no sending side that callers could share.
            buffered: !direct,
            reader: None,
            writer: None,
            offered: Vec::new(),
            written_in_all: 0,
            arrived: Vec::new(),
            now: Moment::default(),
            moved: 0,
            open: true,
            negotiated: false,
            reads_parts: false,
            longest_read: 1000,
            put_off: 0,
            unaware: false,
            leaky: false,
        }
    }

    /// Moves a part of what travels to where it can be read. The runtime does not know yet.
    pub(crate) fn deliver(&mut self) {
        let Some(mut piece) = self.travelling.pop_front() else { return };
        let count = match piece.whole || self.random.chance(600) {
            true => piece.bytes.len(),
            false => 1 + self.random.below(piece.bytes.len()),
        };
        self.kernel.extend(piece.bytes.drain(..count));
        // An event is complete without what separates it from the next message.
        if piece.bytes.len() <= SEPARATOR {
            let now = self.now;
            self.arrived.extend(piece.events.drain(..).map(|event| (event, now)));
        }
        if !piece.bytes.is_empty() {
            self.travelling.push_front(piece);
        }
    }

    fn has_something(&self) -> bool {
        !self.kernel.is_empty() || (self.peer_ended && self.travelling.is_empty())
    }

    /// Returns whether the runtime has something to report.
    pub(crate) fn is_to_report(&self) -> bool {
        self.has_something() && !self.reported && self.reader.is_some()
    }

    /// Tells the runtime that there is something to read.
    #[must_use = "the task is to be woken"]
    pub(crate) fn report(&mut self) -> Option<Waker> {
        self.reported = true;
        self.reader.take()
    }

    /// Returns whether the peer's system refuses what is written. It does not before everything that
    /// the peer sent has arrived.
    fn is_refusing(&self) -> bool {
        self.peer_deaf && self.travelling.is_empty()
    }

    fn is_full(&self) -> bool {
        self.negotiated && self.outgoing.len() >= self.window
    }

    /// Returns whether a task waits for room that exists.
    pub(crate) fn is_writable(&self) -> bool {
        (!self.is_full() || self.peer_deaf) && self.writer.is_some()
    }

    #[must_use = "the task is to be woken"]
    pub(crate) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// Returns when a byte was handed to the link, by its position.
    pub(crate) fn offered_at(&self, position: u64) -> Option<Moment> {
        let index = self.offered.partition_point(|(end, _)| *end <= position);
        self.offered.get(index).map(|(_, moment)| *moment)
    }

    /// Records that bytes are handed to the link, which may not accept them yet.
    fn offer(&mut self, bytes: &[u8]) {
        let end = self.written_in_all + (self.buffer.len() + bytes.len()) as u64;
        if self.offered.last().is_none_or(|(last, _)| *last < end) {
            self.offered.push((end, self.now));
        }
    }

    fn accept(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_refusing() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.is_full() && !self.peer_deaf {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = if self.negotiated && !self.peer_deaf {
            let most = bytes.len().min(self.window - self.outgoing.len());
            if self.random.chance(700) { most } else { 1 + self.random.below(most) }
        } else {
            bytes.len()
        };
        if !self.peer_deaf {
            self.outgoing.extend(&bytes[..count]);
        }
        if self.leaky && self.negotiated && self.random.chance(100) {
            self.outgoing.pop_back();
        }
        self.written_in_all += count as u64;
        self.moved += 1;
        Ok(count)
    }

    fn is_put_off(&mut self, cx: &Context<'_>) -> bool {
        let put_off = self.put_off > 0 && self.random.chance(self.put_off);
        if put_off {
            cx.waker().wake_by_ref();
        }
        put_off
    }
}

/// The client's end.
#[derive(Debug)]
pub(crate) struct SimulatedLink {
    wire: Arc<Mutex<Wire>>,
    direct: bool,
}

impl SimulatedLink {
    pub(crate) fn new(wire: Arc<Mutex<Wire>>, direct: bool) -> Self {
        Self { wire, direct }
    }
}

impl Drop for SimulatedLink {
    fn drop(&mut self) {
        lock(&self.wire).open = false;
    }
}

impl Link for SimulatedLink {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.wire);
        wire.now.reads = if wire.has_something() { wire.now.reads + 1 } else { 0 };
        if wire.is_put_off(cx) {
            return Poll::Pending;
        }
        if !wire.reported || !wire.has_something() {
            wire.reported = false;
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = wire.kernel.len().min(buffer.len());
        let count = if wire.reads_parts {
            let longest = wire.longest_read;
            most.min(1 + wire.random.below(longest))
        } else {
            most
        };
        for (place, byte) in buffer.iter_mut().zip(wire.kernel.drain(..count)) {
            *place = byte;
        }
        wire.moved += u64::from(count > 0);
        wire.reads_parts |= wire.negotiated && wire.kernel.is_empty() && wire.travelling.is_empty();
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.wire);
        wire.offer(bytes);
        if wire.is_put_off(cx) {
            return Poll::Pending;
        }
        if wire.buffered && wire.buffer.len() < 64 && !wire.is_refusing() {
            wire.buffer.extend(bytes);
            wire.moved += 1;
            return Poll::Ready(Ok(bytes.len()));
        }
        if wire.buffered {
            return match flush(&mut wire, cx) {
                Poll::Ready(Ok(())) => {
                    wire.buffer.extend(bytes);
                    Poll::Ready(Ok(bytes.len()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
        }
        match wire.accept(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wire.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            accepted => Poll::Ready(accepted),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        flush(&mut lock(&self.wire), cx)
    }

    fn sender(&self) -> Option<Arc<dyn Sender>> {
        self.direct.then(|| Arc::new(Direct(Arc::clone(&self.wire))) as Arc<dyn Sender>)
    }

    fn has_arrived(&self) -> bool {
        let wire = lock(&self.wire);
        wire.has_something() && !wire.unaware
    }
}

fn flush(wire: &mut Wire, cx: &Context<'_>) -> Poll<io::Result<()>> {
    while !wire.buffer.is_empty() {
        let buffer = std::mem::take(&mut wire.buffer);
        let accepted = wire.accept(&buffer);
        wire.buffer = buffer;
        match accepted {
            Ok(count) => drop(wire.buffer.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wire.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// The sending side that callers share with the driver.
struct Direct(Arc<Mutex<Wire>>);

impl Sender for Direct {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        wire.offer(bytes);
        wire.accept(bytes)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
