//! Documentation as plain text, without markup.

/// A text without its markup.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Paragraphs, separated by blank lines. A line that begins with four spaces is literal.
    pub(super) text: String,
    /// The examples in it.
    pub(super) examples: Vec<String>,
}

/// Removes the markup of reStructuredText, and takes the examples out.
pub(super) fn plain(text: &str) -> Plain {
    let lines: Vec<&str> = text.lines().collect();
    let mut plain = Plain::default();
    blocks(&lines, &mut plain);
    while plain.text.ends_with('\n') {
        plain.text.pop();
    }
    plain
}

fn blocks(lines: &[&str], plain: &mut Plain) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        at += 1;
        if let Some(directive) = trimmed.strip_prefix(".. ") {
            let end = block_end(lines, at, indent);
            let (name, argument) = directive.split_once("::").unwrap_or((directive, ""));
            let body = dedented(lines.get(at..end).unwrap_or_default());
            let body: Vec<&str> =
                body.into_iter().skip_while(|line| line.starts_with(':')).collect();
            block(name.trim(), argument.trim(), &body, plain);
            at = end;
        } else if let Some(before) = trimmed.strip_suffix("::") {
            let end = block_end(lines, at, indent);
            push(&format!("{}:", inline(before)), plain);
            push("", plain);
            literal(&dedented(lines.get(at..end).unwrap_or_default()), plain);
            at = end;
        } else {
            push(&inline(trimmed), plain);
        }
    }
}

/// Adds a directive with its body.
fn block(name: &str, argument: &str, body: &[&str], plain: &mut Plain) {
    match name {
        "qmp-example" => {
            let example = body.join("\n");
            plain.examples.push(example.trim().to_owned());
        }
        "code-block" | "code" | "parsed-literal" => literal(body, plain),
        "note" | "warning" | "caution" | "important" | "tip" | "hint" | "admonition" => {
            let mut title = name.to_owned();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            push("", plain);
            push(&inline(format!("{title}: {argument}").trim_end()), plain);
            blocks(body, plain);
            push("", plain);
        }
        _ => {}
    }
}

fn literal(lines: &[&str], plain: &mut Plain) {
    let lines = lines.join("\n");
    push("", plain);
    for line in lines.trim_matches('\n').lines() {
        push(&format!("    {line}"), plain);
    }
    push("", plain);
}

/// Adds a line; several blank lines become one.
fn push(line: &str, plain: &mut Plain) {
    let line = line.trim_end();
    if line.is_empty() && (plain.text.is_empty() || plain.text.ends_with("\n\n")) {
        return;
    }
    plain.text.push_str(line);
    plain.text.push('\n');
}

fn block_end(lines: &[&str], at: usize, indent: usize) -> usize {
    let outside =
        |line: &&str| !line.trim().is_empty() && line.len() - line.trim_start().len() <= indent;
    let rest = lines.get(at..).unwrap_or_default();
    rest.iter().position(outside).map_or(lines.len(), |offset| at + offset)
}

fn dedented<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines = lines.iter().map(|line| line.get(indent..).unwrap_or_default());
    lines.skip_while(|line| line.is_empty()).collect()
}

/// Removes the markup within a line.
fn inline(line: &str) -> String {
    let text = line.replace("``", "`");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let starts_name = after.starts_with(|c: char| c.is_ascii_alphanumeric());
        if c == '@' && starts_name && !out.ends_with(|c: char| c.is_alphanumeric()) {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let length = after.find(|c| !is_name(c)).unwrap_or(after.len());
            let name = after[..length].trim_end_matches(['.', '-']);
            out.push_str(&format!("`{name}`"));
            rest = &after[name.len()..];
        } else if let Some((text, length)) = role(rest) {
            out.push_str(&format!("`{text}`"));
            rest = &rest[length..];
        } else if c == '`' {
            // A link, of which only the text is kept.
            let end = after.find('`').unwrap_or(after.len());
            let inner = &after[..end];
            let is_link = after.get(end..).is_some_and(|after| after.starts_with("`_"));
            if is_link {
                out.push_str(inner.split(" <").next().unwrap_or(inner));
                rest = &after[end + 2..];
            } else {
                out.push('`');
                out.push_str(inner);
                rest = &after[end..];
                if let Some(after) = rest.strip_prefix('`') {
                    out.push('`');
                    rest = after;
                }
            }
        } else {
            out.push(c);
            rest = after;
        }
    }
    out
}

/// Returns the text of `` :role:`text` `` at the beginning of a line, and its length.
fn role(rest: &str) -> Option<(&str, usize)> {
    let inner = rest.strip_prefix(':')?;
    let quote = inner.find(":`")?;
    let name = &inner[..quote];
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:".contains(&b)) {
        return None;
    }
    let text = &inner[quote + 2..];
    let end = text.find('`')?;
    let length = 1 + quote + 2 + end + 1;
    Some((text[..end].split(" <").next().unwrap_or(""), length))
}
