//! Checks the style of documentation: sentences, and a uniform spelling of defaults and releases.
//!
//! The check is off by default. [`LoadOptions::prose`](crate::LoadOptions::prose) enables it and
//! lists its rules.

// No build script calls this: with `#[inline]`, it is compiled for programs that do.

use crate::ast::{Definition, Description, Item, Kind};
use crate::diagnostic::{Diagnostic, Rule};
use crate::schema::SectionKind;
use crate::source::{Sources, Span};

/// The first word of the groups that name a release.
const RELEASES: [&str; 2] = ["(since", "(until"];

/// Returns a warning for each violation, in the order of the schema.
#[inline]
pub(crate) fn check(items: &[Item], sources: &Sources) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for item in items {
        if let Item::Definition(definition) = item {
            check_definition(definition, sources, &mut warnings);
        }
    }
    warnings
}

#[inline]
fn check_definition(definition: &Definition, sources: &Sources, warnings: &mut Vec<Diagnostic>) {
    let Some(doc) = &definition.doc else { return };
    let kind = definition.kind();
    let mut check = |subject: &str, span, may_have_default| {
        let Some(text) = Text::of(span, sources) else { return };
        let mut found = Vec::new();
        text.check_beginning(subject, &mut found);
        text.check_end(subject, &mut found);
        text.check_release(subject, &mut found);
        if may_have_default {
            text.check_default(subject, &mut found);
        }
        let name = &definition.name.text;
        warnings.extend(found.into_iter().map(|warning| {
            let warning = warning.within(kind, name);
            Diagnostic { is_documentation: true, ..warning.by(Rule::DocStyle) }
        }));
    };
    let subject = |description: &Description| format!("'@{}'", description.name.text);
    for member in &doc.members {
        // The description of an enum value may tell that the value is the default of a member.
        let may_have_default = !matches!(kind, Kind::Enum | Kind::Alternate);
        check(&subject(member), member.text_span, may_have_default);
    }
    for feature in &doc.features {
        check(&subject(feature), feature.text_span, false);
    }
    for section in &doc.sections {
        match section.kind {
            SectionKind::Returns => check("'Returns:'", section.text_span, false),
            SectionKind::Errors => check("'Errors:'", section.text_span, false),
            _ => {}
        }
    }
}

/// The text of a description or section.
struct Text<'s> {
    words: Vec<Word<'s>>,
    /// Whether the text ends with a literal block or a directive.
    ends_with_block: bool,
}

/// A sequence of characters other than white space, including punctuation.
#[derive(Clone, Copy)]
struct Word<'s> {
    text: &'s str,
    span: Span,
}

impl<'s> Text<'s> {
    /// Reads the source of a text. Returns `None` if it is empty.
    #[inline]
    fn of(span: Span, sources: &'s Sources) -> Option<Self> {
        let source = sources.file(span.file)?.text.get(span.start as usize..span.end as usize)?;
        let mut words = Vec::new();
        // The indentation of the line that introduces a block.
        let mut block: Option<usize> = None;
        let mut offset = 0;
        for line in source.split_inclusive('\n') {
            let is_first = offset == 0;
            let start = offset;
            offset += line.len();
            let comment = line.trim_start();
            let text = if is_first { line } else { comment.strip_prefix('#').unwrap_or(comment) };
            let start = start + (line.len() - text.len());
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            let indent = text.len() - text.trim_start().len();
            if block.is_none_or(|outside| indent <= outside) {
                block = (trimmed.ends_with("::") || trimmed.starts_with(".. ")).then_some(indent);
            }
            words.extend(split_words(text, start, span));
        }
        (!words.is_empty()).then_some(Self { words, ends_with_block: block.is_some() })
    }

    #[inline]
    fn check_beginning(&self, subject: &str, found: &mut Vec<Diagnostic>) {
        let is_bullet = |word: &&Word<'_>| matches!(word.text, "-" | "*");
        let Some(first) = self.words.iter().find(|word| !is_bullet(word)) else { return };
        if first.text.starts_with(|c: char| c.is_lowercase() || c == '(') {
            let message = format!("the text of {subject} does not begin with a capital letter");
            found.push(
                Diagnostic::warning(first.span, message)
                    .help("write a sentence; put a literal such as ``true`` in double backquotes"),
            );
        }
    }

    #[inline]
    fn check_end(&self, subject: &str, found: &mut Vec<Diagnostic>) {
        if self.ends_with_block {
            return;
        }
        let (sentences, release) = self.words.split_at(self.trailing_release());
        let Some(last) = sentences.last().or(self.words.last()) else { return };
        if !last.text.trim_end_matches([')', '"']).ends_with('.')
            || release.last().is_some_and(|word| word.text.ends_with('.'))
        {
            let message = format!("the text of {subject} does not end with a period");
            found.push(
                Diagnostic::warning(last.span, message)
                    .help("put the period after '(default: X)' and before '(since X)'"),
            );
        }
    }

    /// Returns the index of the word that begins a `(since X)` at the end of the text; without
    /// one, the number of words.
    #[inline]
    fn trailing_release(&self) -> usize {
        let begins = |word: &Word<'_>| begins_release(word.text);
        let Some(start) = self.words.iter().rposition(begins) else { return self.words.len() };
        let group = self.words.get(start..).unwrap_or_default();
        let end = group.iter().position(|word| word.text.trim_end_matches('.').ends_with(')'));
        if end == Some(group.len() - 1) { start } else { self.words.len() }
    }

    #[inline]
    fn check_release(&self, subject: &str, found: &mut Vec<Diagnostic>) {
        for word in &self.words {
            if begins_release(word.text) && !RELEASES.contains(&word.text) {
                let message = format!("a release in the text of {subject} is not '(since X)'");
                found.push(
                    Diagnostic::warning(word.span, message)
                        .help("write '(since X)', in lower case and without a colon"),
                );
            }
        }
    }

    #[inline]
    fn check_default(&self, subject: &str, found: &mut Vec<Diagnostic>) {
        for (index, word) in self.words.iter().enumerate() {
            if self.spells_default(index) {
                let message = format!("the default of {subject} is not written '(default: X)'");
                found.push(
                    Diagnostic::warning(word.span, message)
                        .help("put '(default: X)' at the end of the sentence, before its period"),
                );
            }
        }
    }

    /// Whether a word is part of a default that is not written `(default: X)`.
    #[inline]
    fn spells_default(&self, index: usize) -> bool {
        let lower = |index: Option<usize>| {
            let word = index.and_then(|index| self.words.get(index));
            word.map(|word| word.text.to_ascii_lowercase()).unwrap_or_default()
        };
        let word = lower(Some(index));
        let (before, after) = (lower(index.checked_sub(1)), lower(Some(index + 1)));
        match word.trim_matches(['(', ')', ',', ';', ':', '.']) {
            "default" if word.starts_with('(') => {
                self.words.get(index).is_some_and(|word| word.text != "(default:")
            }
            "default" => {
                word.ends_with(':')
                    || (begins_value(&after) && !word.ends_with(','))
                    || before.ends_with([',', ';', ':', '('])
                    || matches!(before.as_str(), "by" | "(by" | "(the")
                    || matches!(after.as_str(), "is" | "is:" | "was")
                    || (before == "the" && word.ends_with(')'))
                    || (before == "the" && lower(index.checked_sub(2)) == "is")
            }
            "defaults" => after == "to",
            _ => false,
        }
    }
}

/// Whether a word in lower case begins a value.
#[inline]
fn begins_value(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || "`'\"".contains(c))
        || ["true", "false", "none"].iter().any(|value| word.starts_with(value))
}

/// Whether a word begins a group such as `(since 6.0)` or `(until 9.0)`, in whatever spelling.
#[inline]
fn begins_release(word: &str) -> bool {
    let word = word.trim_end_matches(':').to_ascii_lowercase();
    RELEASES.contains(&word.as_str())
}

/// Splits a line that begins at `start`, counted from the beginning of `span`.
#[inline]
fn split_words(line: &str, start: usize, span: Span) -> impl Iterator<Item = Word<'_>> {
    let narrow = move |at: usize| span.start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
    let mut next = start;
    line.split([' ', '\t', '\r', '\n']).filter_map(move |text| {
        let start = next;
        next += text.len() + 1;
        let span = Span { start: narrow(start), end: narrow(start + text.len()), ..span };
        (!text.is_empty()).then_some(Word { text, span })
    })
}
