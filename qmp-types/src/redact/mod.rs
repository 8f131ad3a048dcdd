//! Masks secrets in the text of messages, for logs, transcripts and recordings.

// Few programs do. All functions are `#[inline]`, so that only those programs compile them.

mod human;
mod quoted;
mod redactor;
mod strict;
mod text;
mod url;

use std::borrow::Cow;

pub use self::redactor::Redactor;
pub(crate) use self::strict::to_strict;
use self::text::{Masking, mask};
use crate::secret::suggests_secret;

/// The text that stands for a secret.
pub(crate) const SECRET: &str = "<secret>";

/// Masks the secrets in the arguments of a command, or in the text of the whole command: the values
/// of members that [`secrets_of`] returns for it, and of all others whose names suggest a secret,
/// such as `admin_password`, since servers have commands and members that no schema lists. A line for
/// the human monitor is shown if its command has no secrets, as `info` has none. Passwords in URLs are
/// masked in any command.
///
/// [`Redactor`] masks whole sessions, with the replies.
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
#[inline]
pub fn redact<'t>(command: &str, text: &'t str) -> Cow<'t, str> {
    let secrets = secrets_of(command);
    url::mask(mask(text, &|name| masking(name, secrets), &mut |_| ()))
}

/// Returns the names of the members that are secret in the arguments of a command, according to the
/// vocabularies of this crate; none for unknown commands.
#[must_use]
#[inline]
pub fn secrets_of(command: &str) -> &'static [&'static str] {
    let found = commands_with_secrets().find(|(name, _)| *name == command);
    found.map_or(&[], |(_, secrets)| secrets)
}

#[inline]
fn commands_with_secrets() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let vocabularies: &[&[(&str, &'static [&'static str])]] = &[
        #[cfg(feature = "qmp")]
        crate::qmp::SECRETS,
        #[cfg(feature = "qga")]
        crate::qga::SECRETS,
    ];
    vocabularies.iter().copied().flatten().copied()
}

/// Returns how a member is masked in a command with these secrets.
#[inline]
fn masking(name: &str, secrets: &[&str]) -> Masking {
    match name {
        human::LINE if secrets.contains(&name) => Masking::HumanLine,
        _ if secrets.contains(&name) || suggests_secret(name) => Masking::Hide,
        _ => Masking::Show,
    }
}

/// Returns whether a member in the arguments of a command is secret: the vocabularies of this crate say
/// so, or its name suggests it.
#[must_use]
#[inline]
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
#[inline]
pub fn redact_members<'t>(text: &'t str, names: &[&str]) -> Cow<'t, str> {
    let masking = |name: &str| match names.contains(&name) {
        true => Masking::Hide,
        false => Masking::Show,
    };
    mask(text, &masking, &mut |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "qmp")]
    fn passwords_in_urls_are_masked_in_any_command() {
        let text = r#"{"driver": "https", "url": "https://me:hunter2@host/x"}"#;
        assert!(!redact("blockdev-add", text).contains("hunter2"));
    }

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
