//! Masks passwords in URLs.

use std::borrow::Cow;

use super::SECRET;

/// The separators between a URL's scheme and its authority, also as JSON may write it.
const SEPARATORS: [&str; 2] = ["://", ":\\/\\/"];

/// Masks the password in URLs such as `https://user:password@host/disk.img`, at any place in a text.
#[inline]
pub(super) fn mask(text: Cow<'_, str>) -> Cow<'_, str> {
    SEPARATORS.into_iter().fold(text, |text, separator| match mask_after(&text, separator) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    })
}

/// Masks passwords in the authorities after a separator. Returns none if there are none.
#[inline]
fn mask_after(text: &str, separator: &str) -> Option<String> {
    let (mut masked, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = text[at..].find(separator) {
        at += found + separator.len();
        let authority = text[at..].split(ends_authority).next().unwrap_or_default();
        let password = authority.rfind('@').and_then(|end| {
            let begin = authority[..end].find(':')? + 1;
            (begin < end).then_some((at + begin, at + end))
        });
        if let Some((begin, end)) = password {
            masked.push_str(&text[copied..begin]);
            masked.push_str(SECRET);
            copied = end;
        }
        at += authority.len();
    }
    if copied == 0 {
        return None;
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}

#[inline]
fn ends_authority(character: char) -> bool {
    matches!(character, '/' | '\\' | '"' | '\'' | '?' | '#') || character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, expected) in [
            (r#""https://me:pa:ss@host/x@y:z""#, r#""https://me:<secret>@host/x@y:z""#),
            (
                r#""ssh:\/\/me:pass@host", "ftp://a:b@c""#,
                r#""ssh:\/\/me:<secret>@host", "ftp://a:<secret>@c""#,
            ),
            ("http://host:80/a:b@c", "http://host:80/a:b@c"),
            ("https://me@host", "https://me@host"),
            ("://", "://"),
            ("x://é:ü@", "x://é:<secret>@"),
        ] {
            assert_eq!(mask(Cow::Borrowed(text)), expected, "{text}");
        }
    }
}
