//! Counts of what a client has open.

/// The number of calls and subscriptions that a client has open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pending {
    /// Calls that are not answered.
    pub calls: usize,
    /// Subscriptions to events.
    pub subscriptions: usize,
}
