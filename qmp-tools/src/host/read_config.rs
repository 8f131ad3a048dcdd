//! Configuration files of QEMU's option `-readconfig`.

use super::options::Options;

/// The longest file that is read, in bytes.
pub(crate) const LONGEST: u64 = 256 * 1024;

/// One section of a file: `[chardev "id"]` and what follows.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) kind: String,
    pub(crate) options: Options,
}

/// Reads the sections of a file. Lines that are not understood are skipped.
pub(crate) fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (kind, id) = head.split_once(' ').unwrap_or((head, ""));
            let mut options = Options::default();
            if !id.is_empty() {
                options.push("id", unquoted(id.trim()));
            }
            sections.push(Section { kind: kind.trim().to_owned(), options });
        } else if let (Some(section), Some((key, value)), false) =
            (sections.last_mut(), line.split_once('='), line.starts_with('#'))
        {
            section.options.push(key.trim(), unquoted(value.trim()));
        }
    }
    sections
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}
