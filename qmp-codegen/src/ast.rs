//! What was written: definitions with the places of their parts, references still by name.

use crate::schema::{Condition, SectionKind};
use crate::source::{FileId, Span};

/// What stands at the top level of a file, directives aside.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Definition(Box<Definition>),
    /// A definition that could not be read, which was reported; its name, if that could.
    Broken(Option<String>),
    /// Free-form documentation.
    Introduction {
        file: FileId,
        text: String,
    },
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: Name,
    pub(crate) body: Body,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
    pub(crate) doc: Option<Doc>,
    /// Which of the schema's roots brought it in.
    pub(crate) root: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Enum { values: Vec<Value>, prefix: Option<String> },
    Struct { base: Option<Name>, members: Vec<Member> },
    Union { base: Base, discriminator: Name, branches: Vec<Branch> },
    Alternate { alternatives: Vec<Alternative> },
    Command(Command),
    Event { data: Data },
}

/// The kinds of definitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Enum,
    Struct,
    Union,
    Alternate,
    Command,
    Event,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: Name,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) ty: TypeName,
    pub(crate) optional: bool,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
}

/// A type by its name, or an array of such.
#[derive(Clone, Debug)]
pub(crate) struct TypeName {
    pub(crate) name: Name,
    pub(crate) array: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Base {
    Named(Name),
    Inline(Vec<Member>),
}

#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) name: Name,
    pub(crate) ty: Name,
    pub(crate) condition: Option<Condition>,
}

#[derive(Clone, Debug)]
pub(crate) struct Alternative {
    pub(crate) name: Name,
    pub(crate) ty: TypeName,
    pub(crate) condition: Option<Condition>,
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) data: Data,
    pub(crate) returns: Option<TypeName>,
    pub(crate) success_response: bool,
    pub(crate) generated: bool,
    pub(crate) allow_oob: bool,
    pub(crate) allow_preconfig: bool,
    pub(crate) coroutine: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Inline(Vec<Member>),
    Named { ty: Name, boxed: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct Feature {
    pub(crate) name: Name,
    pub(crate) condition: Option<Condition>,
}

/// The documentation of a definition.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    /// The name that it says it is for.
    pub(crate) symbol: Name,
    pub(crate) body: String,
    pub(crate) members: Vec<Description>,
    pub(crate) features: Vec<Description>,
    pub(crate) sections: Vec<Section>,
    pub(crate) since: Option<String>,
    /// A part of it could not be read, which was reported.
    pub(crate) broken: bool,
}

/// What documentation says of a member or feature.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) name: Name,
    pub(crate) text: String,
    /// The source of the text, `#` at the beginning of further lines included.
    pub(crate) text_span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    /// The tag, or the first line of a section without a tag.
    pub(crate) span: Span,
    pub(crate) text: String,
    /// The source of the text, `#` at the beginning of further lines included.
    pub(crate) text_span: Span,
}

impl Doc {
    /// Documentation that could not be read.
    pub(crate) fn broken(span: Span) -> Self {
        Self {
            symbol: Name { text: String::new(), span },
            body: String::new(),
            members: Vec::new(),
            features: Vec::new(),
            sections: Vec::new(),
            since: None,
            broken: true,
        }
    }
}

impl Definition {
    pub(crate) fn kind(&self) -> Kind {
        match &self.body {
            Body::Enum { .. } => Kind::Enum,
            Body::Struct { .. } => Kind::Struct,
            Body::Union { .. } => Kind::Union,
            Body::Alternate { .. } => Kind::Alternate,
            Body::Command(_) => Kind::Command,
            Body::Event { .. } => Kind::Event,
        }
    }

    /// The members that are written in it, those of an inline base and of inline data included.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.body {
            Body::Struct { members, .. }
            | Body::Union { base: Base::Inline(members), .. }
            | Body::Command(Command { data: Data::Inline(members), .. })
            | Body::Event { data: Data::Inline(members) } => members,
            _ => &[],
        }
    }

    /// The base that it names.
    pub(crate) fn base(&self) -> Option<&Name> {
        match &self.body {
            Body::Struct { base, .. } => base.as_ref(),
            Body::Union { base: Base::Named(base), .. } => Some(base),
            _ => None,
        }
    }

    pub(crate) fn branches(&self) -> &[Branch] {
        match &self.body {
            Body::Union { branches, .. } => branches,
            _ => &[],
        }
    }

    /// Every list of features in it: its own, its members', its values'.
    pub(crate) fn feature_lists(&self) -> impl Iterator<Item = &[Feature]> {
        let values: &[Value] = match &self.body {
            Body::Enum { values, .. } => values,
            _ => &[],
        };
        std::iter::once(self.features.as_slice())
            .chain(self.members().iter().map(|member| member.features.as_slice()))
            .chain(values.iter().map(|value| value.features.as_slice()))
    }
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 6] =
        [Self::Enum, Self::Struct, Self::Union, Self::Alternate, Self::Command, Self::Event];

    /// The word for it, which is also the key that makes a definition one.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enum => "enum",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Alternate => "alternate",
            Self::Command => "command",
            Self::Event => "event",
        }
    }

    pub(crate) fn is_type(self) -> bool {
        !matches!(self, Self::Command | Self::Event)
    }
}
