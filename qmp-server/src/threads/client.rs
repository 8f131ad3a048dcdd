//! A client that threads serve.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::event::PollFlags;

use super::engine::{Pool, Served};
use super::lane::Job;
use super::worker::Worker;
use crate::close_reason::CloseReason;
use crate::connection::Connection;
use crate::request::Request;
use crate::socket::{self, Received, Socket};
use crate::sync::lock;

/// The maximum number of bytes to read at a time of a message that is [`HUGE`] already, so that others
/// do not wait for it.
const SMALL_CHUNK_SIZE: usize = 8 << 10;

/// The size in bytes from which an unfinished message is huge.
const HUGE: usize = 256 << 10;

/// The time that a thread stays with a client that sends nothing.
const STAYING_TIME: Duration = Duration::from_millis(20);

/// A client, its socket, and the threads that serve it.
pub(super) struct Client<M: Send + 'static> {
    connection: Connection<M>,
    socket: Arc<Socket>,
    turn: Mutex<Turn>,
    /// Gets the reason for the end.
    ended: Mutex<Option<mpsc::Sender<CloseReason>>>,
}

/// Whose turn it is to serve a client. While the lock is held, that of the session may be acquired.
struct Turn {
    /// Whether a thread reads, writes, and takes requests. It is not held while a command is executed.
    is_served: bool,
    /// Whether the thread that serves has to look again.
    is_called: bool,
    /// Whether a thread that stays with the client waits for bytes, so that no other one reads.
    is_reading: bool,
    has_ended: bool,
    /// The events that have occurred and have not been handled.
    ready: PollFlags,
    /// The events that the poller waits for.
    armed: Option<PollFlags>,
    /// Whether waiting for bytes has a time limit.
    has_timeout: bool,
}

impl Turn {
    /// Begins to serve the client, unless another thread does. That one looks again then.
    fn begin(&mut self) -> bool {
        let may_serve = !self.is_served && !self.has_ended;
        self.is_called |= self.is_served;
        self.is_served = true;
        may_serve
    }
}

/// The continuation of a thread that serves a client.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Next {
    /// The thread looks what there is to do.
    Look,
    /// The thread is done until the next event.
    Rest,
    /// Another thread serves the client.
    Leave,
}

impl<M: Send + 'static> Served for Client<M> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn set_waker(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let socket = Arc::clone(&self.socket);
        let write = move |bytes: &[u8]| socket::write(&*socket, bytes);
        self.connection.peer().set_owner(wake, Some(Arc::new(write)));
        // Sends the greeting.
        self.connection.peer().notify();
    }

    fn start(&self, pool: &Pool, key: u64) -> io::Result<()> {
        if self.begin(PollFlags::empty()) {
            while !self.try_rest(pool, key)? {}
        }
        Ok(())
    }

    fn lend(&self, pool: &Pool, key: u64) {
        let mut turn = lock(&self.turn);
        let interest = self.interest(&turn);
        let is_executing = !turn.is_served && !turn.is_reading && !turn.has_ended;
        // Without interest in anything else, the end is noticed.
        if is_executing && turn.armed != Some(interest) {
            // If this fails, what the client sends is read when the command is complete.
            turn.armed = pool.arm(key, self.fd(), interest).ok().map(|()| interest);
        }
    }

    fn serve(self: Arc<Self>, ready: PollFlags, worker: &mut Worker) {
        if !self.begin(ready) {
            return;
        }
        let mut next = Next::Look;
        while next != Next::Leave {
            next = match next {
                Next::Look => self.advance(worker),
                _ => match self.try_rest(&worker.pool, worker.key) {
                    Ok(true) => Next::Leave,
                    Ok(false) => Next::Look,
                    Err(_) => {
                        self.hang_up();
                        Next::Look
                    }
                },
            }
        }
    }
}

impl<M: Send + 'static> Client<M> {
    pub(super) fn new(
        connection: Connection<M>,
        socket: Socket,
        ended: Option<mpsc::Sender<CloseReason>>,
    ) -> Self {
        let turn = Turn {
            is_served: false,
            is_called: false,
            is_reading: false,
            has_ended: false,
            ready: PollFlags::empty(),
            armed: None,
            has_timeout: false,
        };
        let (turn, ended) = (Mutex::new(turn), Mutex::new(ended));
        Self { connection, socket: Arc::new(socket), turn, ended }
    }

    /// Begins to serve the client, unless another thread does. That one looks again then.
    fn begin(&self, ready: PollFlags) -> bool {
        let mut turn = lock(&self.turn);
        if !ready.is_empty() {
            turn.armed = None;
            turn.ready |= ready;
        }
        turn.begin()
    }

    /// Does the next thing that there is to do.
    fn advance(self: &Arc<Self>, worker: &mut Worker) -> Next {
        let mut turn = lock(&self.turn);
        turn.is_called = false;
        let ready = std::mem::replace(&mut turn.ready, PollFlags::empty());
        let may_read = !turn.is_reading;
        drop(turn);
        if may_read && ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(ready, worker);
        }
        if !ready.is_empty() {
            self.write();
        }
        let (request, has_output) = {
            let mut session = self.connection.peer().session();
            (session.next_request(), !session.output().is_empty())
        };
        // The session may have answered messages by itself. If there was no room for more, there is
        // now.
        let was_full = has_output && self.write();
        match request {
            Some(request) => self.execute(request, worker),
            None if was_full => Next::Look,
            None => self.stay(worker),
        }
    }

    fn read(&self, ready: PollFlags, worker: &mut Worker) {
        if !self.connection.peer().session().wants_input() {
            // The client has gone, so that nothing can be sent to it either.
            if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.hang_up();
            }
            return;
        }
        let is_huge = self.connection.peer().session().unfinished_bytes() >= HUGE;
        let most = if is_huge { SMALL_CHUNK_SIZE } else { worker.bytes.len() };
        let received = socket::read(&*self.socket, &mut worker.bytes[..most]);
        self.receive(received, worker);
    }

    /// Passes on what has been received. Returns false if nothing was.
    fn receive(&self, received: io::Result<Received>, worker: &Worker) -> bool {
        match received {
            Ok(Received { count: 0, .. }) => self.connection.peer().session().end_input(),
            Ok(Received { count, descriptors, .. }) => {
                let bytes = &worker.bytes[..count];
                self.connection.peer().session().receive_with_descriptors(bytes, descriptors);
            }
            Err(error) if socket::is_not_ready(&error) => return false,
            Err(_) => self.hang_up(),
        }
        true
    }

    /// Sends as much output as the socket takes, and returns whether that is everything.
    fn write(&self) -> bool {
        let mut session = self.connection.peer().session();
        let written = session.write_with(&|bytes| socket::write(&*self.socket, bytes));
        drop(session);
        written.unwrap_or_else(|_| {
            self.hang_up();
            true
        })
    }

    fn hang_up(&self) {
        let mut session = self.connection.peer().session();
        session.close(CloseReason::Client);
        drop(session.take_output());
    }

    /// Executes a command on this thread, or has it executed later.
    fn execute(self: &Arc<Self>, request: Request, worker: &mut Worker) -> Next {
        let shared = self.connection.shared();
        // Out-of-band commands do not wait for those in the lane.
        let is_in_lane =
            !request.ticket.is_out_of_band() && shared.dispatch().is_borrowing(&request.name);
        let may_execute = worker.try_occupy();
        let pool = Arc::clone(&worker.pool);
        let mut pending = Some(request);
        let mut job = || self.job(pending.take(), is_in_lane);
        if is_in_lane && !pool.lane.enter(&mut job) {
            return Next::Look;
        }
        if !may_execute {
            pool.postpone(job());
            return Next::Look;
        }
        let is_watched = worker.try_watch();
        self.release(&pool, worker.key, !is_watched);
        worker.step();
        if let Some(request) = pending {
            let out_of_band = request.ticket.is_out_of_band();
            let _attention = self.connection.peer().attend_after(out_of_band);
            shared.execute(self.connection.peer(), request);
        }
        worker.step();
        if is_in_lane {
            worker.leave_lane();
        }
        if self.begin(PollFlags::empty()) { Next::Look } else { Next::Leave }
    }

    fn job(&self, request: Option<Request>, is_in_lane: bool) -> Job {
        let shared = Arc::clone(self.connection.shared());
        let peer = Arc::clone(self.connection.peer());
        let execute =
            move || request.into_iter().for_each(|request| shared.execute(&peer, request));
        Job { execute: Box::new(execute), is_in_lane }
    }

    /// Lets other threads serve the client while this one executes a command. Unless the command is
    /// watched, they read what the client sends meanwhile.
    fn release(&self, pool: &Pool, key: u64, may_read: bool) {
        let mut turn = lock(&self.turn);
        let mut interest = self.interest(&turn);
        if !may_read && !interest.contains(PollFlags::OUT) {
            interest = PollFlags::empty();
        }
        // Without out-of-band execution, there is mostly nothing to wait for.
        if !interest.is_empty() && turn.armed != Some(interest) {
            // If this fails, the next attempt ends the connection.
            turn.armed = pool.arm(key, self.fd(), interest).ok().map(|()| interest);
        }
        turn.is_served = false;
        if std::mem::take(&mut turn.is_called) {
            pool.call(key);
        }
    }

    /// Waits for bytes of this client only, if the thread may do that.
    fn stay(&self, worker: &mut Worker) -> Next {
        if !worker.try_stay() {
            return Next::Rest;
        }
        let mut turn = lock(&self.turn);
        let is_awaited = turn.armed.is_some_and(|armed| armed.contains(PollFlags::IN));
        if turn.is_called || is_awaited || self.interest(&turn) != PollFlags::IN {
            return Next::Rest;
        }
        if !turn.has_timeout && socket::set_timeout(&*self.socket, STAYING_TIME).is_err() {
            return Next::Rest;
        }
        turn.has_timeout = true;
        turn.is_reading = true;
        turn.is_served = false;
        drop(turn);
        let received = socket::read_waiting(&*self.socket, &mut worker.bytes);
        let has_received = self.receive(received, worker);
        let mut turn = lock(&self.turn);
        turn.is_reading = false;
        match turn.begin() {
            true if has_received => Next::Look,
            true => Next::Rest,
            false => Next::Leave,
        }
    }

    /// Waits for events, or ends the connection. Returns false if there is something to do.
    fn try_rest(&self, pool: &Pool, key: u64) -> io::Result<bool> {
        let mut turn = lock(&self.turn);
        if std::mem::take(&mut turn.is_called) {
            return Ok(false);
        }
        let closed = self.connection.closed();
        let interest = self.interest(&turn);
        if let (Some(reason), false) = (closed, interest.contains(PollFlags::OUT)) {
            turn.has_ended = true;
            turn.is_served = false;
            drop(turn);
            self.end(pool, key, reason);
            return Ok(true);
        }
        // The thread that waits for bytes notices the end, which the poller would announce again and again
        // until then.
        let has_reader = turn.is_reading && interest.is_empty();
        if turn.armed != Some(interest) && !has_reader {
            pool.arm(key, self.fd(), interest)?;
            turn.armed = Some(interest);
        }
        turn.is_served = false;
        Ok(true)
    }

    /// Returns the events to wait for.
    fn interest(&self, turn: &Turn) -> PollFlags {
        let session = self.connection.peer().session();
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::OUT, !session.output().is_empty());
        interest.set(PollFlags::IN, session.wants_input() && !turn.is_reading);
        interest
    }

    fn end(&self, pool: &Pool, key: u64, reason: CloseReason) {
        socket::close_gently(&*self.socket);
        self.connection.disconnect();
        pool.remove(key);
        let ended = lock(&self.ended).take();
        ended.into_iter().for_each(|ended| drop(ended.send(reason.clone())));
    }
}
