//! Shows a text that does not fit the terminal: with the program in `PAGER`, else with `less`.
//!
//! The pager is the foreground job of the terminal while it runs, as a program is that a shell starts.
//! Ctrl-C thereby ends the pager (`less` is told so), and not this program.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::termios;

use super::tty::Tty;
use crate::ending::allow_from_background;

/// The program of a pager for `sh`, which stops until it is the foreground job: before that, Ctrl-C
/// would end this program, and the pager would see a terminal that is not its own.
const WHEN_IN_FOREGROUND: &str = "kill -STOP $$; eval \"$1\"";
const AT_ONCE: &str = "eval \"$1\"";

/// Shows a text until the person leaves the pager. Returns `false` if there is none.
pub(super) fn show(text: &str, tty: &Tty) -> io::Result<bool> {
    let Some(program) = program() else { return Ok(false) };
    let status = match foreground() {
        Some(own) => as_foreground_job(&program, text, tty, own),
        None => {
            tty.lend()?;
            let shown = command(AT_ONCE, &program).spawn().map(|mut child| {
                let writer = feed(&mut child, text);
                let status = child.wait().ok().and_then(|status| status.code());
                let _ = writer.join();
                status
            });
            tty.enter()?;
            shown
        }
    };
    // `sh` says so of a program that does not exist, or cannot be executed.
    Ok(status.is_ok_and(|status| !matches!(status, Some(126 | 127))))
}

/// Returns the command of the pager, for `sh`.
fn program() -> Option<String> {
    match std::env::var("PAGER") {
        // `cat` and an empty value are how people say that they want none.
        Ok(program) if matches!(program.trim(), "" | "cat") => None,
        Ok(program) => Some(program),
        Err(_) => {
            let path = std::env::var_os("PATH")?;
            let found = std::env::split_paths(&path).any(|path| path.join("less").is_file());
            found.then(|| String::from("less"))
        }
    }
}

fn command(script: &str, program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", program]).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Quit if it fits, show colors, leave the text on the terminal, quit at Ctrl-C.
        command.env("LESS", "FRXK");
    }
    command
}

/// Writes the text to the pager, which may be left before it has read everything.
fn feed(child: &mut Child, text: &str) -> JoinHandle<()> {
    let (input, text) = (child.stdin.take(), text.to_owned());
    std::thread::spawn(move || {
        let _ = input.map(|mut input| input.write_all(text.as_bytes()));
    })
}

/// Returns the process group of this program if it is the terminal's foreground job.
fn foreground() -> Option<Pid> {
    let own = rustix::process::getpgrp();
    (termios::tcgetpgrp(io::stdin()).ok()? == own).then_some(own)
}

/// Returns the pager's exit status, if it has one.
fn as_foreground_job(program: &str, text: &str, tty: &Tty, own: Pid) -> io::Result<Option<i32>> {
    // A pager must not inherit what is allowed after it is started.
    let mut child = command(WHEN_IN_FOREGROUND, program).process_group(0).spawn()?;
    let _allowed = allow_from_background();
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = group.ok_or(io::ErrorKind::NotFound)?;
    let mut status = wait(group);
    if status.is_some_and(|status| status.stopped()) {
        termios::tcsetpgrp(io::stdin(), group)?;
        tty.lend()?;
        let writer = feed(&mut child, text);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::CONT);
        status = wait(group);
        while status.is_some_and(|status| status.stopped()) {
            // Nothing would continue it.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            status = wait(group);
        }
        let _ = writer.join();
    }
    tty.enter()?;
    termios::tcsetpgrp(io::stdin(), own)?;
    Ok(status.and_then(|status| status.exit_status()))
}

/// Waits until the pager has stopped or exited; `None` if it has exited already.
fn wait(pid: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Ok(Some((_, status))) => return Some(status),
            Err(_) => return None,
        }
    }
}
