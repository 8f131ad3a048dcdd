//! The checked model of a schema, with every reference resolved.
//!
//! It is built from a schema's text, or from a QEMU's reply to `query-qmp-schema`. Emitters and
//! comparisons read it and never fail on it.

use crate::source::Span;

/// A checked schema. Definitions are in the order in which they were written, with those of included
/// files in the place of the include.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The files, in order of inclusion, with their contents other than definitions.
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

/// The parts that all definitions have.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// The name in the schema; for commands and events, the name on the wire.
    pub name: String,
    /// The documentation.
    pub doc: Doc,
    /// The condition under which it exists; always, if absent.
    pub condition: Option<Condition>,
    /// The features: behavior that the shape does not show.
    pub features: Vec<Feature>,
    /// The file that it is in.
    pub module: Option<ModuleId>,
    /// The position of its name; for imported schemas, the position of its entry in the text.
    pub span: Option<Span>,
}

/// A type that has a name.
#[derive(Clone, Debug)]
pub struct Type {
    /// The parts that all definitions have.
    pub definition: Definition,
    /// The kind of type.
    pub kind: TypeKind,
}

/// The kinds of types that have a name.
#[derive(Clone, Debug)]
pub enum TypeKind {
    /// A string from a set of strings.
    Enum(Enum),
    /// An object with named members.
    Struct(Struct),
    /// An object in which the value of one member decides which others it has.
    Union(Union),
    /// A value of one of several types, selected by its JSON type.
    Alternate(Alternate),
}

/// The values of an enumeration.
#[derive(Clone, Debug, Default)]
pub struct Enum {
    /// The values, in the order of the schema.
    pub values: Vec<EnumValue>,
    /// The prefix of the constants that QEMU generates, where it is not the enumeration's name.
    pub prefix: Option<String>,
}

/// One value of an enumeration.
#[derive(Clone, Debug, Default)]
pub struct EnumValue {
    /// The string on the wire.
    pub name: String,
    /// The meaning of the value.
    pub doc: Text,
    /// The condition under which it exists.
    pub condition: Option<Condition>,
    /// The features of this value.
    pub features: Vec<Feature>,
}

/// The members of a struct.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    /// A struct whose members come first; a union cannot be a base.
    pub base: Option<TypeId>,
    /// Its own members, in the order of the schema.
    pub members: Vec<Member>,
}

/// A member of an object, an argument, or a part of an event's data.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name on the wire.
    pub name: String,
    /// The type.
    pub ty: TypeRef,
    /// Whether it may be absent.
    pub optional: bool,
    /// The meaning.
    pub doc: Text,
    /// The condition under which it exists.
    pub condition: Option<Condition>,
    /// The features of this member.
    pub features: Vec<Feature>,
    /// Whether its value is secret, such as a password: nothing shows or records it.
    ///
    /// The pragma `secret-members` lists these members as `DEFINITION.MEMBER`. It is an extension
    /// of the language. QEMU's own generator refuses it, so it is best put into a file of its own.
    pub secret: bool,
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
    /// The branches, in the order of the schema; a value without a branch adds no members.
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
    /// The condition under which it exists.
    pub condition: Option<Condition>,
}

/// The alternatives of an alternate. No two have the same JSON type.
#[derive(Clone, Debug, Default)]
pub struct Alternate {
    /// The alternatives, in the order of the schema.
    pub alternatives: Vec<Alternative>,
}

/// One alternative of an alternate.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// The name, which is never on the wire.
    pub name: String,
    /// The type.
    pub ty: TypeRef,
    /// The meaning.
    pub doc: Text,
    /// The condition under which it exists.
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
    /// The parts that all definitions have.
    pub definition: Definition,
    /// The arguments.
    pub arguments: Arguments,
    /// The type of the reply; an empty object, if absent.
    pub returns: Option<TypeRef>,
    /// Whether the server replies on success (`success-response`).
    pub success_response: bool,
    /// Whether the schema lists all of its arguments (`gen`).
    pub generated: bool,
    /// Whether it may be executed out-of-band (`allow-oob`).
    pub allow_oob: bool,
    /// Whether it may be executed before the virtual machine is built (`allow-preconfig`).
    pub allow_preconfig: bool,
    /// Whether its handler runs in a coroutine (`coroutine`).
    pub coroutine: bool,
    /// Whether it has no effect on the machine: it only returns something.
    ///
    /// The pragma `read-only-commands` lists these commands. It is an extension of the language, as
    /// `secret-members` is.
    pub read_only: bool,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The parts that all definitions have.
    pub definition: Definition,
    /// The data.
    pub data: Arguments,
}

/// The arguments of a command, or the data of an event.
#[derive(Clone, Debug)]
pub enum Arguments {
    /// Members written in place, if any.
    Inline(Vec<Member>),
    /// The members of a struct or union.
    Named {
        /// The struct or union.
        ty: TypeId,
        /// Whether QEMU's own functions take it as one argument (`boxed`).
        boxed: bool,
    },
}

/// A condition on the server's build configuration, under which something exists.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Condition {
    /// A configuration symbol is set.
    Symbol(String),
    /// Every one of them holds.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
    /// The condition does not hold.
    Not(Box<Condition>),
}

impl Condition {
    /// Returns whether the condition holds, given which symbols are set as far as that is known.
    /// Returns `None` if it depends on others.
    ///
    /// ```
    /// use qmp_codegen::schema::Condition;
    ///
    /// let symbol = |name: &str| Condition::Symbol(name.into());
    /// let condition = Condition::Any(vec![symbol("CONFIG_A"), symbol("CONFIG_B")]);
    /// let known = |symbol: &str| (symbol == "CONFIG_A").then_some(false);
    /// // Depends on `CONFIG_B`, which is not known.
    /// assert_eq!(condition.evaluate(&known), None);
    /// ```
    #[must_use]
    pub fn evaluate(&self, is_set: &dyn Fn(&str) -> Option<bool>) -> Option<bool> {
        // One condition with this value decides, whatever the others are.
        let decide = |conditions: &[Self], value: bool| {
            let mut result = Some(!value);
            for condition in conditions {
                match condition.evaluate(is_set) {
                    Some(found) if found == value => return Some(value),
                    Some(_) => {}
                    None => result = None,
                }
            }
            result
        };
        match self {
            Self::Symbol(symbol) => is_set(symbol),
            Self::All(conditions) => decide(conditions, false),
            Self::Any(conditions) => decide(conditions, true),
            Self::Not(condition) => condition.evaluate(is_set).map(|holds| !holds),
        }
    }

    /// Returns whether the condition holds, given which symbols are set.
    ///
    /// ```
    /// use qmp_codegen::schema::Condition;
    ///
    /// let symbol = |name: &str| Condition::Symbol(name.into());
    /// let condition = Condition::All(vec![symbol("CONFIG_A"), symbol("CONFIG_B")]);
    /// assert!(condition.holds(&|_| true));
    /// assert!(!condition.holds(&|symbol| symbol == "CONFIG_A"));
    /// ```
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

/// A feature: a string by which a server states that something behaves in a certain way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Feature {
    /// The name; `deprecated` and `unstable` have a meaning of their own.
    pub name: String,
    /// The meaning.
    pub doc: Text,
    /// The condition under which it exists.
    pub condition: Option<Condition>,
}

/// A piece of documentation in reStructuredText, without its indentation; empty if absent.
pub type Text = String;

/// The documentation of a definition, without that of its members and features.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Doc {
    /// The overview.
    pub body: Text,
    /// The sections that follow, in order.
    pub sections: Vec<Section>,
    /// The first release that has it (`Since:`), as written.
    pub since: Option<String>,
}

/// A tagged section of documentation, or paragraphs between two of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// The tag.
    pub kind: SectionKind,
    /// The text.
    pub text: Text,
}

/// The tags that a section can have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SectionKind {
    /// No tag: a continuation of the overview.
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
