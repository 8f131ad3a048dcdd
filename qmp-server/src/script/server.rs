//! Plays scripts on threads.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::builder::Script;
use super::failure::{Got, History, ScriptError};
use super::player::{Action, Player};
use crate::accept::pause_after;
use crate::link::{Link, Received};
use crate::sync::lock;

/// The time between two looks for a client that connects to a listener.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(2);

/// The scripts of a number of connections, of which each connection plays the next one.
///
/// Call [`finish`](Self::finish) at the end of the test. If it has not been called, dropping the
/// server panics when a client has not followed its script.
#[must_use = "`finish` tells whether clients have followed the script"]
pub struct ScriptServer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    is_finished: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    deadline: Instant,
}

struct State {
    /// The scripts that have not been started.
    scripts: VecDeque<Script>,
    started: usize,
    links: Vec<Arc<Link>>,
    /// The number of connections whose scripts are incomplete.
    incomplete: usize,
    failure: Option<ScriptError>,
    is_finishing: bool,
}

impl fmt::Debug for ScriptServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("ScriptServer")
            .field("started", &state.started)
            .field("failure", &state.failure)
            .finish_non_exhaustive()
    }
}

impl Script {
    /// Starts a server that plays the script for one connection. [`ScriptServer::new`] plays several
    /// scripts, one per connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::io::{BufRead, BufReader};
    ///
    /// use qmp_server::script::Script;
    ///
    /// let server = Script::bare().send("no greeting\n").close().start();
    /// let mut line = String::new();
    /// BufReader::new(server.connect()?).read_line(&mut line)?;
    /// assert_eq!(line, "no greeting\n");
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(self) -> ScriptServer {
        ScriptServer::new([self])
    }
}

impl ScriptServer {
    /// Creates a server that plays one script per connection, in order. Their deadlines begin now; the
    /// latest one holds for all.
    ///
    /// ```
    /// use qmp_server::script::{Script, ScriptServer};
    ///
    /// // The first connection ends at once, and the second is served.
    /// let server = ScriptServer::new([Script::bare().close(), Script::new()]);
    /// assert!(server.finish().is_err(), "no client has connected");
    /// ```
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: VecDeque<Script> = scripts.into_iter().collect();
        let time = scripts.iter().map(|script| script.deadline).max().unwrap_or_default();
        let now = Instant::now();
        let state = State {
            scripts,
            started: 0,
            links: Vec::new(),
            incomplete: 0,
            failure: None,
            is_finishing: false,
        };
        // A time that the clock cannot express is as good as a day.
        let deadline = now.checked_add(time).unwrap_or(now + Duration::from_secs(86_400));
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), deadline };
        Self { shared: Arc::new(shared), threads: Mutex::new(Vec::new()), is_finished: false }
    }

    /// Connects a client within this process, and returns the client's end of the connection.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::io::{BufRead, BufReader};
    ///
    /// use qmp_server::script::Script;
    ///
    /// let server = Script::bare().greet().start();
    /// let mut line = String::new();
    /// BufReader::new(server.connect()?).read_line(&mut line)?;
    /// assert!(line.starts_with("{\"QMP\": "));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if all scripts have been started, or if the operating system cannot create
    /// sockets or threads.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        match Shared::play(&self.shared, server.into())? {
            Some(thread) => lock(&self.threads).push(thread),
            None => return Err(io::Error::other("no script is left for a further connection")),
        }
        Ok(client)
    }

    /// Plays the scripts for clients that connect to a Unix listener, in the background. The listener
    /// is closed when all scripts have been started.
    ///
    /// # Errors
    /// Returns the operating system's error.
    #[cfg(unix)]
    pub fn serve_unix(&self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.serve(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            Ok(stream.into())
        })
    }

    /// Plays the scripts for clients that connect to a TCP listener, like
    /// [`serve_unix`](Self::serve_unix).
    ///
    /// # Errors
    /// Returns the operating system's error.
    pub fn serve_tcp(&self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.serve(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            Ok(stream.into())
        })
    }

    /// Waits until all scripts have been played to their ends, a client has failed to follow its
    /// script, or the deadline has passed; then closes all connections.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use qmp_server::script::Script;
    /// use serde_json::json;
    ///
    /// let server = Script::new().expect_raw("query-name").returns_raw(json!({})).start();
    /// // This client ends without the command that the script expects.
    /// drop(server.connect()?);
    /// assert!(server.finish().is_err());
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the first failure.
    pub fn finish(mut self) -> Result<(), ScriptError> {
        self.end(true)
    }

    fn serve(
        &self,
        mut accept: impl FnMut() -> io::Result<Link> + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut threads = Vec::new();
            while shared.wants_clients() {
                match accept() {
                    Ok(link) => match Shared::play(&shared, link) {
                        Ok(thread) => threads.extend(thread),
                        Err(_) => break,
                    },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        thread::sleep(ACCEPT_INTERVAL);
                    }
                    Err(error) => match pause_after(error) {
                        Ok(pause) => thread::sleep(pause),
                        Err(_) => break,
                    },
                }
            }
            drop(accept);
            threads.into_iter().for_each(|thread| drop(thread.join()));
        };
        let thread = thread::Builder::new().name("qmp script".to_owned()).spawn(work)?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Ends all connections. Waits before that for the scripts to be complete, if asked to.
    fn end(&mut self, waits: bool) -> Result<(), ScriptError> {
        self.is_finished = true;
        let mut state = lock(&self.shared.state);
        let mut is_late = false;
        while waits && state.is_playing() && !is_late {
            let left = self.shared.deadline.saturating_duration_since(Instant::now());
            is_late = left.is_zero();
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_finishing = true;
        // The threads that play still read what has arrived, and report it. At the deadline, they end
        // by themselves, and report that.
        if !is_late {
            state.links.iter().for_each(|link| link.end_input());
        }
        drop(state);
        let threads = std::mem::take(&mut *lock(&self.threads));
        threads.into_iter().for_each(|thread| drop(thread.join()));
        let state = lock(&self.shared.state);
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None if state.scripts.is_empty() => Ok(()),
            None => {
                let expected = "a client that connects".to_owned();
                let connection = state.started + 1;
                let none = History::default();
                Err(ScriptError::new(connection, None, expected, Got::Timeout, &none))
            }
        }
    }
}

impl Drop for ScriptServer {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // A test that has failed already shows its own reason, at once.
        let is_panicking = thread::panicking();
        match self.end(!is_panicking) {
            Err(error) if !is_panicking => panic!("{error}"),
            _ => {}
        }
    }
}

impl State {
    /// Returns whether a script may still be played to its end.
    fn is_playing(&self) -> bool {
        self.failure.is_none() && (self.incomplete > 0 || !self.scripts.is_empty())
    }
}

impl Shared {
    fn wants_clients(&self) -> bool {
        let state = lock(&self.state);
        !state.is_finishing && !state.scripts.is_empty() && Instant::now() < self.deadline
    }

    /// Plays the next script, if there is one, on a thread.
    fn play(shared: &Arc<Self>, link: Link) -> io::Result<Option<JoinHandle<()>>> {
        let mut state = lock(&shared.state);
        // The end has closed the connections that there were, and waits for their threads.
        if state.is_finishing {
            return Ok(None);
        }
        let Some(script) = state.scripts.pop_front() else { return Ok(None) };
        state.started += 1;
        state.incomplete += 1;
        let link = Arc::new(link);
        state.links.push(Arc::clone(&link));
        let player = Player::new(script, state.started, shared.deadline);
        drop(state);
        let worker = Arc::clone(shared);
        let work = move || perform(&worker, player, &link);
        let spawned = thread::Builder::new().name("qmp script".to_owned()).spawn(work);
        if spawned.is_err() {
            shared.complete(None);
        }
        spawned.map(Some)
    }

    /// Notes that the script of a connection is complete or has failed.
    fn complete(&self, failure: Option<&ScriptError>) {
        let mut state = lock(&self.state);
        state.incomplete -= 1;
        self.note(state, failure);
    }

    fn note(&self, mut state: MutexGuard<'_, State>, failure: Option<&ScriptError>) {
        if let Some(failure) = failure {
            state.failure.get_or_insert_with(|| failure.clone());
        }
        self.changed.notify_all();
    }
}

/// Plays a script until the connection ends.
fn perform(shared: &Shared, mut player: Player, link: &Link) {
    let deadline = Some(player.deadline());
    let mut bytes = vec![0; 16 << 10];
    let mut was_complete = false;
    loop {
        let action = player.next(Instant::now());
        let is_complete = player.is_complete() || action == Action::Close;
        // The last bytes are sent before the script counts as complete.
        if is_complete && !was_complete && !matches!(action, Action::Send(_)) {
            was_complete = true;
            shared.complete(player.failure());
        }
        match action {
            // A client that has gone is noticed when a command is expected.
            Action::Send(output) => drop(link.write(&output, deadline)),
            Action::Wait(until) => thread::sleep(until.saturating_duration_since(Instant::now())),
            Action::Read => match link.read(&mut bytes, deadline) {
                Received::Bytes(count, descriptors) => {
                    player.receive(bytes.get(..count).unwrap_or_default(), descriptors);
                }
                Received::Nothing => {}
                Received::End => player.end_input(),
            },
            Action::Close => {
                // A failure may have followed the last step.
                shared.note(lock(&shared.state), player.failure());
                return link.close();
            }
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The thread that accepts clients may do so just after the end has closed all connections. It would
    /// then play until the deadline, and the end waits for it.
    #[test]
    fn a_client_that_comes_at_the_end_is_not_served() {
        let mut server = ScriptServer::new([Script::new(), Script::new()]);
        let first = server.connect().unwrap();
        drop(first);
        assert!(server.end(true).is_err());
        let (_client, link) = UnixStream::pair().unwrap();
        assert!(Shared::play(&server.shared, link.into()).unwrap().is_none());
    }
}
