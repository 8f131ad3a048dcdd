//! Ways from a type to its parts.

use std::fmt;

/// The way from a type to a part of it, as paths show it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Step<'a> {
    /// To the type itself, or to an alternative.
    Itself,
    /// To a member.
    Member(&'a str),
    /// To the branch of a union.
    Branch(Case<'a>),
    /// To a member of a branch.
    BranchMember(Case<'a>, &'a str),
    /// To the elements of an array.
    Element,
    /// To a value of an enumeration.
    Value(&'a str),
}

/// The value that selects a branch, and the member that has it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Case<'a> {
    pub(super) tag: &'a str,
    pub(super) value: &'a str,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => Ok(()),
            Self::Member(name) => write!(f, ".{name}"),
            Self::Branch(Case { tag, value }) => write!(f, "({tag}={value})"),
            Self::BranchMember(Case { tag, value }, name) => write!(f, "({tag}={value}).{name}"),
            Self::Element => f.write_str("[]"),
            Self::Value(value) => write!(f, "={value}"),
        }
    }
}
