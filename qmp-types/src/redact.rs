//! Masks secrets in the text of commands, for logs and transcripts.

use std::borrow::Cow;

use crate::secret::suggests_secret;

/// The text that replaces a secret value.
const MASK: &str = "\"<secret>\"";

/// Masks the secrets in the arguments of a command, or in the text of the whole command: the values
/// of members that [`secrets_of`] returns for it, and of all others whose names suggest a secret,
/// such as `admin_password`, since servers have commands and members that no schema lists.
///
/// The vocabularies of this crate say what is secret. For another vocabulary, see
/// [`redact_members`].
///
/// ```
/// # #[cfg(feature = "qmp")] {
/// let arguments = r#"{"protocol": "vnc", "password": "hunter2"}"#;
/// let shown = qmp_types::redact("set_password", arguments);
/// assert_eq!(shown, r#"{"protocol": "vnc", "password": "<secret>"}"#);
/// # }
/// ```
#[must_use]
pub fn redact<'t>(command: &str, text: &'t str) -> Cow<'t, str> {
    let secrets = secrets_of(command);
    redact_where(text, &|name| secrets.contains(&name) || suggests_secret(name))
}

/// Returns the names of the members that are secret in the arguments of a command, according to the
/// vocabularies of this crate; none for unknown commands.
#[must_use]
pub fn secrets_of(command: &str) -> &'static [&'static str] {
    let vocabularies: &[&[(&str, &'static [&'static str])]] = &[
        #[cfg(feature = "qmp")]
        crate::qmp::SECRETS,
        #[cfg(feature = "qga")]
        crate::qga::SECRETS,
    ];
    let mut commands = vocabularies.iter().copied().flatten();
    commands.find(|(name, _)| *name == command).map_or(&[], |(_, secrets)| secrets)
}

/// Returns whether a member in the arguments of a command is secret: the vocabularies of this crate say
/// so, or its name suggests it.
#[must_use]
pub fn is_secret(command: &str, member: &str) -> bool {
    secrets_of(command).contains(&member) || suggests_secret(member)
}

/// Replaces the value of every member that has one of these names, at whatever depth, with
/// `"<secret>"`. The names are those of [`Command::SECRETS`](crate::Command::SECRETS), or from the
/// table `SECRETS` of a vocabulary.
///
/// The text need not be valid: whatever follows the name and a colon is masked up to the end of the
/// value, or of the text. Strings can be in single quotes, which QEMU accepts, too.
#[must_use]
pub fn redact_members<'t>(text: &'t str, names: &[&str]) -> Cow<'t, str> {
    redact_where(text, &|name| names.contains(&name))
}

fn redact_where<'t>(text: &'t str, is_secret: &dyn Fn(&str) -> bool) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    let (mut masked, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        if !is_quote(bytes[at]) {
            at += 1;
            continue;
        }
        let end = string_end(bytes, at);
        let name = &text[at..end];
        at = end;
        let colon = after_space(bytes, end);
        if bytes.get(colon) == Some(&b':') && names_secret(name, is_secret) {
            let start = after_space(bytes, colon + 1);
            at = value_end(bytes, start);
            masked.push_str(&text[copied..start]);
            masked.push_str(MASK);
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Returns whether a string in quotes, which may have escapes, is the name of a secret.
fn names_secret(quoted: &str, is_secret: &dyn Fn(&str) -> bool) -> bool {
    let Some(inner) = quoted.get(1..quoted.len() - 1) else { return false };
    if !inner.contains('\\') {
        return is_secret(inner);
    }
    let unescaped = serde_json::from_str::<String>(&format!("\"{inner}\""));
    unescaped.is_ok_and(|name| is_secret(&name))
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn after_space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns the index after the string that begins at `start`, or the length of the text.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if *byte == bytes[start] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the index after the value that begins at `start`, or the length of the text.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            _ => at += 1,
        }
        let ended =
            depth == 0 && matches!(bytes[at.min(bytes.len()) - 1], b'"' | b'\'' | b'}' | b']');
        if ended {
            return at.min(bytes.len());
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_whatever_they_are() {
        let masked = |text| redact_members(text, &["data", "pass word"]).into_owned();
        for (text, expected) in [
            (r#"{"data": "hunter2"}"#, r#"{"data": "<secret>"}"#),
            (r#"{"data" : "a\"b\\" , "x": 1}"#, r#"{"data" : "<secret>" , "x": 1}"#),
            (
                r#"{"data":12,"x":{"data":[{"data":1}],"y":2}}"#,
                r#"{"data":"<secret>","x":{"data":"<secret>","y":2}}"#,
            ),
            (r#"{"data": null}"#, r#"{"data": "<secret>"}"#),
            (r#"{"d\u0061ta": "x"}"#, r#"{"d\u0061ta": "<secret>"}"#),
            ("{'data': 'it\\'s', 'x': 'data'}", "{'data': \"<secret>\", 'x': 'data'}"),
            (
                r#"{"data": {"a": "}"}, "pass word": true}"#,
                r#"{"data": "<secret>", "pass word": "<secret>"}"#,
            ),
            (r#"["data", {"x": "data"}]"#, r#"["data", {"x": "data"}]"#),
            // Truncated and invalid texts.
            (r#"{"data": "hunt"#, r#"{"data": "<secret>"#),
            (r#"{"data": {"a": "hunt"#, r#"{"data": "<secret>"#),
            (r#"{"data": hunter2"#, r#"{"data": "<secret>"#),
            (r#"{"data":"#, r#"{"data":"<secret>"#),
            (r#"{"data": "a\"#, r#"{"data": "<secret>"#),
            (r#"x "data": 1, {"#, r#"x "data": "<secret>", {"#),
            ("\"", "\""),
            ("", ""),
        ] {
            let expected = if expected.ends_with("<secret>") {
                format!("{expected}\"")
            } else {
                expected.to_owned()
            };
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn any_text_can_be_masked() {
        let text = r#"{"dätä": {'data': ["ö\"", {}]}, "data": "ü"}"#;
        for start in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for end in (start..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let _ = redact_members(&text[start..end], &["data", "dätä", ""]);
            }
        }
    }
}
