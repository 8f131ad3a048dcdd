//! Versions, as QEMU and other servers report them.

use std::fmt;

use serde::de::{Deserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::any::Any;
use crate::lenient::{Lenient, leading_number};
use crate::object::{self, Members, Object, Writer};
use crate::printable::Printable;

/// A version of three numbers, ordered as versions are.
///
/// QEMU sends an object; QEMU 0.12 sent a string such as `"0.12.50"`. Any value decodes, since no
/// message may be lost with the version in it: a number that is missing or not readable is 0.
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

    /// Takes a value that has been read for [`MEMBERS`].
    fn from_lenient(value: Lenient<'_>) -> Self {
        match value {
            Lenient::Members(numbers) => {
                let [major, minor, micro] = numbers.map(|number| number.unwrap_or(0));
                Self { major, minor, micro }
            }
            Lenient::Natural(major) => Self::new(i64::try_from(major).unwrap_or(0), 0, 0),
            Lenient::Negative(major) => Self::new(major, 0, 0),
            Lenient::Fraction(number) => {
                let number = Number::from_f64(number).map(|number| number.to_string());
                Self::parse(&number.unwrap_or_default())
            }
            Lenient::Text(text) => Self::parse(&text),
            Lenient::Other => Self::UNKNOWN,
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
const MEMBERS: &[&str] = &["major", "minor", "micro"];

impl Serialize for VersionTriple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::write(serializer, MEMBERS, (&self.major, &self.minor, &self.micro), (), ())
    }
}

impl<'de> Deserialize<'de> for VersionTriple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lenient::read(deserializer, MEMBERS).map(Self::from_lenient)
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
    pub rest: Map<String, Value>,
}

impl Version {
    /// Creates a version without other members.
    pub fn new(qemu: VersionTriple, package: impl Into<String>) -> Self {
        Self { qemu, package: package.into(), rest: Map::new() }
    }

    pub(crate) fn from_value(value: Value) -> Self {
        let mut version = Self::default();
        let members = match value {
            Value::Object(members) => members,
            Value::String(package) => return Self { package, ..version },
            _ => return version,
        };
        for (name, value) in members {
            match (&*name, value) {
                ("package", Value::String(package)) => version.package = package,
                ("qemu", value) => {
                    version.qemu = triple(&value);
                    if !is_exactly(&value, version.qemu) {
                        version.rest.insert(name, value);
                    }
                }
                (_, value) => _ = version.rest.insert(name, value),
            }
        }
        version
    }

    /// Returns the name and the version of a server other than QEMU.
    fn other_server(&self) -> Option<(&str, VersionTriple)> {
        let versions = self.rest.iter().filter(|(name, _)| !Self::MEMBERS.contains(&&***name));
        let mut versions = versions.map(|(name, value)| (name.as_str(), triple(value)));
        versions.find(|(_, version)| *version != VersionTriple::UNKNOWN)
    }
}

/// Reads a version from a value of any type, as `Deserialize` does.
fn triple(value: &Value) -> VersionTriple {
    VersionTriple::from_lenient(Lenient::of(value, MEMBERS))
}

/// Returns whether writing `version` gives `value` again, or the same in the form of QEMU 0.12.
fn is_exactly(value: &Value, version: VersionTriple) -> bool {
    match value {
        Value::String(text) => *text == version.to_string(),
        Value::Object(members) => {
            let VersionTriple { major, minor, micro } = version;
            let written = [("major", major), ("minor", minor), ("micro", micro)];
            members.len() == written.len()
                && written.iter().all(|(name, number)| {
                    members.get(*name).and_then(Value::as_i64) == Some(*number)
                })
        }
        _ => false,
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = Printable(self.package.trim_ascii());
        match (self.qemu, self.other_server()) {
            (VersionTriple::UNKNOWN, Some((name, version))) => {
                write!(f, "{} {version}", Printable(name))?;
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
        Ok(Self::from_value(Value::Object(all)))
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        if !self.rest.contains_key("qemu")
            && (self.qemu != VersionTriple::UNKNOWN || self.rest.is_empty())
        {
            out.member("qemu", &self.qemu);
        }
        if !self.rest.contains_key("package") {
            out.member("package", &self.package);
        }
        out.unlisted(&self.rest, &[]);
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Any::deserialize(deserializer).map(|Any(value)| Self::from_value(value))
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

    #[test]
    fn numbers_that_cannot_be_read_are_zero() {
        for (text, expected) in [
            (r#""eleven""#, "0.0.0"),
            (r#""1.2.3.4""#, "1.2.3"),
            (r#""8.2.0-rc1""#, "8.2.0"),
            (r#""8.2""#, "8.2.0"),
            ("3", "3.0.0"),
            ("3.1", "3.1.0"),
            (r#"{"major": 1, "minor": 2}"#, "1.2.0"),
            (r#"{"major": "1", "minor": 2.5, "micro": null}"#, "1.2.0"),
            ("null", "0.0.0"),
            ("[[], {}]", "0.0.0"),
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

    /// The version in a greeting is read from a value, and that in a reply from text.
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
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(triple(&value), crate::decode(text).unwrap(), "{text}");
        }
    }
}
