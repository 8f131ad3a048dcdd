//! Counts of what a client has open.

/// The number of calls and subscriptions that a client has open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pending {
    /// Calls that are not answered.
    pub calls: usize,
    /// Subscriptions to events that exist, including those that have reported the end.
    pub subscriptions: usize,
}
