//! Clients that have something to do without having sent anything.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use crate::sync::lock;

/// A queue of the keys of clients, each of which is in it once.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    in_order: VecDeque<u64>,
    queued: HashSet<u64>,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).in_order.is_empty()
    }

    /// Adds a client, unless it is in the queue already.
    pub(super) fn push(&self, key: u64) {
        let mut queue = lock(&self.0);
        if queue.queued.insert(key) {
            queue.in_order.push_back(key);
        }
    }

    /// Removes the client that has waited for the longest time. Also returns whether others wait.
    pub(super) fn pop(&self) -> Option<(u64, bool)> {
        let mut queue = lock(&self.0);
        let key = queue.in_order.pop_front()?;
        queue.queued.remove(&key);
        Some((key, !queue.in_order.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The latest call used to be answered first, so that busy clients delayed the others without
    /// limit, and a client that was called repeatedly was in the list repeatedly.
    #[test]
    fn calls_are_answered_in_order_and_once() {
        let calls = Calls::default();
        [7, 8, 7, 9, 8].iter().for_each(|key| calls.push(*key));
        assert_eq!(calls.pop(), Some((7, true)));
        // A call after the answer has begun is a new one.
        calls.push(7);
        assert_eq!(calls.pop(), Some((8, true)));
        assert_eq!(calls.pop(), Some((9, true)));
        assert_eq!((calls.is_empty(), calls.pop()), (false, Some((7, false))));
        assert_eq!((calls.is_empty(), calls.pop()), (true, None));
    }
}
