//! `qmp-shell` on the simulated machine.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use serde_json::{Value, json};
use support::{Ran, SHELL, run, run_with};

fn script(input: &str) -> Ran {
    run_with(SHELL, &[], input)
}

/// What is printed without `--pretty`: a message a line.
fn messages(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn commands_of_the_command_line() {
    let out = run(SHELL, &["-c", "stop", "-c", "query-status"]).ok();
    let [event, stopped, status] = &messages(&out)[..] else { panic!("{out}") };
    assert_eq!(event["event"], "STOP");
    assert_eq!(*stopped, json!({}));
    assert_eq!(status["status"], "paused");
}

#[test]
fn scripts() {
    let ran = script(
        "# what is there?\n\nquery-status\n\
         {\"execute\":\n \"query-name\",\n \"arguments\": {}}\n\
         blockdev-add driver=null-co node-name=n0 size=1048576 # made of nothing\n\
         blockdev-del node-name='n0'",
    );
    assert!(ran.err.contains("simulated machine"), "{}", ran.err);
    let out = ran.ok();
    let [status, name, added, deleted] = &messages(&out)[..] else { panic!("{out}") };
    assert_eq!(status["status"], "running");
    assert!(name.is_object());
    assert_eq!((added, deleted), (&json!({}), &json!({})));
}

/// A line that fails does not end the script, but the status tells of it.
#[test]
fn failures_are_told_by_the_status() {
    for (bad, said) in [
        ("no-such-command", "The command no-such-command has not been found (CommandNotFound)"),
        ("query-status now=true", "Parameter 'now' is unexpected"),
        ("blockdev-del", "Parameter 'node-name' is missing"),
        ("query-status now", "`now` is not of the form key=value"),
        ("query-status a=1 a=2", "`a` is given more than once"),
        ("{\"execute\": 7}", "no `execute`"),
        ("{]", "not JSON"),
    ] {
        let ran = script(&format!("{bad}\nquery-status\n"));
        assert!(ran.err.contains(said), "{bad}: {}", ran.err);
        assert_eq!(messages(&ran.out).len(), 1, "{bad}: {}", ran.out);
        ran.failed(1);
    }
    // The last line stays open.
    let err = script("query-status\n{\"execute\": ").failed(1);
    assert!(err.contains("`{` is not closed"), "{err}");
}

#[test]
fn quitting_ends_the_script_well() {
    let ran = script("quit\n\n# The rest is silence.\n");
    assert_eq!(messages(&ran.ok()).last(), Some(&json!({})));
    // What follows cannot be executed, and is not passed over in silence.
    let err = script("quit\nquery-status\n").failed(1);
    assert!(err.contains("not executed") && err.contains("query-status"), "{err}");
    // A quote that is not closed takes no other line with it.
    let ran = script("query-status x='\nquery-status\n");
    assert_eq!(messages(&ran.out).len(), 1, "{}", ran.out);
    assert!(ran.failed(1).contains("`'` is not closed"));
}

#[test]
fn pretty_output_has_a_line_a_member() {
    let out = run(SHELL, &["--pretty", "-c", "query-status"]).ok();
    assert!(out.starts_with("{\n  \"") && out.ends_with("\n}\n"), "{out}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["running"], true);
}

/// `qmp-shell | head` is no error to complain of.
#[test]
fn a_reader_may_leave() {
    let mut child = std::process::Command::new(SHELL)
        .args(["-c", "query-status", "-c", "query-qmp-schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}
