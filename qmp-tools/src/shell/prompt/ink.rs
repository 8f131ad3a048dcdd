//! How text stands out: colors where the terminal and the person want them, else attributes.

use std::io::IsTerminal;

/// The purpose of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ink {
    Plain,
    /// The prompt before a line.
    Prompt,
    /// The name of the command that is being typed.
    Command,
    /// Additions to what a person typed, such as hints and descriptions.
    Dim,
    /// The candidate that is selected.
    Selected,
    /// A character that is shown by its escape sequence.
    Escaped,
}

/// Whether color is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Colors(pub(super) bool);

impl Colors {
    /// Returns whether the terminal has colors, and the environment does not say that it should not
    /// be used (`NO_COLOR`, see <https://no-color.org>).
    pub(super) fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let term = std::env::var("TERM").unwrap_or_default();
        Self(
            !refused && std::io::stdout().is_terminal() && !matches!(&*term, "" | "dumb" | "vt100"),
        )
    }

    /// Returns the sequence that begins a text, after a reset.
    pub(super) fn begin(self, ink: Ink) -> &'static str {
        match (ink, self.0) {
            (Ink::Plain, _) => "",
            (Ink::Command | Ink::Prompt, false) => "\x1b[1m",
            (Ink::Prompt, true) => "\x1b[1;32m",
            (Ink::Command, true) => "\x1b[1;36m",
            (Ink::Dim, _) => "\x1b[2m",
            (Ink::Escaped | Ink::Selected, _) => "\x1b[7m",
        }
    }
}

pub(super) const RESET: &str = "\x1b[0m";
