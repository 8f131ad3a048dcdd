//! Serving on threads: one that reads and one that writes per client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::server::Server;
use crate::session::CloseReason;

/// The maximum number of bytes to read at a time.
const CHUNK_SIZE: usize = 16 << 10;

/// The stack size of the thread that reads. It also decodes arguments, which may be nested, and
/// executes commands.
const RECEIVER_STACK_SIZE: usize = 4 << 20;

/// The stack size of the thread that writes.
const SENDER_STACK_SIZE: usize = 128 << 10;

/// The time that a server that has ended gives its clients to read the remaining output. Without it,
/// the reply to `quit` would be lost if the process exits next.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// A bidirectional byte stream whose two directions can be used from two threads.
pub trait Stream: Send + Sync + Sized + 'static {
    /// The half for reading.
    type Reader: Read + Send;
    /// The half for writing.
    type Writer: Write + Send;

    /// Returns the two halves of the stream.
    ///
    /// # Errors
    /// Returns the operating system's error if the stream cannot be duplicated.
    fn split(&self) -> io::Result<(Self::Reader, Self::Writer)>;

    /// Shuts down both directions. Reads and writes that are blocked on a half return.
    fn hang_up(&self);
}

impl Stream for TcpStream {
    type Reader = Self;
    type Writer = Self;

    fn split(&self) -> io::Result<(Self, Self)> {
        // Replies are small, and a client waits for each of them.
        self.set_nodelay(true)?;
        Ok((self.try_clone()?, self.try_clone()?))
    }

    fn hang_up(&self) {
        // This fails if the client has already disconnected.
        let _ = self.shutdown(Shutdown::Both);
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Reader = Self;
    type Writer = Self;

    fn split(&self) -> io::Result<(Self, Self)> {
        Ok((self.try_clone()?, self.try_clone()?))
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl<M: Send + 'static> Server<M> {
    /// Serves one client on the calling thread and one more until the connection ends, and returns
    /// the reason for its end.
    ///
    /// # Errors
    /// Returns an error if the stream cannot be split or a thread cannot be spawned.
    pub fn serve<S: Stream>(&self, stream: S) -> io::Result<CloseReason> {
        let (reader, writer) = stream.split()?;
        let stream = Arc::new(stream);
        let connection = self.connect();
        let overflowing = Arc::clone(&stream);
        connection.on_overflow(move || overflowing.hang_up());
        thread::scope(|scope| {
            let sender =
                thread::Builder::new().name("qmp-send".to_owned()).stack_size(SENDER_STACK_SIZE);
            sender.spawn_scoped(scope, || {
                send(&connection, writer);
                // The thread that reads may be blocked, although no more commands are executed.
                stream.hang_up();
            })?;
            receive(&connection, reader);
            io::Result::Ok(())
        })?;
        Ok(connection.closed().unwrap_or(CloseReason::Client))
    }

    /// Serves one client on background threads.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn spawn<S: Stream>(&self, stream: S) -> io::Result<()> {
        let (server, serving) = (self.clone(), self.serving());
        let receiver =
            thread::Builder::new().name("qmp-receive".to_owned()).stack_size(RECEIVER_STACK_SIZE);
        let serve = move || {
            let closed = server.serve(stream);
            drop(serving);
            closed
        };
        receiver.spawn(serve).map(drop)
    }

    /// Serves all clients that connect to a TCP listener until the server ends. Then waits up to one
    /// second for the clients to read their remaining output.
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        // Connecting wakes the thread that is blocked in `accept`.
        self.at_end(move || drop(TcpStream::connect(address)));
        self.accept(|| listener.accept().map(|(stream, _)| stream))
    }

    /// Serves all clients that connect to a Unix listener until the server ends. Then waits up to one
    /// second for the clients to read their remaining output.
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    #[cfg(unix)]
    pub fn serve_unix(&self, listener: &UnixListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        self.at_end(move || drop(UnixStream::connect_addr(&address)));
        self.accept(|| listener.accept().map(|(stream, _)| stream))
    }

    /// Connects a client within this process, and returns the client's end of the connection.
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    #[cfg(unix)]
    pub fn connect_unix(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.spawn(server)?;
        Ok(client)
    }

    fn accept<S: Stream>(&self, mut next: impl FnMut() -> io::Result<S>) -> io::Result<()> {
        while !self.has_ended() {
            match next() {
                Ok(stream) if !self.has_ended() => {
                    // If no thread can be spawned, only this client is disconnected.
                    let _ = self.spawn(stream);
                }
                Ok(_) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_served(SHUTDOWN_TIMEOUT);
        Ok(())
    }
}

/// Returns whether a listener can continue after this error.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}

fn receive<M: Send + 'static>(connection: &Connection<M>, mut reader: impl Read) {
    let mut bytes = vec![0; CHUNK_SIZE];
    while connection.wait_input() {
        match reader.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => connection.receive(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // A client that has only shut down its writing half still gets its last replies.
    connection.close(CloseReason::Client);
}

fn send<M: Send + 'static>(connection: &Connection<M>, mut writer: impl Write) {
    while let Some(output) = connection.wait_output() {
        if writer.write_all(&output).and_then(|()| writer.flush()).is_err() {
            return connection.close(CloseReason::Client);
        }
    }
}
