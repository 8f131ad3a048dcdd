//! The result of a comparison.

/// The changes between two schemas, in the order of commands and events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// The changes.
    pub changes: Vec<Change>,
}

impl Difference {
    /// Returns true if any change breaks clients.
    ///
    /// ```
    /// use qmp_codegen::diff::diff;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// // A client may send the argument that is gone. The other way around, an optional one is new.
    /// assert!(diff(&old, &new).is_breaking());
    /// assert!(!diff(&new, &old).is_breaking());
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        self.changes.iter().any(|change| change.breaking)
    }

    /// Returns true if the schemas do not differ.
    ///
    /// ```
    /// use qmp_codegen::diff::diff;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// assert!(diff(&old, &old).is_empty());
    /// assert!(!diff(&old, &new).is_empty());
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A change. If several commands and events share the changed type, they share the change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The first command or event that the change affects.
    pub root: Root,
    /// The location within the command or event, such as `argument file.driver`, `data`, or
    /// `return[].inserted`; empty for the command or event itself. A branch of a union is
    /// `(driver=qcow2)`, and the elements of an array are `[]`.
    pub path: String,
    /// The kind of the change.
    pub what: What,
    /// Whether the change breaks clients.
    pub breaking: bool,
    /// The directions of the affected data; empty for the command or event itself.
    pub directions: Vec<Direction>,
    /// Whether the old schema marked the changed part as deprecated or unstable; for an added
    /// command or event, whether the new schema does.
    pub announced: Option<Announced>,
    /// Other commands and events that the change affects.
    pub also: Vec<Root>,
}

/// A command or event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root {
    /// Whether it is a command or an event.
    pub kind: RootKind,
    /// The name of the command or event.
    pub name: String,
}

/// The kinds of roots.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RootKind {
    /// A command.
    Command,
    /// An event.
    Event,
}

/// The direction of data.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the client to the server: arguments.
    Sent,
    /// From the server to the client: return values and data of events.
    Received,
}

/// The kinds of changes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The command or event was added.
    Added,
    /// The command or event was removed.
    Removed,
    /// The member was added.
    MemberAdded {
        /// Whether the member is optional.
        optional: bool,
    },
    /// The member was removed.
    MemberRemoved {
        /// Whether the member was optional.
        optional: bool,
    },
    /// The member was common to all branches, and now is only in some of them.
    MemberNarrowed {
        /// The values that select the branches with the member.
        branches: Vec<String>,
        /// Whether the member was optional.
        optional: bool,
    },
    /// The member was only in some branches, and now is common to all of them.
    MemberWidened {
        /// The values that selected the branches with the member.
        branches: Vec<String>,
        /// Whether the member is optional.
        optional: bool,
    },
    /// The member was mandatory, and now is optional.
    MadeOptional,
    /// The member was optional, and now is mandatory.
    MadeMandatory,
    /// The type was changed.
    Type {
        /// The old type, such as `int` or `[str]`.
        old: String,
        /// The new type.
        new: String,
    },
    /// This value of an enumeration was added.
    ValueAdded(String),
    /// This value of an enumeration was removed.
    ValueRemoved(String),
    /// The branch of a union was added for this value.
    BranchAdded(String),
    /// The branch of a union was removed for this value.
    BranchRemoved(String),
    /// An alternative of this type was added to an alternate.
    AlternativeAdded(String),
    /// The alternative of this type was removed from an alternate.
    AlternativeRemoved(String),
    /// This feature was added.
    FeatureAdded(String),
    /// This feature was removed.
    FeatureRemoved(String),
    /// A flag of a command was changed, such as `allow-oob`.
    Flag {
        /// The key of the flag in the schema.
        name: &'static str,
        /// The new value.
        now: bool,
    },
}

/// The special features that announce changes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Announced {
    /// The feature `deprecated`: will be removed in a future release.
    Deprecated,
    /// The feature `unstable`: may change in any release.
    Unstable,
}
