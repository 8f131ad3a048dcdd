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
use ::tokio::net::UnixStream;
use ::tokio::runtime::Handle;

use super::received::Received;
#[cfg(unix)]
use super::watched::Watched;
use crate::peer::Write;

/// A stream.
pub(super) enum Link<S> {
    #[cfg(unix)]
    Socket(Watched),
    #[cfg(not(unix))]
    Tcp(Arc<TcpStream>),
    /// A stream that is none of these, and so is not `None`.
    Other(Option<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link<S> {
    /// Takes over a stream. Without a runtime, a socket is a stream like any other.
    #[cfg(unix)]
    pub(super) fn new(stream: S, runtime: Option<Handle>) -> io::Result<Self> {
        let mut stream = Some(stream);
        if let Some(runtime) = runtime {
            let any: &mut dyn Any = &mut stream;
            if let Some(stream) = any.downcast_mut::<Option<UnixStream>>().and_then(Option::take) {
                return Watched::new(stream.into_std()?, runtime).map(Self::Socket);
            }
            if let Some(stream) = any.downcast_mut::<Option<TcpStream>>().and_then(Option::take) {
                return Watched::new(stream.into_std()?, runtime).map(Self::Socket);
            }
        }
        Ok(Self::Other(stream))
    }

    /// Takes over a stream.
    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps)] // as the other one
    pub(super) fn new(stream: S, _: Option<Handle>) -> io::Result<Self> {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        match any.downcast_mut::<Option<TcpStream>>().and_then(Option::take) {
            Some(stream) => Ok(Self::Tcp(Arc::new(stream))),
            None => Ok(Self::Other(stream)),
        }
    }

    /// Returns a function that writes without waiting, from any task, if there is one.
    pub(super) fn writer(&self) -> Option<Arc<Write>> {
        match self {
            #[cfg(unix)]
            Self::Socket(socket) => Some(socket.writer()),
            #[cfg(not(unix))]
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
            Self::Socket(socket) => socket.poll_write(cx, bytes),
            #[cfg(not(unix))]
            Self::Tcp(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written),
                }
            },
            Self::Other(stream) => poll_stream(stream, |stream| stream.poll_write(cx, bytes)),
        }
    }

    /// Flushes the stream after everything has been written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            #[cfg(unix)]
            Self::Socket(socket) => Poll::Ready(socket.flushed()),
            #[cfg(not(unix))]
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => poll_stream(stream, |stream| stream.poll_flush(cx)),
        }
    }

    /// Waits until the client has closed the stream, while no output is left, if that can be known without
    /// reading.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            #[cfg(unix)]
            Self::Socket(socket) => socket.poll_end(cx),
            #[cfg(not(unix))]
            Self::Tcp(_) => {
                let _ = cx;
                Poll::Pending
            }
            Self::Other(_) => Poll::Pending,
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
            Self::Socket(socket) => socket.poll_read(cx, bytes),
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
        #[cfg(unix)]
        if let Self::Socket(socket) = self {
            socket.close_gently();
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
