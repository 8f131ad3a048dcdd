//! Converts the markup of QAPI documentation, a subset of reStructuredText, to Markdown for rustdoc.
//!
//! Paragraphs, lists, and emphasis are the same in both and stay as they are. Double backquotes,
//! literal blocks, directives, roles, and references to names of the schema are converted.
//! Characters that are special only in Markdown are escaped.

use std::borrow::Cow;

use crate::ascii;

/// The depth to which directives are converted inside of each other. QEMU's have one level; a schema
/// may have as many as fit in a line, and each level is a call.
const MAX_DIRECTIVES: usize = 8;

/// The longest name of a role, with its domain. Bounds the search for the end of the name.
const MAX_ROLE: usize = 64;

/// A part of the result.
enum Part {
    /// A line of text, of which Markdown could make a block.
    Line(String),
    /// A code block with its fence.
    Fence(String),
    /// Text whose lines are safe already.
    Block(String),
}

/// Converts documentation to Markdown. `link` returns the path at which rustdoc finds a name of the
/// schema, if there is one.
///
/// The only code blocks of the result are fenced and marked as text, and it has no HTML: rustdoc
/// would run the one as a test, and show the other as a page of its own.
pub(crate) fn to_markdown(text: &str, link: &dyn Fn(&str) -> Option<String>) -> String {
    convert(&visible(text), 0, link)
}

/// Converts the inline markup of text, as a single line that does not begin a line of Markdown.
pub(crate) fn line(text: &str) -> String {
    inline(&visible(text).split_whitespace().collect::<Vec<_>>().join(" "), &|_| None)
}

/// Puts converted text after a title in the same line, unless it begins with a code block: a fence
/// is one only at the beginning of a line, and its end would begin another code block.
pub(crate) fn titled(title: &str, markdown: &str) -> String {
    let separator = if markdown.starts_with("```") { "\n\n" } else { " " };
    format!("{title}{separator}{markdown}")
}

/// Replaces characters that control a terminal or the direction of text, which Rust does not accept
/// in comments, and carriage returns, which some readers take for the end of a line.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(
                c,
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2066}'..='\u{2069}' | '\u{feff}'
            )
    };
    let text =
        if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { Cow::from(text) };
    if text.contains(is_hidden) { text.replace(is_hidden, "\u{fffd}").into() } else { text }
}

/// Converts text at a depth of directives.
fn convert(text: &str, depth: usize, link: &dyn Fn(&str) -> Option<String>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<Part> = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let directive = trimmed.strip_prefix(".. ").filter(|_| depth < MAX_DIRECTIVES);
        if let Some(directive) = directive {
            let end = block_end(&lines, at + 1, indent);
            directive_block(directive, &lines[at + 1..end], depth, &mut out, link);
            at = end;
        } else if trimmed == "::" {
            at = literal_block(&lines, at + 1, indent, &mut out);
        } else if let Some(before) = trimmed.strip_suffix("::") {
            out.push(Part::Line(format!("{}{}:", &line[..indent], inline(before, link))));
            at = literal_block(&lines, at + 1, indent, &mut out);
        } else {
            out.push(Part::Line(format!("{}{}", &line[..indent], inline(trimmed, link))));
            at += 1;
        }
    }
    join_parts(&out)
}

/// Returns documentation as a single line without markup, for compiler messages.
pub(crate) fn plain(text: &str) -> String {
    let text = visible(text).split_whitespace().collect::<Vec<_>>().join(" ").replace("``", "`");
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let refers = c == '@' && chars.peek().is_some_and(char::is_ascii_alphabetic);
        if !refers || out.ends_with(|before: char| before.is_ascii_alphanumeric()) {
            out.push(c);
        }
    }
    out
}

/// Returns text in a code block.
pub(crate) fn literal(text: &str) -> String {
    fence(&visible(text).lines().collect::<Vec<_>>())
}

/// Joins parts, and removes indentation that Markdown would treat as code: all of it outside of
/// list items, and all but three columns of it in them.
fn join_parts(parts: &[Part]) -> String {
    let mut out = String::new();
    let mut in_item = false;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        match part {
            Part::Fence(text) => out.push_str(text),
            Part::Block(text) => {
                in_item = false;
                out.push_str(text);
            }
            Part::Line(line) => {
                let trimmed = line.trim_start();
                let indent = line.len() - trimmed.len();
                if marker(trimmed).is_some() {
                    in_item = true;
                } else if !trimmed.is_empty() && indent == 0 {
                    in_item = false;
                }
                if in_item {
                    out.push_str(&"   "[..indent.min(MAX_INDENT)]);
                }
                push_line(trimmed, &mut out);
            }
        }
    }
    out
}

/// The largest indentation of a line outside of fences. A fourth column would make it code, in
/// whatever list Markdown sees it.
const MAX_INDENT: usize = 3;

/// Adds a line without its indentation, such that no code block begins in it.
fn push_line(mut rest: &str, out: &mut String) {
    // Text that is far from the marker of a list item is code, too, also after several markers.
    while let Some(length) = marker(rest) {
        out.push_str(&rest[..length]);
        let text = rest[length..].trim_start();
        let space = rest.len() - length - text.len();
        if space > 0 {
            out.push_str(if space > MAX_INDENT { " " } else { &"   "[..space] });
        }
        rest = text;
    }
    if rest.starts_with("~~~") || rest.starts_with("```") {
        out.push('\\');
    }
    out.push_str(rest);
}

/// Returns the length of the marker of a list item at the beginning of a line, if there is one.
fn marker(line: &str) -> Option<usize> {
    let length = if line.starts_with(['-', '*', '+']) {
        1
    } else {
        let digits = ascii::count(line, u8::is_ascii_digit).min(10);
        let ends = digits > 0 && line[digits..].starts_with(['.', ')']);
        ends.then_some(digits + 1)?
    };
    line[length..].starts_with([' ', '\t']).then_some(length)
}

/// Converts a directive and its indented body.
fn directive_block(
    directive: &str,
    body: &[&str],
    depth: usize,
    out: &mut Vec<Part>,
    link: &dyn Fn(&str) -> Option<String>,
) {
    let (name, argument) = directive.split_once("::").unwrap_or((directive, ""));
    let body = dedent(body);
    let is_option = |line: &&str| line.trim_start().starts_with(':');
    let options = body.iter().position(|line| !is_option(line)).unwrap_or(body.len());
    let body = &body[options..];
    let name = name.trim();
    match name {
        "note" | "warning" | "caution" | "important" | "tip" | "hint" | "attention" | "danger"
        | "admonition" | "seealso" | "error" => {
            let mut title = name.to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let text = format!("{}\n{}", argument.trim(), body.join("\n"));
            let text = convert(text.trim(), depth + 1, link);
            out.push(Part::Block(titled(&format!("**{title}:**"), &text)));
            out.push(Part::Line(String::new()));
        }
        "qmp-example" | "code-block" | "code" | "parsed-literal" | "literalinclude" => {
            out.push(Part::Fence(fence(body)));
            out.push(Part::Line(String::new()));
        }
        // A comment, or a directive that only makes sense in QEMU's manual.
        _ => {}
    }
}

/// Converts a literal block. Returns the index of the line after it.
fn literal_block(lines: &[&str], at: usize, indent: usize, out: &mut Vec<Part>) -> usize {
    let end = block_end(lines, at, indent);
    let body = dedent(&lines[at..end]);
    if body.iter().any(|line| !line.is_empty()) {
        out.push(Part::Line(String::new()));
        out.push(Part::Fence(fence(&body)));
        out.push(Part::Line(String::new()));
    }
    end
}

/// Returns the index of the first line from `at` on that is neither blank nor indented more than
/// `indent`.
fn block_end(lines: &[&str], at: usize, indent: usize) -> usize {
    let outside =
        |line: &&str| !line.trim().is_empty() && line.len() - line.trim_start().len() <= indent;
    lines[at..].iter().position(outside).map_or(lines.len(), |offset| at + offset)
}

fn dedent<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    let mut indent = usize::MAX;
    for line in lines {
        if !line.trim().is_empty() {
            indent = indent.min(line.len() - line.trim_start().len());
        }
    }
    if indent == usize::MAX {
        indent = 0;
    }
    let mut body = Vec::with_capacity(lines.len());
    for line in lines {
        let line = line.get(indent..).unwrap_or("");
        if !body.is_empty() || !line.is_empty() {
            body.push(line);
        }
    }
    while body.last().is_some_and(|line| line.is_empty()) {
        body.pop();
    }
    body
}

/// Encloses lines in a fence that is longer than any in the text.
fn fence(lines: &[&str]) -> String {
    let mut longest = 2;
    for line in lines {
        longest = longest.max(run_of_backquotes(line));
    }
    let fence = "`".repeat(longest + 1);
    let mut out = format!("{fence}text\n");
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(&fence);
    out
}

fn run_of_backquotes(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Converts the inline markup of a line: literals, roles, references, and special characters.
fn inline(line: &str, link: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    let mut rest = line;
    let mut before = ' ';
    loop {
        // Copy characters without special meaning in one step.
        let special = ['`', '@', ':', 'h', '<', '>', '[', ']', '|', '\\', '\t'];
        let plain = rest.find(special).unwrap_or(rest.len());
        out.push_str(&rest[..plain]);
        before = rest[..plain].chars().next_back().unwrap_or(before);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { return out };
        let consumed = match c {
            '`' => quoted(rest, link, &mut out),
            '@' if !before.is_alphanumeric() => reference(rest, link, &mut out),
            ':' => role(rest, link, &mut out),
            'h' if !before.is_alphanumeric() => url(rest, &mut out),
            '\\' => escape(rest, &mut out),
            _ => 0,
        };
        if consumed > 0 {
            before = '`';
            rest = &rest[consumed..];
            continue;
        }
        if matches!(c, '<' | '>' | '[' | ']' | '|') {
            out.push('\\');
        }
        // The width of a tab depends on its column. As indentation it could mean code.
        out.push(if c == '\t' { ' ' } else { c });
        before = c;
        rest = &rest[c.len_utf8()..];
    }
}

/// Copies a backslash with the punctuation that it escapes, here as there, and escapes any other:
/// it would undo the escaping of what follows it. Returns the number of bytes consumed.
fn escape(rest: &str, out: &mut String) -> usize {
    match rest.as_bytes().get(1) {
        Some(byte) if byte.is_ascii_punctuation() => {
            out.push_str(&rest[..2]);
            2
        }
        _ => {
            out.push_str("\\\\");
            1
        }
    }
}

/// Adds text as code, between backquotes that do not pair with any inside of it or before it.
fn code(text: &str, out: &mut String) {
    if text.is_empty() {
        return;
    }
    if out.ends_with('`') {
        out.push(' ');
    }
    let text = text.replace('\t', " ");
    if text.contains('`') {
        let marks = "`".repeat(run_of_backquotes(&text) + 1);
        out.push_str(&format!("{marks} {text} {marks}"));
    } else {
        out.push_str(&format!("`{text}`"));
    }
}

/// Converts ``` ``literal`` ``` or `` `interpreted` ``, and escapes other backquotes. Returns the
/// number of bytes consumed.
fn quoted(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let ticks = ascii::count(rest, |b| *b == b'`');
    let content = if ticks > 2 { None } else { rest[ticks..].find(&rest[..ticks]) };
    let Some(length) = content else {
        out.push_str(&"\\`".repeat(ticks));
        return ticks;
    };
    let content = &rest[ticks..ticks + length];
    let consumed = ticks + length + ticks;
    if ticks == 2 {
        code(content, out);
        return consumed;
    }
    // `text <target>`_ is a link in reStructuredText. Only its text is kept.
    let text = content.split_once(" <").map_or(content, |(text, _)| text);
    if rest[consumed..].starts_with('_') {
        out.push_str(&inline(text, link));
        return consumed + 1;
    }
    code(text, out);
    consumed
}

/// Converts `@name`, a name of the schema or of a member. Returns the number of bytes consumed, or
/// 0.
fn reference(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let length = ascii::count(&rest[1..], is_name);
    let name = rest[1..=length].trim_end_matches(['.', '-']);
    if name.is_empty() {
        return 0;
    }
    match link(name) {
        Some(path) => out.push_str(&format!("[`{name}`]({path})")),
        None => code(name, out),
    }
    name.len() + 1
}

/// Converts `` :role:`text` ``, of which only the text is kept. Returns the number of bytes
/// consumed, or 0.
fn role(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let length = rest[1..]
        .bytes()
        .take(MAX_ROLE)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':'))
        .count();
    let head = 1 + length;
    if length < 2 || !rest[..head].ends_with(':') || !rest[head..].starts_with('`') {
        return 0;
    }
    let Some(end) = rest[head + 1..].find('`') else { return 0 };
    let content = &rest[head + 1..head + 1 + end];
    let text = content.split_once(" <").map_or(content, |(text, _)| text);
    let name = rest[1..head].trim_end_matches(':');
    if name.starts_with("qapi:") {
        match link(text) {
            Some(path) => out.push_str(&format!("[`{text}`]({path})")),
            None => code(text, out),
        }
    } else {
        code(text, out);
    }
    head + end + 2
}

/// Encloses a bare URL in angle brackets, as rustdoc asks for. Returns the number of bytes consumed,
/// or 0.
fn url(rest: &str, out: &mut String) -> usize {
    if !rest.starts_with("http://") && !rest.starts_with("https://") {
        return 0;
    }
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '`' | '"'));
    let url = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ',', ')', ';', ':']);
    out.push_str(&format!("<{url}>"));
    url.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(text: &str) -> String {
        to_markdown(text, &|name| (name == "stop").then(|| String::from("super::commands::Stop")))
    }

    #[test]
    fn inline_markup() {
        for (text, expected) in [
            ("a ``b`` c", "a `b` c"),
            ("see @stop.", "see [`stop`](super::commands::Stop)."),
            ("see @node-name, x@y.z", "see `node-name`, x@y.z"),
            ("[0, 5] <none>", "\\[0, 5\\] \\<none\\>"),
            ("at https://example.com/a_b.", "at <https://example.com/a_b>."),
            (":ref:`Text <target>` x", "`Text` x"),
            (":qapi:cmd:`stop`", "[`stop`](super::commands::Stop)"),
            ("`Text <https://example.com>`_ x", "Text x"),
            ("broken ``literal", "broken \\`\\`literal"),
            ("**bold** and *it*", "**bold** and *it*"),
        ] {
            assert_eq!(markdown(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_text() {
        for (text, expected) in [
            ("Use @stop\n instead.", "Use stop instead."),
            ("the ``a`` of x@y.z", "the `a` of x@y.z"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn blocks() {
        for (text, expected) in [
            ("Run::\n\n  $ qemu\n  $ <x>\n\nend", "Run:\n\n```text\n$ qemu\n$ <x>\n```\n\nend"),
            (".. note:: Be\n   careful.\n\nend", "**Note:** Be\ncareful.\n\nend"),
            ("- a\n  b\n\n- c\n\nend", "- a\n  b\n\n- c\n\nend"),
            ("    indented\nend", "indented\nend"),
        ] {
            assert_eq!(markdown(text), expected, "{text}");
        }
    }

    #[test]
    fn any_text_is_converted() {
        let text = ":a:`@``:: .. note::\n.. \n::\n``` `` ` @ @. :x:` <[ä|https://\n  é::\n";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = markdown(&text[..end]);
            let _ = literal(&text[..end]);
        }
    }
}
