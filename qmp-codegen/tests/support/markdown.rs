//! Looks at documentation comments as rustdoc does. The fuzz targets use it, too.

#![allow(dead_code)] // Not every test uses everything.

/// Returns each documentation comment of generated code, as rustdoc sees it.
pub(crate) fn comments_of(code: &str) -> Vec<String> {
    let is_other =
        |line: &str| ["#[doc", "#![doc", "/**", "//!"].iter().any(|form| line.starts_with(form));
    assert!(!code.lines().map(str::trim_start).any(is_other), "documentation in another form");
    let mut comments = vec![String::new()];
    for line in code.lines() {
        match (line.trim_start().strip_prefix("///"), comments.last_mut()) {
            (Some(text), Some(comment)) => {
                comment.push_str(text.strip_prefix(' ').unwrap_or(text));
                comment.push('\n');
            }
            (None, Some(comment)) if !comment.is_empty() => comments.push(String::new()),
            _ => {}
        }
    }
    comments
}

/// Panics if rustdoc would run a part of a documentation comment, or take it for HTML.
pub(crate) fn assert_harmless(comment: &str) {
    use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};
    // What rustdoc turns on, and nothing else.
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_SMART_PUNCTUATION;
    for event in Parser::new_ext(comment, options) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                assert_eq!(kind, CodeBlockKind::Fenced("text".into()), "{comment}");
            }
            Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) => {
                panic!("{event:?} in\n{comment}")
            }
            _ => {}
        }
    }
    // Rust refuses the direction of text, and a carriage return, in comments.
    let is_hidden = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!comment.contains(is_hidden), "{comment:?}");
}
