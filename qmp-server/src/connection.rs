//! A client of a server.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::client::Client;
use crate::close_reason::CloseReason;
use crate::peer::Peer;
use crate::shared::Shared;

/// One client's connection, without I/O: pass it the bytes that arrive, and send its output.
///
/// Dropping the connection removes the client from the server.
///
/// # Event loops
///
/// An event loop repeats these steps until [`closed`](Self::closed) returns a reason and all output
/// has been sent:
///
/// 1. Send the output: all of it from [`take_output`](Self::take_output), or as much as the socket
///    takes with [`send`](Self::send). Both execute commands that were waiting.
/// 2. While [`wants_input`](Self::wants_input), read, and pass the bytes to
///    [`receive`](Self::receive). At the end of the stream, call
///    [`end_input`](Self::end_input); if the stream fails, [`close`](Self::close) the connection.
/// 3. Wait until the socket is ready or the callback of [`on_change`](Self::on_change) has been
///    called since the last step 1.
///
/// The callback is called once for each change: new output, room for input, the end. Steps that
/// change nothing do not call it, so that the loop comes to rest. It should only wake the loop, because
/// it runs on the thread that has caused the change, which may be a handler that borrows the machine.
/// Commands that wait are executed by the thread that calls `receive`, `take_output`, `send` or
/// `end_input`, never by one that replies to an earlier command.
///
/// ```
/// # #[cfg(feature = "simulator")] {
/// use std::sync::mpsc;
///
/// let simulator = qmp_server::Simulator::new();
/// let connection = simulator.connection();
/// let (wake, woken) = mpsc::channel();
/// connection.on_change(move || drop(wake.send(())));
/// connection.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'quit'}");
/// let mut output = Vec::new();
/// while connection.closed().is_none() || connection.has_output() {
///     woken.recv()?;
///     output.extend(connection.take_output());
/// }
/// assert!(output.ends_with(b"{\"return\": {}}\r\n"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection<M> {
    shared: Arc<Shared<M>>,
    peer: Arc<Peer>,
}

/// The state by which the task of a client decides how to continue.
#[cfg(feature = "tokio")]
pub(crate) struct State {
    pub(crate) has_output: bool,
    pub(crate) wants_input: bool,
    /// Whether no message waits for being processed.
    pub(crate) is_at_rest: bool,
    pub(crate) closed: Option<CloseReason>,
}

impl<M> fmt::Debug for Connection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("client", &self.peer.client).finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Connection<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, peer: Arc<Peer>) -> Self {
        Self { shared, peer }
    }

    /// Returns the client, as handlers see it.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// println!("client {}", client.client().number());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.peer.client
    }

    /// Processes bytes from the client, and executes the commands that they complete.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// client.receive(b"{'execute': 'qmp_capabilities', 'id': 1}");
    /// let output = String::from_utf8(client.take_output())?;
    /// assert!(output.ends_with("{\"return\": {}, \"id\": 1}\r\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(&self, bytes: &[u8]) {
        self.peer.session().receive(bytes);
        self.execute_pending();
    }

    /// Processes bytes from the client, and file descriptors that have arrived with the first of
    /// them.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// client.receive_with_descriptors(b"{'execute': 'qmp_capabilities'}", Vec::new());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn receive_with_descriptors(
        &self,
        bytes: &[u8],
        descriptors: Vec<crate::descriptors::Descriptor>,
    ) {
        self.peer.session().receive_with_descriptors(bytes, descriptors);
        self.execute_pending();
    }

    /// Takes all bytes to send, then executes the commands that were waiting for room in the output
    /// or for an earlier command.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// assert!(client.take_output().starts_with(b"{\"QMP\": "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn take_output(&self) -> Vec<u8> {
        let output = self.peer.session().take_output();
        self.execute_pending();
        output
    }

    /// Passes the bytes to send to a function that returns how many of them it has sent, then executes
    /// the commands that were waiting for room in the output or for an earlier command. In contrast
    /// to [`take_output`](Self::take_output), unsent bytes count toward the limits. The function must
    /// not block or use the connection. It is not called if there is nothing to send.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// use std::io::Write;
    ///
    /// # let mut socket = Vec::new();
    /// while client.has_output() {
    ///     client.send(|bytes| socket.write(bytes))?;
    /// }
    /// assert!(socket.starts_with(b"{\"QMP\": "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the function.
    pub fn send(&self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut session = self.peer.session();
        // Another thread may have sent everything, or discarded it, since the caller looked. Zero bytes
        // sent of none would be taken for a stream that has ended.
        let sent = if session.output().is_empty() { 0 } else { write(session.output())? };
        session.sent(sent);
        drop(session);
        self.execute_pending();
        Ok(sent)
    }

    /// Returns whether more bytes should be read from the client. This is false while the client
    /// leaves replies unread or too many of its commands wait.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// assert!(client.wants_input());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.peer.session().asks_for_input()
    }

    /// Returns whether there are bytes to send.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// assert!(client.has_output(), "the greeting");
    /// client.take_output();
    /// assert!(!client.has_output());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.peer.session().output().is_empty()
    }

    /// Returns the reason why the connection has ended, if it has. Remaining output should still be
    /// sent.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// assert!(client.closed().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.peer.session().closed().cloned()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn state(&self) -> State {
        let mut session = self.peer.session();
        let wants_input = session.wants_input();
        if !wants_input {
            session.note_congestion();
        }
        State {
            has_output: !session.output().is_empty(),
            wants_input,
            is_at_rest: session.is_at_rest(),
            closed: session.closed().cloned(),
        }
    }

    /// Ends the connection, for example because the client has disconnected.
    pub fn close(&self, reason: CloseReason) {
        self.peer.session().close(reason);
        self.peer.notify();
    }

    /// Tells the connection that the client sends nothing more. It ends once all commands that have
    /// arrived are answered.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// client.receive(b"{'execute': 'qmp_capabilities'}");
    /// client.end_input();
    /// assert!(!client.wants_input());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_input(&self) {
        self.peer.session().end_input();
        self.execute_pending();
    }

    /// Sets a callback for waking an event loop. It is called when there is new output or room for
    /// input, and when the connection ends.
    ///
    /// The callback runs on the thread that caused the change. It must not execute commands, by calling
    /// [`receive`](Self::receive), `receive_with_descriptors`, [`take_output`](Self::take_output),
    /// [`send`](Self::send) or [`end_input`](Self::end_input), nor set a callback. A later callback
    /// replaces the earlier one. It is first called at once, because something may have changed already.
    ///
    /// ```
    /// use qmp_server::{Router, Server};
    /// use qmp_types::Version;
    ///
    /// let server = Server::new(Version::default(), Router::new(), ())?;
    /// let client = server.connect();
    /// let waker = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    /// let flag = waker.clone();
    /// // An event loop is woken when there is something to send.
    /// client.on_change(move || flag.store(true, std::sync::atomic::Ordering::Relaxed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.peer.set_owner(Arc::new(wake), None);
        // Another thread may have told an earlier callback of what has changed, or none.
        self.peer.session().note_change();
        self.peer.notify();
    }

    /// Removes the client from the server.
    #[cfg(unix)]
    pub(crate) fn disconnect(&self) {
        self.peer.remove_owner();
        self.shared.hub().remove_peer(&self.peer);
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    #[cfg(any(unix, feature = "tokio"))]
    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    /// Executes the commands that have waited. Tells of room for input, which another thread may wait
    /// for.
    pub(crate) fn execute_pending(&self) {
        loop {
            let mut session = self.peer.session();
            while let Some(request) = session.next_request() {
                let has_room = session.note_room();
                drop(session);
                // The command may take long, and another thread may read meanwhile.
                if has_room {
                    self.peer.notify();
                }
                self.shared.execute(&self.peer, request);
                session = self.peer.session();
            }
            session.note_room();
            let had_output = !session.output().is_empty();
            drop(session);
            // The session may have replied to messages that did not become requests.
            let needs_owner = self.peer.notify();
            // If this has sent the output, there may be room for the replies to further messages.
            let has_room = had_output && !self.has_output();
            if !needs_owner && !has_room {
                return;
            }
        }
    }
}

impl<M> Drop for Connection<M> {
    fn drop(&mut self) {
        self.peer.remove_owner();
        self.shared.hub().remove_peer(&self.peer);
    }
}

#[cfg(all(test, feature = "simulator", feature = "tokio"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use qmp_types::qmp::commands::{Cont, Stop};
    use qmp_types::{Empty, Version};

    use super::*;
    use crate::sync::lock;
    use crate::{Context, MachineHandle, Reply, Router, Server};

    /// A loop that looks first and sends then does not mistake output that has gone meanwhile for a
    /// stream that takes no more bytes.
    #[test]
    fn nothing_is_sent_without_output() {
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION);
        let server = Server::new(Version::default(), router, ()).unwrap();
        let connection = server.connect();
        assert!(connection.has_output());
        drop(connection.take_output());
        assert_eq!(connection.send(|bytes| unreachable!("{bytes:?}")).unwrap(), 0);
    }

    /// Another thread's event takes note of the greeting, before a callback has been set.
    #[test]
    fn a_callback_learns_of_what_changed_before_it_was_set() {
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION);
        let server = Server::new(Version::default(), router, ()).unwrap();
        let connection = server.connect();
        server.events().emit(&qmp_types::qmp::events::Stop::new());
        let (wake, woken) = mpsc::channel();
        connection.on_change(move || wake.send(()).unwrap_or_default());
        assert!(connection.has_output());
        woken.try_recv().unwrap();
    }

    /// Of two threads, one that reads looks for room just before the other one processes the rest of what
    /// has arrived. It used not to learn that there was room then.
    #[test]
    fn processing_what_has_waited_tells_of_room_for_input() {
        let (late, replies) = mpsc::channel();
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION).deferred(
            move |_: &MachineHandle<()>, _: Stop, reply: Reply<Stop>| late.send(reply).unwrap(),
        );
        let server = Server::new(Version::default(), router, ()).unwrap();
        let make_room: [fn(&Connection<()>); 3] = [
            |connection| drop(connection.take_output()),
            |connection| drop(connection.send(|bytes| Ok(bytes.len()))),
            Connection::execute_pending,
        ];
        for make_room in make_room {
            let connection = server.connect();
            connection.receive(b"{'execute': 'qmp_capabilities'}");
            connection.receive(b"{'execute': 'stop'} {'exec");
            let (wake, woken) = mpsc::channel();
            connection.on_change(move || wake.send(()).unwrap_or_default());
            replies.try_recv().unwrap().send(Ok(Empty {}));
            assert_ne!(woken.try_iter().count(), 0, "the reply");
            assert!(!connection.wants_input(), "the rest waits");
            make_room(&connection);
            assert!(connection.wants_input());
            assert_eq!(woken.try_iter().count(), 1);
            make_room(&connection);
            assert_eq!(woken.try_iter().count(), 0, "nothing has changed");
        }
    }

    /// A client had no room for input because of another client's output. That has been sent since, so
    /// that there was room before its own output was sent, of which nothing told.
    #[test]
    fn room_that_another_client_has_made_is_told() {
        const ECHOED: usize = 70 << 10;
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION);
        let limits = crate::Limits { total_output_bytes: 2 * ECHOED, ..Default::default() };
        let server = Server::builder(router).limits(limits).build(()).unwrap();
        let echo = format!("{{'execute': 'qmp_capabilities', 'id': '{}'}}", "x".repeat(ECHOED));
        for send in [false, true] {
            let (connection, other) = (server.connect(), server.connect());
            for client in [&connection, &other] {
                client.receive(echo.as_bytes());
            }
            let (wake, woken) = mpsc::channel();
            connection.on_change(move || wake.send(()).unwrap_or_default());
            assert!(!connection.wants_input());
            drop(other.take_output());
            woken.try_iter().for_each(drop);
            match send {
                true => drop(connection.send(|_| Ok(1)).unwrap()),
                false => drop(connection.take_output()),
            }
            assert_eq!(woken.try_iter().count(), 1);
            assert!(connection.wants_input());
        }
    }

    /// Of two threads, one that reads may wait for room that the other one makes.
    #[test]
    fn taking_or_sending_output_tells_of_room_for_input() {
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION);
        let limits = crate::Limits { output_bytes: 1 << 10, ..Default::default() };
        let server = Server::builder(router).limits(limits).build(()).unwrap();
        let connection = server.connect();
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        let (wake, woken) = mpsc::channel();
        connection.on_change(move || wake.send(()).unwrap_or_default());
        let send = || {
            connection.send(|bytes| Ok(bytes.len())).unwrap();
        };
        for make_room in [&(|| drop(connection.take_output())) as &dyn Fn(), &send] {
            make_room();
            while connection.wants_input() {
                connection.receive(b"1 ");
            }
            assert_ne!(woken.try_iter().count(), 0, "the replies");
            make_room();
            assert!(connection.wants_input());
            assert_eq!(woken.try_iter().count(), 1);
        }
    }

    /// A thread that reads learns of room before a command that may take long, which an out-of-band command
    /// may abort.
    #[test]
    fn a_slow_command_does_not_delay_the_news_of_room() {
        let (late, replies) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        let woken = Arc::new(Mutex::new(woken));
        let news = Arc::clone(&woken);
        // Before the first of the commands that have waited.
        let is_told = Arc::new(Mutex::new(None));
        let told = Arc::clone(&is_told);
        let router = Router::new()
            .introspection(qmp_types::qmp::INTROSPECTION)
            .deferred(move |_: &MachineHandle<()>, _: Stop, reply: Reply<Stop>| {
                late.send(reply).unwrap();
            })
            .command(move |(): &mut (), _: Cont, _: &mut Context| {
                lock(&told).get_or_insert(lock(&news).try_iter().count() > 0);
                Err(qmp_types::QmpError::generic("it took long"))
            });
        let server = Server::new(Version::default(), router, ()).unwrap();
        let connection = server.connect();
        connection.receive(b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}");
        connection.on_change(move || wake.send(()).unwrap_or_default());
        connection.receive(b"{'execute': 'stop'}");
        while connection.wants_input() {
            connection.receive(b"{'execute': 'cont'}");
        }
        replies.try_recv().unwrap().send(Ok(Empty {}));
        lock(&woken).try_iter().for_each(drop);
        drop(connection.take_output());
        assert_eq!(*lock(&is_told), Some(true));
        assert!(connection.wants_input());
    }

    /// Output that cannot be sent any more counted toward the limit of all clients until the last command
    /// of a client that had gone was answered; and that answer until nothing knew of the client.
    #[test]
    fn a_command_that_hangs_keeps_no_output() {
        let (late, replies) = mpsc::channel();
        let router = Router::new().introspection(qmp_types::qmp::INTROSPECTION).deferred(
            move |_: &MachineHandle<()>, _: Stop, reply: Reply<Stop>| late.send(reply).unwrap(),
        );
        let server = Server::new(Version::default(), router, ()).unwrap();
        let connection = server.connect();
        connection.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'stop'}");
        let reply = replies.try_recv().unwrap();
        assert_ne!(server.usage().output_bytes, 0);
        drop(connection);
        assert_eq!(server.usage().output_bytes, 0);
        let call = reply.call().clone();
        reply.send(Ok(Empty {}));
        assert_eq!(server.usage().output_bytes, 0);
        drop(call);
    }

    /// A command that waits for a late reply is executed even if the reply comes just after the owner has
    /// looked for commands: the owner took the other thread's news, and did not look again.
    #[test]
    fn a_late_reply_that_crosses_the_owners_look_releases_the_next_command() {
        const TIME: Duration = Duration::from_secs(1);
        let (late, replies) = mpsc::sync_channel::<Reply<Stop>>(1);
        let replier = thread::spawn(move || {
            loop {
                match replies.try_recv() {
                    Ok(reply) => reply.send(Ok(Empty {})),
                    Err(mpsc::TryRecvError::Empty) => std::hint::spin_loop(),
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
        });
        let router = Router::new()
            .introspection(qmp_types::qmp::INTROSPECTION)
            .deferred(move |_: &MachineHandle<()>, _: Stop, reply: Reply<Stop>| {
                late.send(reply).unwrap();
            })
            .command(|(): &mut (), _: Cont, _: &mut Context| Ok(Empty {}));
        let server = Server::new(Version::default(), router, ()).unwrap();
        let connection = server.connect();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let output = Arc::clone(&sent);
        let write = move |bytes: &[u8]| {
            lock(&output).extend_from_slice(bytes);
            Ok(bytes.len())
        };
        let woken = Arc::new(AtomicBool::new(false));
        let wake = Arc::clone(&woken);
        connection
            .peer()
            .set_owner(Arc::new(move || wake.store(true, Ordering::SeqCst)), Some(Arc::new(write)));
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        let start = Instant::now();
        while start.elapsed() < TIME {
            // Other tests run meanwhile.
            thread::yield_now();
            lock(&sent).clear();
            let attention = connection.peer().attend();
            connection.receive(b"{'execute': 'stop'} {'execute': 'cont'}");
            drop(attention);
            let deadline = Instant::now() + Duration::from_secs(10);
            while lock(&sent).split(|byte| *byte == b'\n').count() < 3 {
                assert!(Instant::now() < deadline, "the second reply is missing");
                if woken.swap(false, Ordering::SeqCst) {
                    let _attention = connection.peer().attend();
                    connection.execute_pending();
                }
            }
        }
        drop((connection, server));
        replier.join().unwrap();
    }
}
