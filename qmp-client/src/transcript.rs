//! The thread that calls the function of a transcript.
//!
//! The function may block, as writing to a pipe does that no program reads. The connection holds its
//! lock meanwhile, and no deadline would be kept. So a thread calls the function, and the connection
//! waits for it only while it is quick: otherwise messages wait in a queue, and those that exceed it
//! are counted as missing.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qmp_protocol::{Direction, Transcript};

/// The longest time for which a connection waits for the function.
const PATIENCE: Duration = Duration::from_millis(20);
/// The size of the messages that wait for a function that is slow, in bytes. One larger message may
/// wait alone.
const ROOM: usize = 1 << 20;

/// The function of a transcript, which a thread calls, and the messages that wait for it.
///
/// It is an object, so that programs without a transcript do not contain its code. All functions that are
/// not generic are `#[inline]`, so that they do not compile it either.
#[derive(Clone, Debug)]
pub(crate) struct Recording(Arc<dyn Record>);

trait Record: fmt::Debug + Send + Sync {
    fn transcript(self: Arc<Self>, part: Part) -> Transcript;
    fn missing(&self) -> u64;
}

/// The part of a connection in a transcript.
#[derive(Clone, Default)]
pub(crate) struct Part(Arc<Mutex<PartState>>);

#[derive(Default)]
struct PartState {
    panic: Option<Box<dyn Any + Send>>,
    /// Ends the connection.
    end: Option<Box<dyn Fn() + Send>>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Direction, String, Part)>,
    /// The size of all messages that wait.
    bytes: usize,
    /// Whether the function is being called.
    is_busy: bool,
    /// Whether the function has once taken longer than is waited for, since it was last idle.
    is_slow: bool,
    /// The number of messages that did not fit.
    missing: u64,
    /// Whether no connection uses the transcript any more.
    is_closed: bool,
}

/// The end of a queue at which messages arrive. The thread ends when this is dropped.
#[derive(Debug)]
struct Sender(Arc<Queue>);

impl fmt::Debug for Part {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl Recording {
    /// Starts the thread that calls the function.
    pub(crate) fn new(mut hook: impl FnMut(Direction, &str) + Send + 'static) -> Self {
        let queue = Arc::<Queue>::default();
        let receiver = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("qmp transcript".to_owned());
        let started = thread.spawn(move || receiver.call_for_each(&mut hook));
        // Without a thread, every message is missing.
        queue.lock().is_closed = started.is_err();
        Self(Arc::new(Sender(queue)))
    }

    /// Returns the transcript of one more connection.
    #[inline]
    pub(crate) fn transcript(&self, part: Part) -> Transcript {
        Arc::clone(&self.0).transcript(part)
    }

    /// Returns the number of messages that the transcript lacks.
    #[inline]
    pub(crate) fn missing(&self) -> u64 {
        self.0.missing()
    }
}

impl Record for Sender {
    #[inline]
    fn transcript(self: Arc<Self>, part: Part) -> Transcript {
        Transcript::new(move |direction, message| self.0.show(direction, message, &part))
    }

    #[inline]
    fn missing(&self) -> u64 {
        self.0.lock().missing
    }
}

impl Part {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, PartState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what ends the connection if the function panics while the connection does not wait for
    /// it.
    pub(crate) fn set_end(&self, end: impl Fn() + Send + 'static) {
        self.lock().end = Some(Box::new(end));
    }

    #[inline]
    fn panicked(&self, panic: Box<dyn Any + Send>) {
        self.lock().panic = Some(panic);
    }

    #[inline]
    fn end(&self) {
        let end = self.lock().end.take();
        if let Some(end) = end {
            end();
        }
    }
}

impl Queue {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a condition holds, at most as long as a connection waits.
    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let condition = |state: &mut State| condition(state);
        let waited = self.changed.wait_timeout_while(self.lock(), PATIENCE, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Passes a message on. If the function has panicked, so does this.
    #[inline]
    fn show(&self, direction: Direction, message: &str, part: &Part) {
        let mut state = self.lock();
        let is_idle = state.waiting.is_empty() && !state.is_busy;
        state.is_slow &= !is_idle;
        let is_full = !state.waiting.is_empty() && state.bytes + message.len() > ROOM;
        if is_full || state.is_closed {
            state.missing += 1;
        } else {
            state.bytes += message.len();
            state.waiting.push_back((direction, message.to_owned(), part.clone()));
            self.changed.notify_all();
        }
        if !state.is_slow {
            drop(state);
            let is_working = |state: &State| state.is_busy || !state.waiting.is_empty();
            state = self.wait_while(is_working);
            state.is_slow = is_working(&state);
        }
        drop(state);
        let panic = part.lock().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Calls a function for each message, until the queue is closed.
    #[inline]
    fn call_for_each(&self, hook: &mut dyn FnMut(Direction, &str)) {
        let mut state = self.lock();
        loop {
            let Some((direction, message, part)) = state.waiting.pop_front() else {
                if state.is_closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.bytes -= message.len();
            state.is_busy = true;
            drop(state);
            let called = catch_unwind(AssertUnwindSafe(|| hook(direction, &message)));
            let panic = called.err();
            let has_panicked = panic.is_some();
            panic.into_iter().for_each(|panic| part.panicked(panic));
            self.lock().is_busy = false;
            self.changed.notify_all();
            if has_panicked {
                part.end();
            }
            state = self.lock();
        }
    }
}

impl Drop for Sender {
    #[inline]
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
        // The last messages are mostly written before the program ends.
        drop(self.0.wait_while(|state| state.is_busy || !state.waiting.is_empty()));
    }
}
