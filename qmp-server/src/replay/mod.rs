//! Recorded sessions that answer, for tests without a QEMU.
//!
//! A [`Recorder`] writes the messages of a client to a file, for example while it talks to a live
//! QEMU. A [`Replay`] reads the [`Recording`], and answers a client as QEMU did, and closes the
//! connection after `quit`. The format is that of [`qmp_types::recording`].
//!
//! ```
//! # #[cfg(unix)] {
//! use std::io::{BufRead, BufReader, Write};
//!
//! use qmp_server::replay::{Recording, Replay};
//!
//! let recording = Recording::parse(r#"
//! {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
//! {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
//! "#)?;
//! let replay = Replay::of(recording).start();
//! let mut client = BufReader::new(replay.connect()?);
//! client.get_mut().write_all(b"{'execute': 'qmp_capabilities'} {'execute': 'query-name'}")?;
//! let mut line = String::new();
//! for _ in ["the greeting", "the answer to negotiation", "the recorded reply"] {
//!     line.clear();
//!     client.read_line(&mut line)?;
//! }
//! assert_eq!(line, "{\"return\": {\"name\": \"vm\"}}\r\n");
//! replay.finish()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod peer;
mod recording;
mod report;
mod request;
mod store;

use std::fmt;
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use self::peer::ReplayPeer;
pub use self::recording::Recording;
pub use self::report::{Fault, ReplayError};
pub use self::store::Order;
use self::store::Store;
use crate::accept;
use crate::link::{self, Link};
use crate::schema::Schema;
use crate::session::Session;
use crate::sync::lock;
pub use qmp_types::recording::{Direction, Recorder, RecordingError};

/// The settings of a replay.
#[derive(Clone, Debug)]
#[must_use = "`start` starts the replay"]
pub struct Replay {
    recording: Arc<Recording>,
    order: Order,
    schema: Option<Schema>,
}

impl Replay {
    /// Creates a replay of a recording, which answers by request.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let server = Replay::of(Recording::open("tests/data/session.qmp")?).start();
    /// let stream = server.connect()?;
    /// // Give the stream to the client under test, and ask at the end what it did otherwise.
    /// # drop(stream);
    /// server.finish()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(recording: Recording) -> Self {
        Self { recording: Arc::new(recording), order: Order::default(), schema: None }
    }

    /// Sets which requests are answered (default: [`Order::ByRequest`]).
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Order, Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let replay = Replay::of(recording).order(Order::ByRequest).start();
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Checks requests against a schema. Faults do not change the replies; they are reported at the
    /// end.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Starts the replay.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let replay = Replay::of(recording).start();
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(self) -> ReplayServer {
        let store = Store::new(Arc::clone(&self.recording), self.order, self.schema);
        ReplayServer {
            recording: self.recording,
            store: Arc::new(Mutex::new(store)),
            clients: Mutex::default(),
        }
    }
}

/// A replay that clients connect to. All clients share the progress of the recording.
#[must_use = "`finish` tells whether the requests fit the recording"]
pub struct ReplayServer {
    recording: Arc<Recording>,
    store: Arc<Mutex<Store>>,
    clients: Mutex<Vec<Served>>,
}

/// A client, and the thread that serves it.
struct Served {
    link: Arc<Link>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for ReplayServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayServer").finish_non_exhaustive()
    }
}

impl ReplayServer {
    /// Connects a client within this process, and returns the client's end of the connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let stream = Replay::of(recording).start().connect()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a pair of sockets cannot be created or a thread cannot be spawned.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        self.spawn(server.into())?;
        Ok(client)
    }

    /// Serves all clients that connect to a Unix listener, each on a thread, until the listener fails.
    /// If the process runs out of file descriptors, further clients wait.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// Replay::of(recording).start().serve_unix(file.listener())?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the listener's error.
    #[cfg(unix)]
    pub fn serve_unix(&self, listener: &UnixListener) -> io::Result<()> {
        loop {
            let (stream, _) = accept(|| listener.accept())?;
            // If no thread can be spawned, only this client is disconnected.
            drop(self.spawn(stream.into()));
        }
    }

    /// Serves the next client that connects to a Unix listener, on a thread.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let file = qmp_server::SocketFile::bind("/run/vm.sock", 0o600)?;
    /// Replay::of(recording).start().accept_unix(file.listener())?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the listener's error, or that of spawning the thread.
    #[cfg(unix)]
    pub fn accept_unix(&self, listener: &UnixListener) -> io::Result<()> {
        self.spawn(accept(|| listener.accept())?.0.into())
    }

    /// Serves the next client that connects to a TCP listener, on a thread.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:4444")?;
    /// Replay::of(recording).start().accept_tcp(&listener)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the listener's error, or that of spawning the thread.
    pub fn accept_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        self.spawn(accept(|| listener.accept())?.0.into())
    }

    /// Serves all clients that connect to a TCP listener, each on a thread, until the listener fails.
    /// If the process runs out of file descriptors, further clients wait.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:4444")?;
    /// Replay::of(recording).start().serve_tcp(&listener)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the listener's error.
    pub fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = accept(|| listener.accept())?;
            drop(self.spawn(stream.into()));
        }
    }

    /// Closes all connections that there are, after the requests that have arrived are answered. A client
    /// that connects later is served, too; what it does otherwise is told by another call.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::replay::{Recording, Replay};
    ///
    /// let recording = Recording::parse(r#"
    /// {"direction": "sent", "message": {"execute": "query-name", "id": 7}}
    /// {"direction": "received", "message": {"return": {"name": "vm"}, "id": 7}}
    /// "#)?;
    /// let replay = Replay::of(recording).start();
    /// // No client asked for anything.
    /// println!("{:?}", replay.finish());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the requests that do not fit the recording, and in [strict](Order::Strict) order also
    /// those that the client has not sent.
    pub fn finish(&self) -> Result<(), ReplayError> {
        let clients = self.take_clients();
        clients.iter().for_each(|client| client.link.end_input());
        self.wait_for(clients)
    }

    /// Waits until all clients that there are have closed their connections. A client that connects later
    /// is served, too; what it does otherwise is told by another call.
    ///
    /// # Errors
    /// Returns the same as [`finish`](Self::finish).
    pub fn wait(&self) -> Result<(), ReplayError> {
        self.wait_for(self.take_clients())
    }

    fn take_clients(&self) -> Vec<Served> {
        std::mem::take(&mut *lock(&self.clients))
    }

    fn wait_for(&self, clients: Vec<Served>) -> Result<(), ReplayError> {
        clients.into_iter().for_each(|client| drop(client.thread.join()));
        let mut store = lock(&self.store);
        store.note_rest();
        let faults = std::mem::take(&mut store.faults);
        if faults.is_empty() { Ok(()) } else { Err(ReplayError(faults)) }
    }

    fn spawn(&self, link: Link) -> io::Result<()> {
        let link = Arc::new(link);
        let session = Session::new(self.recording.greeting(), ReplayPeer::limits());
        let events = self.recording.events.clone();
        let peer = ReplayPeer::new(session, Arc::clone(&self.store), events);
        let thread = link::spawn("qmp replay", Arc::clone(&link), peer)?;
        let mut clients = lock(&self.clients);
        clients.retain(|client| !client.thread.is_finished());
        clients.push(Served { link, thread });
        Ok(())
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A client that came after the others had been told to end was waited for, too, but not told.
    #[test]
    fn the_end_waits_for_no_client_that_comes_at_the_same_time() {
        let server = Replay::of(Recording::parse("").unwrap()).start();
        let earlier = server.connect().unwrap();
        // As at the beginning of `finish` and `wait`.
        let clients = server.take_clients();
        let _later = server.connect().unwrap();
        drop(earlier);
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(server.wait_for(clients).is_ok()).unwrap());
        assert!(end.recv_timeout(Duration::from_secs(10)).unwrap());
    }
}
