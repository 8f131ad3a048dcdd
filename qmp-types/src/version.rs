//! Versions, as QEMU and other servers report them.

use std::fmt;

use serde::de::{Deserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::json;
use crate::lenient::{AnyText, Decimal, leading_number, numbers_in};
use crate::object::{self, Members, Object, Writer};
use crate::others::OtherMembers;
use crate::printable::Printable;

/// A version of three numbers, ordered as versions are.
///
/// QEMU sends an object; QEMU 0.12 sent a string such as `"0.12.50"`. Any value decodes, since no
/// message may be lost with the version in it: a number that is missing or not readable is 0. The number
/// `8.10` is the version 8.10 in a message, and 8.1 in a [`Value`](serde_json::Value), which does not keep
/// the zero.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VersionTriple {
    /// The first number.
    pub major: i64,
    /// The second number.
    pub minor: i64,
    /// The third number; 50 and above for development versions.
    pub micro: i64,
}

impl VersionTriple {
    /// The version of a server that does not report it: three zeros.
    pub const UNKNOWN: Self = Self::new(0, 0, 0);

    /// Creates a version from its three numbers.
    #[must_use]
    pub const fn new(major: i64, minor: i64, micro: i64) -> Self {
        Self { major, minor, micro }
    }

    /// Reads a value of any type from its text.
    fn from_text(text: &str) -> Self {
        match numbers_in(text, MEMBERS) {
            Some(numbers) => {
                let [major, minor, micro] = numbers.map(|number| number.unwrap_or(0));
                Self { major, minor, micro }
            }
            None => match (Decimal::read(text), json::string(text)) {
                (Some(number), _) if number.is_plain() => Self::parse(text),
                (Some(number), _) => Self::new(number.whole(), 0, 0),
                (None, Some(text)) => Self::parse(&text),
                (None, None) => Self::UNKNOWN,
            },
        }
    }

    /// Reads `8.2.0`, and also `8.2` and `8.2.0-rc1`.
    fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|part| leading_number(part).unwrap_or(0));
        let mut number = || numbers.next().unwrap_or(0);
        Self { major: number(), minor: number(), micro: number() }
    }
}

impl fmt::Display for VersionTriple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The names of the members.
const MEMBERS: [&str; 3] = ["major", "minor", "micro"];

impl Serialize for VersionTriple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::write(serializer, &MEMBERS, (&self.major, &self.minor, &self.micro), (), ())
    }
}

impl<'de> Deserialize<'de> for VersionTriple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyText::deserialize(deserializer).map(|AnyText(text)| Self::from_text(&text))
    }
}

/// The version in the greeting.
///
/// Any value decodes, so that a server of another make is not refused because of its version.
/// `Display` shows the version of such a server as `StratoVirt 2.4.0`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Version {
    /// The version of QEMU; [`VersionTriple::UNKNOWN`] if the server does not report one.
    pub qemu: VersionTriple,
    /// The distributor's part of the version; often empty.
    pub package: String,
    /// All other members, and those above whose values have another type. They are written back.
    pub rest: OtherMembers,
}

impl Version {
    /// Creates a version without other members.
    pub fn new(qemu: VersionTriple, package: impl Into<String>) -> Self {
        Self { qemu, package: package.into(), rest: OtherMembers::default() }
    }

    /// Reads a value of any type from its text.
    pub(crate) fn from_text(text: &str) -> Self {
        if !text.starts_with('{') {
            let package = json::string(text).unwrap_or_default().into();
            return Self { package, ..Self::default() };
        }
        let package = json::member(text, "package").and_then(json::string);
        let qemu = json::member(text, "qemu");
        let version = qemu.map_or(VersionTriple::UNKNOWN, VersionTriple::from_text);
        let written = [
            package.is_some().then_some("package"),
            qemu.is_some_and(|text| is_exactly(text, version)).then_some("qemu"),
        ];
        Self {
            qemu: version,
            rest: OtherMembers::of(text, &written),
            package: package.unwrap_or_default().into(),
        }
    }

    /// Returns the name and the version of a server other than QEMU.
    fn other_server(&self) -> Option<(String, VersionTriple)> {
        let mut found = None;
        json::members(self.rest.text(), &mut |member| {
            let is_ours = Self::MEMBERS.iter().any(|name| json::is_text(member.name, name));
            if is_ours || found.is_some() {
                return;
            }
            let version = VersionTriple::from_text(member.value);
            if version != VersionTriple::UNKNOWN {
                found = json::unescaped(member.name).map(|name| (name.into_owned(), version));
            }
        });
        found
    }
}

/// Returns whether writing `version` gives the value in `text` again, or the same in the form of QEMU 0.12.
fn is_exactly(text: &str, version: VersionTriple) -> bool {
    if let Some(text) = json::string(text) {
        return *text == version.to_string();
    }
    let VersionTriple { major, minor, micro } = version;
    text.starts_with('{')
        && OtherMembers::of(text, &MEMBERS.map(Some)).is_empty()
        && MEMBERS.into_iter().zip([major, minor, micro]).all(|(name, number)| {
            json::member(text, name).and_then(|text| text.parse().ok()) == Some(number)
        })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = Printable(self.package.trim_ascii());
        match (self.qemu, self.other_server()) {
            (VersionTriple::UNKNOWN, Some((name, version))) => {
                write!(f, "{} {version}", Printable(&name))?;
            }
            (VersionTriple::UNKNOWN, None) => f.write_str("unknown version")?,
            (qemu, _) => qemu.fmt(f)?,
        }
        if package.0.is_empty() { Ok(()) } else { write!(f, " ({package})") }
    }
}

impl Object for Version {
    const NAME: &'static str = "Version";
    const MEMBERS: &'static [&'static str] = &["qemu", "package"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let mut all = Map::new();
        while members.next_or_keep(&[], &mut all)?.is_some() {}
        Ok(Self::from_text(OtherMembers::from(all).text()))
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        let rest = self.rest.to_map();
        if !rest.contains_key("qemu") && (self.qemu != VersionTriple::UNKNOWN || rest.is_empty()) {
            out.member("qemu", &self.qemu);
        }
        if !rest.contains_key("package") {
            out.member("package", &self.package);
        }
        out.unlisted(&rest, &[]);
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyText::deserialize(deserializer).map(|AnyText(text)| Self::from_text(&text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_first_qmp_release_sent_a_string() {
        let old: Version = serde_json::from_str(r#"{"qemu": "0.12.50", "package": ""}"#).unwrap();
        assert_eq!(old, Version::new(VersionTriple::new(0, 12, 50), ""));
        let new: Version = serde_json::from_str(
            r#"{"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": "Debian 1:11.1.3"}"#,
        )
        .unwrap();
        assert!(new.qemu > old.qemu);
        assert_eq!(new.to_string(), "11.1.3 (Debian 1:11.1.3)");
    }

    /// Whatever stands beside the numbers is skipped, even if it has no value of its own.
    #[test]
    fn members_that_have_no_value_do_not_hide_a_version() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for other in ["1e400", &deep, r#"["\ud83d"]"#] {
            let text = format!(r#"{{"major":10,"x":{other},"minor":1}}"#);
            let version: VersionTriple = crate::decode(&text).unwrap();
            assert_eq!(version, VersionTriple::new(10, 1, 0), "{text}");
            let text = format!(r#"{{"seconds":5,"x":{other},"microseconds":6}}"#);
            let timestamp: crate::Timestamp = crate::decode(&text).unwrap();
            assert_eq!((timestamp.seconds, timestamp.microseconds), (5, 6), "{text}");
            let text = format!(r#"{{"timestamp":{text},"event":"X"}}"#);
            let crate::ServerMessage::Event { timestamp: same, .. } = crate::decode(&text).unwrap()
            else {
                panic!("{text}")
            };
            assert_eq!(same, timestamp, "{text}");
        }
    }

    /// A greeting of 64 KiB took seconds each time that its version was shown.
    #[test]
    fn the_version_of_another_server_is_found_in_one_pass() {
        let others: String = (0..6_000).map(|number| format!("\"x{number}\":0,")).collect();
        let text = format!(r#"{{{others}"y":{{"major":7}},"z":8}}"#);
        let version: Version = crate::decode(&text).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..20 {
            assert_eq!(version.to_string(), "y 7.0.0");
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn numbers_that_cannot_be_read_are_zero() {
        for (text, expected) in [
            (r#""eleven""#, "0.0.0"),
            (r#""1.2.3.4""#, "1.2.3"),
            (r#""8.2.0-rc1""#, "8.2.0"),
            (r#""8.2""#, "8.2.0"),
            ("3", "3.0.0"),
            ("3.1", "3.1.0"),
            ("1e1", "10.0.0"),
            ("-5", "-5.0.0"),
            (r#"{"major": 1, "minor": 2}"#, "1.2.0"),
            (r#"{"major": "1", "minor": 2.5, "micro": null}"#, "1.2.0"),
            ("null", "0.0.0"),
            ("[[], {}]", "0.0.0"),
            ("[1.5]", "0.0.0"),
            (r#"["a.7"]"#, "0.0.0"),
        ] {
            let version: VersionTriple = serde_json::from_str(text).unwrap();
            assert_eq!(version.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_version_of_any_form_is_written_back() {
        for (text, shown) in [
            (r#"{"StratoVirt":{"major":2},"package":null}"#, "StratoVirt 2.0.0"),
            (r#"{"package":"x","vmm":"1.2"}"#, "vmm 1.2.0 (x)"),
            (r#"{"features":["x.1"],"package":"","vmm":{"major":2}}"#, "vmm 2.0.0"),
            (r#"{"package":[1],"qemu":"eleven"}"#, "unknown version"),
            (r#"{"package":"","qemu":{"major":"8","micro":0,"minor":1},"target":"arm"}"#, "8.1.0"),
        ] {
            let version: Version = serde_json::from_str(text).unwrap();
            assert_eq!(version.to_string(), shown, "{text}");
            assert_eq!(serde_json::to_value(&version).unwrap().to_string(), text);
        }
        for (text, shown) in [
            ("null", "unknown version"),
            (r#""2.1""#, "unknown version (2.1)"),
            ("[]", "unknown version"),
        ] {
            let version: Version = serde_json::from_str(text).unwrap();
            assert_eq!(version.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_version_is_the_same_from_a_value_and_from_text() {
        for text in [
            r#"{"major": 9, "minor": 2.9, "micro": "3-rc1", "x": 1}"#,
            r#"{"major": 18446744073709551615, "minor": null}"#,
            r#""8.2.1-rc0""#,
            "9",
            "-9",
            "9.2",
            "18446744073709551615",
            "null",
            "[9]",
            "true",
        ] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let version: VersionTriple = serde_json::from_value(value).unwrap();
            assert_eq!(version, crate::decode(text).unwrap(), "{text}");
        }
    }
}
