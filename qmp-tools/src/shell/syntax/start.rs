//! The beginning of a statement.

/// Returns where the statement begins: after blank lines, comments, a byte order mark, and the prompts
/// that documentation shows.
pub(crate) fn start(text: &str) -> Option<usize> {
    const PROMPTS: [&str; 4] = ["(QEMU)", "->", "TRANS>", "\u{feff}"];
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return None;
        }
        if trimmed.starts_with('#') {
            at += trimmed.find('\n')?;
        } else if let Some(prompt) = PROMPTS.iter().find(|prompt| trimmed.starts_with(**prompt)) {
            at += prompt.len();
        } else {
            return Some(at);
        }
    }
}
