//! How `Debug` of generated types leaves out secrets.

use std::fmt::{self, Debug, Formatter};

use serde_json::{Map, Value};

/// Stands for a value that is not shown.
pub struct Secret;

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Members that the schema does not list. A value is shown unless the name suggests that it is
/// secret.
pub struct Unlisted<'a>(pub &'a Map<String, Value>);

impl Debug for Unlisted<'_> {
    #[inline]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.0 {
            if suggests_secret(name) {
                map.entry(name, &Secret);
            } else {
                map.entry(name, &Shown(value));
            }
        }
        map.finish()
    }
}

/// A value that the schema does not describe.
struct Shown<'a>(&'a Value);

impl Debug for Shown<'_> {
    #[inline]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Object(members) => Unlisted(members).fmt(f),
            Value::Array(elements) => f.debug_list().entries(elements.iter().map(Shown)).finish(),
            other => other.fmt(f),
        }
    }
}

/// Returns whether the name of a member suggests that its value is secret.
///
/// By QEMU's convention, `password-secret` and the like are not: they are ids of secret objects.
#[inline]
pub(crate) fn suggests_secret(name: &str) -> bool {
    const PARTS: [&str; 7] =
        ["password", "passwd", "passphrase", "secret", "credential", "ticket", "token"];
    let name = name.to_ascii_lowercase();
    let is_id = name.ends_with("-secret") || name.ends_with("_secret") || name.ends_with("id");
    !is_id && PARTS.iter().any(|part| name.contains(part))
}

/// Returns the name of a field as `Debug` shows it.
#[must_use]
pub fn field(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Shows a branch with members.
///
/// # Errors
/// Fails as the formatter does.
#[inline]
pub fn branch(f: &mut Formatter<'_>, name: &str, members: &dyn Debug) -> fmt::Result {
    f.debug_tuple(name).field(members).finish()
}

/// Shows a branch that the schema does not list.
///
/// # Errors
/// Fails as the formatter does.
#[inline]
pub fn unknown_branch(
    f: &mut Formatter<'_>,
    name: &str,
    members: &Map<String, Value>,
) -> fmt::Result {
    f.debug_struct("Unknown").field("name", &name).field("members", &Unlisted(members)).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlisted_members_are_masked_by_their_names() {
        let members = serde_json::json!({
            "a": {"Password": "hunter2"},
            "b": [{"admin_passwd": {"x": "hunter2"}}],
            "key-secret": "sec0",
            "passwordid": "sec1",
            "ticket": "hunter2",
        });
        let shown = format!("{:?}", Unlisted(members.as_object().unwrap_or(&Map::new())));
        assert_eq!(
            shown,
            r#"{"a": {"Password": <secret>}, "b": [{"admin_passwd": <secret>}], "key-secret": String("sec0"), "passwordid": String("sec1"), "ticket": <secret>}"#
        );
    }
}
