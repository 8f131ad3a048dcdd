//! Faults, and where they are injected.

/// A fault at a position in what the server sends, or in what it receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// A read ends there.
    Split,
    /// The rest arrives a moment later.
    Delay,
    /// The rest arrives with the answer to the next command.
    Late,
    /// The rest never arrives.
    Stall,
    /// The server closes the connection there.
    Cut,
    /// The connection is reset there.
    Reset,
    /// This bit of the byte is inverted.
    Flip(u8),
    /// The byte is lost.
    Drop,
    /// The byte arrives twice.
    Double,
    /// This byte arrives before it.
    Insert(u8),
    /// The line that the byte is in arrives twice.
    DoubleLine,
    /// A write ends there.
    ShortWrite,
    /// The server accepts nothing from there on, and closes the connection.
    Refuse,
}

/// Bytes that mean something, where they do not belong.
const INSERTED: [u8; 6] = [0, b'\n', b'"', b'{', b'}', 0xFF];

impl Fault {
    /// Returns all faults that are tried at each position.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut faults = vec![
            Self::Split,
            Self::Delay,
            Self::Late,
            Self::Stall,
            Self::Cut,
            Self::Reset,
            Self::Drop,
            Self::Double,
            Self::DoubleLine,
            Self::ShortWrite,
            Self::Refuse,
        ];
        faults.extend((0..8).map(Self::Flip));
        faults.extend(INSERTED.map(Self::Insert));
        faults
    }

    /// Returns the name of its kind.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Delay => "delay",
            Self::Late => "late",
            Self::Stall => "stall",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Flip(_) => "flip",
            Self::Drop => "drop",
            Self::Double => "double",
            Self::Insert(_) => "insert",
            Self::DoubleLine => "line twice",
            Self::ShortWrite => "short write",
            Self::Refuse => "refuse",
        }
    }

    /// Returns whether the position is one in what the server receives.
    pub(crate) fn is_for_writes(self) -> bool {
        matches!(self, Self::ShortWrite | Self::Refuse)
    }

    /// Returns whether everything has to succeed nevertheless.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(self, Self::Split | Self::Delay | Self::ShortWrite)
    }

    /// Returns whether bytes are changed.
    pub(crate) fn damages(self) -> bool {
        matches!(
            self,
            Self::Flip(_) | Self::Drop | Self::Double | Self::Insert(_) | Self::DoubleLine
        )
    }

    /// Returns whether a call may have to wait until its deadline.
    pub(crate) fn may_take_time(self) -> bool {
        self.damages() || matches!(self, Self::Late | Self::Stall)
    }
}
