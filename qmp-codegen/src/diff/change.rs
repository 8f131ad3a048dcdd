//! What a comparison finds.

/// Everything that changed between two schemas, in the order of commands and events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// The changes.
    pub changes: Vec<Change>,
}

impl Difference {
    /// Whether there is a change that breaks clients.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        self.changes.iter().any(|change| change.breaking)
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// One change. What many commands and events share is one change, not many.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The command or event by which it was first reached.
    pub root: Root,
    /// Where in it: `argument file.driver`, `return[].inserted`, `data`; empty for the command or
    /// event itself. `(driver=qcow2)` is the branch of a union, `[]` the elements of an array.
    pub path: String,
    /// What changed there.
    pub what: What,
    /// Whether it breaks clients.
    pub breaking: bool,
    /// In which directions it matters; neither for a command or event itself.
    pub directions: Vec<Direction>,
    /// What the old schema said that makes the change less of a surprise; what the new one says of
    /// a command or event that was added.
    pub announced: Option<Announced>,
    /// Other commands and events that it changes.
    pub also: Vec<Root>,
}

/// A command or event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root {
    /// Which of both.
    pub kind: RootKind,
    /// Its name.
    pub name: String,
}

/// Whether something is a command or an event.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RootKind {
    /// A command.
    Command,
    /// An event.
    Event,
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the client: arguments.
    Sent,
    /// To the client: return values, and data of events.
    Received,
}

/// What can change.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The command or event is new.
    Added,
    /// The command or event is gone.
    Removed,
    /// The member is new.
    MemberAdded {
        /// Whether it may be absent.
        optional: bool,
    },
    /// The member is gone.
    MemberRemoved {
        /// Whether it could be absent.
        optional: bool,
    },
    /// The member, which every value could have, is only in some branches.
    MemberNarrowed {
        /// The values that select these branches.
        branches: Vec<String>,
        /// Whether it could be absent.
        optional: bool,
    },
    /// The member, which was only in some branches, is in all.
    MemberWidened {
        /// The values that selected these branches.
        branches: Vec<String>,
        /// Whether it may be absent.
        optional: bool,
    },
    /// The member may be absent now.
    MadeOptional,
    /// The member has to be there now.
    MadeMandatory,
    /// The type is another.
    Type {
        /// What it was, in JSON's and QAPI's words.
        old: String,
        /// What it is.
        new: String,
    },
    /// A value of an enumeration is new.
    ValueAdded(String),
    /// A value of an enumeration is gone.
    ValueRemoved(String),
    /// A value has members now: the branch of a union is new.
    BranchAdded(String),
    /// The branch of a union is gone.
    BranchRemoved(String),
    /// An alternate has another alternative, of this type.
    AlternativeAdded(String),
    /// An alternative of an alternate is gone.
    AlternativeRemoved(String),
    /// A feature is new.
    FeatureAdded(String),
    /// A feature is gone.
    FeatureRemoved(String),
    /// A flag of a command is another, such as `allow-oob`.
    Flag {
        /// Its key in the schema.
        name: &'static str,
        /// What it is now.
        now: bool,
    },
}

/// What special features say.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Announced {
    /// It is deprecated: it will go.
    Deprecated,
    /// It is unstable: it can change at any time.
    Unstable,
}
