//! `qmp info --watch` at a terminal.

#![cfg(all(unix, feature = "watch"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::process::{Command, Stdio};

use pty::Terminal;
use rustix::process::Signal;
use support::{Directory, Process, QMP, VM_INFO, run};

fn simulate(path: &str) -> Process {
    Process(Command::new(QMP).args(["sim", path]).stdout(Stdio::null()).spawn().unwrap())
}

/// Starts a simulated machine in another process, and waits until it listens.
fn machine(path: &str) -> Process {
    let process = simulate(path);
    run(VM_INFO, &[path]).ok();
    process
}

#[test]
fn a_machine_is_shown_with_its_rates() {
    let mut terminal = Terminal::open(QMP, &["info", "--watch", "--interval", "0.2"], 40, 110);
    for text in ["MACHINE", "simulated", "running", "QEMU 11.1", "disk0-device", "q quit", "B/s"] {
        terminal.expect(text);
    }
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
    terminal.wait_for("the screen is restored", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
}

/// The frame is drawn again in the new size, also if hardly anything fits.
#[test]
fn a_resize_is_followed() {
    let mut terminal = Terminal::open(QMP, &["info", "--watch"], 40, 110);
    terminal.expect("q quit");
    let bottom = |screen: &vt100::Screen, rows: u16| {
        screen.rows(0, 110).nth(usize::from(rows) - 1).is_some_and(|row| row.contains("q quit"))
    };
    for (rows, columns) in [(24, 60), (50, 110), (3, 10), (1, 1), (30, 80)] {
        terminal.resize(rows, columns);
        if rows > 10 {
            terminal.wait_for("the last row", |screen| bottom(screen, rows));
        }
    }
    terminal.type_keys("\u{3}");
    assert_eq!(terminal.end(), Some(0));
}

/// One machine that dies does not end the view of the others, and comes back when it is back.
#[test]
fn a_machine_dies() {
    let directory = Directory::new();
    let (first, second) = (directory.path("first"), directory.path("second"));
    let (_first, second_process) = (machine(&first), machine(&second));
    let arguments = ["info", "--watch", "--interval", "0.2", &first, &second];
    let mut terminal = Terminal::open(QMP, &arguments, 40, 110);
    terminal.expect("2 machines");
    let running =
        |screen: &vt100::Screen, count| screen.contents().matches("running").count() == count;
    terminal.wait_for("both run", |screen| running(screen, 2));
    drop(second_process);
    terminal.expect("not connected");
    assert_eq!(terminal.contents().matches("running").count(), 1, "{}", terminal.contents());
    // The reason is shown with the machine that is selected.
    terminal.type_keys("\u{1b}[B");
    terminal.wait_for("the reason", |screen| {
        let contents = screen.contents();
        contents.contains("connect") && !contents.contains("QEMU 11.1")
    });
    let _ = std::fs::remove_file(&second);
    let _second = simulate(&second);
    terminal.wait_for("both run again", |screen| running(screen, 2));
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
}

/// In the 80 columns of a usual terminal, the state was cut to five letters.
#[test]
fn a_state_is_shown_as_a_whole() {
    let directory = Directory::new();
    let path = directory.path("paused");
    let simulated = ["sim", &path, "--paused", "--name", "a-machine-with-a-name"];
    let _machine =
        Process(Command::new(QMP).args(simulated).stdout(Stdio::null()).spawn().unwrap());
    let mut terminal = Terminal::open(QMP, &["info", "--watch", &path], 24, 80);
    terminal.wait_for("the name and the state", |screen| {
        let mut rows = screen.rows(0, 80);
        rows.any(|row| row.contains("a-machine-with-a-name") && row.contains("prelaunch"))
    });
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
}

/// The terminal is restored also if a signal ends the program.
#[test]
fn a_signal_ends_the_view() {
    let mut terminal = Terminal::open(QMP, &["info", "--watch"], 24, 80);
    terminal.expect("q quit");
    terminal.signal(Signal::TERM);
    terminal.end();
    terminal.wait_for("the screen is restored", |screen| !screen.alternate_screen());
}

#[test]
fn a_live_view_needs_a_terminal_and_a_machine() {
    assert!(run(QMP, &["info", "--watch"]).failed(2).contains("terminal"));
    run(QMP, &["info", "--interval", "1"]).failed(2);
    run(QMP, &["info", "--watch", "--interval", "0"]).failed(2);
    let arguments = ["info", "--watch", "--timeout", "0.1", "/no/such/socket"];
    let mut terminal = Terminal::open(QMP, &arguments, 24, 80);
    assert_eq!(terminal.end(), Some(3));
    terminal.expect("No such file");
}
