//! The resources that clients use.

/// The resources that the clients of a server use together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// The number of connections.
    pub connections: usize,
    /// The memory in bytes for messages that are incomplete or wait for their execution.
    pub input_bytes: usize,
    /// The number of bytes that wait to be sent.
    pub output_bytes: usize,
    /// The number of connections that were rejected because the server had as many as it may have.
    pub rejected: u64,
}
