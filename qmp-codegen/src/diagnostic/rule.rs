//! The rules, by which diagnostics are told apart.

/// A rule of the language, or of its documentation.
///
/// A rule has a name that does not change, for programs that count, filter, or suppress diagnostics.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// `alternate`
    Alternate,
    /// `arguments`
    Arguments,
    /// `definition`
    Definition,
    /// `doc-indentation`
    DocIndentation,
    /// `doc-missing`
    DocMissing,
    /// `doc-section`
    DocSection,
    /// `doc-style`
    DocStyle,
    /// `doc-syntax`
    DocSyntax,
    /// `doc-tag`
    DocTag,
    /// `doc-unknown-name`
    DocUnknownName,
    /// `duplicate-member`
    DuplicateMember,
    /// `feature`
    Feature,
    /// `include`
    Include,
    /// `limit`
    Limit,
    /// `name`
    Name,
    /// `nesting`
    Nesting,
    /// `old-language`
    OldLanguage,
    /// `pragma`
    Pragma,
    /// `read-only-commands`
    ReadOnlyCommands,
    /// `secret-members`
    SecretMembers,
    /// `syntax`
    Syntax,
    /// `union`
    Union,
    /// `unknown-key`
    UnknownKey,
    /// `unknown-type`
    UnknownType,
}

impl Rule {
    /// Every rule, by name.
    pub const ALL: [Self; 24] = [
        Self::Alternate,
        Self::Arguments,
        Self::Definition,
        Self::DocIndentation,
        Self::DocMissing,
        Self::DocSection,
        Self::DocStyle,
        Self::DocSyntax,
        Self::DocTag,
        Self::DocUnknownName,
        Self::DuplicateMember,
        Self::Feature,
        Self::Include,
        Self::Limit,
        Self::Name,
        Self::Nesting,
        Self::OldLanguage,
        Self::Pragma,
        Self::ReadOnlyCommands,
        Self::SecretMembers,
        Self::Syntax,
        Self::Union,
        Self::UnknownKey,
        Self::UnknownType,
    ];

    /// Returns the name, in lower case with hyphens.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::Rule;
    ///
    /// assert_eq!(Rule::UnknownType.name(), "unknown-type");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Returns what the rule demands, in one sentence.
    ///
    /// ```
    /// use qmp_codegen::diagnostic::Rule;
    ///
    /// println!("{}: {}", Rule::UnknownType.name(), Rule::UnknownType.description());
    /// ```
    #[must_use]
    pub fn description(self) -> &'static str {
        self.row().1
    }

    /// Returns whether the rule is about documentation, so that it does not affect types.
    pub(crate) fn is_about_documentation(self) -> bool {
        self.name().starts_with("doc-")
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Alternate => ("alternate", "The JSON type of a value selects an alternative."),
            Self::Arguments => ("arguments", "Arguments, data, and results have permitted types."),
            Self::Definition => ("definition", "A definition has the keys and values of its kind."),
            Self::DocIndentation => {
                ("doc-indentation", "The text below a tag is indented, each line alike.")
            }
            Self::DocMissing => {
                ("doc-missing", "Definitions, members, and features are documented.")
            }
            Self::DocSection => {
                ("doc-section", "A section has text, and is used where it applies.")
            }
            Self::DocStyle => ("doc-style", "Descriptions are sentences, with uniform defaults."),
            Self::DocSyntax => ("doc-syntax", "Documentation comments are well-formed."),
            Self::DocTag => ("doc-tag", "Tags and headings are where all releases expect them."),
            Self::DocUnknownName => ("doc-unknown-name", "Documentation describes what exists."),
            Self::DuplicateMember => ("duplicate-member", "Names in an object or enum are unique."),
            Self::Feature => ("feature", "Features are unique, and have a meaning where they are."),
            Self::Include => ("include", "Included files exist, are schemas, and form no cycle."),
            Self::Limit => ("limit", "A schema does not exceed the limits of its reader."),
            Self::Name => ("name", "Names are well-formed and unique."),
            Self::Nesting => {
                ("nesting", "Bases and branches are objects, and do not form a cycle.")
            }
            Self::OldLanguage => ("old-language", "The language is that of QEMU 6.2 or later."),
            Self::Pragma => ("pragma", "Pragmas are known, and have values of their type."),
            Self::ReadOnlyCommands => ("read-only-commands", "Read-only commands are commands."),
            Self::SecretMembers => ("secret-members", "Secret members exist."),
            Self::Syntax => ("syntax", "A file consists of objects and comments."),
            Self::Union => ("union", "Branches correspond to the values of the discriminator."),
            Self::UnknownKey => ("unknown-key", "Keys and kinds of definitions are known."),
            Self::UnknownType => ("unknown-type", "Types that are referred to exist."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_the_order_of_their_names() {
        assert!(Rule::ALL.is_sorted_by(|one, other| one.name() < other.name() && one < other));
        for rule in Rule::ALL {
            let is_name = |b: u8| b.is_ascii_lowercase() || b == b'-';
            assert!(rule.name().bytes().all(is_name) && rule.description().ends_with('.'));
        }
    }
}
