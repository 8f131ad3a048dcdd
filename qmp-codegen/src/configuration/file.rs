//! Reads symbols from the files of a build: C headers, and the output of Kconfig.

use std::io::{self, Read};
use std::path::Path;

use crate::ascii;

/// The largest file, in bytes. Those of QEMU have 20 KiB.
const MAX_FILE: u64 = 4 << 20;

/// A line that mentions a symbol.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Line<'t> {
    pub(super) symbol: &'t str,
    pub(super) holds: bool,
}

/// Reads a file, whose text outside of ASCII does not matter.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the symbols of a text in the order of its lines.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(line)
}

/// Reads `#define X 1`, `#undef X`, `/* #undef X */`, `X=y`, `X=n`, or `# X is not set`. A definition
/// that is commented out does not hold.
///
/// A value does not matter: C tests whether a symbol is defined, be it as 0.
fn line(line: &str) -> Option<Line<'_>> {
    let line = line.trim_start();
    let comment = line.strip_prefix("/*").or_else(|| line.strip_prefix("//"));
    if let Some(rest) = comment.map_or(line, str::trim_start).strip_prefix('#') {
        let mut words = rest.split_ascii_whitespace();
        let (first, second) = (words.next()?, words.next()?);
        return match first {
            "define" => found(second, comment.is_none()),
            "undef" => found(second, false),
            symbol if second == "is" && words.eq(["not", "set"]) => found(symbol, false),
            _ => None,
        };
    }
    let (symbol, value) = line.split_once('=')?;
    found(symbol.trim_end(), !matches!(value.trim(), "" | "n"))
}

fn found(symbol: &str, holds: bool) -> Option<Line<'_>> {
    let is_symbol = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let starts = ascii::begins_with(symbol, u8::is_ascii_uppercase);
    (starts && symbol.bytes().all(is_symbol)).then_some(Line { symbol, holds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds() {
        let text = "/* Written by a build. */\n#ifndef H\n#define H\n #  define CONFIG_A 1\n#define B \"x\"\n\
                    #undef CONFIG_C\n/* #undef CONFIG_D */\nCONFIG_E=y\nCONFIG_F=n\n# CONFIG_G is not set\n\
                    #define lower 1\n#pragma GCC poison CONFIG_H\n# A comment\n#endif\nCONFIG_I = y\nCONFIG_M=\n\
                    /* #define CONFIG_J 1 */\n// #define CONFIG_K\n#define CONFIG_L(x) x\n";
        let found: Vec<_> = lines(text).map(|line| (line.symbol, line.holds)).collect();
        let expected = [
            ("H", true),
            ("CONFIG_A", true),
            ("B", true),
            ("CONFIG_C", false),
            ("CONFIG_D", false),
            ("CONFIG_E", true),
            ("CONFIG_F", false),
            ("CONFIG_G", false),
            ("CONFIG_I", true),
            ("CONFIG_M", false),
            ("CONFIG_J", false),
            ("CONFIG_K", false),
        ];
        assert_eq!(found, expected);
    }
}
