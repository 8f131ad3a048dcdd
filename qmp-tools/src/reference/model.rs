//! The documentation of a schema as plain data.

use serde::{Deserialize, Serialize};

/// A command, an event or a type, with its documentation as plain text. Paragraphs are separated by
/// blank lines; a line that begins with four spaces is literal.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Definition {
    /// The name.
    pub name: String,
    /// The kind of definition.
    pub kind: Kind,
    /// The overview.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The first release that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The features.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// The arguments, the data or the members, those of bases included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// The member whose value selects a branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// The values of the discriminator that add members, and the types that have them; the alternatives
    /// of an alternate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// The values of an enumeration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// The type that a command returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
    /// The meaning of what a command returns.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub returned: String,
    /// The errors of a command.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub errors: String,
    /// Notes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Examples, as they are written: lines that begin with `->` are sent, those with `<-` received.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Properties of a command, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// The condition under which it exists, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// The kinds of definitions.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A command.
    #[default]
    Command,
    /// An event.
    Event,
    /// An enumeration.
    Enumeration,
    /// An object.
    Struct,
    /// An object with branches.
    Union,
    /// One of several types.
    Alternate,
}

/// A feature, such as `deprecated`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Feature {
    /// The name.
    pub name: String,
    /// The meaning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A member of an object, or an argument.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Member {
    /// The name.
    pub name: String,
    /// The type, as it is written: `str`, `[str]`, `BlockdevOptions`.
    pub ty: String,
    /// Whether it may be absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Whether its value is secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The meaning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The features.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// The configuration under which it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A branch of a union, or an alternative of an alternate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Branch {
    /// The value that selects it; the name of the alternative.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// The configuration under which it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A value of an enumeration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Value {
    /// The text on the wire.
    pub name: String,
    /// The meaning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The features.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// The configuration under which it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}
