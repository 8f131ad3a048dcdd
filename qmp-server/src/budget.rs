//! A limit on the memory that all connections use together for one purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of a budget, the part that charges above [`SMALL`] leave to smaller ones: one in this number.
const RESERVED_FRACTION: usize = 4;

/// The size in bytes up to which a charge may use the reserved part.
const SMALL: usize = 1 << 20;

/// A number of bytes that all connections may use together.
///
/// A quarter is reserved for small charges. A few clients with huge messages therefore do not keep
/// others from sending ordinary commands.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// One user's part of a budget, returned when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Charge {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Changes the charge, unless it grows and the budget does not allow that.
    pub(crate) fn try_set(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let limit = self.budget.limit;
        let limit = if bytes > SMALL { limit - limit / RESERVED_FRACTION } else { limit };
        if more > 0 && self.budget.used().saturating_add(more) > limit {
            return false;
        }
        self.set(bytes);
        true
    }

    /// Changes the charge, even if that exceeds the budget.
    pub(crate) fn set(&mut self, bytes: usize) {
        let used = &self.budget.used;
        match bytes.checked_sub(self.bytes) {
            Some(more) => used.fetch_add(more, Ordering::Relaxed),
            None => used.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }

    /// Returns whether all connections together use the whole budget.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.used() >= self.budget.limit
    }

    /// Moves the charge to a new owner.
    pub(crate) fn take(&mut self) -> Self {
        let bytes = std::mem::take(&mut self.bytes);
        Self { budget: Arc::clone(&self.budget), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_charges_leave_a_part_to_small_ones() {
        let budget = Budget::new(8 << 20);
        let mut large = Charge::new(&budget);
        assert!(large.try_set(6 << 20));
        assert!(!large.try_set((6 << 20) + 1), "three quarters");
        let mut small = [Charge::new(&budget), Charge::new(&budget), Charge::new(&budget)];
        assert!(small[0].try_set(1 << 20) && small[1].try_set(1 << 20));
        assert!(!small[2].try_set(1) && small[2].is_exhausted());
        drop(large);
        assert!(small[2].try_set(1));
        drop(small);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_charge_that_moves_is_returned_once() {
        let budget = Budget::new(100);
        let mut charge = Charge::new(&budget);
        assert!(charge.try_set(60));
        let moved = charge.take();
        assert!(charge.try_set(40));
        drop(moved);
        assert_eq!(budget.used(), 40);
    }
}
