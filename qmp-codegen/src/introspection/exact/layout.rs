//! The whitespace of a reply.

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::reply;
use super::tree::Tree;

/// The longest piece of whitespace that is kept, in bytes. Pieces are repeated in each line.
const MAX_SPACE: usize = 256;

/// The largest indentation of a member that is kept, in spaces.
const MAX_INDENT: usize = 16;

/// The whitespace of a reply, and the layout of its entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Layout {
    /// The whitespace before the array, before the first entry, after each comma between entries,
    /// after the last entry, and after the array.
    pub(super) around: [String; 5],
    pub(super) style: Style,
}

/// The layout of an entry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Style {
    /// A space after each colon and comma, as QEMU has it by default.
    #[default]
    Spaced,
    /// No whitespace.
    Compact,
    /// Each member in a line, indented by this many spaces more than the object, as QEMU has it
    /// with the option `pretty`.
    Indented(usize),
}

impl Layout {
    /// Guesses the layout of a text from its first entries.
    pub(super) fn detect(array: &str, entries: &[&RawValue]) -> Self {
        let start = |entry: &RawValue| reply::offset(entry.get(), array);
        let end = |entry: &RawValue| start(entry) + entry.get().len();
        let space = |from: usize, to: usize| {
            array.get(from..to).unwrap_or_default().trim_start_matches(',').to_owned()
        };
        let open = array.find('[').unwrap_or_default();
        let close = array.rfind(']').unwrap_or(array.len());
        let first = entries.first().map_or(close, |entry| start(entry));
        let last = entries.last().map_or(close, |entry| end(entry));
        let between = match entries {
            [first, second, ..] => space(end(first), start(second)),
            _ => String::new(),
        };
        let around = [
            space(0, open),
            space(open + 1, first),
            between,
            space(last, close),
            space(close + 1, array.len()),
        ];
        let text = entries.first().map_or("", |entry| entry.get());
        let inside = text.trim_start_matches('{');
        let indent = inside.len() - inside.trim_start().len();
        let style = if text.contains('\n') {
            let line = around[1].rsplit('\n').next().unwrap_or_default().len();
            let newline = around[1].len() - line;
            Style::Indented(indent.saturating_sub(newline + line))
        } else if text.contains("\": ") {
            Style::Spaced
        } else {
            Style::Compact
        };
        Self { around, style }.limited().unwrap_or_default()
    }

    /// Returns the layout, unless it would make a text far longer than its entries.
    pub(super) fn limited(self) -> Option<Self> {
        let is_space = |text: &String| {
            text.len() <= MAX_SPACE && text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
        };
        let is_wide = matches!(self.style, Style::Indented(indent) if indent > MAX_INDENT);
        (self.around.iter().all(is_space) && !is_wide).then_some(self)
    }

    /// Writes the array.
    pub(super) fn write(&self, entries: &[Tree]) -> String {
        let [before, open, between, close, after] = &self.around;
        let mut out = format!("{before}[");
        for (index, entry) in entries.iter().enumerate() {
            let space = if index == 0 { open } else { between };
            out.push_str(if index == 0 { "" } else { "," });
            out.push_str(space);
            self.value(entry, 0, &mut out);
        }
        out + close + "]" + after
    }

    fn value(&self, value: &Tree, depth: usize, out: &mut String) {
        match value {
            Tree::Scalar(text) => out.push_str(text),
            Tree::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    self.separate(index, depth, out);
                    let colon = if self.style == Style::Compact { ":" } else { ": " };
                    *out += &format!("{}{colon}", Value::from(name.as_str()));
                    self.value(value, depth + 1, out);
                }
                self.line(depth, out);
                out.push('}');
            }
            Tree::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.separate(index, depth, out);
                    self.value(element, depth + 1, out);
                }
                self.line(depth, out);
                out.push(']');
            }
        }
    }

    fn separate(&self, index: usize, depth: usize, out: &mut String) {
        match self.style {
            _ if index == 0 => {}
            Style::Spaced => out.push_str(", "),
            Style::Compact | Style::Indented(_) => out.push(','),
        }
        self.line(depth + 1, out);
    }

    /// Begins a line, if members have lines of their own.
    fn line(&self, depth: usize, out: &mut String) {
        if let Style::Indented(indent) = self.style {
            out.push_str(&self.around[1]);
            out.push_str(&" ".repeat(indent.saturating_mul(depth)));
        }
    }
}
