//! Serving on threads: one that reads and one that writes for each client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::server::Server;
use crate::session::Closed;

/// What is read at a time.
const CHUNK: usize = 16 << 10;

/// Commands are decoded and executed on the thread that reads, and arguments may nest.
const STACK: usize = 4 << 20;

/// How long a server that ends waits for clients to read what it has to say. Its process may end
/// next, and the reply to `quit` with it.
const FAREWELL: Duration = Duration::from_secs(1);

/// A byte stream both ways, whose two directions can be used from two threads.
pub trait Stream: Send + Sync + Sized + 'static {
    /// The half that is read from.
    type Reader: Read + Send;
    /// The half that is written to.
    type Writer: Write + Send;

    /// Its two halves.
    ///
    /// # Errors
    /// What the operating system reports.
    fn halves(&self) -> io::Result<(Self::Reader, Self::Writer)>;

    /// Ends both directions: whoever is blocked on a half returns.
    fn hang_up(&self);
}

impl Stream for TcpStream {
    type Reader = Self;
    type Writer = Self;

    fn halves(&self) -> io::Result<(Self, Self)> {
        // Replies are small, and somebody waits for each of them.
        self.set_nodelay(true)?;
        Ok((self.try_clone()?, self.try_clone()?))
    }

    fn hang_up(&self) {
        // It fails where the client was faster.
        let _ = self.shutdown(Shutdown::Both);
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    type Reader = Self;
    type Writer = Self;

    fn halves(&self) -> io::Result<(Self, Self)> {
        Ok((self.try_clone()?, self.try_clone()?))
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl<M: Send + 'static> Server<M> {
    /// Serves one client on this thread (and one more) until the connection ends; says why it did.
    ///
    /// # Errors
    /// The stream cannot be split in halves, or no thread can be started.
    pub fn serve<S: Stream>(&self, stream: S) -> io::Result<Closed> {
        let (reader, writer) = stream.halves()?;
        let stream = Arc::new(stream);
        let connection = self.connect();
        let blocked = Arc::clone(&stream);
        connection.on_overflow(move || blocked.hang_up());
        thread::scope(|scope| {
            let sender = thread::Builder::new().name("qmp-send".to_owned()).stack_size(128 << 10);
            sender.spawn_scoped(scope, || {
                send(&connection, writer);
                // The reader waits for bytes that will not be answered.
                stream.hang_up();
            })?;
            receive(&connection, reader);
            io::Result::Ok(())
        })?;
        Ok(connection.closed().unwrap_or(Closed::Client))
    }

    /// Serves one client on threads in the background.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn spawn<S: Stream>(&self, stream: S) -> io::Result<()> {
        let (server, serving) = (self.clone(), self.serving());
        let receiver = thread::Builder::new().name("qmp-receive".to_owned()).stack_size(STACK);
        let serve = move || {
            let closed = server.serve(stream);
            drop(serving);
            closed
        };
        receiver.spawn(serve).map(drop)
    }

    /// Serves whoever connects to a TCP listener, until the server ends and its clients have read
    /// its last words, or a second has passed.
    ///
    /// # Errors
    /// The listener fails.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        // A connection from ourselves wakes the thread that waits for one.
        self.at_end(move || drop(TcpStream::connect(address)));
        self.accept(|| listener.accept().map(|(stream, _)| stream))
    }

    /// Serves whoever connects to a Unix listener, until the server ends and its clients have read
    /// its last words, or a second has passed.
    ///
    /// # Errors
    /// The listener fails.
    #[cfg(unix)]
    pub fn serve_unix(&self, listener: &UnixListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        self.at_end(move || drop(UnixStream::connect_addr(&address)));
        self.accept(|| listener.accept().map(|(stream, _)| stream))
    }

    /// A client's end of a new connection within this process.
    ///
    /// # Errors
    /// No pair of sockets can be had, or no thread.
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
                    // Where threads run out, this client is turned away and the others stay.
                    let _ = self.spawn(stream);
                }
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_served(FAREWELL);
        Ok(())
    }
}

/// Whether a listener goes on after this error: the fault was the client's.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}

fn receive<M: Send + 'static>(connection: &Connection<M>, mut reader: impl Read) {
    let mut bytes = vec![0; CHUNK];
    while connection.wait_input() {
        match reader.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => connection.receive(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // A client that only stopped writing still reads its last replies.
    connection.close(Closed::Client);
}

fn send<M: Send + 'static>(connection: &Connection<M>, mut writer: impl Write) {
    while let Some(output) = connection.wait_output() {
        if writer.write_all(&output).and_then(|()| writer.flush()).is_err() {
            return connection.close(Closed::Client);
        }
    }
}
