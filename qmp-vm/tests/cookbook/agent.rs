//! The guest agent: a real one, which runs on this host instead of in a guest, and a fake one.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use qmp_client::qmp::types::RunState;
use qmp_vm::ExecOutput;
use serde_json::{Value, json};

use crate::vm::{PATIENCE, REBOOTING, SUSPENDING, Scratch, Vm, block_on, eventually};
use crate::{guest_exec, guest_files, reboot, suspend};

/// A guest agent on this host. Dropping it kills the agent.
struct RealAgent(Child);

impl RealAgent {
    fn start(scratch: &Scratch) -> (Self, String) {
        let program = option_env!("QMP_TEST_FOUND_QEMU_GA").unwrap_or("qemu-ga");
        let agent = Command::new(program)
            .args(["-m", "unix-listen", "-p", &scratch.file("agent"), "-t", &scratch.file("")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (Self(agent), format!("unix:{}", scratch.file("agent")))
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[cfg_attr(not(qemu_ga), ignore = "needs qemu-ga: see QMP_TEST_QEMU_GA in CONTRIBUTING.md")]
fn programs_in_the_guest() {
    let scratch = Scratch::new();
    let (_agent, address) = RealAgent::start(&scratch);
    let run = |script: &str| -> ExecOutput {
        let arguments = [String::from("-c"), String::from(script)];
        block_on(guest_exec::run(&address, "/bin/sh", &arguments, PATIENCE)).unwrap()
    };
    let output = run("echo out; echo err >&2; exit 3");
    assert_eq!(output.exitcode, Some(3));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    // More than the default limit for a message.
    let output = run("head -c 6000000 /dev/zero");
    assert_eq!((output.stdout.len(), output.truncated()), (6_000_000, false));
    let missing = guest_exec::run(&address, "/no/such/program", &[], PATIENCE);
    assert!(block_on(missing).unwrap_err().server().is_some());
}

#[test]
#[cfg_attr(not(qemu_ga), ignore = "needs qemu-ga: see QMP_TEST_QEMU_GA in CONTRIBUTING.md")]
fn files_of_the_guest() {
    let scratch = Scratch::new();
    let (_agent, address) = RealAgent::start(&scratch);
    let socket = scratch.file("agent");
    eventually("the agent to listen", || std::fs::metadata(&socket).is_ok());
    let path = scratch.file("file");
    // Several pieces, and an incomplete one.
    let bytes: Vec<u8> = (0..200_001_u32).map(|number| number.to_le_bytes()[1]).collect();
    guest_files::put(&address, &path, &bytes).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    for (limit, fits) in [(bytes.len() + 1, true), (bytes.len(), true), (bytes.len() - 1, false)] {
        let read = guest_files::get(&address, &path, limit).unwrap();
        assert_eq!(read.as_ref(), fits.then_some(&bytes), "{limit}");
    }
    guest_files::put(&address, &path, b"short").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"short");
    assert!(guest_files::get(&address, "/no/such/file", 1).unwrap_err().server().is_some());
    assert!(guest_files::put(&address, "/no/such/file", b"").unwrap_err().server().is_some());
}

/// Serves one client as a guest agent. `on_command` is called with the name of each command, and
/// returns the reply; `None` if the agent does not answer.
pub fn serve_agent(listener: &UnixListener, mut on_command: impl FnMut(&str) -> Option<Value>) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).unwrap() > 0 {
        let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
        let command: Value = serde_json::from_slice(text).unwrap();
        let name = command["execute"].as_str().unwrap();
        let reply = if name == "guest-sync-delimited" {
            stream.get_mut().write_all(b"\xFF").unwrap();
            Some(command["arguments"]["id"].clone())
        } else {
            on_command(name)
        };
        if let Some(reply) = reply {
            let reply = format!("{}\n", json!({"return": reply}));
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
        }
        line.clear();
    }
}

/// Serves one client as the agent of a guest that reacts to this command by reading a key, and does
/// not answer it. Returns the names of all commands.
fn serve_guest(listener: &UnixListener, vm: &Vm, unanswered: &str) -> Vec<String> {
    let mut commands = Vec::new();
    serve_agent(listener, |name| {
        commands.push(name.to_owned());
        if name == unanswered {
            vm.human("sendkey a");
            None
        } else {
            Some(json!({}))
        }
    });
    commands
}

live! { qemu,
    fn a_guest_that_is_suspended(qemu) {
        let vm = Vm::with_guest(qemu, SUSPENDING, "");
        let path = vm.scratch.file("agent");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::scope(|scope| {
            let suspended = scope.spawn(|| {
                let asleep = async {
                    assert_eq!(vm.status(), RunState::Suspended);
                };
                let agent = format!("unix:{path}");
                block_on(suspend::run(&vm.address(), &agent, PATIENCE, asleep))
            });
            let commands = serve_guest(&listener, &vm, "guest-suspend-ram");
            suspended.join().unwrap().unwrap();
            assert_eq!(commands, ["guest-suspend-ram", "guest-ping"]);
        });
        assert_ne!(vm.status(), RunState::Suspended);
    }
}

live! { qemu,
    fn a_guest_that_reboots(qemu) {
        let vm = Vm::with_guest(qemu, REBOOTING, "");
        let path = vm.scratch.file("agent");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::scope(|scope| {
            let rebooted =
                scope.spawn(|| reboot::run(&vm.address(), &format!("unix:{path}"), PATIENCE));
            let commands = serve_guest(&listener, &vm, "guest-shutdown");
            rebooted.join().unwrap().unwrap();
            assert_eq!(commands, ["guest-shutdown", "guest-ping"]);
        });
        eventually("the guest to boot again", || vm.console() == "RR");
    }
}
