//! Checks names: the characters of each kind of name, and reserved names.

use std::hash::{Hash, Hasher};

use crate::ascii;
use crate::ast::{Body, Definition, Kind, Member, Name};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};
use crate::similar::suggest;

use super::index::Index;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        check_definition(index, definition, &mut scope);
        let pragmas = index.pragmas(definition);
        let name = &definition.name.text;
        let lax = definition.kind().is_type() && pragmas.permits_member_names(name);
        let foreign = definition.kind().is_type() && pragmas.permits_foreign_names(name);
        // The pragma is for types only.
        let pragma = definition.kind().is_type().then_some("member-name-exceptions");
        for member in definition.members() {
            if !foreign || !is_foreign_member(&member.name.text) {
                check_member(
                    member,
                    Exceptions { upper: lax, underscore: lax, pragma },
                    &mut scope,
                );
            }
        }
        match &definition.body {
            Body::Enum { values, .. } => {
                for value in values {
                    if !foreign || !is_foreign_value(&value.name.text) {
                        check_value(&value.name, lax, &mut scope);
                    }
                }
            }
            Body::Alternate { alternatives } => {
                for alternative in alternatives {
                    check_lower(&alternative.name, "an alternative", Exceptions::NONE, &mut scope);
                }
            }
            _ => {}
        }
        for feature in definition.all_features() {
            check_lower(&feature.name, "a feature", Exceptions::NONE, &mut scope);
        }
    }
}

/// The exceptions that apply to a name.
#[derive(Clone, Copy)]
struct Exceptions {
    upper: bool,
    underscore: bool,
    /// The pragma that lists exceptions for this kind of name.
    pragma: Option<&'static str>,
}

impl Exceptions {
    const NONE: Self = Self { upper: false, underscore: false, pragma: None };
}

fn check_definition(index: &Index<'_>, definition: &Definition, scope: &mut Scope<'_, '_>) {
    let name = &definition.name;
    match definition.kind() {
        Kind::Event => {
            let Some(stem) = check_stem(name, "an event", scope) else { return };
            if stem.contains('-') || ascii::contains(stem, u8::is_ascii_lowercase) {
                let error = Diagnostic::error(
                    name.span,
                    "the name of an event cannot contain lowercase letters or '-'",
                )
                .help(proposal(
                    name,
                    stem,
                    &stem.to_ascii_uppercase().replace('-', "_"),
                ));
                scope.push(error);
            }
        }
        Kind::Command => {
            let underscore = index.pragmas(definition).permits_command_name(&name.text);
            let exceptions =
                Exceptions { upper: false, underscore, pragma: Some("command-name-exceptions") };
            check_lower(name, "a command", exceptions, scope);
        }
        Kind::Enum | Kind::Struct | Kind::Union | Kind::Alternate => {
            let Some(stem) = check_stem(name, "a type", scope) else { return };
            if !is_camel_case(stem) {
                let mut error = Diagnostic::error(
                    name.span,
                    "the name of a type must be in CamelCase and contain a lowercase letter",
                );
                let prefix = name.text.strip_suffix(stem).unwrap_or_default();
                let camel = camel_case(stem);
                error.help =
                    suggest(&name.text, &format!("{prefix}{camel}"), |_| is_camel_case(&camel));
                scope.push(error);
            }
            if name.text.ends_with("List") {
                scope.error(
                    name.span,
                    "the name of a type cannot end with 'List', which is reserved for arrays",
                );
            }
        }
    }
}

fn check_member(member: &Member, exceptions: Exceptions, scope: &mut Scope<'_, '_>) {
    let name = &member.name;
    check_lower(name, "a member", exceptions, scope);
    if name.text == "u" || name.text.starts_with("has-") || name.text.starts_with("has_") {
        let message = "the name of a member cannot be 'u' or begin with 'has-' or 'has_', which are \
                       reserved";
        scope.error(name.span, message);
    }
}

fn check_value(name: &Name, lax: bool, scope: &mut Scope<'_, '_>) {
    let pragma = Some("member-name-exceptions");
    let exceptions = Exceptions { upper: lax, underscore: lax, pragma };
    // A value may begin with a digit. To check the rest, put any letter before it.
    let lettered = format!("d{}", name.text);
    if ascii::begins_with(&name.text, u8::is_ascii_digit) && stem(&lettered).is_some() {
        check_case(name, &name.text, "a value", exceptions, scope);
    } else {
        check_lower(name, "a value", exceptions, scope);
    }
}

fn check_lower(name: &Name, what: &str, exceptions: Exceptions, scope: &mut Scope<'_, '_>) {
    let Some(stem) = check_stem(name, what, scope) else { return };
    check_case(name, stem, what, exceptions, scope);
}

fn check_case(
    name: &Name,
    stem: &str,
    what: &str,
    exceptions: Exceptions,
    scope: &mut Scope<'_, '_>,
) {
    let upper = !exceptions.upper && ascii::contains(stem, u8::is_ascii_uppercase);
    let underscore = !exceptions.underscore && stem.contains('_');
    if !upper && !underscore {
        return;
    }
    let message = format!("the name of {what} cannot contain uppercase letters or '_'");
    let mut help = proposal(name, stem, &stem.to_ascii_lowercase().replace('_', "-"));
    // No pragma permits uppercase letters in the name of a command.
    let permits = |pragma: &&str| !upper || *pragma == "member-name-exceptions";
    if let Some(pragma) = exceptions.pragma.filter(permits) {
        help.push_str(&format!(" If not, add an exception to pragma '{pragma}'"));
    }
    scope.push(Diagnostic::error(name.span, message).help(help));
}

/// Suggests a name with another stem.
fn proposal(name: &Name, stem: &str, proposed: &str) -> String {
    let prefix = name.text.strip_suffix(stem).unwrap_or_default();
    format!("did you mean '{prefix}{proposed}'?")
}

/// Checks the rules common to all names. Returns the name without its prefixes.
fn check_stem<'n>(name: &'n Name, what: &str, scope: &mut Scope<'_, '_>) -> Option<&'n str> {
    if name.text.starts_with("q_") || name.text.starts_with("q-") {
        scope.error(name.span, "names that begin with 'q_' or 'q-' are reserved");
        return None;
    }
    let stem = stem(&name.text);
    if stem.is_none() {
        let message = match name.text.as_str() {
            "" => format!("the name of {what} cannot be empty"),
            text => format!("'{text}' is not a valid name of {what}"),
        };
        let help = "names begin with a letter, and contain letters, digits, '-', and '_'; names of \
                    downstream extensions begin with '__RFQDN_'";
        scope.push(Diagnostic::error(name.span, message).help(help));
    }
    stem
}

/// Returns whether QAPI can name a member this way, at least with `member-name-exceptions`.
#[cfg(feature = "tools")]
pub(crate) fn is_member_name(name: &str) -> bool {
    stem(name).is_some() && !is_foreign_member(name)
}

/// Returns whether QAPI cannot name a value this way, but the pragma `foreign-name-exceptions`
/// permits it.
pub(crate) fn is_foreign_value(name: &str) -> bool {
    let begins_with_digit = ascii::begins_with(name, u8::is_ascii_digit);
    is_foreign_member(name) && !(begins_with_digit && stem(&format!("d{name}")).is_some())
}

/// Returns whether QAPI cannot name a member this way, but the pragma `foreign-name-exceptions`
/// permits it. The characters are those of QEMU's properties and types.
pub(crate) fn is_foreign_member(name: &str) -> bool {
    let legible = ascii::begins_with(name, u8::is_ascii_alphanumeric)
        && ascii::consists_of(name, |byte| byte.is_ascii_alphanumeric() || b"-_.,+".contains(byte));
    let reserved = name == "u" || ["q-", "q_", "has-", "has_"].iter().any(|p| name.starts_with(p));
    legible && (reserved || stem(name).is_none())
}

/// Returns a name without the prefixes of downstream extensions and experimental features, or
/// `None` if it is malformed.
fn stem(name: &str) -> Option<&str> {
    let mut stem = name;
    if let Some(downstream) = name.strip_prefix("__") {
        let (domain, rest) = downstream.split_once('_')?;
        let is_domain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
        if domain.is_empty() || !ascii::consists_of(domain, is_domain) {
            return None;
        }
        stem = rest;
    }
    let rest = stem.strip_prefix("x-").or_else(|| stem.strip_prefix("X-"));
    stem = rest.filter(|rest| ascii::begins_with(rest, u8::is_ascii_alphabetic)).unwrap_or(stem);
    let is_valid = ascii::begins_with(stem, u8::is_ascii_alphabetic)
        && ascii::consists_of(stem, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    is_valid.then_some(stem)
}

fn is_camel_case(name: &str) -> bool {
    ascii::begins_with(name, u8::is_ascii_uppercase)
        && ascii::contains(name, u8::is_ascii_lowercase)
        && ascii::consists_of(name, u8::is_ascii_alphanumeric)
}

fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for word in name.split(['-', '_']) {
        // Lower the letters of words in all caps.
        let all_caps = !ascii::contains(word, u8::is_ascii_lowercase);
        for (index, c) in word.chars().enumerate() {
            camel.push(match index {
                0 => c.to_ascii_uppercase(),
                _ if all_caps => c.to_ascii_lowercase(),
                _ => c,
            });
        }
    }
    camel
}

/// A name that compares as it does in C, where `-`, `_`, and `.` all become `_`.
#[derive(Clone, Copy)]
pub(crate) struct Mangled<'a>(pub(crate) &'a str);

fn mangled(byte: u8) -> u8 {
    if byte == b'-' || byte == b'.' { b'_' } else { byte }
}

impl PartialEq for Mangled<'_> {
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.0.bytes().zip(other.0.bytes());
        self.0.len() == other.0.len() && pairs.all(|(one, other)| mangled(one) == mangled(other))
    }
}

impl Eq for Mangled<'_> {}

impl Hash for Mangled<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut buffer = [0; 64];
        for bytes in self.0.as_bytes().chunks(buffer.len()) {
            for (slot, byte) in buffer.iter_mut().zip(bytes) {
                *slot = mangled(*byte);
            }
            state.write(&buffer[..bytes.len()]);
        }
        state.write_u8(0xff);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn stems() {
        for (name, expected) in [
            ("foo", Some("foo")),
            ("x-foo", Some("foo")),
            ("x-1", Some("x-1")),
            ("__com.example_foo", Some("foo")),
            ("__com.example_x-foo", Some("foo")),
            ("__com.example_", None),
            ("___foo", None),
            ("_foo", None),
            ("1foo", None),
            ("foo.bar", None),
            ("", None),
            ("f o", None),
        ] {
            assert_eq!(stem(name), expected, "{name}");
        }
    }

    #[test]
    fn foreign_names() {
        for (name, member, value) in [
            ("sse4.1", true, true),
            ("3dnow", true, false),
            ("486-v1.2", true, true),
            ("SUNW,tcx", true, true),
            ("has-rom", true, true),
            ("u", true, true),
            ("foo", false, false),
            ("", false, false),
            (".", false, false),
            ("a b", false, false),
            ("a'b", false, false),
            ("a:b", false, false),
            ("\u{e4}", false, false),
        ] {
            assert_eq!(is_foreign_member(name), member, "{name}");
            assert_eq!(is_foreign_value(name), value, "{name}");
        }
    }

    #[test]
    fn camels() {
        for (name, expected) in [("foo-bar", "FooBar"), ("FOO_BAR", "FooBar"), ("fooBar", "FooBar")]
        {
            assert_eq!(camel_case(name), expected);
        }
    }

    #[test]
    fn mangled_names_are_equal_if_they_are_the_same_in_c() {
        let long = "a-".repeat(100);
        let other = "a_".repeat(100);
        let names: HashSet<_> = ["a-b", "a_b", "a.b", "ab", &long, &other].map(Mangled).into();
        assert_eq!(names.len(), 3);
    }
}
