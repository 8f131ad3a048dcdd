//! The settings of a connection.

/// The kind of peer that a connection talks to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// A QMP monitor. It sends a greeting, and replies are matched by id.
    #[default]
    Monitor,
    /// A guest agent. It sends no greeting and executes one command at a time; replies may not
    /// have an id.
    Agent,
}

/// The settings of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The kind of peer (default: a monitor).
    pub dialect: Dialect,
    /// The largest message that is accepted, in bytes (default: 48 MiB). A guest agent sends up to
    /// 43 MiB: 16 MiB each of standard output and standard error, in base64. A driver may have three
    /// of this size at once: what is arriving, a reply that no caller has taken, and what is made of
    /// a reply.
    pub message_size: usize,
    /// The deepest nesting of a reply that is accepted, in brackets (default: 1024).
    pub depth: usize,
    /// The number of in-band commands that may be in flight at once (default: 8).
    pub window: usize,
    /// Whether out-of-band execution is enabled where the server offers it (default: true).
    pub oob: bool,
    /// The id of `qmp_capabilities`, or the first number of a synchronization with a guest agent
    /// (default: 0).
    ///
    /// A peer may still be answering an earlier client. A driver chooses a number that no earlier
    /// client has used: replies to those clients arrive before the reply with this number. The ids
    /// of other commands begin at 1, since QEMU reads a command byte by byte, at microseconds a
    /// byte, and short ids save time.
    pub negotiation_id: u64,
}

impl Settings {
    /// Returns the defaults for a guest agent: one command in flight, and none out-of-band.
    ///
    /// ```
    /// use qmp_protocol::{Connection, Settings};
    ///
    /// // A guest agent does not greet: the driver sends first.
    /// let connection = Connection::new(Settings::agent(), None);
    /// assert!(!connection.output().is_empty());
    /// ```
    #[must_use]
    pub fn agent() -> Self {
        Self { dialect: Dialect::Agent, window: 1, oob: false, ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::Monitor,
            message_size: 48 << 20,
            depth: 1024,
            window: 8,
            oob: true,
            negotiation_id: 0,
        }
    }
}
