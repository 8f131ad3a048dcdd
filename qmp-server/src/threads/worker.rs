//! The state of a thread that serves clients.

use std::sync::Arc;

use super::engine::Pool;
use super::lane::Job;

/// The maximum number of bytes to read at a time.
const CHUNK_SIZE: usize = 16 << 10;

/// The number of times in a row that a thread serves the same client before it stays with it.
const REPEATS: u32 = 2;

/// A thread that serves clients.
pub(super) struct Worker {
    pub(super) pool: Arc<Pool>,
    /// The buffer for what is read.
    pub(super) bytes: Box<[u8]>,
    /// The client that is served.
    pub(super) key: u64,
    /// The number of times that it has been served in a row before.
    repeats: u32,
    is_occupied: bool,
    is_staying: bool,
    /// The note by which commands are watched, while the thread stays with a client.
    note: Option<usize>,
}

impl Worker {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let bytes = vec![0; CHUNK_SIZE].into();
        let (key, repeats) = (u64::MAX, 0);
        Self { pool, bytes, key, repeats, is_occupied: false, is_staying: false, note: None }
    }

    pub(super) fn begin(&mut self, key: u64) {
        self.repeats = if self.key == key { self.repeats.saturating_add(1) } else { 0 };
        self.key = key;
    }

    /// Becomes free.
    pub(super) fn end(&mut self) {
        if let Some(note) = self.note.take() {
            self.pool.watch.end(note);
        }
        if std::mem::take(&mut self.is_staying) {
            self.pool.stop_staying();
            self.repeats = 0;
        }
        if std::mem::take(&mut self.is_occupied) {
            self.pool.release();
        }
    }

    /// Stops being free, unless no thread would be free then.
    pub(super) fn try_occupy(&mut self) -> bool {
        self.is_occupied = self.is_occupied || self.pool.try_occupy();
        self.is_occupied
    }

    /// Decides whether to wait for the client that is served, and for nothing else.
    pub(super) fn try_stay(&mut self) -> bool {
        if self.repeats < REPEATS || !self.pool.backlog.is_empty() {
            return false;
        }
        self.is_staying = self.is_staying || (self.try_occupy() && self.pool.try_stay());
        self.is_staying
    }

    /// Has another thread notice if a command takes long, if this one stays with the client.
    pub(super) fn try_watch(&mut self) -> bool {
        if self.note.is_none() && self.try_stay() {
            self.note = self.pool.try_watch(self.key);
        }
        self.note.is_some()
    }

    /// Notes the beginning or the end of a command, if the commands are watched.
    pub(super) fn step(&self) {
        if let Some(note) = self.note {
            self.pool.watch.step(note);
        }
    }

    /// Executes the jobs that no thread executes yet.
    pub(super) fn execute_backlog(&mut self) {
        while !self.pool.backlog.is_empty() && self.try_occupy() {
            match self.pool.backlog.pop() {
                Some(Job { execute, is_in_lane }) => {
                    self.pool.pass_on_wake();
                    execute();
                    if is_in_lane {
                        self.leave_lane();
                    }
                }
                None => break,
            }
        }
        self.end();
    }

    /// Leaves the lane to the next job in it.
    pub(super) fn leave_lane(&self) {
        if let Some(next) = self.pool.lane.leave() {
            self.pool.postpone(next);
        }
    }
}
