//! Converts the markup of QAPI documentation, a subset of reStructuredText, to Markdown for rustdoc.
//!
//! Paragraphs, lists, and emphasis are the same in both and stay as they are. Double backquotes,
//! literal blocks, directives, roles, and references to names of the schema are converted.
//! Characters that are special only in Markdown are escaped.

/// Converts documentation to Markdown. `link` returns the path at which rustdoc finds a name of the
/// schema, if there is one.
pub(crate) fn to_markdown(text: &str, link: &dyn Fn(&str) -> Option<String>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(directive) = trimmed.strip_prefix(".. ") {
            at = directive_block(&lines, at, indent, directive, &mut out, link);
        } else if trimmed == "::" {
            at = literal_block(&lines, at + 1, indent, &mut out);
        } else if let Some(before) = trimmed.strip_suffix("::") {
            out.push(format!("{}{}:", &line[..indent], inline(before, link)));
            at = literal_block(&lines, at + 1, indent, &mut out);
        } else {
            out.push(format!("{}{}", " ".repeat(indent.min(12)), inline(trimmed, link)));
            at += 1;
        }
    }
    join_lines(&out)
}

/// Returns documentation as a single line without markup, for compiler messages.
pub(crate) fn plain(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("``", "`");
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
    let lines: Vec<&str> = text.lines().collect();
    fence(&lines).join("\n")
}

/// Joins lines, and removes indentation outside of list items, which Markdown would treat as code.
fn join_lines(lines: &[String]) -> String {
    let mut out = String::new();
    let mut in_item = false;
    let mut in_fence = false;
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            in_fence = !in_fence;
            out.push_str(trimmed);
            continue;
        }
        if in_fence {
            out.push_str(line);
            continue;
        }
        let is_item = is_list_item(trimmed);
        if is_item {
            in_item = true;
        } else if !trimmed.is_empty() && line.len() == trimmed.len() {
            in_item = false;
        }
        // Outside of a list, indentation would mean code.
        out.push_str(if in_item { line } else { trimmed });
    }
    out
}

fn is_list_item(trimmed: &str) -> bool {
    if trimmed.starts_with("- ") || trimmed.starts_with("* ") {
        return true;
    }
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && trimmed[digits..].starts_with(". ")
}

/// Converts a directive and its indented body. Returns the index of the line after it.
fn directive_block(
    lines: &[&str],
    at: usize,
    indent: usize,
    directive: &str,
    out: &mut Vec<String>,
    link: &dyn Fn(&str) -> Option<String>,
) -> usize {
    let (name, argument) = directive.split_once("::").unwrap_or((directive, ""));
    let end = block_end(lines, at + 1, indent);
    let body = dedent(&lines[at + 1..end]);
    let body: Vec<&str> =
        body.into_iter().skip_while(|line| line.trim_start().starts_with(':')).collect();
    let name = name.trim();
    match name {
        "note" | "warning" | "caution" | "important" | "tip" | "hint" | "attention" | "danger"
        | "admonition" | "seealso" | "error" => {
            let mut title = name.to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let text = std::iter::once(argument.trim())
                .chain(body.iter().copied())
                .collect::<Vec<_>>()
                .join("\n");
            out.push(format!("**{title}:** {}", to_markdown(text.trim(), link)));
            out.push(String::new());
        }
        "qmp-example" | "code-block" | "code" | "parsed-literal" | "literalinclude" => {
            out.extend(fence(&body));
            out.push(String::new());
        }
        // A comment, or a directive that only makes sense in QEMU's manual.
        _ => {}
    }
    end
}

/// Converts a literal block. Returns the index of the line after it.
fn literal_block(lines: &[&str], at: usize, indent: usize, out: &mut Vec<String>) -> usize {
    let end = block_end(lines, at, indent);
    let body = dedent(&lines[at..end]);
    if body.iter().any(|line| !line.is_empty()) {
        out.push(String::new());
        out.extend(fence(&body));
        out.push(String::new());
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
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let body: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    let start = body.iter().position(|line| !line.is_empty()).unwrap_or(body.len());
    let end = body.iter().rposition(|line| !line.is_empty()).map_or(start, |last| last + 1);
    body[start..end].to_vec()
}

/// Encloses lines in a fence that is longer than any in the text.
fn fence(lines: &[&str]) -> Vec<String> {
    let longest = lines.iter().map(|line| run_of_backquotes(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut out = vec![format!("{fence}text")];
    out.extend(lines.iter().map(|line| (*line).to_owned()));
    out.push(fence);
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
        let plain = rest.find(['`', '@', ':', 'h', '<', '>', '[', ']', '|']).unwrap_or(rest.len());
        out.push_str(&rest[..plain]);
        before = rest[..plain].chars().next_back().unwrap_or(before);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { return out };
        let consumed = match c {
            '`' => quoted(rest, link, &mut out),
            '@' if !before.is_alphanumeric() => reference(rest, link, &mut out),
            ':' => role(rest, link, &mut out),
            'h' if !before.is_alphanumeric() => url(rest, &mut out),
            _ => 0,
        };
        if consumed > 0 {
            before = '`';
            rest = &rest[consumed..];
            continue;
        }
        if matches!(c, '<' | '>' | '[' | ']' | '`' | '|') {
            out.push('\\');
        }
        out.push(c);
        before = c;
        rest = &rest[c.len_utf8()..];
    }
}

/// Converts ``` ``literal`` ``` or `` `interpreted` ``. Returns the number of bytes consumed, or 0.
fn quoted(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let ticks = rest.bytes().take_while(|b| *b == b'`').count();
    if ticks > 2 {
        return 0;
    }
    let mark = &rest[..ticks];
    let Some(length) = rest[ticks..].find(mark) else { return 0 };
    let content = &rest[ticks..ticks + length];
    if content.is_empty() {
        return 0;
    }
    let mut consumed = ticks + length + ticks;
    if ticks == 1 {
        // `text <target>`_ is a link in reStructuredText. Only its text is kept.
        let text = content.split_once(" <").map_or(content, |(text, _)| text);
        if rest[consumed..].starts_with('_') {
            consumed += 1;
            out.push_str(&inline(text, link));
            return consumed;
        }
        out.push_str(&format!("`{text}`"));
        return consumed;
    }
    out.push_str(&format!("`{content}`"));
    consumed
}

/// Converts `@name`, a name of the schema or of a member. Returns the number of bytes consumed, or
/// 0.
fn reference(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let length = rest[1..]
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        .count();
    let name = rest[1..=length].trim_end_matches(['.', '-']);
    if name.is_empty() {
        return 0;
    }
    match link(name) {
        Some(path) => out.push_str(&format!("[`{name}`]({path})")),
        None => out.push_str(&format!("`{name}`")),
    }
    name.len() + 1
}

/// Converts `` :role:`text` ``, of which only the text is kept. Returns the number of bytes
/// consumed, or 0.
fn role(rest: &str, link: &dyn Fn(&str) -> Option<String>, out: &mut String) -> usize {
    let length = rest[1..]
        .bytes()
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
            None => out.push_str(&format!("`{text}`")),
        }
    } else {
        out.push_str(&format!("`{text}`"));
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
