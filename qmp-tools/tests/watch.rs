//! `qmp info --watch` at a terminal.

#![cfg(all(unix, feature = "watch"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pty::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::LocalModes;
use support::{Directory, Process, QMP, VM_INFO, is_ignored, run};

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

/// A terminal that does not know its size showed nothing, and one that was taken to be huge took all memory.
#[test]
fn a_terminal_without_a_usual_size_has_a_view() {
    for (rows, columns) in [(0, 0), (u16::MAX, u16::MAX)] {
        let mut terminal = Terminal::open_as(QMP, &["info", "--watch"], (rows, columns), (24, 80));
        // More columns than there are wrap, and cover each other.
        let expected = if rows > 0 { "" } else { "MACHINE" };
        terminal.wait_for("the view", |screen| {
            let contents = screen.contents();
            screen.alternate_screen() && !contents.trim().is_empty() && contents.contains(expected)
        });
        terminal.type_keys("q");
        assert_eq!(terminal.end(), Some(0));
    }
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

/// The time that the program is given to end, which is a second at most, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The beginning of an escape sequence. Where the rest was waited for, nothing ended the program.
const UNFINISHED: &str = "\u{1b}[";

/// A signal ends the program as it would any other, and leaves the terminal as it was.
#[test]
fn a_signal_ends_the_view() {
    let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        if is_ignored(signal.as_raw()) {
            continue;
        }
        for keys in ["", UNFINISHED] {
            let mut terminal = Terminal::open(QMP, &["info", "--watch"], 24, 80);
            terminal.expect("q quit");
            assert!(!terminal.mode().intersects(usual));
            terminal.type_keys(keys);
            terminal.signal(signal);
            assert_eq!(terminal.end_within(SOON).signal(), Some(signal.as_raw()), "{keys:?}");
            terminal.wait_for("the screen is restored", |screen| {
                !screen.alternate_screen() && !screen.hide_cursor()
            });
            assert!(terminal.mode().contains(usual), "{signal:?}");
        }
    }
}

/// Wherever in its start a signal meets the program, the terminal is left as it was.
#[test]
fn a_signal_ends_the_start_of_the_view() {
    const STEPS: u32 = 40;

    let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    let begin = Instant::now();
    let mut terminal = Terminal::open(QMP, &["info", "--watch"], 24, 80);
    terminal.expect("q quit");
    let start = begin.elapsed();
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
    for step in 0..STEPS {
        let delay = start * step / STEPS;
        let mut terminal = Terminal::open(QMP, &["info", "--watch"], 24, 80);
        std::thread::sleep(delay);
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.end_within(SOON).signal(), Some(Signal::TERM.as_raw()), "{delay:?}");
        terminal.wait_for("the screen is restored", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        assert!(terminal.mode().contains(usual), "{delay:?}");
    }
}

/// The view ended at a signal that it was told to ignore, as `nohup` does.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
    let script = "trap '' HUP; exec \"$0\" info --watch --interval 0.1";
    let mut terminal = Terminal::open("sh", &["-c", script, QMP], 24, 80);
    terminal.expect("q quit");
    terminal.signal(Signal::HUP);
    // It would have ended by then.
    std::thread::sleep(Duration::from_millis(1500));
    terminal.resize(30, 100);
    terminal.wait_for("the last row", |screen| {
        screen.rows(0, 100).nth(29).is_some_and(|row| row.contains("q quit"))
    });
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
}

/// A view that had been stopped, and that a signal was to end in the background, stopped again.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_a_view_in_the_background() {
    let directory = Directory::new();
    let file = directory.path("pid");
    // A shell with job control, so that the view is a job of its own.
    let job = format!("sh -c 'echo $$ >{file}; exec \"$0\" info --watch' {QMP}");
    let script = format!("{job}; kill -TERM %1; bg %1; wait %1; echo \"status $?\"");
    let (mut terminal, _) = with_jobs(&script);
    terminal.expect("q quit");
    let id = std::fs::read_to_string(file).unwrap();
    kill_process(Pid::from_raw(id.trim().parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    // SIGTERM is 15.
    terminal.expect("status 143");
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.with_screen(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
}

/// Opens a terminal whose shell has job control. Returns its mode before the script begins, too.
#[cfg(target_os = "linux")]
fn with_jobs(script: &str) -> (Terminal, LocalModes) {
    let script = format!("read begin; {script}");
    let mut terminal =
        Terminal::open("setsid", &["--ctty", "--wait", "sh", "-mc", &script], 24, 80);
    let usual = terminal.mode();
    terminal.type_keys("\n");
    (terminal, usual)
}

/// Quits the view of a script that prints its status then, and expects the usual mode.
#[cfg(target_os = "linux")]
fn quits(mut terminal: Terminal, usual: LocalModes) {
    terminal.type_keys("q");
    terminal.expect("status 0");
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(terminal.mode(), usual);
}

/// Ctrl-Z gives the terminal to the shell, and `fg` shows the view again. A script that had started the view
/// kept the terminal.
#[test]
#[cfg(target_os = "linux")]
fn control_z_stops_the_view() {
    let view = format!("{QMP} info --watch");
    for job in [view.clone(), format!("sh -c '{view}; exit $?'")] {
        let (mut terminal, usual) =
            with_jobs(&format!("{job}; echo stopped; read line; fg %1; echo \"status $?\""));
        terminal.expect("q quit");
        terminal.type_keys("\u{1a}");
        terminal.wait_for("the usual screen", |screen| {
            screen.contents().contains("stopped") && !screen.alternate_screen()
        });
        assert_eq!(terminal.mode(), usual);
        terminal.type_keys("\n");
        terminal.wait_for("the view again", |screen| {
            screen.alternate_screen() && screen.contents().contains("q quit")
        });
        quits(terminal, usual);
    }
}

/// A view that a signal had stopped was continued in the shell's mode, with the keys shown among its rows.
#[test]
#[cfg(target_os = "linux")]
fn a_view_that_was_stopped_takes_the_terminal_back() {
    let directory = Directory::new();
    let file = directory.path("pid");
    let job = format!("sh -c 'echo $$ >{file}; exec \"$0\" info --watch' {QMP}");
    let shell = "stty sane; clear; echo stopped; read line; fg %1; echo \"status $?\"";
    let (mut terminal, usual) = with_jobs(&format!("{job}; {shell}"));
    terminal.expect("q quit");
    let id = std::fs::read_to_string(file).unwrap();
    kill_process(Pid::from_raw(id.trim().parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    terminal.expect("stopped");
    assert!(terminal.mode().contains(LocalModes::ICANON));
    terminal.type_keys("\n");
    terminal.wait_for("the view again", |screen| {
        screen.contents().contains("q quit") && !screen.contents().contains("stopped")
    });
    assert!(!terminal.mode().contains(LocalModes::ICANON));
    quits(terminal, usual);
}

/// A view that Ctrl-Z had stopped, and that a signal ended then, closed the screen of another program.
#[test]
#[cfg(target_os = "linux")]
fn a_view_that_is_ended_while_it_is_stopped_leaves_the_screen() {
    let other = "printf '\\033[?1049h\\033[?25l'";
    let end = "kill -TERM %1; bg %1; wait %1; echo \"status $?\"";
    let (mut terminal, usual) = with_jobs(&format!("{QMP} info --watch; {other}; {end}"));
    terminal.expect("q quit");
    terminal.type_keys("\u{1a}");
    // SIGTERM is 15.
    terminal.expect("status 143");
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.with_screen(|screen| screen.alternate_screen() && screen.hide_cursor()));
    assert_eq!(terminal.mode(), usual);
}

/// A view that was started in the background, where it waits for the terminal, could not be ended.
#[test]
#[cfg(target_os = "linux")]
fn a_view_in_the_background_waits_for_the_terminal() {
    let stopped = "until grep -q '^State:.T' /proc/$!/status; do sleep 0.1; done";
    let view = format!("{QMP} info --watch & {stopped}");
    let (terminal, usual) = with_jobs(&format!("{view}; fg %1; echo \"status $?\""));
    terminal.expect("q quit");
    quits(terminal, usual);
    let end = "kill -TERM %1; bg %1; wait %1; echo \"status $?\"";
    let (mut terminal, _) = with_jobs(&format!("{view}; {end}"));
    // SIGTERM is 15.
    terminal.expect("status 143");
    assert_eq!(terminal.end(), Some(0));
}

/// A QEMU that the view started did not receive the signals that end the view.
#[test]
#[cfg(target_os = "linux")]
fn a_launched_machine_is_started_with_the_usual_signals() {
    let directory = Directory::new();
    let (program, file) = (directory.path("qemu"), directory.path("mask"));
    let sim = format!("exec -a qemu-system-x86_64 {QMP} \"$@\"");
    let script = format!("#!/bin/bash\ngrep SigBlk: /proc/self/status >{file}\n{sim}\n");
    std::fs::write(&program, script).unwrap();
    Command::new("chmod").args(["+x", &program]).status().unwrap();
    let mut terminal = Terminal::open(QMP, &["info", "--watch", "--launch", &program], 24, 80);
    terminal.expect("q quit");
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let launched = std::fs::read_to_string(file).unwrap();
    assert!(own.contains(&launched), "{launched}");
    terminal.type_keys("q");
    assert_eq!(terminal.end(), Some(0));
}

/// Keys that are typed after `q`, while a QEMU takes its time to end, are for the next program.
#[test]
#[cfg(target_os = "linux")]
fn keys_after_the_end_are_left() {
    let directory = Directory::new();
    let (program, file) = (directory.path("qemu"), directory.path("pid"));
    let sim = format!("exec -a qemu-system-x86_64 {QMP} \"$@\"");
    std::fs::write(&program, format!("#!/bin/bash\necho $$ >{file}\n{sim}\n")).unwrap();
    Command::new("chmod").args(["+x", &program]).status().unwrap();
    let mut terminal = Terminal::open(QMP, &["info", "--watch", "--launch", &program], 24, 80);
    terminal.expect("q quit");
    let id = std::fs::read_to_string(file).unwrap();
    let qemu = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    kill_process(qemu, Signal::STOP).unwrap();
    terminal.type_keys("q");
    terminal.wait_for("the screen is closed", |screen| !screen.alternate_screen());
    terminal.type_keys("next\n");
    // The keys would be taken by then.
    std::thread::sleep(Duration::from_millis(300));
    kill_process(qemu, Signal::CONT).unwrap();
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(terminal.typed(), "next\n");
}

/// After its terminal had hung up, as with a lost connection, the program read the end of its input for
/// ever, and no signal but the strongest ended it.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_hangs_up() {
    for keys in ["", UNFINISHED] {
        for stopped in [false, true] {
            let arguments = ["info", "--watch", "--interval", "0.1"];
            let mut terminal = Terminal::open(QMP, &arguments, 24, 80);
            terminal.expect("q quit");
            terminal.type_keys(keys);
            if stopped {
                terminal.stop_output();
            }
            terminal.hang_up();
            let status = terminal.end_within(SOON);
            assert_eq!(
                status.signal(),
                Some(Signal::HUP.as_raw()),
                "{keys:?}, {stopped}: {status}"
            );
        }
    }
}

/// A terminal that takes no output, as when a connection stalls, kept the program from obeying a signal.
#[test]
fn a_signal_ends_a_view_that_cannot_be_drawn() {
    let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    let mut terminal = Terminal::open(QMP, &["info", "--watch", "--interval", "0.1"], 24, 80);
    terminal.expect("q quit");
    terminal.stop_output();
    // This is drawn.
    terminal.resize(30, 90);
    terminal.signal(Signal::TERM);
    let status = terminal.end_within(SOON);
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status}");
    assert!(terminal.mode().contains(usual));
}

#[test]
fn a_live_view_needs_a_terminal_and_a_machine() {
    assert!(run(QMP, &["info", "--watch"]).failed(2).contains("terminal"));
    let arguments = ["TERM=dumb", QMP, "info", "--watch"];
    let mut terminal = Terminal::open("env", &arguments, 24, 80);
    assert_eq!(terminal.end(), Some(2));
    terminal.expect("TERM");
    run(QMP, &["info", "--interval", "1"]).failed(2);
    run(QMP, &["info", "--watch", "--interval", "0"]).failed(2);
    let arguments = ["info", "--watch", "--timeout", "0.1", "/no/such/socket"];
    let mut terminal = Terminal::open(QMP, &arguments, 24, 80);
    assert_eq!(terminal.end(), Some(3));
    terminal.expect("No such file");
}
