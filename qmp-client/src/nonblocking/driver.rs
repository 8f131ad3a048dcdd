//! The loop that does the I/O of a connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use qmp_protocol::{End, Input, sooner};

use super::rest::Rest;
use super::shared::{Shared, State};
use super::writer::Writer;
use crate::inbox::register;
use crate::runtime::{Clock, Link};

/// The number of turns that a driver takes before it yields to other tasks of its thread.
const TURNS: usize = 32;
/// The number of bytes that a driver reads before it yields: events that are decoded soon are still in
/// the processor's cache.
const SHARE: usize = 64 * 1024;
/// The number of bytes that a driver reads before it yields while a deadline has passed: a reply may be
/// among them.
const LATE_SHARE: usize = 256 * 1024;
/// The number of turns in which everything that has arrived is read before a command is sent that
/// waits for an event. A peer that never pauses must not hold the command up forever.
const FENCE_TURNS: u32 = 256;

/// The future that does the I/O of a [`Client`](crate::Client), to be spawned. It is ready when the
/// connection has ended.
///
/// The driver always reads, whatever the consumers of events do: events wait in bounded queues.
/// Dropping it ends the connection, and every waiting caller is told. The commands of dropped guards,
/// and of guards that still exist, are sent, as far as the link accepts them at once.
#[must_use = "a client works only while its driver is polled"]
pub struct Driver<L: Link, C> {
    shared: Arc<Shared>,
    link: L,
    clock: C,
    input: Input,
    writer: Writer,
    phase: Phase,
    /// The next moment at which a deadline passes.
    deadline: Option<Instant>,
    fence: Fence,
    /// The number of polls for which a deadline that has passed has been put off, since bytes have
    /// arrived.
    late_turns: u32,
    rest: Rest,
    /// Tasks to be woken when the lock is released.
    woken: Vec<Waker>,
}

/// Holds back a command that waits for an event, until everything that arrived before it is read.
#[derive(Debug, Default)]
struct Fence {
    /// The number of turns that it has lasted.
    turns: u32,
}

impl Fence {
    /// Returns whether commands may be sent. `is_busy` says that earlier ones are still being sent: a
    /// command that waits for an event would wait for room, too, while events arrive. `unread` says
    /// whether anything may have arrived that is not read, and is evaluated only if a command waits
    /// for an event.
    fn is_lifted(
        &mut self,
        state: &mut State,
        is_busy: bool,
        unread: impl FnOnce() -> bool,
    ) -> bool {
        let State { inbox, connection, .. } = state;
        let is_next = |call| !connection.is_queued(call);
        if inbox.subscriptions.is_fenced(is_next) {
            if is_busy {
                // The next turn is due when there is room.
                self.turns = 0;
                return false;
            }
            if self.turns < FENCE_TURNS && unread() {
                self.turns += 1;
                return false;
            }
            inbox.subscriptions.lift_fences(is_next);
        }
        self.turns = 0;
        true
    }
}

/// The life of a driver.
#[derive(Debug)]
enum Phase {
    /// Between two polls.
    Waiting,
    /// Being polled. A driver that is dropped in this phase has panicked.
    Polled,
    /// The peer has closed the connection, or an error has: nothing more is read.
    Ending(Option<End>),
    /// The connection has ended.
    Done,
}

impl<L: Link, C> fmt::Debug for Driver<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl<L: Link, C: Clock> Driver<L, C> {
    pub(super) fn new(shared: Arc<Shared>, input: Input, link: L, clock: C) -> Self {
        Self {
            shared,
            link,
            clock,
            input,
            writer: Writer::default(),
            phase: Phase::Waiting,
            deadline: None,
            fence: Fence::default(),
            late_turns: 0,
            rest: Rest::default(),
            woken: Vec::new(),
        }
    }

    /// Reads once. Ready if that changed anything, with the number of bytes.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Phase::Ending(_) = self.phase {
            return Poll::Pending;
        }
        let end = match self.link.poll_read(cx, self.input.spare()) {
            Poll::Ready(Ok(0)) => End::Eof,
            Poll::Ready(Ok(count)) => {
                self.input.filled(count);
                return Poll::Ready(count);
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                return Poll::Ready(0);
            }
            // The peer closed the connection before it had read everything.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => End::Eof,
            Poll::Ready(Err(error)) => End::Transport(error),
            // The runtime has not looked yet: what the peer sent before it closed is still there.
            Poll::Pending if self.writer.is_refused() && self.link.has_arrived() => {
                return Poll::Pending;
            }
            // The peer refused to accept more, and has sent everything that it had to say.
            Poll::Pending => match self.writer.take_refusal() {
                Some(end) => end,
                None => return Poll::Pending,
            },
        };
        self.phase = Phase::Ending(Some(end));
        Poll::Ready(0)
    }

    /// Passes on what has arrived and what has expired, and fetches what is to be sent.
    fn turn(&mut self, cx: &Context<'_>, received: bool, expired: Option<Instant>) {
        let mut state = self.shared.lock();
        // The handshake does not count as use: many connections may be made at once.
        let used = received && state.connection.is_ready();
        let ending = match &mut self.phase {
            Phase::Ending(end) => end.take(),
            _ => None,
        };
        if let Some(end) = ending {
            self.writer.report_loss(&mut state.connection);
            state.connection.end(end);
        }
        if received || expired.is_some() || state.connection.is_ending() {
            state.distribute(&mut self.input, &mut self.woken);
            if let Some(now) = expired {
                // What has arrived comes first.
                state.connection.set_unsent(self.writer.has_lost());
                state.expire(now, &mut self.woken);
                state.distribute(&mut self.input, &mut self.woken);
            }
        }
        // The last call that kept the connection open may just have been answered.
        if state.is_deserted() {
            drop(state);
            self.send_last();
            state = self.shared.lock();
            self.writer.report_loss(&mut state.connection);
            state.connection.end(End::Local);
            state.distribute(&mut self.input, &mut self.woken);
        }
        if state.connection.ended().is_some() {
            self.phase = Phase::Done;
        }
        let replaced = register(&mut state.driver, cx);
        let is_busy = !self.writer.output.is_empty();
        if self.fence.is_lifted(&mut state, is_busy, || received || self.link.has_arrived()) {
            state.connection.take_output(&mut self.writer.output);
        }
        state.direct.set_driver_sending(self.writer.has_lost());
        if self.rest.is_due(used, expired, C::now) && state.connection.is_idle() {
            state.release();
            self.input.release(0);
            self.writer.output.release(0);
        }
        self.deadline = sooner(state.deadline(), self.rest.at());
        state.armed = self.deadline;
        let spent = state.detached.take_spent();
        drop(state);
        drop((replaced, spent));
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Frees the buffers of a connection that has not been used since the handshake: no period ends
    /// in which that would be done.
    fn release_idle(&mut self) {
        let mut state = self.shared.lock();
        if state.connection.is_idle() {
            state.release();
            drop(state);
            self.input.release(0);
            self.writer.output.release(0);
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let at = self.deadline?;
        // The timer decides that it is time, not another look at the clock.
        self.clock.poll_until(cx, at).is_ready().then(|| C::now().max(at))
    }

    fn is_late(&self) -> Option<Instant> {
        let (at, now) = (self.deadline?, C::now());
        (at <= now).then_some(now)
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (mut expired, mut taken, mut is_put_off) = (None, 0, false);
        // Whether a turn is to be taken even if nothing arrives.
        let mut is_due = true;
        for _ in 0..TURNS {
            let read = self.read(cx);
            let received = read.is_ready();
            if let Poll::Ready(count) = read {
                taken += count;
            }
            // What has arrived in time counts, however late it is read. The runtime may not have
            // looked for it yet, as after the process was stopped.
            let is_unread = !received && expired.is_some() && self.late_turns < FENCE_TURNS;
            if is_unread && self.link.has_arrived() {
                self.late_turns += 1;
                is_put_off = true;
                break;
            }
            let was_busy = !self.writer.output.is_empty();
            let due = expired.take_if(|_| !received || taken >= LATE_SHARE);
            if !received && due.is_none() && !is_due {
                self.late_turns = 0;
                if self.rest.at().is_none() {
                    self.release_idle();
                }
                return Poll::Pending;
            }
            self.turn(cx, received, due);
            if let Phase::Done = self.phase {
                return Poll::Ready(());
            }
            self.writer.write(cx, &mut self.link);
            expired = expired.or_else(|| self.wait(cx));
            // What was submitted while the writer was busy has not been fetched yet.
            let has_room = was_busy && self.writer.output.is_empty();
            is_due = has_room || self.writer.is_refused() || self.fence.turns > 0;
            if !received && expired.is_none() && !self.writer.is_refused() && !has_room {
                self.late_turns = 0;
                return Poll::Pending;
            }
            if taken >= LATE_SHARE {
                break;
            }
            if taken >= SHARE && expired.is_none() && self.is_late().is_none() {
                self.late_turns = 0;
                self.clock.yield_now(cx);
                return Poll::Pending;
            }
        }
        // While there is always something to read, the runtime may not get to its timers.
        if !is_put_off {
            let expired = expired.or_else(|| self.is_late());
            if expired.is_some() {
                self.turn(cx, true, expired);
            }
            self.late_turns = 0;
        }
        // A peer that never pauses would have sent more by the time that others have had a turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<L: Link, C> Driver<L, C> {
    /// Sends the commands of detached calls, as far as the link accepts them at once: a client may
    /// be closed, and a runtime that shuts down drops its drivers, but a frozen guest must not stay
    /// frozen.
    fn send_last(&mut self) {
        if self.shared.lock().detached.is_empty() {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        // A command that has been sent in part comes first.
        self.writer.write(&mut cx, &mut self.link);
        {
            let mut state = self.shared.lock();
            let State { detached, connection, .. } = &mut *state;
            detached.send_now(connection);
            connection.take_output(&mut self.writer.output);
        }
        self.writer.write(&mut cx, &mut self.link);
    }
}

impl<L: Link, C: Clock> Future for Driver<L, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match this.phase {
            Phase::Done => return Poll::Ready(()),
            Phase::Waiting => this.phase = Phase::Polled,
            Phase::Polled | Phase::Ending(_) => {}
        }
        let poll = this.run(cx);
        if let Phase::Polled = this.phase {
            this.phase = Phase::Waiting;
        }
        poll
    }
}

// Nothing in it is pinned: the link and the clock are `Unpin`, or boxed.
impl<L: Link, C> Unpin for Driver<L, C> {}

impl<L: Link, C> Drop for Driver<L, C> {
    fn drop(&mut self) {
        if let Phase::Polled = self.phase {
            // A predicate has panicked. It is not called again, and neither are others.
            self.input = Input::new(0);
        } else if !matches!(self.phase, Phase::Done) {
            {
                let mut state = self.shared.lock();
                let State { detached, connection, .. } = &mut *state;
                detached.finish_guards(connection);
            }
            self.send_last();
        }
        let mut woken = std::mem::take(&mut self.woken);
        let mut state = self.shared.lock();
        let own = state.driver.take();
        state.direct.close();
        self.writer.report_loss(&mut state.connection);
        state.connection.end(End::NoDriver);
        state.distribute(&mut self.input, &mut woken);
        let spent = state.detached.take_spent();
        drop(state);
        drop((own, spent));
        woken.into_iter().for_each(Waker::wake);
    }
}
