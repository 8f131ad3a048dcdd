//! `qmp-shell` on the simulated machine.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use serde_json::{Value, json};
use support::{Ran, SHELL, run, run_with};

fn script(input: &str) -> Ran {
    run_with(SHELL, &[], input)
}

/// Parses the output without `--pretty`: one message per line.
fn messages(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn commands_on_the_command_line() {
    let out = run(SHELL, &["-c", "stop", "-c", "query-status"]).ok();
    let [event, stopped, status] = &messages(&out)[..] else { panic!("{out}") };
    assert_eq!(event["event"], "STOP");
    assert_eq!(*stopped, json!({}));
    assert_eq!(status["status"], "paused");
}

#[test]
fn scripts() {
    let ran = script(
        "# a comment\n\nquery-status\n\
         {\"execute\":\n \"query-name\",\n \"arguments\": {}}\n\
         blockdev-add driver=null-co node-name=n0 size=1048576 # another comment\n\
         blockdev-del node-name='n0'",
    );
    assert!(ran.err.contains("simulated machine"), "{}", ran.err);
    let out = ran.ok();
    let [status, name, added, deleted] = &messages(&out)[..] else { panic!("{out}") };
    assert_eq!(status["status"], "running");
    assert!(name.is_object());
    assert_eq!((added, deleted), (&json!({}), &json!({})));
}

/// The help once said that a value that is JSON is sent as JSON; the schema decides that.
#[test]
fn values_are_what_the_help_says() {
    let help = run(SHELL, &["--help"]).ok();
    for (value, line, sent) in [
        ("serial=1e5", "device_add driver=virtio-blk-pci serial=1e5", r#""serial":"1e5""#),
        ("size=64M", "block_resize node-name=n size=64M", r#""size":67108864"#),
        ("up=on", "set_link name=net0 up=on", r#""up":true"#),
    ] {
        assert!(help.contains(value), "{value}: {help}");
        let err = run(SHELL, &["-v", "-c", line]).err;
        assert!(err.contains(sent), "{line}: {err}");
    }
}

/// A program that has no address takes the one in the environment, as Python's qmp-shell does.
#[test]
fn the_address_in_the_environment_is_in_the_help() {
    assert!(run(SHELL, &["--help"]).ok().contains("QMP_SOCKET"));
    let shell = std::process::Command::new(SHELL)
        .args(["--timeout", "0", "-c", "stop"])
        .env("QMP_SOCKET", "/nonexistent/vm.sock")
        .output();
    let output = shell.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && err.contains("/nonexistent/vm.sock"), "{err}");
    // An empty variable is as good as none.
    let mut shell = std::process::Command::new(SHELL);
    let status = shell.args(["-c", "stop"]).env("QMP_SOCKET", "").status().unwrap();
    assert!(status.success());
}

/// A failed command does not stop the script, but sets the exit status.
#[test]
fn failures_set_the_exit_status() {
    for (bad, message) in [
        ("no-such-command", "The command no-such-command has not been found (CommandNotFound)"),
        ("query-status now=true", "Parameter 'now' is unexpected"),
        ("blockdev-del", "Parameter 'node-name' is missing"),
        ("query-status now", "line 1: expected `key=value`, found `now`"),
        ("query-status a=1 a=2", "duplicate key `a`"),
        ("{\"execute\": 7}", "`execute` must be text"),
        ("{]", "expected a value"),
    ] {
        let ran = script(&format!("{bad}\nquery-status\n"));
        assert!(ran.err.contains(message), "{bad}: {}", ran.err);
        assert_eq!(messages(&ran.out).len(), 1, "{bad}: {}", ran.out);
        ran.failed(1);
    }
    // The last command is incomplete.
    let err = script("query-status\n{\"execute\": ").failed(1);
    assert!(err.contains("unclosed `{`"), "{err}");
}

#[test]
fn quit_ends_the_script_successfully() {
    let ran = script("quit\n\n# The rest is silence.\n");
    assert_eq!(messages(&ran.ok()).last(), Some(&json!({})));
    // Commands after `quit` cannot be executed, and are reported.
    let err = script("quit\nquery-status\n").failed(1);
    assert!(err.contains("not executed") && err.contains("query-status"), "{err}");
    // An unclosed quote does not swallow the next line.
    let ran = script("query-status x='\nquery-status\n");
    assert_eq!(messages(&ran.out).len(), 1, "{}", ran.out);
    assert!(ran.failed(1).contains("unclosed `'`"));
}

#[test]
fn pretty_output_has_one_line_per_member() {
    let out = run(SHELL, &["--pretty", "-c", "query-status"]).ok();
    assert!(out.starts_with("{\n  \"") && out.ends_with("\n}\n"), "{out}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["running"], true);
}

/// A closed pipe, as with `qmp-shell | head`, is not reported as an error.
#[test]
fn output_may_be_closed_early() {
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
