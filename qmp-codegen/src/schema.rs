//! What a schema means: the checked model, with every reference resolved.
//!
//! Built by `check` from what was written, or by `import` from what a QEMU answers to
//! `query-qmp-schema`. Emitters and comparisons read it and never fail on it.

use crate::source::Span;

/// A checked schema: definitions in the order in which they were written, includes in place.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The files, in order of inclusion, with what stands in them beside definitions.
    pub modules: Vec<Module>,
    /// Every enum, struct, union and alternate. [`TypeId`]s index it.
    pub types: Vec<Type>,
    /// Every command.
    pub commands: Vec<Command>,
    /// Every event.
    pub events: Vec<Event>,
}

/// One file of a schema.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// The path as it was opened.
    pub path: String,
    /// Free-form documentation: headings and introductions, in order.
    pub introduction: Vec<String>,
}

/// Names a [`Module`] of its [`Schema`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleId(pub u32);

/// Names a [`Type`] of its [`Schema`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TypeId(pub u32);

/// What all definitions have.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// The name in the schema; for commands and events, the name on the wire.
    pub name: String,
    /// What it is for.
    pub doc: Doc,
    /// When it exists; always, if absent.
    pub condition: Option<Condition>,
    /// What it can do beyond its shape.
    pub features: Vec<Feature>,
    /// The file that it stands in.
    pub module: Option<ModuleId>,
    /// Where its name stands; of what was imported, where its entry stands in the text.
    pub span: Option<Span>,
}

/// A type that has a name.
#[derive(Clone, Debug)]
pub struct Type {
    /// What all definitions have.
    pub definition: Definition,
    /// What kind of type it is.
    pub kind: TypeKind,
}

/// The kinds of types that have a name.
#[derive(Clone, Debug)]
pub enum TypeKind {
    /// A string out of a set.
    Enum(Enum),
    /// An object with named members.
    Struct(Struct),
    /// An object in which the value of one member decides what the others are.
    Union(Union),
    /// A value whose JSON type decides what it is.
    Alternate(Alternate),
}

/// The values of an enumeration.
#[derive(Clone, Debug, Default)]
pub struct Enum {
    /// In the order of the schema.
    pub values: Vec<EnumValue>,
    /// The prefix of the constants that QEMU generates, where it is not the enumeration's name.
    pub prefix: Option<String>,
}

/// One value of an enumeration.
#[derive(Clone, Debug, Default)]
pub struct EnumValue {
    /// The string on the wire.
    pub name: String,
    /// What it stands for.
    pub doc: Text,
    /// When it exists.
    pub condition: Option<Condition>,
    /// Features of this value.
    pub features: Vec<Feature>,
}

/// The members of a struct.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    /// A struct whose members come first; a union cannot be a base.
    pub base: Option<TypeId>,
    /// The members of its own, in the order of the schema.
    pub members: Vec<Member>,
}

/// A member of an object, or an argument, or a part of an event's data.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name on the wire.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
    /// Whether it may be absent.
    pub optional: bool,
    /// What it means.
    pub doc: Text,
    /// When it exists.
    pub condition: Option<Condition>,
    /// Features of this member.
    pub features: Vec<Feature>,
}

/// A union: a base with the discriminator in it, and branches.
#[derive(Clone, Debug)]
pub struct Union {
    /// The members that every branch has.
    pub base: Base,
    /// The name of the base member that selects the branch.
    pub discriminator: String,
    /// The enumeration that is the discriminator's type.
    pub discriminator_type: TypeId,
    /// In the order of the schema; a value without a branch adds no members.
    pub branches: Vec<Branch>,
}

/// The base of a union.
#[derive(Clone, Debug)]
pub enum Base {
    /// A struct with a name.
    Named(TypeId),
    /// Members written in place.
    Inline(Vec<Member>),
}

/// A branch of a union.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The discriminator's value that selects it.
    pub name: String,
    /// The struct or union whose members it adds.
    pub ty: TypeId,
    /// When it exists.
    pub condition: Option<Condition>,
}

/// The alternatives of an alternate. No two have the same JSON type.
#[derive(Clone, Debug, Default)]
pub struct Alternate {
    /// In the order of the schema.
    pub alternatives: Vec<Alternative>,
}

/// One alternative of an alternate.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// Its name, which is never on the wire.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
    /// What it means.
    pub doc: Text,
    /// When it exists.
    pub condition: Option<Condition>,
}

/// A reference to a type.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum TypeRef {
    /// A built-in type.
    Builtin(Builtin),
    /// A type that has a name.
    Defined(TypeId),
    /// An array of another.
    Array(Box<TypeRef>),
}

/// The built-in types (QAPI guide, section "Built-in Types").
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Builtin {
    /// A string.
    Str,
    /// Any number, fractions included.
    Number,
    /// A whole number of 64 bits with sign.
    Int,
    /// A whole number of 8 bits with sign.
    Int8,
    /// A whole number of 16 bits with sign.
    Int16,
    /// A whole number of 32 bits with sign.
    Int32,
    /// A whole number of 64 bits with sign.
    Int64,
    /// A whole number of 8 bits.
    Uint8,
    /// A whole number of 16 bits.
    Uint16,
    /// A whole number of 32 bits.
    Uint32,
    /// A whole number of 64 bits.
    Uint64,
    /// A number of bytes, of 64 bits.
    Size,
    /// A boolean.
    Bool,
    /// The value `null`.
    Null,
    /// Any JSON value.
    Any,
    /// The name of a JSON type, as QEMU's implementation uses it.
    QType,
}

/// A command.
#[derive(Clone, Debug)]
pub struct Command {
    /// What all definitions have.
    pub definition: Definition,
    /// Its arguments.
    pub arguments: Arguments,
    /// What it returns; an empty object, if absent.
    pub returns: Option<TypeRef>,
    /// Whether success is answered at all (`success-response`).
    pub success_response: bool,
    /// Whether its arguments are only what the schema lists (`gen`).
    pub generated: bool,
    /// Whether it may be executed out-of-band (`allow-oob`).
    pub allow_oob: bool,
    /// Whether it may be executed before the machine is built (`allow-preconfig`).
    pub allow_preconfig: bool,
    /// Whether its handler runs in a coroutine (`coroutine`).
    pub coroutine: bool,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// What all definitions have.
    pub definition: Definition,
    /// Its data.
    pub data: Arguments,
}

/// The arguments of a command, or the data of an event.
#[derive(Clone, Debug)]
pub enum Arguments {
    /// Members written in place; perhaps none.
    Inline(Vec<Member>),
    /// The members of a struct or union.
    Named {
        /// The struct or union.
        ty: TypeId,
        /// Whether QEMU's own functions take it in one piece (`boxed`).
        boxed: bool,
    },
}

/// When something exists, in terms of the server's build configuration.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Condition {
    /// A configuration symbol is set.
    Symbol(String),
    /// Every one of them holds.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

impl Condition {
    /// Whether it holds, given which symbols are set.
    #[must_use]
    pub fn holds(&self, is_set: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Symbol(symbol) => is_set(symbol),
            Self::All(conditions) => conditions.iter().all(|c| c.holds(is_set)),
            Self::Any(conditions) => conditions.iter().any(|c| c.holds(is_set)),
            Self::Not(condition) => !condition.holds(is_set),
        }
    }
}

/// A feature: a string by which a server says that something behaves in a certain way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Feature {
    /// Its name; `deprecated` and `unstable` have a meaning of their own.
    pub name: String,
    /// What it says.
    pub doc: Text,
    /// When it exists.
    pub condition: Option<Condition>,
}

/// A piece of documentation, in reStructuredText, its indentation removed; empty if there is none.
pub type Text = String;

/// The documentation of a definition, without that of its members and features.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Doc {
    /// The overview.
    pub body: Text,
    /// What follows, in its order.
    pub sections: Vec<Section>,
    /// The release that brought it (`Since:`), as written.
    pub since: Option<String>,
}

/// A tagged section of documentation, or paragraphs between two of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// Its tag.
    pub kind: SectionKind,
    /// Its text.
    pub text: Text,
}

/// The tags that a section can have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SectionKind {
    /// No tag: more of the overview.
    Plain,
    /// `Returns:`.
    Returns,
    /// `Errors:`.
    Errors,
    /// `Note:` or `Notes:`.
    Note,
    /// `Example:` or `Examples:`; literal text, no markup.
    Example,
    /// `TODO:`; for developers of the schema, not for its users.
    Todo,
}
