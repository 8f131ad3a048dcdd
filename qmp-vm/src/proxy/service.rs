//! The thread that does the I/O of all connections of a proxy.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::End;
use qmp_server::{Session, Socket};
use rustix::event::{PollFd, PollFlags, poll};

use super::access::Access;
use super::end::ProxyEnd;
use super::listener::Listener;
use super::mailbox::{Letter, Mailbox};
use super::poller::Poller;
use super::switchboard::{Origin, Switchboard};
use super::upstream::{Upstream, is_wait, timeout};

/// The number of bytes that are read from a client at once.
const CHUNK_SIZE: usize = 16 << 10;

/// The number of clients that are accepted at once.
const MOST_ACCEPTED: usize = 16;

/// The time for which no client is accepted after the process has run out of descriptors.
const BACKOFF: Duration = Duration::from_millis(50);

/// The time that clients have at the end to read what was sent to them.
const LINGER: Duration = Duration::from_secs(1);

/// The keys of the poller that are not numbers of clients; those of listeners follow downward.
const LETTERS: u64 = u64::MAX;
const UPSTREAM: u64 = u64::MAX - 1;
const FIRST_LISTENER: u64 = u64::MAX - 2;

/// The connections of a proxy, and what is done with them.
pub(super) struct Service {
    board: Switchboard,
    upstream: Upstream,
    poller: Poller,
    /// The buffer for what clients have sent. Clearing a new one would take longer than all else that is
    /// done with a command.
    bytes: Box<[u8]>,
    /// The events of the monitor's socket that the poller waits for.
    upstream_interest: PollFlags,
    clients: BTreeMap<u64, Served>,
    listeners: Vec<(Listener, Arc<Access>)>,
    /// Whether the poller waits for clients to accept.
    accepts: bool,
    /// No client is accepted before.
    accepts_from: Option<Instant>,
    /// Whether the end of the last client is that of the proxy.
    is_detached: bool,
}

struct Served {
    socket: Socket,
    /// The events that the poller waits for.
    interest: PollFlags,
}

impl Service {
    /// Creates a service. `woken` is readable when there are letters.
    ///
    /// # Errors
    /// The system lacks memory or descriptors.
    pub(super) fn new(
        mut poller: Poller,
        board: Switchboard,
        upstream: Upstream,
        woken: &UnixStream,
    ) -> io::Result<Self> {
        let upstream_interest = PollFlags::IN;
        poller.add(LETTERS, woken, PollFlags::IN)?;
        poller.add(UPSTREAM, &upstream.socket, upstream_interest)?;
        Ok(Self {
            board,
            upstream,
            poller,
            bytes: vec![0; CHUNK_SIZE].into(),
            upstream_interest,
            clients: BTreeMap::new(),
            listeners: Vec::new(),
            accepts: true,
            accepts_from: None,
            is_detached: false,
        })
    }

    /// Serves until the end. `woken` is that of [`new`](Self::new).
    pub(super) fn run(mut self, mailbox: &Mailbox, mut woken: UnixStream) -> ProxyEnd {
        let mut is_stopped = false;
        loop {
            is_stopped |= self.take_letters(mailbox);
            self.settle();
            is_stopped |= self.is_abandoned();
            if is_stopped {
                self.board.upstream.end(End::Local);
                self.settle();
            }
            mailbox.publish(self.board.counts());
            if let Some(end) = self.board.upstream.ended() {
                let end = match is_stopped {
                    true => ProxyEnd::Stopped,
                    false if self.board.has_quit() && matches!(**end, End::Eof) => ProxyEnd::Quit,
                    false => ProxyEnd::Upstream(Arc::clone(end)),
                };
                self.finish();
                return end;
            }
            for (key, ready) in self.wait() {
                match key {
                    LETTERS => {
                        let _ = woken.read(&mut [0; 16]);
                        mailbox.awake();
                    }
                    UPSTREAM => {
                        self.upstream.receive(&mut self.board.upstream);
                        self.board.receive(&mut self.upstream.input);
                    }
                    key => match usize::try_from(FIRST_LISTENER - key) {
                        Ok(index) if index < self.listeners.len() => self.accept(index),
                        _ => self.read(key, ready),
                    },
                }
            }
            self.expire();
        }
    }

    /// Does what the handles have asked for, and returns whether that is to stop.
    fn take_letters(&mut self, mailbox: &Mailbox) -> bool {
        let mut is_stopped = false;
        for letter in mailbox.take() {
            match letter {
                Letter::Client(socket, access) => self.add(socket, access, Origin::Connected),
                Letter::Listen(listener, access) => self.listen(listener, access),
                Letter::Detach => self.is_detached = true,
                Letter::Stop => is_stopped = true,
            }
        }
        is_stopped
    }

    /// Returns whether no one uses a proxy that was detached: neither a client nor a command that
    /// undoes what a client has left.
    fn is_abandoned(&self) -> bool {
        self.is_detached
            && self.clients.is_empty()
            && self.listeners.is_empty()
            && self.board.upstream.is_idle()
    }

    fn add(&mut self, socket: Socket, access: Arc<Access>, origin: Origin) {
        let number = self.board.add(access, origin);
        let interest = PollFlags::empty();
        if self.poller.add(number, socket.as_fd(), interest).is_err() {
            self.board.remove(number, Instant::now());
            return socket.close();
        }
        self.clients.insert(number, Served { socket, interest });
    }

    fn listen(&mut self, listener: Listener, access: Arc<Access>) {
        let key = FIRST_LISTENER - self.listeners.len() as u64;
        let wanted = if self.accepts { PollFlags::IN } else { PollFlags::empty() };
        // Without memory for it, no client connects there.
        let _ = self.poller.add(key, &listener, wanted);
        self.listeners.push((listener, access));
    }

    /// Passes on and sends everything that can be.
    fn settle(&mut self) {
        loop {
            let now = Instant::now();
            for (socket, access) in self.board.take_arrivals() {
                self.add(socket, access, Origin::Passed);
            }
            let changed = self.board.take_changed();
            let is_settled = changed.is_empty();
            changed.into_iter().for_each(|number| self.advance(number, now));
            self.upstream.send(&mut self.board.upstream);
            if self.board.upstream.is_ending() {
                self.board.receive(&mut self.upstream.input);
            } else if is_settled {
                return;
            }
        }
    }

    /// Passes on what a client has sent, and sends it what there is for it.
    fn advance(&mut self, number: u64, now: Instant) {
        let Some(served) = self.clients.get_mut(&number) else { return };
        loop {
            self.board.advance(number, now);
            let Some(session) = self.board.session(number) else { return };
            match write(session, &served.socket) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return self.remove(number, now),
            }
        }
        let Some(session) = self.board.session(number) else { return };
        let has_output = !session.output().is_empty();
        let is_closed = session.closed().is_some();
        let wants_input = session.wants_input();
        if !has_output {
            self.board.delivered(number);
        }
        if is_closed && !has_output {
            return self.remove(number, now);
        }
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::OUT, has_output);
        interest.set(PollFlags::IN, wants_input);
        let Some(served) = self.clients.get(&number) else { return };
        // Mostly, the client sends nothing before it has got its reply. If it does, `read` notices that,
        // and the poller is told then.
        if !has_output && !wants_input {
            interest |= served.interest & PollFlags::IN;
        }
        self.wait_for(number, interest, now);
    }

    /// Sets the events of a client's socket that the poller waits for.
    fn wait_for(&mut self, number: u64, interest: PollFlags, now: Instant) {
        let Some(served) = self.clients.get_mut(&number) else { return };
        if served.interest != interest {
            served.interest = interest;
            if self.poller.change(number, served.socket.as_fd(), interest).is_err() {
                self.remove(number, now);
            }
        }
    }

    fn remove(&mut self, number: u64, now: Instant) {
        self.board.remove(number, now);
        if let Some(served) = self.clients.remove(&number) {
            self.poller.remove(number, served.socket.as_fd());
            served.socket.close();
        }
    }

    /// Waits until something is ready, or a deadline has passed.
    fn wait(&mut self) -> Vec<(u64, PollFlags)> {
        if self.accepts_from.is_some_and(|from| from <= Instant::now()) {
            self.accepts_from = None;
        }
        let deadline = self.board.upstream.deadline().into_iter().chain(self.accepts_from).min();
        let ready = self.update().and_then(|()| self.poller.wait(deadline));
        ready.unwrap_or_else(|_| {
            // Interrupted, or the system lacks memory.
            std::thread::sleep(Duration::from_millis(1));
            Vec::new()
        })
    }

    /// Tells the poller what to wait for, except at clients.
    fn update(&mut self) -> io::Result<()> {
        let interest = self.upstream.interest(&self.board.upstream);
        if self.upstream_interest != interest {
            self.poller.change(UPSTREAM, &self.upstream.socket, interest)?;
            self.upstream_interest = interest;
        }
        let accepts = self.accepts_from.is_none() && !self.board.is_full();
        if self.accepts != accepts {
            let wanted = if accepts { PollFlags::IN } else { PollFlags::empty() };
            for (key, (listener, _)) in
                (0..).map(|index| FIRST_LISTENER - index).zip(&self.listeners)
            {
                self.poller.change(key, listener, wanted)?;
            }
            self.accepts = accepts;
        }
        Ok(())
    }

    /// Ends the commands whose deadlines have passed.
    fn expire(&mut self) {
        let now = Instant::now();
        if self.board.upstream.deadline().is_some_and(|deadline| deadline <= now) {
            self.board.receive(&mut self.upstream.input);
            self.board.upstream.expire(now);
            self.board.receive(&mut self.upstream.input);
        }
    }

    fn read(&mut self, number: u64, ready: PollFlags) {
        let Some(served) = self.clients.get(&number) else { return };
        let Some(session) = self.board.session(number) else { return };
        let is_gone = ready.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        if !session.wants_input() {
            // Nothing can be sent to a client that has gone.
            if is_gone {
                return self.remove(number, Instant::now());
            }
            if ready.contains(PollFlags::IN) {
                let interest = served.interest.difference(PollFlags::IN);
                self.wait_for(number, interest, Instant::now());
            }
        } else if is_gone || ready.contains(PollFlags::IN) {
            match served.socket.receive(&mut self.bytes) {
                Ok((0, _)) => session.end_input(),
                Ok((count, descriptors)) => {
                    session.receive_with_descriptors(&self.bytes[..count], descriptors);
                }
                Err(error) if is_wait(&error) => {}
                Err(_) => return self.remove(number, Instant::now()),
            }
        }
        self.board.mark(number);
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..MOST_ACCEPTED {
            let Some((listener, access)) = self.listeners.get(index) else { return };
            match listener.accept() {
                Ok(socket) => {
                    let access = Arc::clone(access);
                    self.add(socket, access, Origin::Connected);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Mostly a lack of descriptors, which others may close.
                Err(_) => {
                    self.accepts_from = Some(Instant::now() + BACKOFF);
                    return;
                }
            }
        }
    }

    /// Disconnects all clients, and gives them time to read what was sent.
    fn finish(&mut self) {
        self.listeners.clear();
        self.board.close();
        let deadline = Instant::now() + LINGER;
        loop {
            let now = Instant::now();
            for number in self.board.take_changed() {
                self.advance(number, now);
            }
            if self.clients.is_empty() || now >= deadline {
                return;
            }
            let mut fds: Vec<_> = self
                .clients
                .values()
                .map(|served| PollFd::from_borrowed_fd(served.socket.as_fd(), PollFlags::OUT))
                .collect();
            let is_err = poll(&mut fds, timeout(Some(deadline)).as_ref()).is_err();
            drop(fds);
            if is_err {
                return;
            }
            let numbers: Vec<u64> = self.clients.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.board.mark(number));
        }
    }
}

/// Sends as much as the socket takes, and returns whether that is anything.
fn write(session: &mut Session, socket: &Socket) -> io::Result<bool> {
    let mut has_sent = false;
    while !session.output().is_empty() {
        match socket.send(session.output()) {
            Ok(count) => {
                session.sent(count);
                has_sent = true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(has_sent)
}
