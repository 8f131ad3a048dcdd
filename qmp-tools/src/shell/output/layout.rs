//! Formats JSON text on one line or on several. Members keep their order, and numbers their
//! spelling.

use serde_json::value::RawValue;

/// Formats JSON on one line.
pub(crate) fn compact(json: &RawValue) -> String {
    lay_out(json.get(), false)
}

/// Formats JSON with one line per member and element.
pub(crate) fn pretty(json: &RawValue) -> String {
    lay_out(json.get(), true)
}

/// Formats valid JSON: everything outside of strings is punctuation, a number or a literal.
fn lay_out(text: &str, pretty: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0;
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let token = match c {
            '"' => string(rest),
            _ => rest.get(..c.len_utf8()).unwrap_or(rest),
        };
        rest = rest.get(token.len()..).unwrap_or_default().trim_start();
        match c {
            '{' | '[' if rest.starts_with(['}', ']']) => out.push(c),
            '{' | '[' => {
                depth += 1;
                out.push(c);
                new_line(&mut out, depth, pretty);
            }
            '}' | ']' if out.ends_with(['{', '[']) => out.push(c),
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth, pretty);
                out.push(c);
            }
            ',' if pretty => {
                out.push(c);
                new_line(&mut out, depth, pretty);
            }
            ',' | ':' => {
                out.push(c);
                out.push(' ');
            }
            _ => out.push_str(token),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize, pretty: bool) {
    if pretty {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Returns the string at the beginning of a text, including its quotes.
fn string(text: &str) -> &str {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.and_then(|(end, _)| text.get(..=end)).unwrap_or(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn order_and_numbers_are_preserved() {
        let json =
            raw("{ \"b\" : [1.50,-2e9 , []],\r\n\"a\":{\"x\": null, \"é\": \"\"} , \"c\":{ }}");
        assert_eq!(
            compact(&json),
            "{\"b\": [1.50, -2e9, []], \"a\": {\"x\": null, \"é\": \"\"}, \"c\": {}}"
        );
        let lines = [
            "{",
            "  \"b\": [",
            "    1.50,",
            "    -2e9,",
            "    []",
            "  ],",
            "  \"a\": {",
            "    \"x\": null,",
            "    \"é\": \"\"",
            "  },",
            "  \"c\": {}",
            "}",
        ];
        assert_eq!(pretty(&json), lines.join("\n"));
    }

    #[test]
    fn strings_are_unchanged() {
        for text in [r#""{a: [1,2]}""#, r#""\\""#, r#""\"  ,\" ""#, r#""[""#, "true", "-0.0"] {
            assert_eq!(compact(&raw(text)), text);
            assert_eq!(pretty(&raw(text)), text);
        }
        assert_eq!(compact(&raw(r#"["\\","[",{"}":"{"}]"#)), r#"["\\", "[", {"}": "{"}]"#);
    }
}
