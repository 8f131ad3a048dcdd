//! Version numbers of releases.

use std::fmt;

/// A release, without the number of its bug fixes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Parses a number such as `7.2`; of `0.14.1`, only `0.14` counts.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().trim_end_matches('.').split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        numbers.all(|number| number.is_ok()).then_some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The first and the last release of something, where the documentation states them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Dates {
    pub(crate) since: Option<Version>,
    pub(crate) until: Option<Version>,
}

impl Dates {
    /// Reads `(since X)`, `(until Y)` or `(since X, until Y)` in the description of a member.
    pub(crate) fn of_member(text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut dates = Self::default();
        for group in text.split('(').skip(1) {
            let group = group.split(')').next().unwrap_or_default();
            for part in group.split(", ") {
                let version = |word| part.strip_prefix(word).and_then(Version::parse);
                dates.since = version("since ").or(dates.since);
                dates.until = version("until ").or(dates.until);
            }
        }
        dates
    }

    /// Reads the section `Since:` and the sentence "Removed after QEMU X." of a definition.
    pub(crate) fn of_definition(doc: &qmp_codegen::schema::Doc) -> Self {
        let since = doc.since.as_deref().and_then(Version::parse);
        let plain = doc.sections.iter().map(|section| &section.text).chain([&doc.body]);
        let until = plain.flat_map(|text| text.lines()).find_map(|line| {
            line.trim().strip_prefix("Removed after QEMU ").and_then(Version::parse)
        });
        Self { since, until }
    }

    /// Returns whether a release has it, if the documentation is right.
    pub(crate) fn contain(self, version: Version) -> bool {
        self.since.is_none_or(|since| since <= version)
            && self.until.is_none_or(|until| version <= until)
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.since, self.until) {
            (Some(since), Some(until)) => write!(f, "since {since}, until {until}"),
            (Some(since), None) => write!(f, "since {since}"),
            (None, Some(until)) => write!(f, "until {until}"),
            (None, None) => f.write_str("without a date"),
        }
    }
}
