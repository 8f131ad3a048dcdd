//! Commands that turn out to take long.
//!
//! While a command is executed, its client may send an out-of-band command, which another thread has to
//! read. Telling the poller before each command takes a system call, and almost all commands are over
//! before it returns. So a thread that stays with a client only notes that it executes a command, and a
//! free thread looks at these notes at intervals. What it finds twice takes long.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// The number of threads that can be watched.
const MAX_WATCHED: usize = 4;

/// The interval at which a free thread looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(10);

/// The notes of the threads that stay with clients.
#[derive(Debug, Default)]
pub(super) struct Watch {
    notes: [Note; MAX_WATCHED],
    last_look: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Note {
    is_taken: AtomicBool,
    key: AtomicU64,
    /// The number of beginnings and ends of commands: odd while one is executed.
    steps: AtomicU64,
    /// The steps at the last look.
    seen: AtomicU64,
}

impl Watch {
    /// Takes a note for a client, if one is left.
    pub(super) fn begin(&self, key: u64) -> Option<usize> {
        let index =
            self.notes.iter().position(|note| !note.is_taken.swap(true, Ordering::SeqCst))?;
        self.notes[index].key.store(key, Ordering::Release);
        Some(index)
    }

    pub(super) fn end(&self, index: usize) {
        self.notes[index].is_taken.store(false, Ordering::Release);
    }

    /// Notes that a command begins or ends.
    pub(super) fn step(&self, index: usize) {
        self.notes[index].steps.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns whether a thread has to look at intervals.
    pub(super) fn is_active(&self) -> bool {
        self.notes.iter().any(|note| note.is_taken.load(Ordering::SeqCst))
    }

    /// Returns the clients whose commands take long. Does nothing within an interval of the last look.
    pub(super) fn look(&self, now: Instant) -> Vec<u64> {
        let mut last = lock(&self.last_look);
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL / 2) {
            return Vec::new();
        }
        *last = Some(now);
        let takes_long = |note: &&Note| {
            let steps = note.steps.load(Ordering::Acquire);
            let seen = note.seen.swap(steps, Ordering::AcqRel);
            note.is_taken.load(Ordering::Acquire) && steps % 2 == 1 && steps == seen
        };
        let slow = self.notes.iter().filter(takes_long);
        slow.map(|note| note.key.load(Ordering::Acquire)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_found_twice_takes_long() {
        let watch = Watch::default();
        let mut now = Instant::now();
        let mut look = |watch: &Watch| {
            now += INTERVAL;
            watch.look(now)
        };
        assert!(!watch.is_active());
        let index = watch.begin(7);
        let other = watch.begin(8);
        assert_eq!((index, other, watch.is_active()), (Some(0), Some(1), true));
        watch.step(0);
        assert!(look(&watch).is_empty());
        assert_eq!(look(&watch), [7]);
        // Another command of the same client, and time between commands.
        watch.step(0);
        watch.step(0);
        assert!(look(&watch).is_empty());
        watch.step(0);
        assert!(look(&watch).is_empty() && look(&watch).is_empty());
        watch.step(1);
        watch.end(1);
        assert!(look(&watch).is_empty() && look(&watch).is_empty());
        assert_eq!(watch.begin(9), Some(1));
    }

    #[test]
    fn two_threads_that_look_at_once_look_once() {
        let watch = Watch::default();
        let now = Instant::now();
        assert_eq!(watch.begin(7), Some(0));
        watch.step(0);
        assert!(watch.look(now).is_empty() && watch.look(now).is_empty());
        assert_eq!(watch.look(now + INTERVAL), [7]);
    }
}
