//! Errors of the syntax, with the place that they are about.

use std::fmt;
use std::ops::Range;

/// The reason why a text is not a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SyntaxError {
    /// A bracket or a transaction is not closed; another line may complete it.
    Incomplete(Problem),
    /// No further line makes it valid.
    Invalid(Problem),
}

/// An error in a text, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// The error. Secret values are not quoted.
    pub message: String,
    /// The place in the text, in bytes.
    pub span: Range<usize>,
    /// A suggestion.
    pub help: Option<String>,
}

impl SyntaxError {
    pub(super) fn invalid(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::Invalid(Problem { message: message.into(), span, help: None })
    }

    pub(super) fn incomplete(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::Incomplete(Problem { message: message.into(), span, help: None })
    }

    pub(super) fn help(mut self, help: Option<String>) -> Self {
        let (Self::Incomplete(problem) | Self::Invalid(problem)) = &mut self;
        problem.help = problem.help.take().or(help);
        self
    }

    /// Returns what is wrong, and where.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Incomplete(problem) | Self::Invalid(problem) => problem,
        }
    }

    /// Returns the place in the text that the error is about, in bytes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.problem().span.clone()
    }

    /// Returns whether another line may complete the text.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Incomplete(_))
    }

    /// Returns the number of the line that the error is about; the first is 1.
    #[must_use]
    pub fn line(&self, text: &str) -> usize {
        let before = text.get(..self.problem().span.start).unwrap_or(text);
        1 + before.matches('\n').count()
    }

    /// Returns the line that the error is about, and below it a line that points at the place. Returns
    /// `None` if the text has secrets.
    #[must_use]
    pub fn pointer(&self, text: &str) -> Option<String> {
        if matches!(crate::shell::secrets::masked(text), std::borrow::Cow::Owned(_)) {
            return None;
        }
        let span = self.span();
        let before = text.get(..span.start)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(start..)?.lines().next()?;
        let before = text.get(start..span.start)?;
        let marked = text.get(span.start..span.end.min(start + line.len())).unwrap_or_default();
        let width = |text: &str| crate::terminal::inline(text).chars().count();
        Some(format!(
            "{}\n{}{}",
            crate::terminal::inline(line),
            " ".repeat(width(before)),
            "^".repeat(width(marked).max(1))
        ))
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem();
        f.write_str(&problem.message)?;
        match &problem.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SyntaxError {}
