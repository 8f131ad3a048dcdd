//! Limits on resources: of one connection, and of all connections of a server together.

/// Limits on the resources that clients may use.
///
/// ```
/// let mut limits = qmp_server::Limits::default();
/// limits.connections = 16;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size of a message in bytes (default: 64 MiB, as in QEMU).
    pub message_bytes: usize,
    /// The maximum number of tokens in a message (default: 2 Mi, as in QEMU).
    pub message_tokens: usize,
    /// The maximum number of open brackets at any point of a message (default: 1024, as in QEMU).
    pub message_depth: usize,
    /// The maximum number of levels to which arguments are nested (default: 48). Decoding arguments
    /// takes up to 20 KiB of stack per level in a build without optimization, which has to fit on the
    /// stack of the thread that executes the command. The rest of a message is read without
    /// recursion.
    pub argument_depth: usize,
    /// The maximum number of bytes waiting to be sent to a client (default: 16 MiB). Above half of
    /// it, no command is executed until the client reads; an event that would exceed it ends the
    /// connection.
    pub output_bytes: usize,
    /// The maximum number of connections of a server (default: 16,384). While there are as many, a
    /// server that accepts clients leaves others in the listener's queue. Twice as many commands are
    /// executed at a time on threads and in tasks of their own, including those that clients which
    /// have gone have left; further ones are rejected.
    pub connections: usize,
    /// The maximum memory in bytes that all connections of a server use together for messages that
    /// are incomplete or wait for their execution (default: 128 MiB). A message that does not fit is
    /// rejected. A quarter is reserved for messages of up to 1 MiB.
    pub total_input_bytes: usize,
    /// The maximum number of bytes that wait to be sent on all connections of a server together
    /// (default: 256 MiB). At the limit, connections with more than 64 KiB of unsent output are
    /// treated as if they had reached `output_bytes`.
    pub total_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 20,
            message_tokens: 2 << 20,
            message_depth: 1 << 10,
            argument_depth: 48,
            output_bytes: 16 << 20,
            connections: 16 << 10,
            total_input_bytes: 128 << 20,
            total_output_bytes: 256 << 20,
        }
    }
}
