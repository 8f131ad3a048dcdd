//! Text for the shell.

use std::borrow::Cow;

/// Quotes a word, if that is necessary, so that a shell reads it as it is.
pub(super) fn quote(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_words_as_they_were() {
        let words =
            ["", "plain", "a b", "it's", "$HOME", "`x`", "a\nb", "*", "~", "\\", "\"", "é", "#"];
        let line: Vec<_> = words.iter().map(|word| quote(word)).collect();
        let script = format!("printf '%s\\0' {}", line.join(" "));
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.join("\0") + "\0");
        assert_eq!(quote("socket,id=m,fd=0"), "socket,id=m,fd=0");
    }
}
