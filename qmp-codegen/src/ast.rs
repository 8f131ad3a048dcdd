//! The syntax tree: definitions as written, with the location of each part and references by name.

use crate::schema::{Condition, SectionKind};
use crate::source::{FileId, Span};

/// A top-level element of a file other than a directive.
pub(crate) enum Item {
    Definition(Box<Definition>),
    /// A definition with an error that has been reported, and its name if that could be read.
    Broken(Option<String>),
    /// Free-form documentation.
    Introduction {
        file: FileId,
        text: String,
    },
}

/// A name and its location.
#[derive(Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

pub(crate) struct Definition {
    pub(crate) name: Name,
    pub(crate) body: Body,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
    pub(crate) doc: Option<Doc>,
    /// The index of the root that includes the definition.
    pub(crate) root: usize,
}

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

pub(crate) struct Value {
    pub(crate) name: Name,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
}

pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) ty: TypeName,
    pub(crate) optional: bool,
    pub(crate) condition: Option<Condition>,
    pub(crate) features: Vec<Feature>,
}

/// A reference to a type, or to an array of a type.
pub(crate) struct TypeName {
    pub(crate) name: Name,
    pub(crate) array: bool,
}

pub(crate) enum Base {
    Named(Name),
    Inline(Vec<Member>),
}

pub(crate) struct Branch {
    pub(crate) name: Name,
    pub(crate) ty: Name,
    pub(crate) condition: Option<Condition>,
}

pub(crate) struct Alternative {
    pub(crate) name: Name,
    pub(crate) ty: TypeName,
    pub(crate) condition: Option<Condition>,
}

pub(crate) struct Command {
    pub(crate) data: Data,
    pub(crate) returns: Option<TypeName>,
    pub(crate) success_response: bool,
    pub(crate) generated: bool,
    pub(crate) allow_oob: bool,
    pub(crate) allow_preconfig: bool,
    pub(crate) coroutine: bool,
}

pub(crate) enum Data {
    Inline(Vec<Member>),
    Named { ty: Name, boxed: bool },
}

pub(crate) struct Feature {
    pub(crate) name: Name,
    pub(crate) condition: Option<Condition>,
}

/// The documentation of a definition.
pub(crate) struct Doc {
    /// The name in the first line, which must be that of the definition.
    pub(crate) symbol: Name,
    pub(crate) body: String,
    pub(crate) members: Vec<Description>,
    pub(crate) features: Vec<Description>,
    pub(crate) sections: Vec<Section>,
    pub(crate) since: Option<String>,
    /// Whether a part has an error that has been reported.
    pub(crate) broken: bool,
}

/// The description of a member or feature.
pub(crate) struct Description {
    pub(crate) name: Name,
    pub(crate) text: String,
    /// The source of the text, `#` at the beginning of further lines included.
    pub(crate) text_span: Span,
}

pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    /// The tag, or the first line of a section without a tag.
    pub(crate) span: Span,
    pub(crate) text: String,
    /// The source of the text, `#` at the beginning of further lines included.
    pub(crate) text_span: Span,
}

impl Doc {
    /// Returns a placeholder for documentation that could not be read.
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

    /// Returns the kind with its article, such as `an enum`.
    pub(crate) fn with_article(&self) -> String {
        let word = self.kind().word();
        let article = if word.starts_with(['a', 'e']) { "an" } else { "a" };
        format!("{article} {word}")
    }

    /// Returns the members written in the definition, including those of an inline base or inline
    /// data.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.body {
            Body::Struct { members, .. }
            | Body::Union { base: Base::Inline(members), .. }
            | Body::Command(Command { data: Data::Inline(members), .. })
            | Body::Event { data: Data::Inline(members) } => members,
            _ => &[],
        }
    }

    /// Returns the name of the base, unless that is inline.
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

    /// Returns every list of features: first that of the definition, then those of its members and
    /// values.
    pub(crate) fn feature_lists(&self) -> Vec<&[Feature]> {
        let mut lists = vec![self.features.as_slice()];
        for member in self.members() {
            lists.push(&member.features);
        }
        if let Body::Enum { values, .. } = &self.body {
            for value in values {
                lists.push(&value.features);
            }
        }
        lists
    }

    /// Returns every feature.
    pub(crate) fn all_features(&self) -> Vec<&Feature> {
        let mut features = Vec::new();
        for list in self.feature_lists() {
            features.extend(list);
        }
        features
    }
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] =
        [Self::Enum, Self::Struct, Self::Union, Self::Alternate, Self::Command, Self::Event];

    /// Returns the word for the kind, which is also the key that a definition of it must have.
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

    /// Returns the kind with this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    pub(crate) fn is_type(self) -> bool {
        !matches!(self, Self::Command | Self::Event)
    }
}
