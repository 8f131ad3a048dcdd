//! Sessions of a server that passes commands on: text stays as it is, and budgets are shared.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use qmp_server::{Budgets, Limits, Request, Session};
use qmp_types::Greeting;

fn session(budgets: &Budgets, limits: &Limits) -> Session {
    let mut session = Session::sharing(budgets, &Greeting::default(), limits.clone());
    session.keep_arguments_as_text();
    session.receive(b"{'execute': 'qmp_capabilities'}");
    assert!(session.next_request().is_none());
    session.take_output();
    session
}

fn new() -> Session {
    let limits = Limits::default();
    session(&Budgets::new(&limits), &limits)
}

/// What is around a message, and how it is cut into pieces, does not matter.
#[test]
fn text_is_kept_wherever_the_input_is_cut() {
    let arguments =
        "{\"z\" : 1.50, \"a\": [ 123456789012345678901234567890,\n-0.0e+7 ], \"t\": \"\\u00e9é{\"}";
    let command =
        format!("{{\"id\": [1,  1e400], \"execute\": \"x\", \"arguments\": {arguments}}}");
    let around = [
        ("", ""),
        (" \t\r\n", "\n"),
        ("nonsense\n", ""),
        ("{\"a\": oops}", "]"),
        ("1 ", "2"),
        ("]{\"execute\": \"x\", \"arguments\": {}, \"x\"]", " "),
        ("\u{feff}", "\"text\""),
    ];
    for (before, after) in around {
        let input = format!("{before}{command}{after}");
        for size in [1, 2, 3, 7, 64, input.len()] {
            let mut session = new();
            let mut found: Vec<Request> = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                session.receive(piece);
                while let Some(request) = session.next_request() {
                    found.push(request);
                }
            }
            let [request] = &found[..] else { panic!("{input}: {found:?}") };
            assert_eq!(request.arguments_text(), Some(arguments), "{input} by {size}");
            assert_eq!(request.ticket.id(), Some("[1,  1e400]"), "{input} by {size}");
            assert!(request.arguments.is_empty());
        }
    }
}

/// A person's spelling is written anew, and bytes that are QEMU's text but not UTF-8, too.
#[test]
fn what_is_not_standard_json_is_written_anew() {
    for (input, arguments, id) in [
        (
            &b"{'execute': 'x', 'arguments': {'b': 'it\\'s', 'a': 1}, 'id': 7.0}"[..],
            "{\"b\": \"it's\", \"a\": 1}",
            "7.0",
        ),
        (
            b"{\"execute\": \"x\", \"arguments\": {\"nul\": \"\xC0\x80\"}, \"id\": 1}",
            "{\"nul\": \"\\u0000\"}",
            "1",
        ),
        (b"{\"execute\": \"x\", \"argument\\u0073\": {}, \"i\\u0064\": 2}", "{}", "2"),
    ] {
        let mut session = new();
        session.receive(input);
        let request = session.next_request().unwrap();
        let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(same(request.arguments_text().unwrap()), same(arguments));
        assert_eq!(same(request.ticket.id().unwrap()), same(id));
    }
}

/// White space in a message is kept with it, and counts toward the same limits.
#[test]
fn white_space_cannot_take_more_memory_than_a_message() {
    let mut limits = Limits::default();
    limits.message_bytes = 1 << 16;
    let budgets = Budgets::new(&limits);
    let mut session = session(&budgets, &limits);
    session.receive(b"{\"execute\":");
    for _ in 0..20 {
        session.receive(&[b' '; 4096]);
        assert!(session.next_request().is_none());
    }
    let output = String::from_utf8(session.take_output()).unwrap();
    assert!(output.contains("JSON token size limit exceeded"), "{output}");
}

/// A client that fills the budget leaves its reserved part to the commands of others.
#[test]
fn budgets_hold_for_all_sessions_together() {
    let mut limits = Limits::default();
    limits.total_input_bytes = 4 << 20;
    let budgets = Budgets::new(&limits);
    let mut sessions: Vec<_> = (0..4).map(|_| session(&budgets, &limits)).collect();
    let long = format!("{{\"execute\": \"x\", \"arguments\": {{\"a\": \"{}", "x".repeat(2 << 20));
    for session in &mut sessions {
        for piece in long.as_bytes().chunks(64 << 10) {
            session.receive(piece);
            assert!(session.next_request().is_none());
        }
    }
    let refused = sessions
        .iter_mut()
        .filter(|session| String::from_utf8_lossy(session.output()).contains("memory"))
        .count();
    assert!(refused >= 3, "{refused}");
    let mut polite = session(&budgets, &limits);
    polite.receive(b"{\"execute\": \"x\", \"arguments\": {}}");
    assert_eq!(polite.next_request().unwrap().arguments_text(), Some("{}"));
}
