//! `qmp-shell` at a terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "support/person.rs"]
mod person;
#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::time::{Duration, Instant};

use person::Terminal;
use scripted::{Scripted, nothing};

/// Keys that arrive together, and before the prompt reads them, are all processed.
#[test]
fn keys_typed_ahead_are_not_lost() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("query-status\rstop\rquery-status\r");
    terminal.expect("\"running\": true");
    terminal.expect(" STOP");
    terminal.expect("\"running\": false");
    terminal.expect_prompt();
    // An incomplete line is shown immediately.
    terminal.press("query-nam");
    terminal.expect_line("(QEMU) query-nam");
    terminal.press("e\r");
    terminal.expect("\"name\": \"");
    terminal.expect_prompt();
    // Ctrl-C discards the line, and Ctrl-D exits.
    terminal.press("nonsense\x03");
    terminal.expect("(QEMU) nonsense^C");
    terminal.expect_prompt();
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
}

/// A signal ends the program as it would any other, and leaves the terminal as it was.
#[test]
fn a_signal_restores_the_terminal() {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::LocalModes;

    let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        if support::is_ignored(signal.as_raw()) {
            continue;
        }
        let mut terminal = Terminal::open(&[]);
        terminal.expect_prompt();
        assert!(!terminal.mode().intersects(usual));
        terminal.press("query-st");
        terminal.expect_line("(QEMU) query-st");
        kill_process(Pid::from_child(&terminal.shell.0), signal).unwrap();
        terminal.exit();
        let status = terminal.shell.0.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status:?}");
        assert!(terminal.mode().contains(usual), "{signal:?}");
    }
}

/// After the prompt, while a launched QEMU took its time to end, signals were ignored.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_a_shell_after_its_prompt() {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::LocalModes;

    let directory = support::Directory::new();
    let (program, file) = (directory.path("qemu"), directory.path("pid"));
    let sim = format!("exec -a qemu-system-x86_64 {} \"$@\"", support::QMP);
    std::fs::write(&program, format!("#!/bin/bash\necho $$ >{file}\n{sim}\n")).unwrap();
    std::process::Command::new("chmod").args(["+x", &program]).status().unwrap();
    for when in ["while it is left", "afterwards"] {
        let mut terminal = Terminal::open(&["--launch", &program]);
        terminal.expect_prompt();
        let id = std::fs::read_to_string(&file).unwrap();
        let qemu = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
        kill_process(qemu, Signal::STOP).unwrap();
        terminal.press("\x04");
        let until = Instant::now() + Duration::from_secs(30);
        while !terminal.mode().contains(LocalModes::ICANON) {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(1));
        }
        if when == "afterwards" {
            terminal.pause(Duration::from_millis(500));
        }
        kill_process(Pid::from_child(&terminal.shell.0), Signal::TERM).unwrap();
        let begin = Instant::now();
        let status = terminal.shell.0.wait().unwrap();
        let _ = kill_process(qemu, Signal::KILL);
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{when}: {status:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{when}");
    }
}

/// A terminal that takes no output, as when a connection stalls, kept the shell from obeying a signal.
#[test]
fn a_signal_ends_a_prompt_that_cannot_be_shown() {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::LocalModes;

    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.stop_output();
    terminal.press("query-st");
    terminal.pause(Duration::from_millis(200));
    kill_process(Pid::from_child(&terminal.shell.0), Signal::TERM).unwrap();
    terminal.exit();
    let status = terminal.shell.0.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status:?}");
    assert!(terminal.mode().contains(LocalModes::ICANON | LocalModes::ECHO));
}

#[test]
fn lines_continue_until_the_command_is_complete() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("{\"execute\":\r");
    terminal.expect_line("  ...");
    terminal.press("\"query-status\"}\r");
    terminal.expect("\"running\": true");
    terminal.expect_prompt();
    terminal.press("exit\r");
    assert_eq!(terminal.exit(), 0);
}

#[test]
fn a_command_is_completed_from_a_menu() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("query-ver");
    terminal.press("\t");
    terminal
        .until("query-version", |terminal| terminal.line().0.starts_with("(QEMU) query-version"));
    terminal.press("\x15query-me\t");
    terminal.expect("query-memdev");
    terminal.expect("query-memory-devices");
    terminal.press("\t");
    terminal.until("query-memdev", |terminal| terminal.line().0.starts_with("(QEMU) query-memdev"));
    terminal.press("\r\r");
    terminal.expect("\"pc.ram\"");
}

/// A paste of several commands executes each of them, in order; the rest is left to be edited.
#[test]
fn a_paste_executes_each_command() {
    let mut terminal = Terminal::open(&[]);
    terminal.resize(80, 60);
    terminal.expect_prompt();
    let paste = "stop\n{\"execute\":\n \"query-status\"}\ncont\nquery-na";
    terminal.press(&format!("\x1b[200~{paste}\x1b[201~"));
    terminal.expect_line("(QEMU) query-na");
    let text = terminal.text();
    let order = ["(QEMU) stop", " STOP", "\"running\": false", "(QEMU) cont", " RESUME"];
    let places: Vec<_> = order.iter().map(|part| text.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
}

/// An event is shown as soon as it arrives, and the line that is being edited is kept, also if it
/// wraps, has wide characters, and has a menu below it.
#[test]
fn events_are_printed_above_the_line() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect("QEMU 10.0.2");
    terminal.expect_prompt();
    terminal.press("half a comm");
    terminal.expect_line("(QEMU) half a comm");
    machine.event("POWERDOWN");
    terminal.expect("POWERDOWN");
    terminal.expect_line("(QEMU) half a comm");

    let long = format!("{}漢字漢字", "0123456789".repeat(14));
    terminal.press(&format!("\x15{long}\x1b[D\x1b[D"));
    let second = format!("{}漢字漢字", &long[72..140]);
    terminal.until("a wrapped line", |terminal| terminal.line() == (second.clone(), 72));
    machine.event("SUSPEND");
    terminal.until("an event above it", |terminal| {
        let rows = terminal.rows();
        let event = rows.iter().position(|row| row.contains("SUSPEND"));
        let first = rows.iter().position(|row| row.starts_with("(QEMU) 0123456789"));
        matches!((event, first), (Some(event), Some(first)) if event < first)
            && terminal.line() == (second.clone(), 72)
    });

    terminal.press("\x05\x15query-me\t");
    terminal.expect("  query-memory-size-summary");
    terminal.press("\t");
    terminal.expect("(QEMU) query-memdev");
    machine.event("WAKEUP");
    terminal.expect("WAKEUP");
    terminal.until("the menu", |terminal| {
        let rows = terminal.rows();
        let at = rows.iter().position(|row| row.contains("WAKEUP"));
        let line = rows.iter().position(|row| row.starts_with("(QEMU) query-memdev"));
        let menu = rows.iter().position(|row| row.starts_with("  query-memory-devices"));
        at < line && line < menu && terminal.line().0.starts_with("(QEMU) query-memdev")
    });
}

#[test]
fn the_line_survives_a_resize() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    let long = "0123456789".repeat(10);
    terminal.press(&long);
    terminal.until("a wrapped line", |terminal| terminal.text().ends_with(&long[72..]));
    terminal.resize(40, 20);
    let rows = |terminal: &Terminal, columns: usize| {
        let expected: Vec<char> = format!("(QEMU) {long}").chars().collect();
        let expected = expected.chunks(columns - 1).map(|row| row.iter().collect::<String>());
        terminal.text().ends_with(&expected.collect::<Vec<_>>().join("\n"))
    };
    terminal.until("a narrow line", |terminal| rows(terminal, 40));
    machine.event("POWERDOWN");
    terminal.expect("POWERDOWN");
    terminal.until("a narrow line", |terminal| rows(terminal, 40));
    terminal.resize(100, 30);
    terminal.until("a wide line", |terminal| rows(terminal, 100));
}

/// A connection that is lost is said at once, with the reason; no key has to be pressed.
#[test]
fn a_lost_connection_ends_the_shell() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    terminal.press("half");
    terminal.expect_line("(QEMU) half");
    machine.hang_up();
    terminal.expect("the connection has ended: the peer closed it");
    assert_eq!(terminal.exit(), 3);
    assert!(terminal.text().contains("(QEMU) half"), "{}", terminal.text());
}

/// Ctrl-C gives the prompt back while a command waits, and the reply is shown when it comes.
#[test]
fn control_c_ends_a_wait() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    terminal.press("\x03");
    terminal.expect("Ctrl-D or `exit` leaves");
    terminal.press("stop\r");
    let stop = machine.command();
    terminal.expect("(waiting for `stop`");
    // What is typed meanwhile is not executed as something else.
    terminal.press("cont\rqu");
    terminal.expect("then 1 more");
    let begin = Instant::now();
    terminal.press("\x03");
    terminal.expect_prompt();
    eprintln!("Ctrl-C to prompt: {:?}", begin.elapsed());
    machine.reply(&stop, "{\"late\": 1}");
    terminal.expect("\"late\": 1");
    terminal.expect_prompt();
    terminal.press("query-status\r");
    let status = machine.command();
    assert_eq!(status["execute"], "query-status");
    machine.reply(&status, "{}");
    terminal.expect_prompt();
    // An event has no reply that would be shown later.
    terminal.press("wait RESUME\r");
    terminal.expect("(waiting for `wait RESUME`");
    terminal.press("\x03");
    terminal.expect("no longer waiting for RESUME\n");
}

/// Lines that were completed while a command waited are executed after it; text remains text.
#[test]
fn lines_typed_ahead_are_executed_in_order() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    terminal.press("stop\r");
    let stop = machine.command();
    terminal.press("cont\rqu");
    terminal.expect("qu");
    machine.reply(&stop, "{\"first\": 1}");
    let cont = machine.command();
    assert_eq!(cont["execute"], "cont");
    machine.reply(&cont, "{\"second\": 2}");
    terminal.expect("\"second\": 2");
    terminal.expect_line("(QEMU) qu");
    let text = terminal.text();
    assert!(text.find("\"first\"") < text.find("(QEMU) cont"), "{text}");
}

#[test]
fn quit_asks_first_where_a_real_machine_ends() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    // An answer that was typed before the question is none.
    terminal.press("quit\ry\r");
    terminal.expect("Continue? [y/N]");
    terminal.press("\r");
    terminal.expect("not executed");
    terminal.expect_prompt();
    terminal.press("quit\r");
    terminal.until("a second question", |terminal| terminal.line().0.ends_with("[y/N]"));
    terminal.press("\x03");
    terminal.expect_prompt();
    terminal.press("{\"execute\": \"quit\"}\r");
    terminal.until("a third question", |terminal| terminal.line().0.ends_with("[y/N]"));
    terminal.press("y\r");
    let quit = machine.command();
    assert_eq!(quit["execute"], "quit");
    machine.reply(&quit, "{}");
    machine.hang_up();
    terminal.expect("The connection was closed.");
    assert_eq!(terminal.exit(), 0);
}

#[test]
fn quit_does_not_ask_where_nothing_is_lost() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("quit\r");
    terminal.expect("The connection was closed.");
    assert_eq!(terminal.exit(), 0);

    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&["--yes", &machine.path]);
    terminal.expect_prompt();
    terminal.press("quit\r");
    assert_eq!(machine.command()["execute"], "quit");
}

/// Secrets reach neither the file nor the memory of the history, whatever the syntax.
#[test]
fn secrets_are_not_kept_in_the_history() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    for line in [
        "object-add qom-type=secret id=s0 data=hunter2",
        "{\"execute\": \"set_password\", \"arguments\": {\"protocol\": \"vnc\", \"password\": \"hunter2\"}}",
        "set_password vnc hunter2",
    ] {
        terminal.press(&format!("{line}\r"));
        terminal.until("the next prompt", |terminal| terminal.line().0 == "(QEMU)");
    }
    // The last one is refused: its arguments have no keys.
    terminal.press("\x1b[A\x1b[A\x1b[A");
    terminal.expect_line("(QEMU) object-add qom-type=secret id=s0 data=<secret>");
    // The mask would become the password.
    terminal.press("\r");
    terminal.expect("not executed: the history has no secrets");
    terminal.expect_line("(QEMU)");
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
    let (path, text) = history(&terminal);
    assert!(!text.contains("hunter2") && text.contains("id=s0"), "{text}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Returns the only file of a history, and what is in it.
fn history(terminal: &Terminal) -> (std::path::PathBuf, String) {
    let directory = terminal.state.path("qmp/history");
    let mut files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let path = files.next().unwrap();
    assert_eq!(files.next(), None);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_history_is_searched() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("query-version\r");
    terminal.expect("\"qemu\"");
    terminal.press("query-name\r");
    terminal.expect("\"name\"");
    terminal.expect_prompt();
    terminal.press("\x12vers");
    terminal.expect_line("(search `vers`) query-version");
    terminal.press("\x1b[C#");
    terminal.until("the found line", |terminal| terminal.line().0.contains("query-vers"));
}

/// A long reply is shown by the pager, which Ctrl-C ends; the shell goes on.
#[test]
fn control_c_ends_the_pager_and_not_the_shell() {
    // The pager inherits that.
    if support::is_ignored(2) {
        return;
    }
    // Both are one process: a shell between two commands may miss a signal.
    let pagers = ["exec cat - /dev/tty", "less"];
    for pager in pagers {
        // The shell needs the terminal as its own, as it is where a person starts it.
        let mut command = std::process::Command::new("setsid");
        command.args(["--ctty", "--wait", support::SHELL]);
        let mut terminal = Terminal::start(command, |command| {
            command.env("PAGER", pager).env_remove("LESS");
        });
        terminal.expect_prompt();
        terminal.press("query-status\r");
        terminal.expect("\"running\": true");
        terminal.expect_prompt();
        terminal.press("query-commands\r");
        match pager {
            "less" => terminal.until("a page", |terminal| terminal.line().0.starts_with(':')),
            _ => terminal.until("the end", |terminal| terminal.text().ends_with("\n]")),
        }
        // `less` overlooks one that comes right before it waits for a key.
        let is_prompt = |terminal: &Terminal| terminal.line() == ("(QEMU)".to_owned(), 7);
        for _ in 0..10 {
            terminal.press("\x03");
            if terminal.soon(Duration::from_secs(2), is_prompt) {
                break;
            }
        }
        terminal.expect_prompt();
        terminal.press("query-name\r");
        terminal.expect("(QEMU) query-name");
        terminal.expect("\"name\"");
        terminal.expect_prompt();
        terminal.press("\x04");
        assert_eq!(terminal.exit(), 0);
    }
}

/// A shell that Ctrl-Z had stopped, and that a signal was to end in the background, stopped again.
#[test]
fn a_signal_ends_a_shell_in_the_background() {
    // A shell with job control, so that ours is a job.
    let script = "\"$0\"; kill -TERM %1; bg %1; wait %1; echo \"status $?\"";
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-mc", script, support::SHELL]);
    let mut terminal = Terminal::start(command, |_| {});
    terminal.expect_prompt();
    terminal.press("\x1a");
    // SIGTERM is 15.
    terminal.expect("status 143");
    assert_eq!(terminal.exit(), 0);
}

/// A shell that a signal had stopped was continued in the mode of the one that had started it.
#[test]
#[cfg(target_os = "linux")]
fn a_shell_that_was_stopped_takes_the_terminal_back() {
    use rustix::process::{Pid, Signal, kill_process};

    let directory = support::Directory::new();
    let file = directory.path("pid");
    let job = format!("sh -c 'echo $$ >{file}; exec \"$0\"' \"$0\"");
    let script = format!("{job}; stty sane; echo stopped; read line; fg %1");
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-mc", &script, support::SHELL]);
    let mut terminal = Terminal::start(command, |_| {});
    terminal.expect_prompt();
    let id = std::fs::read_to_string(file).unwrap();
    kill_process(Pid::from_raw(id.trim().parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    terminal.expect("stopped");
    terminal.press("\n");
    terminal.expect_prompt();
    // Without echo, and in a mode in which each key arrives at once.
    terminal.press("query-nam");
    terminal.expect_line("(QEMU) query-nam");
    terminal.press("e\r");
    terminal.expect("\"name\": \"");
    terminal.expect_prompt();
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
}

/// A shell that was started in the background stops, and takes over when it is the foreground job.
#[test]
#[cfg(target_os = "linux")]
fn a_shell_in_the_background_waits_for_the_terminal() {
    let stopped = "until grep -q '^State:.T' /proc/$!/status; do sleep 0.1; done";
    let script = format!("\"$0\" & {stopped}; bg %1; sleep 0.2; {stopped}; echo again; fg %1");
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-mc", &script, support::SHELL]);
    let mut terminal = Terminal::start(command, |_| {});
    terminal.expect("again");
    terminal.expect_prompt();
    terminal.press("query-status\r");
    terminal.expect("\"running\": true");
    terminal.expect_prompt();
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
}

/// A hangup that is ignored, as `nohup` does, does not end the shell.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\"", support::SHELL]);
    let mut terminal = Terminal::start(command, |_| {});
    terminal.expect_prompt();
    let id = rustix::process::Pid::from_child(&terminal.shell.0);
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    terminal.pause(Duration::from_millis(100));
    terminal.press("query-status\r");
    terminal.expect("\"running\": true");
    terminal.expect_prompt();
    terminal.press("\x04");
    assert_eq!(terminal.exit(), 0);
}

/// A reply was lost if the pager did not exist.
#[test]
fn a_pager_that_does_not_exist_is_done_without() {
    for setsid in [false, true] {
        let mut command = std::process::Command::new(if setsid { "setsid" } else { "env" });
        command.args(if setsid { &["--ctty", "--wait"][..] } else { &[] }).arg(support::SHELL);
        let mut terminal = Terminal::start(command, |command| {
            command.env("PAGER", "/no/such/pager");
        });
        terminal.expect_prompt();
        terminal.press("query-commands\r");
        terminal.until("the reply", |terminal| terminal.text().contains("\n]\n(QEMU)"));
        terminal.press("\x04");
        assert_eq!(terminal.exit(), 0);
    }
}

#[test]
fn colors_are_used_where_they_are_wanted() {
    let colored = |terminal: &Terminal| {
        let text = String::from_utf8_lossy(&terminal.raw).into_owned();
        text.contains("\x1b[1;3")
    };
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    assert!(colored(&terminal));
    let mut terminal = Terminal::open_with(&[], |command| {
        command.env("NO_COLOR", "1");
    });
    terminal.expect_prompt();
    terminal.press("stop\r");
    terminal.expect("STOP");
    terminal.expect_prompt();
    assert!(!colored(&terminal));
}

/// The time from the start to the first prompt is that of the connection, and little more.
#[test]
fn the_prompt_is_there_soon() {
    // A build for debugging on a busy machine is slower than the 20 ms that are meant, and not always
    // as slow.
    let times: Vec<_> = std::iter::repeat_with(|| {
        let machine = Scripted::listen(nothing);
        let begin = Instant::now();
        let mut terminal = Terminal::open(&[&machine.path]);
        terminal.expect_prompt();
        begin.elapsed()
    })
    .take(5)
    .collect();
    eprintln!("start to first prompt: {times:?}");
    assert!(times.iter().any(|took| took.as_millis() < 2000), "{times:?}");
}

/// A terminal that cannot move its cursor has lines that it edits itself.
#[test]
fn a_dumb_terminal_has_a_prompt() {
    let mut terminal = Terminal::open_with(&[], |command| {
        command.env("TERM", "dumb");
    });
    terminal.expect("(QEMU)");
    terminal.press("query-status\r");
    terminal.expect("\"running\": true");
    terminal.press("exit\r");
    assert_eq!(terminal.exit(), 0);
    assert!(!terminal.raw.contains(&0x1b));
}

/// Each kind of completion, at the simulated machine.
#[test]
fn what_can_be_typed_is_completed() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    for (typed, expected, menu) in [
        // A command, an argument, a value of an enumeration.
        ("query-statu", "query-status", ""),
        ("set_link n", "set_link name=", ""),
        ("blockdev-mirror sync=f", "blockdev-mirror sync=full", ""),
        ("blockdev-mirror sync=", "blockdev-mirror sync=", "  incremental"),
        // A member of a member, of the branch that is selected.
        (
            "blockdev-add driver=qcow2 file.driver=file file.filen",
            { "blockdev-add driver=qcow2 file.driver=file file.filename=" },
            "",
        ),
        // A device model, and its property.
        ("device_add driver=virtio-blk-p", "device_add driver=virtio-blk-pci", ""),
        ("device_add driver=virtio-blk-pci driv", "device_add driver=virtio-blk-pci drive=", ""),
        // An option of the shell.
        ("set outp", "set output=", ""),
    ] {
        terminal.press(&format!("{typed}\t"));
        let line = format!("(QEMU) {expected}");
        terminal.until(&line, |terminal| {
            terminal.line().0.starts_with(&line) && terminal.text().contains(menu)
        });
        // Ctrl-G closes the menu, and Ctrl-U clears the line.
        terminal.press("\x07\x15");
        terminal.expect_prompt();
    }
    // A node, which did not exist when the shell was started.
    terminal.press("blockdev-add driver=null-co node-name=fresh0 size=65536\r");
    terminal.expect("{}");
    terminal.expect_prompt();
    terminal.press("blockdev-del node-name=fr\t");
    terminal.until("the node", |terminal| {
        terminal.line().0.starts_with("(QEMU) blockdev-del node-name=fresh0")
    });
}

/// The arguments that a command needs are shown after the cursor.
#[test]
fn a_hint_shows_what_is_missing() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect_prompt();
    terminal.press("set_link ");
    terminal.until("a hint", |terminal| {
        let (line, column) = terminal.line();
        line.contains("name=") && line.contains("up=") && column == 16
    });
}

/// Names that a server gives to its things never control the terminal, in the menu or in the line.
#[test]
fn names_of_a_hostile_server_are_harmless() {
    let mut machine = Scripted::listen(hostile);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    terminal.press("chardev-remove id=\t");
    terminal.expect("evil");
    terminal.press("\t");
    terminal.pause(Duration::from_millis(200));
    machine.say("{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"A\\u001b]0;x\\u0007\"}");
    terminal.expect("]0;x");
    terminal.press("\x1b");
    terminal.pause(Duration::from_millis(100));
    let text = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(!text.contains("\x1b]") && !text.contains("\x1b[2J"), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text:?}");
}

/// Answers with names that would set a title, clear the screen, and turn text around.
fn hostile(command: &str) -> Option<&'static str> {
    match command {
        "query-chardev" => Some(
            r#"{"return": [{"label": "evil\u001b]0;x\u0007", "filename": "\u001b[2J\u202e", "frontend-open": true}, {"label": "evil\u009b", "filename": "f", "frontend-open": true}]"#,
        ),
        other => nothing(other),
    }
}

/// A flood of events does not keep keys from being handled.
#[test]
fn keys_are_handled_in_a_flood_of_events() {
    let mut machine = Scripted::listen(nothing);
    let mut terminal = Terminal::open(&[&machine.path]);
    terminal.expect_prompt();
    machine.event("POWERDOWN");
    let mut flood = machine.stream();
    let flooding = std::thread::spawn(move || {
        use std::io::Write;
        let event =
            "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESUME\"}\n";
        while flood.write_all(event.repeat(100).as_bytes()).is_ok() {}
    });
    terminal.expect("RESUME");
    terminal.press("abc");
    terminal.expect_line("(QEMU) abc");
    terminal.press("\x03\x04");
    assert_eq!(terminal.exit(), 0);
    flooding.join().unwrap();
}
