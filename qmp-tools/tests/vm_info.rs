//! `vm-info` without QEMU.

#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use serde_json::Value;
use support::{VM_INFO, run};

#[test]
fn without_an_address_a_machine_is_simulated() {
    let ran = run(VM_INFO, &[]);
    assert!(ran.err.contains("using a simulated machine"), "{}", ran.err);
    let out = ran.ok();
    for row in ["QEMU ", "State ", "Machine ", "CPUs ", "Memory ", "\nBlock devices\n"] {
        assert!(out.contains(row), "{row}: {out}");
    }
    assert!(!out.contains("see --help"), "the notice goes to standard error");
}

/// Text and JSON show the same report.
#[test]
fn text_has_the_facts_of_the_json() {
    let text = run(VM_INFO, &[]).ok();
    let json: Value = serde_json::from_str(&run(VM_INFO, &["--json"]).ok()).unwrap();
    for fact in ["version", "state", "machine", "accelerator", "name"] {
        let Some(fact) = json[fact].as_str() else { continue };
        assert!(text.contains(fact), "{fact}: {text}");
    }
    assert!(json["version"].is_string() && json["cpus"].as_array().is_some_and(|c| !c.is_empty()));
    for device in json["block"].as_array().unwrap() {
        assert!(text.contains(device["name"].as_str().unwrap()), "{device}");
    }
}

#[test]
fn invalid_arguments_are_reported() {
    for (arguments, status, message) in [
        (&["tcp:localhost"] as &[&str], 2, "the port is missing"),
        (&["tcp:4444"], 2, "tcp:localhost:PORT"),
        (&["--launch", "/no/such/program"], 3, "/no/such/program"),
        (&["--launch", "false"], 3, "false"),
        (&["--timeout", "0", "/no/such/socket"], 3, "/no/such/socket"),
        // A name that is mistyped is not only a path that is missing.
        (&["--timeout", "0", "no-such-vm"], 3, "neither a machine of this host nor a file has the"),
    ] {
        let err = run(VM_INFO, arguments).failed(status);
        assert!(err.starts_with("vm-info: ") && err.contains(message), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert!(run(VM_INFO, &["--nonsense"]).failed(2).contains("--help"));
    assert!(run(VM_INFO, &["--timeout", "soon"]).failed(2).contains("not a number"));
    run(VM_INFO, &["a", "--launch", "b"]).failed(2);
}

/// While waiting for a socket, which may be misspelled, the program says so.
#[test]
fn waiting_for_a_socket_is_announced() {
    let path = support::Directory::new().path("");
    let path = format!("{}.sock", path.trim_end_matches('/'));
    let err = run(VM_INFO, &["--timeout", "0.2", &path]).failed(3);
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with(&format!("nothing is listening at unix:{path} yet")), "{err}");
    assert!(lines[1].contains(&path), "{err}");
}

#[test]
fn every_program_has_help_and_completions() {
    for (program, name) in
        [(VM_INFO, "vm-info"), (support::SHELL, "qmp-shell"), (support::SCHEMA, "qmp-schema")]
    {
        let help = run(program, &["--help"]).ok();
        assert!(help.contains("\nExamples:\n") && help.contains("--completions"), "{help}");
        for shell in ["bash", "zsh", "fish"] {
            let completions = run(program, &["--completions", shell]).ok();
            assert!(completions.contains(name), "{shell}: {completions}");
        }
    }
}
