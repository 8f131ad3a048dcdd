//! The stream of a client.
//!
//! Sockets are shared: replies and events are written by the task that has them, and the client's task
//! is woken only for what is left.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;
#[cfg(unix)]
use ::tokio::{io::Interest, net::UnixStream};

use crate::descriptors::Descriptor;
use crate::peer::Write;

/// A stream.
pub(super) enum Link<S> {
    #[cfg(unix)]
    Unix(Arc<UnixStream>),
    Tcp(Arc<TcpStream>),
    /// A stream that is none of these, and so is not `None`.
    Other(Option<S>),
}

/// The result of a read.
pub(super) struct Received {
    pub(super) count: usize,
    pub(super) descriptors: Vec<Descriptor>,
}

/// Writes to a shared socket, or waits until it has room.
macro_rules! poll_write {
    ($stream:expr, $cx:expr, $bytes:expr) => {
        loop {
            ready!($stream.poll_write_ready($cx))?;
            match $stream.try_write($bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        }
    };
}

/// Reads from a shared socket, or waits until something has arrived.
#[cfg(unix)]
macro_rules! poll_read {
    ($stream:expr, $cx:expr, $bytes:expr) => {
        loop {
            ready!($stream.poll_read_ready($cx))?;
            let mut received = None;
            let read = $stream.try_io(Interest::READABLE, || {
                let (count, descriptors) = crate::socket::read($stream, $bytes)?;
                // Nothing is left after a short read, so that the next one needs not be tried. It ends
                // early where descriptors have arrived, too.
                let has_more = count == 0 || count == $bytes.len() || !descriptors.is_empty();
                received = Some(Received { count, descriptors });
                if has_more { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
            });
            match (received, read) {
                (Some(received), _) => break Poll::Ready(Ok(received)),
                (None, Err(error)) if !crate::socket::is_not_ready(&error) => {
                    break Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        #[cfg(unix)]
        if let Some(stream) = any.downcast_mut::<Option<UnixStream>>().and_then(Option::take) {
            return Self::Unix(Arc::new(stream));
        }
        if let Some(stream) = any.downcast_mut::<Option<TcpStream>>().and_then(Option::take) {
            return Self::Tcp(Arc::new(stream));
        }
        Self::Other(stream)
    }

    /// Returns a function that writes without waiting, from any task, if there is one.
    pub(super) fn writer(&self) -> Option<Arc<Write>> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => {
                let stream = Arc::clone(stream);
                Some(Arc::new(move |bytes: &[u8]| stream.try_write(bytes)))
            }
            Self::Tcp(stream) => {
                let stream = Arc::clone(stream);
                Some(Arc::new(move |bytes: &[u8]| stream.try_write(bytes)))
            }
            Self::Other(_) => None,
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => poll_write!(stream, cx, bytes),
            Self::Tcp(stream) => poll_write!(stream, cx, bytes),
            Self::Other(stream) => poll_stream(stream, |stream| stream.poll_write(cx, bytes)),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Other(stream) => poll_stream(stream, |stream| stream.poll_flush(cx)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Reads once. Returns `Pending` if the stream is not ready.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => poll_read!(&**stream, cx, bytes),
            #[cfg(unix)]
            Self::Tcp(stream) => poll_read!(&**stream, cx, bytes),
            #[cfg(not(unix))]
            Self::Tcp(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => {
                        let received = |count| Received { count, descriptors: Vec::new() };
                        return Poll::Ready(read.map(received));
                    }
                }
            },
            Self::Other(stream) => {
                let mut buffer = ReadBuf::new(bytes);
                ready!(poll_stream(stream, |stream| stream.poll_read(cx, &mut buffer)))?;
                let count = buffer.filled().len();
                Poll::Ready(Ok(Received { count, descriptors: Vec::new() }))
            }
        }
    }

    pub(super) fn close_gently(&self) {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => crate::socket::close_gently(stream),
            #[cfg(unix)]
            Self::Tcp(stream) => crate::socket::close_gently(stream),
            #[cfg(not(unix))]
            Self::Tcp(_) => {}
            Self::Other(_) => {}
        }
    }
}

fn poll_stream<S: Unpin, T>(
    stream: &mut Option<S>,
    poll: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    match stream {
        Some(stream) => poll(Pin::new(stream)),
        None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
    }
}
