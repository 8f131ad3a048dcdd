//! Versions, as QEMU reports them.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::object::{self, Members, Object, Writer};

/// A version of three numbers, ordered as versions are.
///
/// QEMU sends an object; QEMU 0.12 sent a string such as `"0.12.50"`. Both decode.
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
    /// Creates a version from its three numbers.
    #[must_use]
    pub const fn new(major: i64, minor: i64, micro: i64) -> Self {
        Self { major, minor, micro }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        let mut number = || numbers.next().unwrap_or(Ok(0)).ok();
        let version = Self { major: number()?, minor: number()?, micro: number()? };
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for VersionTriple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl Object for VersionTriple {
    const NAME: &'static str = "VersionTriple";
    const MEMBERS: &'static [&'static str] = &["major", "minor", "micro"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let (mut major, mut minor, mut micro) = (None, None, None);
        while let Some(index) = members.next(Self::MEMBERS)? {
            match index {
                0 => major = Some(members.value()?),
                1 => minor = Some(members.value()?),
                _ => micro = Some(members.value()?),
            }
        }
        Ok(Self {
            major: members.required(major, "major")?,
            minor: members.required(minor, "minor")?,
            micro: members.required(micro, "micro")?,
        })
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("major", &self.major);
        out.member("minor", &self.minor);
        out.member("micro", &self.micro);
    }
}

impl Serialize for VersionTriple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

struct TripleVisitor;

impl<'de> Visitor<'de> for TripleVisitor {
    type Value = VersionTriple;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version, as an object or as a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<VersionTriple, E> {
        VersionTriple::parse(text)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VersionTriple, A::Error> {
        VersionTriple::read(&mut Members::new(&mut map))
    }
}

impl<'de> Deserialize<'de> for VersionTriple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TripleVisitor)
    }
}

/// The version in QEMU's greeting.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Version {
    /// The version of QEMU.
    pub qemu: VersionTriple,
    /// The distributor's part of the version; often empty.
    pub package: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.package.trim() {
            "" => self.qemu.fmt(f),
            package => write!(f, "{} ({package})", self.qemu),
        }
    }
}

impl Object for Version {
    const NAME: &'static str = "Version";
    const MEMBERS: &'static [&'static str] = &["qemu", "package"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let (mut qemu, mut package) = (None, None);
        while let Some(index) = members.next(Self::MEMBERS)? {
            match index {
                0 => qemu = Some(members.value()?),
                _ => package = Some(members.value()?),
            }
        }
        Ok(Self { qemu: members.required(qemu, "qemu")?, package: package.unwrap_or_default() })
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("qemu", &self.qemu);
        out.member("package", &self.package);
    }
}

crate::object_impls!(Version);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_qmp_release_sent_a_string() {
        let old: Version = serde_json::from_str(r#"{"qemu": "0.12.50", "package": ""}"#).unwrap();
        assert_eq!(old.qemu, VersionTriple::new(0, 12, 50));
        let new: Version = serde_json::from_str(
            r#"{"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": "Debian 1:11.1.3"}"#,
        )
        .unwrap();
        assert!(new.qemu > old.qemu);
        assert_eq!(new.to_string(), "11.1.3 (Debian 1:11.1.3)");
    }

    #[test]
    fn other_values_are_refused() {
        for text in [r#""eleven""#, r#""1.2.3.4""#, "3", r#"{"major": 1, "minor": 2}"#] {
            assert!(serde_json::from_str::<VersionTriple>(text).is_err(), "{text}");
        }
    }
}
