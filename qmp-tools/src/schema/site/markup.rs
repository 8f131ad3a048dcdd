//! Converts the markup of documentation, a subset of reStructuredText, to HTML.

use super::html::{code, escape, link};

/// Returns the target of a name of the schema, if it has one.
pub(super) type Target<'t> = &'t dyn Fn(&str) -> Option<String>;

/// The depth to which directives are converted inside of each other.
const MAX_DEPTH: usize = 8;

/// The length of the longest span, in bytes.
const MAX_SPAN: usize = 1 << 10;

/// Converts documentation to paragraphs, lists and preformatted blocks.
pub(super) fn blocks(text: &str, target: Target<'_>) -> String {
    convert(text, target, 0)
}

/// Converts the text of one line, such as the description of a member that has only one paragraph.
pub(super) fn inline(text: &str, target: Target<'_>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(['`', '@', '*', ':']) {
        let (before, special) = rest.split_at(at);
        out += &escape(before);
        let previous = before.chars().next_back();
        let (html, length) = span(special, previous, target);
        out += &html;
        rest = &special[length..];
    }
    out + &escape(rest)
}

/// Returns the first sentence without markup, for lists.
pub(super) fn summary(text: &str) -> String {
    let paragraph = text.trim().split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end =
        line.match_indices(". ").map(|(at, _)| at + 1).find(|at| !line[..*at].ends_with("e.g."));
    let sentence = line[..end.unwrap_or(line.len())].replace("``", "");
    let mut out = String::with_capacity(sentence.len());
    let mut characters = sentence.chars().peekable();
    while let Some(character) = characters.next() {
        let refers = character == '@' && characters.peek().is_some_and(char::is_ascii_alphabetic);
        if !refers {
            out.push(character);
        }
    }
    out
}

/// Converts what begins with a special character, and returns the HTML and the length of it.
fn span(text: &str, previous: Option<char>, target: Target<'_>) -> (String, usize) {
    let follows_word = previous.is_some_and(char::is_alphanumeric);
    if let Some(inner) = between(text, "``", "``") {
        return (code(inner), inner.len() + 4);
    }
    if let Some(name) = text.strip_prefix('@').filter(|_| !follows_word) {
        let length = name_length(name);
        if length > 0 {
            let name = &name[..length];
            let html = target(name).map_or_else(|| code(name), |target| link(&target, name));
            return (html, length + 1);
        }
    }
    if let Some(inner) = between(text, "**", "**") {
        return (format!("<strong>{}</strong>", escape(inner)), inner.len() + 4);
    }
    if let Some(inner) = between(text, "*", "*").filter(|_| !follows_word) {
        return (format!("<em>{}</em>", escape(inner)), inner.len() + 2);
    }
    // A role, such as :ref:`text <place>` or :qapi:cmd:`cont`.
    if let Some((role, rest)) =
        text.strip_prefix(':').map(window).and_then(|rest| rest.split_once(":`"))
    {
        let is_role = !role.is_empty()
            && role.len() < 64
            && role.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | ':'));
        let inner = rest.split('`').next().filter(|inner| is_role && inner.len() < rest.len());
        if let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) {
            let shown = inner.split(" <").next().unwrap_or(inner);
            let html = target(shown).map_or_else(|| code(shown), |target| link(&target, shown));
            return (html, role.len() + inner.len() + 4);
        }
    }
    if let Some(inner) = between(text, "`", "`") {
        let shown = inner.split(" <").next().unwrap_or(inner);
        return (escape(shown), inner.len() + 2);
    }
    let first = text.chars().next().map_or(0, char::len_utf8);
    (escape(&text[..first]), first)
}

/// Returns the text in which the end of a span is searched for: each search must be short.
fn window(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_SPAN)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Returns the text between two marks, which is not empty, and neither begins nor ends with a blank.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let rest = window(text.strip_prefix(begin)?);
    let inner = &rest[..rest.find(end)?];
    let is_blank = inner.is_empty() || inner.trim().len() != inner.len();
    (!is_blank && !inner.contains("\n\n")).then_some(inner)
}

fn name_length(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    // The end of a sentence is not a part of the name.
    text[..length].trim_end_matches(['.', '-']).len()
}

fn convert(text: &str, target: Target<'_>, depth: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim();
        let indent = indent_of(lines[at]);
        if line.is_empty() {
            at += 1;
        } else if let Some(directive) = line.strip_prefix(".. ") {
            let end = block_end(&lines, at + 1, indent);
            out += &self::directive(directive, &lines[at + 1..end], target, depth);
            at = end;
        } else if is_item(line) {
            out += "<ul>";
            while at < lines.len() && is_item(lines[at].trim()) && indent_of(lines[at]) == indent {
                let end = block_end(&lines, at + 1, indent);
                let first = &lines[at].trim_start()[1..];
                let body: Vec<&str> =
                    std::iter::once(first).chain(lines[at + 1..end].iter().copied()).collect();
                out += &format!("<li>{}</li>", nested(&body, target, depth));
                at = end;
            }
            out += "</ul>\n";
        } else {
            let end = paragraph_end(&lines, at);
            let paragraph =
                lines[at..end].iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
            let literal = paragraph.strip_suffix("::");
            let shown = literal.map_or(paragraph.clone(), |text| match text.is_empty() {
                true => String::new(),
                false => format!("{text}:"),
            });
            if !shown.is_empty() {
                out += &format!("<p>{}</p>\n", inline(&shown, target));
            }
            at = end;
            if literal.is_some() {
                let end = block_end(&lines, at, indent);
                out += &preformatted(&lines[at..end]);
                at = end;
            }
        }
    }
    out
}

/// Converts the lines of an item or of a directive. Further levels than a person writes stay text.
fn nested(lines: &[&str], target: Target<'_>, depth: usize) -> String {
    let text = unindented(lines);
    if depth == MAX_DEPTH {
        return format!("<p>{}</p>", inline(&text, target));
    }
    let html = convert(&text, target, depth + 1);
    // One paragraph needs no element of its own.
    match html.strip_prefix("<p>").and_then(|html| html.strip_suffix("</p>\n")) {
        Some(inner) if !inner.contains("<p>") => inner.to_owned(),
        _ => html,
    }
}

fn directive(name: &str, lines: &[&str], target: Target<'_>, depth: usize) -> String {
    let (name, argument) = name.split_once("::").unwrap_or((name, ""));
    let is_option = |line: &&str| line.trim_start().starts_with(':');
    let options = lines.iter().take_while(|line| is_option(line)).count();
    let body = &lines[options..];
    match name.trim() {
        "qmp-example" | "code-block" | "parsed-literal" | "code" => preformatted(body),
        "note" | "admonition" | "warning" | "caution" | "tip" | "seealso" => {
            let title = match name.trim() {
                "admonition" | "" => argument.trim().to_owned(),
                "seealso" => "See also".to_owned(),
                name => format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..]),
            };
            let argument = if name.trim() == "admonition" { "" } else { argument.trim() };
            let body: Vec<&str> = std::iter::once(argument).chain(body.iter().copied()).collect();
            let body = nested(&body, target, depth);
            format!("<div class=\"note\"><strong>{}:</strong> {body}</div>\n", escape(&title))
        }
        // A comment, or something that only QEMU's own documentation has.
        _ => String::new(),
    }
}

fn preformatted(lines: &[&str]) -> String {
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = full.map(|line| indent_of(line)).min().unwrap_or(0);
    let lines = lines.iter().map(|line| line.get(indent..).unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    match text.trim().is_empty() {
        true => String::new(),
        false => format!("<pre>{}</pre>\n", escape(text.trim_matches('\n'))),
    }
}

fn is_item(line: &str) -> bool {
    line.starts_with("- ") || line.starts_with("* ")
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the end of the lines that are empty or more indented.
fn block_end(lines: &[&str], begin: usize, indent: usize) -> usize {
    let inner = |line: &&&str| line.trim().is_empty() || indent_of(line) > indent;
    let mut end = begin + lines[begin..].iter().take_while(inner).count();
    while end > begin && lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    end
}

fn paragraph_end(lines: &[&str], begin: usize) -> usize {
    let goes_on = |line: &&&str| !line.trim().is_empty() && !is_item(line.trim());
    begin + 1 + lines[begin + 1..].iter().take_while(goes_on).count()
}

/// Joins lines without the indentation that those after the first have in common.
fn unindented(lines: &[&str]) -> String {
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let rest = full.skip(1).map(|line| indent_of(line)).min().unwrap_or(0);
    let line = |line: &&str| line.get(indent_of(line).min(rest)..).unwrap_or_default().to_owned();
    let mut joined: Vec<String> = lines.iter().map(line).collect();
    if let Some(first) = joined.iter_mut().find(|line| !line.trim().is_empty()) {
        *first = first.trim_start().to_owned();
    }
    joined.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_html() {
        let target = |name: &str| (name == "cont").then(|| "x.html#cont".to_owned());
        for (text, expected) in [
            ("a @cont. <b>", "<p>a <a href=\"x.html#cont\">cont</a>. &lt;b&gt;</p>\n"),
            (
                "``<x>`` *y* **z** a@b 2 * 3",
                "<p><code>&lt;x&gt;</code> <em>y</em> <strong>z</strong> a@b 2 * 3</p>\n",
            ),
            ("x:\n\n- a\n  b\n- c\n\nd", "<p>x:</p>\n<ul><li>a\nb</li><li>c</li></ul>\n<p>d</p>\n"),
            ("x::\n\n    <y>\n      z\n\nw", "<p>x:</p>\n<pre>&lt;y&gt;\n  z</pre>\n<p>w</p>\n"),
            (".. qmp-example::\n   :title: T\n\n   -> {}\n", "<pre>-&gt; {}</pre>\n"),
            (
                ".. note:: Beware.\n   Of it.",
                "<div class=\"note\"><strong>Note:</strong> Beware.\nOf it.</div>\n",
            ),
            (
                ":ref:`the <x>` :qapi:cmd:`cont`",
                "<p><code>the</code> <a href=\"x.html#cont\">cont</a></p>\n",
            ),
            ("`", "<p>`</p>\n"),
            ("", ""),
        ] {
            assert_eq!(blocks(text, &target), expected, "{text}");
        }
        assert_eq!(summary("Does @cont now. Or ``later``."), "Does cont now.");
    }

    #[test]
    fn any_text_is_converted() {
        let text = ".. note::\n  - ``a`` *b*\n\n :x:`é` @\n::\n   - .. é::\n* x";
        for start in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for end in (start..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let _ = blocks(&text[start..end], &|_| None);
            }
        }
        let deep: String =
            (0..500).map(|level| format!("{}- x\n", " ".repeat(level * 2))).collect();
        let _ = blocks(&deep, &|_| None);
    }
}
