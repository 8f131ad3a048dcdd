//! The greeting of a server.

use serde::de::{Deserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::any::{Any, text_of};
use crate::enumeration;
use crate::json;
use crate::lenient::AnyText;
use crate::object::{self, Members, Object, Writer};
use crate::version::Version;

/// The first message of a server: its version, and the capabilities that it offers.
///
/// On the wire, it is the member `QMP` of the message (QMP specification, section "Server
/// Greeting").
///
/// Any value decodes: a server is not refused because of the version that it reports, and of the
/// capabilities those count that are names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Greeting {
    /// The version of the server.
    pub version: Version,
    /// The capabilities that can be enabled during negotiation.
    pub capabilities: Vec<Capability>,
}

impl Object for Greeting {
    const NAME: &'static str = "Greeting";
    const MEMBERS: &'static [&'static str] = &["version", "capabilities"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let mut greeting = Self::default();
        while let Some(index) = members.next(Self::MEMBERS)? {
            match index {
                0 => greeting.version = members.value()?,
                _ => {
                    let Any(value) = members.value()?;
                    greeting.capabilities = capabilities(&text_of(&value));
                }
            }
        }
        Ok(greeting)
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        out.member("version", &self.version);
        out.member("capabilities", &self.capabilities);
    }
}

/// The longest greeting that is read, in bytes. The names of many capabilities take several times as much
/// memory.
const LONGEST: usize = 64 << 10;

/// Reads the elements that are strings.
fn capabilities(text: &str) -> Vec<Capability> {
    let mut capabilities = Vec::new();
    if text.starts_with('[') {
        json::elements(text, &mut |element| {
            capabilities.extend(json::string(element).map(|name| enumeration::parse(&name)));
        });
    }
    capabilities
}

impl Serialize for Greeting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

impl Greeting {
    /// Reads a value of any type from its text. One that is too long says nothing.
    pub(crate) fn from_text(text: &str) -> Self {
        if !text.starts_with('{') || text.len() > LONGEST {
            return Self::default();
        }
        let version = json::member(text, "version").map(Version::from_text);
        Self {
            version: version.unwrap_or_default(),
            capabilities: json::member(text, "capabilities").map(capabilities).unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for Greeting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyText::deserialize(deserializer).map(|AnyText(text)| Self::from_text(&text))
    }
}

/// A protocol capability (QMP specification, section "Capabilities").
#[derive(Clone, Debug, Hash, PartialEq)]
#[non_exhaustive]
pub enum Capability {
    /// Commands may be executed out-of-band.
    Oob,
    /// A capability that this crate does not know.
    Unknown(Box<str>),
}

crate::enumeration! { Capability = "QMPCapability" {
    Oob: "oob",
} }

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{ServerMessage, decode};

    /// A client of StratoVirt was refused because the version has another name there.
    #[test]
    fn a_greeting_of_another_make_decodes() {
        let oob = vec![Capability::Oob];
        for (greeting, capabilities, version) in [
            (
                r#"{"version": {"StratoVirt": {"major": 2}, "package": null}, "capabilities": [1, "oob"]}"#,
                oob.clone(),
                "StratoVirt 2.0.0",
            ),
            (
                r#"{"version": {"qemu": {"major": "8", "minor": "1"}}, "capabilities": ["oob", []]}"#,
                oob.clone(),
                "8.1.0",
            ),
            (r#"{"capabilities": ["oob"], "version": []}"#, oob, "unknown version"),
            (r#"{"version": null, "capabilities": {"oob": true}}"#, vec![], "unknown version"),
            ("{}", vec![], "unknown version"),
            ("null", vec![], "unknown version"),
            (&format!("{}{}", "[".repeat(1000), "]".repeat(1000)), vec![], "unknown version"),
        ] {
            let text = format!(r#"{{"QMP": {greeting}}}"#);
            let ServerMessage::Greeting(decoded) = decode(&text).unwrap() else { panic!("{text}") };
            assert_eq!(decoded.capabilities, capabilities, "{text}");
            assert_eq!(decoded.version.to_string(), version, "{text}");
            let written = serde_json::to_value(&decoded).unwrap();
            assert_eq!(serde_json::from_value::<Greeting>(written).unwrap(), decoded);
        }
    }

    #[test]
    fn the_first_greeting_ever_decodes() {
        let text =
            r#"{"QMP": {"version": {"qemu": "0.12.50", "package": ""}, "capabilities": []}}"#;
        let ServerMessage::Greeting(greeting) = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!(greeting.version.to_string(), "0.12.50");
    }
}
