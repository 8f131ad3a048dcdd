//! Shows a text that does not fit the terminal: with the program in `PAGER`, else with `less`.
//!
//! The pager is the foreground job of the terminal while it runs, as a program is that a shell starts.
//! Ctrl-C thereby ends the pager (`less` is told so), and not this program.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitOptions};
use rustix::termios;

use super::tty::Tty;

/// Shows a text until the person leaves the pager. Returns `false` if there is none.
pub(super) fn show(text: &str, tty: &Tty) -> io::Result<bool> {
    let Some(program) = program() else { return Ok(false) };
    tty.lend()?;
    let shown = run(&program, text);
    tty.enter()?;
    Ok(shown.is_ok())
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

fn run(program: &str, text: &str) -> io::Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", program]).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Quit if it fits, show colors, leave the text on the terminal, quit at Ctrl-C.
        command.env("LESS", "FRXK");
    }
    let own = foreground();
    if own.is_some() {
        command.process_group(0);
    }
    let mut child = command.spawn()?;
    let input = child.stdin.take();
    let text = text.to_owned();
    // The pager may be left before it has read everything.
    let writer = std::thread::spawn(move || {
        let _ = input.map(|mut input| input.write_all(text.as_bytes()));
    });
    match own {
        Some(own) => wait_in_foreground(&child, own),
        None => child.wait().map(drop)?,
    }
    let _ = writer.join();
    Ok(())
}

/// Returns the process group of this program if it is the terminal's foreground job.
fn foreground() -> Option<Pid> {
    let own = rustix::process::getpgrp();
    (termios::tcgetpgrp(io::stdin()).ok()? == own).then_some(own)
}

fn wait_in_foreground(child: &Child, own: Pid) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    let _ = termios::tcsetpgrp(io::stdin(), group);
    // The pager may have been stopped because it was not in the foreground yet.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::CONT);
    loop {
        match rustix::process::waitpid(Some(group), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Ok(Some(_)) | Err(_) => break,
        }
    }
    // Taking the terminal back from the background is allowed to those who block this signal.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTTOU);
    let blocked = signals.thread_block();
    let _ = termios::tcsetpgrp(io::stdin(), own);
    if blocked.is_ok() {
        let _ = signals.thread_unblock();
    }
}
