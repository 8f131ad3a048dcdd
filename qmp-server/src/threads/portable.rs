//! Serving on threads where the system has no Unix sockets: per client, one thread that reads, one that
//! executes commands, and one that writes.
//!
//! A thread that waits for bytes cannot be woken, so that it could not execute what a late reply releases.
//! One that executes a command cannot write the events that occur meanwhile.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::accept::{self, BACKOFF};
use crate::client::Identity;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::server::Server;
use crate::sync::{lock, wait};

/// The maximum number of bytes to read at a time.
const CHUNK_SIZE: usize = 16 << 10;

/// The stack size in bytes of the thread that executes commands. It also decodes their arguments, which
/// may be nested.
const EXECUTOR_STACK_SIZE: usize = 2 << 20;

/// The stack size in bytes of the threads that read and write.
const IO_STACK_SIZE: usize = 128 << 10;

/// The time that a server that has ended gives its clients to read the remaining output.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// A counter of changes, which threads wait for.
#[derive(Default)]
struct Changes {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Changes {
    fn count(&self) -> u64 {
        *lock(&self.count)
    }

    fn notify(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    /// Waits until there has been a change since `seen` was counted.
    fn wait(&self, seen: u64) {
        let mut count = lock(&self.count);
        while *count == seen {
            count = wait(&self.changed, count);
        }
    }
}

impl<M: Send + 'static> Server<M> {
    /// Serves one client on the calling thread, which executes its commands, and two more until the
    /// connection ends, and returns the reason for its end.
    ///
    /// # Errors
    /// Returns an error if the stream cannot be duplicated or a thread cannot be spawned.
    pub fn serve(&self, stream: TcpStream) -> io::Result<CloseReason> {
        let connection = self.connect_as(Identity::of_tcp(stream.peer_addr().ok()));
        attend(&connection, stream)
    }

    /// Serves one client on background threads.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be spawned.
    pub fn spawn(&self, stream: TcpStream) -> io::Result<()> {
        let connection = self.connect_as(Identity::of_tcp(stream.peer_addr().ok()));
        let executor =
            thread::Builder::new().name("qmp-execute".to_owned()).stack_size(EXECUTOR_STACK_SIZE);
        executor.spawn(move || attend(&connection, stream)).map(drop)
    }

    /// Serves all clients that connect to a TCP listener until the server ends. Then waits up to one
    /// second for the clients to read their remaining output.
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        let mut address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            // Windows connects to no such address.
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let hub = self.shared().hub();
        // Connecting wakes the thread that is blocked in `accept`.
        hub.at_end(move || drop(TcpStream::connect(address)));
        while hub.is_open() {
            if hub.is_full() {
                hub.wait_ended(BACKOFF);
                continue;
            }
            match listener.accept() {
                // If no thread can be spawned, only this client is disconnected.
                Ok((stream, _)) if hub.is_open() => drop(self.spawn(stream)),
                Ok(_) => {}
                Err(error) => hub.wait_ended(accept::pause_after(error)?),
            }
        }
        hub.wait_ended(Duration::MAX);
        hub.wait_gone(SHUTDOWN_TIMEOUT);
        Ok(())
    }
}

/// Serves a client on the calling thread and two more.
fn attend<M: Send + 'static>(
    connection: &Connection<M>,
    stream: TcpStream,
) -> io::Result<CloseReason> {
    // Replies are small, and a client waits for each of them.
    stream.set_nodelay(true)?;
    let writer = stream.try_clone()?;
    let changes = Arc::new(Changes::default());
    let notified = Arc::clone(&changes);
    let (peer, overflowing) = (Arc::downgrade(connection.peer()), stream.try_clone()?);
    connection.on_change(move || {
        notified.notify();
        let closed = peer.upgrade().and_then(|peer| peer.session().closed().cloned());
        if let Some(CloseReason::OutputOverflow(_)) = closed {
            // The thread that writes is blocked.
            let _ = overflowing.shutdown(Shutdown::Both);
        }
    });
    thread::scope(|scope| {
        let builder =
            |name: &str| thread::Builder::new().name(name.to_owned()).stack_size(IO_STACK_SIZE);
        builder("qmp-send").spawn_scoped(scope, || {
            send(connection, &changes, &writer);
            // The thread that reads may be blocked.
            let _ = writer.shutdown(Shutdown::Both);
        })?;
        let receiver = builder("qmp-receive").spawn_scoped(scope, || {
            receive(connection, &changes, &stream);
        });
        if receiver.is_err() {
            // Ends the thread that writes.
            connection.close(CloseReason::Client);
        }
        execute(connection, &changes);
        receiver.map(drop)
    })?;
    Ok(connection.closed().unwrap_or(CloseReason::Client))
}

/// Executes the client's commands until the connection ends.
fn execute<M: Send + 'static>(connection: &Connection<M>, changes: &Changes) {
    loop {
        // Before the state is looked at, so that any later change ends the wait.
        let seen = changes.count();
        connection.execute_pending();
        if connection.closed().is_some() {
            return;
        }
        changes.wait(seen);
    }
}

fn receive<M: Send + 'static>(
    connection: &Connection<M>,
    changes: &Changes,
    mut stream: &TcpStream,
) {
    let mut bytes = vec![0; CHUNK_SIZE];
    loop {
        let seen = changes.count();
        if connection.closed().is_some() {
            return;
        }
        if !connection.wants_input() {
            changes.wait(seen);
            continue;
        }
        match stream.read(&mut bytes) {
            // A client that has only shut down its writing half still gets its last replies.
            Ok(0) => {
                connection.peer().session().end_input();
                return changes.notify();
            }
            Ok(length) => {
                connection.peer().session().receive(&bytes[..length]);
                changes.notify();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return connection.close(CloseReason::Client),
        }
    }
}

fn send<M: Send + 'static>(connection: &Connection<M>, changes: &Changes, mut stream: &TcpStream) {
    loop {
        let seen = changes.count();
        // Before the output is taken: the last reply is added before the end.
        let has_ended = connection.closed().is_some();
        let output = connection.peer().session().take_output();
        if !output.is_empty() {
            // There may be room for the replies to more messages.
            changes.notify();
            if stream.write_all(&output).is_err() {
                return connection.close(CloseReason::Client);
            }
        } else if has_ended {
            return;
        } else {
            changes.wait(seen);
        }
    }
}
