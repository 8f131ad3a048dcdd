//! The guest agent: a real one, on this host. There is no guest.

use std::process::{Command, Stdio};

use qmp_client::ExecOutput;

use crate::guest_exec;
use crate::vm::{PATIENCE, Scratch, block_on};

#[test]
#[cfg_attr(not(qemu_ga), ignore = "needs qemu-ga, or a program named in QMP_TEST_QEMU_GA")]
fn programs_in_the_guest() {
    let scratch = Scratch::new();
    let program = std::env::var("QMP_TEST_QEMU_GA").unwrap_or_else(|_| "qemu-ga".to_owned());
    let mut agent = Command::new(program)
        .args(["-m", "unix-listen", "-p", &scratch.file("agent"), "-t", &scratch.file("")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("unix:{}", scratch.file("agent"));
    let run = |script: &str| -> ExecOutput {
        let arguments = [String::from("-c"), String::from(script)];
        block_on(guest_exec::run(&address, "/bin/sh", &arguments, PATIENCE)).unwrap()
    };
    let output = run("echo out; echo err >&2; exit 3");
    assert_eq!(output.exitcode, Some(3));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    // More than the limit for a message is, unless it is raised.
    let output = run("head -c 6000000 /dev/zero");
    assert_eq!((output.stdout.len(), output.truncated), (6_000_000, false));
    let missing = guest_exec::run(&address, "/no/such/program", &[], PATIENCE);
    assert!(block_on(missing).unwrap_err().server().is_some());
    agent.kill().unwrap();
    agent.wait().unwrap();
}
