//! Questions about statements that need no schema.

use std::sync::OnceLock;

use crate::shell::syntax::{self, Statement};
use crate::shell::types::Schema;

/// Returns whether another line may complete a statement, whatever the types of its arguments.
pub(super) fn is_incomplete(text: &str) -> bool {
    syntax::parse(text, no_types()).is_err_and(|error| error.is_incomplete())
}

/// Returns whether a statement leaves the prompt, also where lines are for the human monitor.
pub(super) fn is_exit(text: &str) -> bool {
    matches!(syntax::parse(text, no_types()), Ok(Some(Statement::Exit)))
}

/// Returns what a statement is called where it is waited for.
#[cfg(unix)]
pub(super) fn label(text: &str) -> String {
    match syntax::parse(text, no_types()) {
        Ok(Some(Statement::Command(command))) => command.name,
        Ok(Some(Statement::Wait { event, .. })) => format!("wait {event}"),
        _ => text.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

/// Returns a schema without commands, for questions that need none. Decoding one takes time.
fn no_types() -> &'static Schema {
    static NONE: OnceLock<Schema> = OnceLock::new();
    NONE.get_or_init(Schema::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_continue_whatever_their_types() {
        for (text, incomplete) in [
            ("", false),
            ("query-status", false),
            ("# a comment {", false),
            ("{\"execute\":", true),
            ("{\"execute\": \"stop\"}", false),
            ("blockdev-add file={'driver':", true),
            ("transaction(", true),
            ("transaction(\nblock-dirty-bitmap-add node=n0 name=b0", true),
            ("transaction(\nblock-dirty-bitmap-add node=n0 name=b0\n)", false),
            ("device_add", false),
        ] {
            assert_eq!(is_incomplete(text), incomplete, "{text}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn statements_have_names() {
        for (text, expected) in [
            ("stop", "stop"),
            ("{\"execute\": \"stop\"}", "stop"),
            ("wait STOP --timeout 1", "wait STOP"),
            ("hmp info status", "hmp"),
            ("device_add driver", "device_add"),
        ] {
            assert_eq!(label(text), expected, "{text}");
        }
        assert!(is_exit(" exit ") && !is_exit("exit now"));
    }
}
