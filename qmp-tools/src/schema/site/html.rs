//! Writes HTML. Every text passes through [`escape`], so that none of it becomes markup.

use std::fmt::Write as _;

use qmp_client::protocol::Printable;

/// Escapes text for HTML, in content and in attributes. Invisible characters, and those that change
/// the direction of text, are shown.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            _ if Printable::escapes(character) => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out
}

/// Returns a text as the string of a script that is in a file of its own, or in HTML.
pub(super) fn script_string(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned());
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, '<' | '>' | '&' | '\'') || Printable::escapes(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// Returns a name as a part of a URL and of an id: letters, digits, `-`, `.` and `_` stay, and other
/// characters become their numbers.
pub(super) fn slug(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' => out.push(character),
            _ => {
                let _ = write!(out, "~{:x}", u32::from(character));
            }
        }
    }
    out
}

/// Returns a link.
pub(super) fn link(target: &str, text: &str) -> String {
    format!("<a href=\"{}\">{}</a>", escape(target), escape(text))
}

/// Returns text as code.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(
            escape("<b a='\"'>&\u{202e}\u{0}"),
            "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\u{202e}\\u{0}"
        );
        assert_eq!(
            script_string("</script>\u{2028}'\""),
            "\"\\u003c/script\\u003e\\u2028\\u0027\\\"\""
        );
        assert_eq!(slug("query-x.y/../é"), "query-x.y~2f..~2f~e9");
    }
}
