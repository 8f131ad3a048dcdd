//! The loop that does a connection's input and output.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::link::{Clock, Link};
use super::state::{Shared, State, register};
use crate::error::End;
use crate::machine::{Framer, Output};

/// So many turns are taken before others get theirs, who share the thread.
const TURNS: usize = 32;
/// So many bytes are read before others get theirs: decoding them takes longer than reading them.
const SHARE: usize = 256 * 1024;
/// So often what has arrived is read before a command is sent that waits for an event. A peer
/// that never pauses must not hold it up for ever.
const PATIENT_TURNS: u32 = 256;
/// What arrives within so long of something else makes a connection keep its buffers. One that is
/// used does not allocate them for each command, one that is not has none.
const REST: Duration = Duration::from_millis(100);

/// What does the input and output of a [`Client`](super::Client), as a future to be spawned. It
/// is done when the connection has ended.
///
/// It always reads, whatever anybody does with what arrives: events wait in bounded queues.
/// Dropping it ends the connection, and whoever waits is told. What guards have left is sent, and
/// what those have to do that are still there: as far as the link takes it at once.
#[must_use = "a client works as long as its driver is polled"]
pub struct Driver<L: Link, C> {
    shared: Arc<Shared>,
    link: L,
    clock: C,
    /// What was read and is no message yet.
    input: Framer,
    /// What is being written.
    output: Output,
    /// Whether something was written that the link may keep back.
    unflushed: bool,
    deadline: Option<Instant>,
    /// How the connection ended, as far as reading tells.
    ending: Option<End>,
    /// Why nothing more can be written.
    refused: Option<io::Error>,
    /// Whether something was not written for that.
    lost: bool,
    patience: u32,
    rest: Rest,
    woken: Vec<Waker>,
    /// Whether it is being polled: if it is dropped then, it has panicked.
    polled: bool,
    done: bool,
}

/// Whether a connection keeps its buffers while nothing is going on.
#[derive(Debug, Default)]
struct Rest {
    /// When to look; not while nothing has arrived for a while.
    at: Option<Instant>,
    /// Whether anything has arrived since that was set.
    busy: bool,
    /// Whether something arrives again and again.
    keep: bool,
}

impl Rest {
    /// Whether the buffers are to be given back if nothing is going on. The clock is read once a
    /// while, not for each message.
    fn is_due(
        &mut self,
        received: bool,
        expired: Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        match (self.at, expired) {
            (None, _) if received => self.at = Some(now() + REST),
            (Some(_), _) if received => (self.busy, self.keep) = (true, true),
            (Some(at), Some(now)) if at <= now => {
                self.keep = std::mem::take(&mut self.busy);
                self.at = self.keep.then(|| now + REST);
            }
            _ => {}
        }
        !received && !self.keep
    }
}

impl<L: Link, C> fmt::Debug for Driver<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("done", &self.done).finish_non_exhaustive()
    }
}

impl<L: Link, C: Clock> Driver<L, C> {
    pub(super) fn new(shared: Arc<Shared>, link: L, clock: C) -> Self {
        let input = shared.lock().machine.new_input();
        Self {
            shared,
            link,
            clock,
            input,
            output: Output::default(),
            unflushed: false,
            deadline: None,
            ending: None,
            refused: None,
            lost: false,
            patience: 0,
            rest: Rest::default(),
            woken: Vec::new(),
            polled: false,
            done: false,
        }
    }

    /// Reads once; ready if that brought anything, with so many bytes.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.ending.is_some() {
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
            Poll::Ready(Err(error)) => End::Transport(error),
            // The runtime has not looked since: what the peer said before it went is still there.
            Poll::Pending if self.refused.is_some() && self.link.has_arrived() => {
                return Poll::Pending;
            }
            // The peer has said all that it had to say, after it refused to listen.
            Poll::Pending => match self.refused.take() {
                Some(error) if error.kind() == io::ErrorKind::BrokenPipe => End::Eof,
                Some(error) => End::Transport(error),
                None => return Poll::Pending,
            },
        };
        self.ending = Some(end);
        Poll::Ready(0)
    }

    /// Tells everybody what has arrived, or has been waited for too long, and fetches what is to
    /// be sent.
    fn turn(&mut self, cx: &Context<'_>, received: bool, expired: Option<Instant>) {
        let mut state = self.shared.lock();
        // The handshake is no beginning of anything: many connections are made in one go.
        let heard = received && state.machine.is_ready();
        if let Some(end) = self.ending.take() {
            if self.lost || self.unflushed || !self.output.is_empty() {
                state.machine.not_all_sent();
            }
            state.machine.end(end);
        }
        if received || expired.is_some() || state.machine.is_ending() {
            state.machine.swap_input(&mut self.input);
            state.distribute(&mut self.woken);
            if let Some(now) = expired {
                // What has arrived comes first.
                state.expire(now, &mut self.woken);
                state.distribute(&mut self.woken);
            }
            state.machine.swap_input(&mut self.input);
        }
        // The last call that kept it open may have been answered just now.
        if state.is_deserted() {
            drop(state);
            self.send_last();
            state = self.shared.lock();
            state.machine.end(End::Local);
            state.distribute(&mut self.woken);
        }
        self.done = state.machine.ended().is_some();
        let replaced = register(&mut state.driver, cx);
        let fenced = state.is_fenced();
        if fenced && (received || self.link.has_arrived()) && self.patience < PATIENT_TURNS {
            self.patience += 1;
        } else {
            if fenced {
                state.lift_fences();
            }
            self.patience = 0;
            state.machine.take_output(&mut self.output);
        }
        if self.rest.is_due(heard, expired, C::now) && state.machine.is_idle() {
            state.release();
            self.input.release(0);
            self.output.release(0);
        }
        self.deadline = state.deadline().into_iter().chain(self.rest.at).min();
        state.armed = self.deadline;
        drop(state);
        drop(replaced);
        self.woken.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let at = self.deadline?;
        // The clock decides that it is time, not another look at it.
        self.clock.poll_until(cx, at).is_ready().then(|| C::now().max(at))
    }

    fn is_late(&self) -> Option<Instant> {
        let (at, now) = (self.deadline?, C::now());
        (at <= now).then_some(now)
    }
}

impl<L: Link, C> Driver<L, C> {
    fn write(&mut self, cx: &mut Context<'_>) {
        while !self.output.is_empty() {
            let bytes = self.output.piece();
            let written = match self.output.descriptors() {
                [] => self.link.poll_write(cx, bytes),
                descriptors => self.link.poll_write_with_descriptors(cx, bytes, descriptors),
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.refuse(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.output.sent(count);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return self.refuse(error),
            }
        }
        if self.unflushed {
            match self.link.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => self.refuse(error),
            }
        }
    }

    /// The peer takes nothing any more. It may have said why: the reading goes on.
    fn refuse(&mut self, error: io::Error) {
        self.refused = Some(error);
        self.lost = true;
        self.unflushed = false;
        self.output.clear();
    }

    /// What guards have left to be done is sent, as far as the link takes it at once: a client may
    /// be closed, a runtime that ends drops its drivers, and a guest that is frozen must not stay
    /// so.
    fn send_last(&mut self) {
        if self.shared.lock().detached.is_empty() {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        // What it has begun goes first.
        self.write(&mut cx);
        {
            let mut state = self.shared.lock();
            let State { detached, machine, .. } = &mut *state;
            detached.hurry(machine);
            machine.take_output(&mut self.output);
        }
        self.write(&mut cx);
    }
}

impl<L: Link, C: Clock> Future for Driver<L, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.polled = true;
        let poll = this.run(cx);
        this.polled = false;
        poll
    }
}

impl<L: Link, C: Clock> Driver<L, C> {
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (mut expired, mut taken) = (None, 0);
        for _ in 0..TURNS {
            if self.done {
                return Poll::Ready(());
            }
            let read = self.read(cx);
            let received = read.is_ready();
            if let Poll::Ready(count) = read {
                taken += count;
            }
            self.turn(cx, received, expired);
            if self.done {
                return Poll::Ready(());
            }
            self.write(cx);
            expired = self.wait(cx);
            if !received && expired.is_none() && self.refused.is_none() {
                return Poll::Pending;
            }
            if taken >= SHARE {
                break;
            }
        }
        // While there is always something to be read, the runtime may not get to its timers.
        let expired = expired.or_else(|| self.is_late());
        if expired.is_some() {
            self.turn(cx, true, expired);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// Nothing in it is pinned: the link and the clock are `Unpin`, or boxed.
impl<L: Link, C> Unpin for Driver<L, C> {}

impl<L: Link, C> Drop for Driver<L, C> {
    fn drop(&mut self) {
        if !self.done && !self.polled {
            {
                let mut state = self.shared.lock();
                let State { detached, machine, .. } = &mut *state;
                detached.finish_guards(machine);
            }
            self.send_last();
        }
        let mut woken = std::mem::take(&mut self.woken);
        let mut state = self.shared.lock();
        let own = state.driver.take();
        state.machine.end(End::NoDriver);
        state.distribute(&mut woken);
        drop(state);
        drop(own);
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_kept_while_something_arrives_again_and_again() {
        let begin = Instant::now();
        let mut rest = Rest::default();
        let mut at = |received, expired: Option<u32>| {
            let expired = expired.map(|periods| begin + REST * periods);
            let due = rest.is_due(received, expired, || begin);
            (due, rest.at.is_some())
        };
        // Nothing has come, and then one message.
        assert_eq!(at(false, None), (true, false));
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (true, true));
        // A second, before the first period is over; the next period brings nothing.
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (false, true));
        assert_eq!(at(false, Some(1)), (false, true));
        assert_eq!(at(false, Some(2)), (true, false));
        // It begins anew.
        assert_eq!(at(true, None), (false, true));
        assert_eq!(at(false, None), (true, true));
        assert_eq!(at(false, Some(1)), (true, false));
    }
}
