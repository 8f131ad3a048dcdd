//! Formats a difference as text and as JSON.

use std::fmt;

use serde_json::{Map, Value};

use super::change::{Announced, Change, Difference, Direction, Root, RootKind, What};

/// Formats all changes, one per line. Those that break clients come first, under their own heading.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "No changes.");
        }
        let (breaking, other): (Vec<_>, Vec<_>) = self.changes.iter().partition(|c| c.breaking);
        for (heading, changes) in [("Breaking changes", breaking), ("Other changes", other)] {
            if !changes.is_empty() {
                writeln!(f, "{heading} ({}):", changes.len())?;
                changes.iter().try_for_each(|change| writeln!(f, "  {change}"))?;
            }
        }
        Ok(())
    }
}

/// Formats a change on one line: `command blockdev-add: argument file.driver: value 'x' removed`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.root)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.what)?;
        let was = if self.what == What::Added { "" } else { "was " };
        match self.announced {
            Some(Announced::Deprecated) => write!(f, " ({was}deprecated)")?,
            Some(Announced::Unstable) => write!(f, " ({was}unstable)")?,
            None => {}
        }
        match &self.also[..] {
            [] => Ok(()),
            [one] => write!(f, "; also in {one}"),
            [first, rest @ ..] => write!(f, "; also in {first} and {} more", rest.len()),
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl fmt::Display for RootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => "command",
            Self::Event => "event",
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presence = |optional: &bool| if *optional { "optional" } else { "mandatory" };
        match self {
            Self::Added => write!(f, "added"),
            Self::Removed => write!(f, "removed"),
            Self::MemberAdded { optional } => write!(f, "added, {}", presence(optional)),
            Self::MemberRemoved { optional } => write!(f, "removed, was {}", presence(optional)),
            Self::MemberNarrowed { branches, .. } => {
                write!(f, "is now only in {}", list(branches))
            }
            Self::MemberWidened { branches, optional } => {
                write!(f, "was only in {}, is now in all, {}", list(branches), presence(optional))
            }
            Self::MadeOptional => write!(f, "is now optional"),
            Self::MadeMandatory => write!(f, "is now mandatory"),
            Self::Type { old, new } => write!(f, "type is now {new}, was {old}"),
            Self::ValueAdded(name) => write!(f, "value '{name}' added"),
            Self::ValueRemoved(name) => write!(f, "value '{name}' removed"),
            Self::BranchAdded(name) => write!(f, "branch '{name}' added"),
            Self::BranchRemoved(name) => write!(f, "branch '{name}' removed"),
            Self::AlternativeAdded(ty) => write!(f, "alternative {ty} added"),
            Self::AlternativeRemoved(ty) => write!(f, "alternative {ty} removed"),
            Self::FeatureAdded(name) => write!(f, "feature '{name}' added"),
            Self::FeatureRemoved(name) => write!(f, "feature '{name}' removed"),
            Self::Flag { name, now } => write!(f, "'{name}' is now {now}"),
        }
    }
}

fn list(branches: &[String]) -> String {
    match branches {
        [one] => format!("branch '{one}'"),
        _ => format!("branches '{}'", branches.join("', '")),
    }
}

impl Difference {
    /// Returns the difference as JSON: `{"breaking": false, "changes": [...]}`.
    ///
    /// Each change has these members:
    ///
    /// - `command` or `event`: the name of the command or event.
    /// - `path`: the location within it; absent for the command or event itself.
    /// - `change`: the kind of change, such as `value-removed`, with details in `name`, `optional`,
    ///   `old`, `new`, `now`, or `branches`.
    /// - `breaking`: whether the change breaks clients.
    /// - `directions`: an array of `sent` and `received`.
    /// - `announced`: `deprecated` or `unstable`; absent if the change was not announced.
    /// - `also`: other affected commands and events; absent if the change affects no others.
    /// - `text`: the change as a line of text.
    ///
    /// ```
    /// use qmp_codegen::diff::diff;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// let json = diff(&old, &new).to_json();
    /// assert_eq!(json["breaking"], true);
    /// assert_eq!(json["changes"][0]["path"], "argument color");
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("breaking".into(), self.is_breaking().into());
        json.insert("changes".into(), self.changes.iter().map(Change::to_json).collect());
        json.into()
    }
}

impl Change {
    /// Returns the change as JSON, as described for [`Difference::to_json`].
    ///
    /// ```
    /// use qmp_codegen::diff::diff;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// let change = diff(&old, &new).changes[0].to_json();
    /// assert_eq!(change["command"], "park");
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = self.what.to_json();
        let mut add = |key: &str, value: Value| json.insert(key.to_owned(), value);
        add(&self.root.kind.to_string(), self.root.name.as_str().into());
        if !self.path.is_empty() {
            add("path", self.path.as_str().into());
        }
        add("breaking", self.breaking.into());
        let direction = |direction: &Direction| match direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        add("directions", self.directions.iter().map(direction).collect());
        match self.announced {
            Some(Announced::Deprecated) => drop(add("announced", "deprecated".into())),
            Some(Announced::Unstable) => drop(add("announced", "unstable".into())),
            None => {}
        }
        if !self.also.is_empty() {
            add("also", self.also.iter().map(Root::to_string).collect());
        }
        add("text", self.to_string().into());
        json.into()
    }
}

impl What {
    fn to_json(&self) -> Map<String, Value> {
        let (change, members): (&str, Vec<(&str, Value)>) = match self {
            Self::Added => ("added", vec![]),
            Self::Removed => ("removed", vec![]),
            Self::MemberAdded { optional } => {
                ("member-added", vec![("optional", (*optional).into())])
            }
            Self::MemberRemoved { optional } => {
                ("member-removed", vec![("optional", (*optional).into())])
            }
            Self::MemberNarrowed { branches, optional } => {
                let branches = branches.as_slice().into();
                ("member-narrowed", vec![("branches", branches), ("optional", (*optional).into())])
            }
            Self::MemberWidened { branches, optional } => {
                let branches = branches.as_slice().into();
                ("member-widened", vec![("branches", branches), ("optional", (*optional).into())])
            }
            Self::MadeOptional => ("made-optional", vec![]),
            Self::MadeMandatory => ("made-mandatory", vec![]),
            Self::Type { old, new } => {
                ("type", vec![("old", old.as_str().into()), ("new", new.as_str().into())])
            }
            Self::ValueAdded(name) => ("value-added", named(name)),
            Self::ValueRemoved(name) => ("value-removed", named(name)),
            Self::BranchAdded(name) => ("branch-added", named(name)),
            Self::BranchRemoved(name) => ("branch-removed", named(name)),
            Self::AlternativeAdded(ty) => ("alternative-added", named(ty)),
            Self::AlternativeRemoved(ty) => ("alternative-removed", named(ty)),
            Self::FeatureAdded(name) => ("feature-added", named(name)),
            Self::FeatureRemoved(name) => ("feature-removed", named(name)),
            Self::Flag { name, now } => {
                ("flag", vec![("name", (*name).into()), ("now", (*now).into())])
            }
        };
        let members = members.into_iter().chain([("change", change.into())]);
        members.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn named(name: &str) -> Vec<(&'static str, Value)> {
    vec![("name", name.into())]
}
