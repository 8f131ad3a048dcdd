//! The names of the ways to show replies and events.

/// How replies are shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// JSON with one line per member and element.
    Pretty,
    /// JSON on one line.
    #[default]
    Compact,
    /// Columns, for arrays of objects; pretty JSON for everything else.
    Table,
    /// Messages as on the wire, one per line.
    Raw,
    /// Envelopes, one per line.
    Jsonl,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 5] = [Self::Pretty, Self::Compact, Self::Table, Self::Raw, Self::Jsonl];

    /// Returns the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Compact => "compact",
            Self::Table => "table",
            Self::Raw => "raw",
            Self::Jsonl => "jsonl",
        }
    }

    /// Returns the mode with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

/// How events are shown, unless the mode is `raw` or `jsonl`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventStyle {
    /// One line for people.
    Line,
    /// JSON with one line per member and element.
    Pretty,
    /// JSON on one line.
    Compact,
}

impl EventStyle {
    /// All styles.
    pub const ALL: [Self; 3] = [Self::Line, Self::Pretty, Self::Compact];

    /// Returns the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Pretty => "pretty",
            Self::Compact => "compact",
        }
    }

    /// Returns the style with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.as_str() == name)
    }
}
