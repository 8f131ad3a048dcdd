//! Guest agents: scripted ones that misbehave, and real ones.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::{Duration, Instant};

use qmp_client::qga::commands::{GuestInfo, GuestPing, GuestShutdown};
use qmp_client::transport::Unix;
use qmp_client::{Dialect, Error, Options, Raw};
use qmp_vm::blocking::Agent;
use qmp_vm::{Exec, ShutdownMode, SuspendMode};
use serde_json::{Value, json};

mod real_agent;

use real_agent::RealAgent;

const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(60);

/// The agent's side of a script.
struct Guest {
    stream: BufReader<UnixStream>,
}

impl Guest {
    fn command(&mut self) -> Value {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
        serde_json::from_slice(text).unwrap_or_default()
    }

    fn expect(&mut self, name: &str) -> Value {
        let command = self.command();
        assert_eq!(command["execute"], name, "{command}");
        assert!(command.get("id").is_none(), "{command}");
        command["arguments"].clone()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn answer(&mut self, value: &Value) {
        self.send(format!("{}\n", json!({"return": value})).as_bytes());
    }

    fn sync(&mut self) {
        let arguments = self.expect("guest-sync-delimited");
        self.send(b"\xFF");
        self.answer(&arguments["id"]);
    }
}

fn play(script: impl FnOnce(&mut Guest) + Send, check: impl FnOnce(Result<Agent, Error>)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| script(&mut Guest { stream: BufReader::new(theirs) }));
        let options = Options::new().greeting_within(Duration::from_secs(5));
        check(Agent::over(Unix::from_stream(ours).unwrap(), &options));
    });
}

/// [`play`], with the client on tokio.
fn play_on_tokio(script: impl FnOnce(&mut Guest) + Send, check: impl AsyncFnOnce(qmp_vm::Agent)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    ours.set_nonblocking(true).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| script(&mut Guest { stream: BufReader::new(theirs) }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(ours).unwrap();
            let (connecting, driver) =
                qmp_client::tokio::over(stream, &Options::new().dialect(Dialect::Agent));
            tokio::spawn(driver);
            check(qmp_vm::Agent::from_client(connecting.await.unwrap())).await;
        });
    });
}

/// An earlier client left replies unread, and half of another one.
#[test]
fn stale_replies_do_no_harm() {
    play(
        |guest| {
            guest.send(b"{\"return\": 7}\n{\"return\": {\"status\": \"fro");
            guest.sync();
            guest.expect("guest-ping");
            guest.answer(&json!({}));
        },
        |agent| agent.unwrap().ping(PATIENCE).unwrap(),
    );
}

/// Without the delimiter, the half line spoils the first reply, and the second attempt succeeds.
#[test]
fn old_agents_are_synchronized_too() {
    play(
        |guest| {
            guest.send(b"{\"return\": {\"status\": \"fro");
            guest.expect("guest-sync-delimited");
            let error = json!({"class": "CommandNotFound", "desc": "no"});
            guest.send(format!("\n{}\n", json!({"error": error})).as_bytes());
            let id = guest.expect("guest-sync")["id"].clone();
            guest.answer(&id);
            guest.expect("guest-ping");
            guest.answer(&json!({}));
        },
        |agent| agent.unwrap().ping(PATIENCE).unwrap(),
    );
}

/// An agent that starts late has not received the first attempt.
#[test]
fn a_late_agent_is_waited_for() {
    play(
        |guest| {
            guest.expect("guest-sync-delimited");
            guest.sync();
            guest.expect("guest-ping");
            guest.answer(&json!({}));
        },
        |agent| agent.unwrap().ping(PATIENCE).unwrap(),
    );
}

#[test]
fn silence_is_a_timeout() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let options = Options::new().greeting_within(SOON);
    let error = Agent::over(Unix::from_stream(ours).unwrap(), &options).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.to_string().contains("waiting for the guest agent"), "{error}");
}

/// A late reply has no id: only synchronizing tells it from the next reply.
#[test]
fn a_timeout_is_followed_by_synchronization() {
    play(
        |guest| {
            guest.sync();
            guest.expect("first");
            let arguments = guest.expect("guest-sync-delimited");
            guest.answer(&json!("late"));
            guest.send(b"\xFF");
            guest.answer(&arguments["id"]);
            guest.expect("second");
            guest.answer(&json!("right"));
        },
        |agent| {
            let agent = agent.unwrap();
            let error = agent.execute_within(Raw::<Value>::new("first"), SOON).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert_eq!(agent.execute(Raw::<String>::new("second")).unwrap(), "right");
        },
    );
}

/// The agent is restarted while a call is in flight that is then cancelled, and never receives the
/// first attempt to synchronize again. The next call is answered all the same, within its deadline.
#[test]
fn a_cancelled_call_is_followed_by_synchronization() {
    let script = |guest: &mut Guest| {
        guest.sync();
        guest.expect("first");
        // The first attempt is lost.
        guest.expect("guest-sync-delimited");
        guest.sync();
        guest.expect("second");
        guest.answer(&json!("right"));
    };
    play_on_tokio(script, async |agent| {
        let first = agent.execute_within(Raw::<Value>::new("first"), PATIENCE);
        assert!(tokio::time::timeout(SOON, first).await.is_err());
        let begin = std::time::Instant::now();
        let second = agent.execute_within(Raw::<String>::new("second"), PATIENCE);
        assert_eq!(second.await.unwrap(), "right");
        assert!(begin.elapsed() < PATIENCE);
    });
    // Here, the ticket is dropped.
    play(script, |agent| {
        let agent = agent.unwrap();
        drop(agent.client().send(Raw::<Value>::new("first")).unwrap());
        assert_eq!(agent.execute(Raw::<String>::new("second")).unwrap(), "right");
    });
}

/// Synchronization begins as soon as the call is cancelled, not with the next call.
#[test]
fn synchronization_after_a_cancelled_call_begins_at_once() {
    let (told, hears) = std::sync::mpsc::channel();
    let script = move |guest: &mut Guest| {
        guest.sync();
        guest.expect("first");
        guest.sync();
        told.send(()).unwrap();
    };
    play_on_tokio(script, async |agent| {
        let first = agent.execute_within(Raw::<Value>::new("first"), 10 * PATIENCE);
        // By then, the driver is idle: nothing has arrived for a while.
        assert!(tokio::time::timeout(10 * SOON, first).await.is_err());
        let heard = tokio::task::spawn_blocking(move || hears.recv_timeout(PATIENCE));
        heard.await.unwrap().unwrap();
    });
}

/// The success of a shutdown is not answered: the agent refuses, stays silent, or is gone.
#[test]
fn a_guest_shuts_down_or_refuses() {
    let refuses = |guest: &mut Guest| {
        guest.sync();
        assert_eq!(guest.expect("guest-shutdown")["mode"], "reboot");
        guest.send(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n");
        guest.expect("guest-suspend-ram");
        guest.send(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n");
        // There was a reply, so no synchronization is needed.
        guest.expect("guest-ping");
        guest.answer(&json!({}));
    };
    let closes = |guest: &mut Guest| {
        guest.sync();
        assert_eq!(guest.expect("guest-shutdown")["mode"], "powerdown");
    };
    let is_silent = |guest: &mut Guest| {
        guest.sync();
        assert_eq!(guest.expect("guest-shutdown")["mode"], "halt");
        // After silence, a late reply may arrive, so the client synchronizes.
        guest.sync();
        guest.expect("guest-ping");
        guest.answer(&json!({}));
    };
    play(refuses, |agent| {
        let agent = agent.unwrap();
        assert!(agent.shutdown(ShutdownMode::Reboot).unwrap_err().server().is_some());
        assert!(agent.suspend(SuspendMode::Ram).unwrap_err().server().is_some());
        agent.ping(PATIENCE).unwrap();
    });
    play(closes, |agent| {
        let agent = agent.unwrap();
        agent.shutdown(ShutdownMode::Powerdown).unwrap();
        assert!(agent.ping(PATIENCE).unwrap_err().is_closed());
    });
    play(is_silent, |agent| {
        let agent = agent.unwrap();
        let halt = GuestShutdown::new().mode(ShutdownMode::Halt.as_str());
        agent.execute_within(halt, SOON).unwrap();
        agent.ping(PATIENCE).unwrap();
    });
    {
        play_on_tokio(refuses, async |agent| {
            let refused = agent.shutdown(ShutdownMode::Reboot).await;
            assert!(refused.unwrap_err().server().is_some());
            assert!(agent.suspend(SuspendMode::Ram).await.unwrap_err().server().is_some());
            agent.ping(PATIENCE).await.unwrap();
        });
        play_on_tokio(closes, async |agent| {
            agent.shutdown(ShutdownMode::Powerdown).await.unwrap();
            assert!(agent.ping(PATIENCE).await.unwrap_err().is_closed());
        });
        play_on_tokio(is_silent, async |agent| {
            let halt = GuestShutdown::new().mode(ShutdownMode::Halt.as_str());
            agent.execute_within(halt, SOON).await.unwrap();
            agent.ping(PATIENCE).await.unwrap();
        });
    }
}

/// The file systems are thawed whatever happens, also if freezing them fails halfway.
#[test]
fn what_is_frozen_is_thawed() {
    play(
        |guest| {
            guest.sync();
            for answers in [json!({"return": 2}), json!({"return": 1})] {
                guest.expect("guest-fsfreeze-freeze");
                guest.send(format!("{answers}\n").as_bytes());
                guest.expect("guest-fsfreeze-thaw");
                guest.answer(&json!(2));
            }
            guest.expect("guest-fsfreeze-freeze");
            guest.send(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"busy\"}}\n");
            guest.expect("guest-fsfreeze-thaw");
            guest.answer(&json!(1));
            // Nothing was frozen by this client, so another one may have frozen them.
            guest.expect("guest-fsfreeze-freeze");
            guest.send(b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"frozen\"}}\n");
            // Agents before 4.2, and before 1.2, say that with these classes.
            for class in ["GenericError", "CommandDisabled"] {
                guest.expect("guest-fsfreeze-freeze");
                let desc = "The command guest-fsfreeze-freeze has been disabled for this instance";
                let error = json!({"error": {"class": class, "desc": desc}});
                guest.send(format!("{error}\n").as_bytes());
            }
            guest.expect("guest-ping");
            guest.answer(&json!({}));
        },
        |agent| {
            let agent = agent.unwrap();
            let frozen = agent.freeze().unwrap();
            assert_eq!(frozen.count(), 2);
            assert_eq!(frozen.thaw().unwrap(), 2);
            drop(agent.freeze().unwrap());
            assert_eq!(agent.freeze().unwrap_err().server().unwrap().desc, "busy");
            assert!(agent.freeze().unwrap_err().is_command_not_found());
            for _ in 0..2 {
                let error = agent.freeze().unwrap_err();
                assert!(error.server().unwrap().desc.contains("disabled"), "{error:?}");
            }
            agent.ping(PATIENCE).unwrap();
        },
    );
}

/// An agent that answers closes the file also when reading it has taken too long, and within the
/// deadline.
#[test]
fn a_file_that_takes_too_long_is_closed() {
    let script = |guest: &mut Guest| {
        guest.sync();
        guest.expect("guest-file-open");
        guest.answer(&json!(1000));
        loop {
            let command = guest.command();
            match command["execute"].as_str() {
                Some("guest-file-read") => {
                    guest.answer(&json!({"count": 1, "buf-b64": "eA==", "eof": false}));
                }
                Some("guest-sync-delimited") => {
                    guest.send(b"\xFF");
                    guest.answer(&command["arguments"]["id"]);
                }
                name => {
                    assert_eq!(name, Some("guest-file-close"));
                    return guest.answer(&json!({}));
                }
            }
        }
    };
    let within = Duration::from_secs(2);
    let begin = Instant::now();
    play(script, |agent| {
        let error = agent.unwrap().read_file("file", usize::MAX, within).unwrap_err();
        assert!(error.to_string().contains("2 s waiting for `file` to be read"), "{error}");
    });
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

/// Passwords are given to programs in their environment and input.
#[test]
fn debug_shows_no_secrets() {
    let program = Exec::new("chpasswd").arg("-e").env("TOKEN", "hunter2").input("root:hunter2");
    let shown = format!("{program:?}");
    assert!(shown.contains("chpasswd") && shown.contains("input_length: Some(12)"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}

/// The agent is in the guest's hands: what it says is checked, and no call waits forever.
#[test]
fn impossible_replies_are_errors() {
    let read = |reply: Value, expected: &str| {
        play(
            |guest| {
                guest.sync();
                guest.expect("guest-file-open");
                guest.answer(&json!(1000));
                guest.expect("guest-file-read");
                guest.answer(&reply);
                guest.expect("guest-file-close");
                guest.answer(&json!({}));
            },
            |agent| {
                let error = agent.unwrap().read_file("file", 5, PATIENCE).unwrap_err();
                assert_eq!(error.command(), Some("guest-file-read"));
                assert!(error.report().contains(expected), "{}", error.report());
            },
        );
    };
    let bytes =
        |count: i64, bytes: &str, eof: bool| json!({"count": count, "buf-b64": bytes, "eof": eof});
    read(bytes(7, "eA==", true), "7 bytes and sends 1");
    read(bytes(-1, "", true), "-1 bytes and sends 0");
    read(bytes(6, "eHh4eHh4", true), "6 bytes where at most 5 are possible");
    read(bytes(0, "", false), "0 bytes before the end of the file");
    read(bytes(1, "?", true), "?");
    play(
        |guest| {
            guest.sync();
            guest.expect("guest-exec");
            guest.answer(&json!({"pid": -1}));
            guest.expect("guest-fsfreeze-freeze");
            guest.answer(&json!(-2));
            guest.expect("guest-fsfreeze-thaw");
            guest.answer(&json!(0));
            guest.expect("guest-fsfreeze-thaw");
            guest.answer(&json!(-5));
            guest.expect("guest-fsfreeze-freeze");
            guest.answer(&json!(2));
            // Thawing is tried once more.
            for thawed in [-1, 2] {
                guest.expect("guest-fsfreeze-thaw");
                guest.answer(&json!(thawed));
            }
        },
        |agent| {
            let agent = agent.unwrap();
            let error = agent.exec(&Exec::new("true")).unwrap_err();
            assert!(error.report().contains("the process ID -1"), "{}", error.report());
            let error = agent.freeze().unwrap_err();
            assert!(error.report().contains("-2 file systems"), "{}", error.report());
            // The first agents report a failure to thaw in this way.
            let error = agent.thaw().unwrap_err();
            assert!(error.report().contains("-5 file systems"), "{}", error.report());
            let error = agent.freeze().unwrap().thaw().unwrap_err();
            assert!(error.report().contains("-1 file systems"), "{}", error.report());
        },
    );
}

/// A file that has no end, such as one that grows faster than it is read.
#[test]
fn files_have_a_deadline() {
    let script = |guest: &mut Guest| {
        guest.sync();
        loop {
            let command = guest.command();
            match command["execute"].as_str() {
                Some("guest-file-open") => guest.answer(&json!(1000)),
                Some("guest-file-read") => {
                    guest.answer(&json!({"count": 1, "buf-b64": "eA==", "eof": false}));
                }
                Some("guest-file-write") => guest.answer(&json!({"count": 1, "eof": false})),
                Some("guest-sync-delimited") => {
                    guest.send(b"\xFF");
                    guest.answer(&command["arguments"]["id"]);
                }
                Some("guest-file-close") => guest.answer(&json!({})),
                Some("guest-ping") => return guest.answer(&json!({})),
                _ => panic!("{command}"),
            }
        }
    };
    let check = |error: Error, state: &str| {
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.to_string().contains(state), "{error}");
    };
    let bytes = vec![0; 1 << 20];
    play(script, |agent| {
        let agent = agent.unwrap();
        check(agent.read_file("file", usize::MAX, SOON).unwrap_err(), "`file` to be read");
        check(agent.write_file("file", &bytes, SOON).unwrap_err(), "`file` to be written");
        agent.ping(PATIENCE).unwrap();
    });
    play_on_tokio(script, async |agent| {
        let read = agent.read_file("file", usize::MAX, SOON).await;
        check(read.unwrap_err(), "`file` to be read");
        let written = agent.write_file("file", &bytes, SOON).await;
        check(written.unwrap_err(), "`file` to be written");
        agent.ping(PATIENCE).await.unwrap();
    });
}

fn address(real: &RealAgent) -> String {
    format!("unix:{}", real.socket().display())
}

fn options() -> Options {
    Options::new().wait_for_socket(PATIENCE).greeting_within(PATIENCE)
}

/// A test that is run with each agent.
macro_rules! live {
    ($(#[doc = $doc:literal])* fn $name:ident($real:ident: &RealAgent) $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(not(qemu_ga), ignore = "needs qemu-ga: see QMP_TEST_QEMU_GA in CONTRIBUTING.md")]
        fn $name() {
            for program in real_agent::programs() {
                eprintln!("{program}");
                let $real = &RealAgent::start(&program, stringify!($name));
                $body
            }
        }
    };
}

live! {
    fn a_real_agent(real: &RealAgent) {
        // An earlier client leaves half a command.
        let begin = Instant::now();
        let mut rude = loop {
            match UnixStream::connect(real.socket()) {
                Ok(stream) => break stream,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        rude.write_all(b"{\"execute\": \"guest-info\"}\n{\"execute\": \"gue").unwrap();
        drop(rude);
        let agent =
            Agent::connect_with(address(real), &options()).unwrap();
        assert!(!agent.execute(GuestInfo::new()).unwrap().version.is_empty());

        let cat = Exec::new("/bin/sh").args(["-c", "cat; echo $X >&2; exit 3"]).env("X", "oops");
        let output = agent.exec(&cat.input("héllo")).unwrap();
        assert_eq!((output.exitcode, output.signal), (Some(3), None));
        assert_eq!(output.stdout, "héllo".as_bytes());
        assert_eq!(output.stderr, b"oops\n");
        let killed = agent.exec(&Exec::new("/bin/sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!(killed.signal, Some(9));
        let slow = Exec::new("/bin/sleep").arg("1").within(SOON);
        assert!(agent.exec(&slow).unwrap_err().is_timeout());
        let go = real.file("go");
        let waits = format!("until test -e '{}'; do sleep 0.1; done; echo done", go.display());
        let slow = agent.spawn(&Exec::new("/bin/sh").args(["-c", &waits])).unwrap();
        assert_eq!(slow.try_wait().unwrap(), None);
        let error = slow.wait(SOON).unwrap_err();
        assert!(error.to_string().contains(&format!("(process {})", slow.pid())), "{error}");
        std::fs::write(go, "").unwrap();
        assert_eq!(agent.running(slow.pid()).wait(PATIENCE).unwrap().stdout, b"done\n");
        // The agent tells only once how a program has ended.
        assert!(slow.wait(PATIENCE).unwrap_err().server().is_some());
        let both = "echo one; echo two >&2; echo three";
        let both = Exec::new("/bin/sh").args(["-c", both]).merge_output();
        match agent.exec(&both) {
            Ok(output) => assert_eq!(output.stdout, b"one\ntwo\nthree\n"),
            // Before 8.0.
            Err(error) => assert!(error.server().is_some(), "{error:?}"),
        }
        // More of both streams than the agent keeps, in one message.
        let much = "head -c 17000000 /dev/zero | tee /dev/stderr";
        let output = agent.exec(&Exec::new("/bin/sh").args(["-c", much])).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (16 << 20, 16 << 20));
        assert!(output.stdout_truncated && output.stderr_truncated && output.truncated());
        assert!(agent.exec(&Exec::new("/no/such/program")).unwrap_err().server().is_some());

        let path = real.file("file").display().to_string();
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number * 7 % 251) as u8).collect();
        agent.write_file(&path, &bytes, PATIENCE).unwrap();
        assert_eq!(agent.read_file(&path, usize::MAX, PATIENCE).unwrap(), bytes);
        assert_eq!(agent.read_file(&path, 5, PATIENCE).unwrap(), bytes[..5]);
        assert!(agent.read_file("/no/such/file", 5, PATIENCE).unwrap_err().server().is_some());

        agent.execute(GuestPing::new()).unwrap();
    }
}

live! {
    fn a_real_agent_on_tokio(real: &RealAgent) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let agent = qmp_vm::Agent::connect_with(address(real), &options()).await.unwrap();
            agent.ping(PATIENCE).await.unwrap();
            assert!(!agent.execute(GuestInfo::new()).await.unwrap().version.is_empty());
            let cat = Exec::new("/bin/sh").args(["-c", "cat; echo $X >&2; exit 3"]).env("X", "oops");
            let output = agent.exec(&cat.input("héllo")).await.unwrap();
            assert_eq!((output.exitcode, output.signal), (Some(3), None));
            assert_eq!(output.stdout, "héllo".as_bytes());
            assert_eq!(output.stderr, b"oops\n");
            let output = agent.exec(&Exec::new("/bin/cat").input("x".repeat(100_000))).await;
            let output = output.unwrap();
            assert!(output.success());
            assert_eq!(output.stdout.len(), 100_000);
            let path = real.file("file").display().to_string();
            agent.write_file(&path, &output.stdout, PATIENCE).await.unwrap();
            assert_eq!(agent.read_file(&path, usize::MAX, PATIENCE).await.unwrap(), output.stdout);
            let slow = Exec::new("/bin/sleep").arg("1").within(SOON);
            assert!(agent.exec(&slow).await.unwrap_err().is_timeout());
            assert!(agent.read_file("/no/such/file", 5, PATIENCE).await.unwrap_err().server().is_some());

            // The late reply to the cancelled call is not taken for that of the next one.
            for times in 0..4 {
                let mut exec = std::pin::pin!(agent.exec(&slow));
                for _ in 0..times {
                    let polled = std::future::poll_fn(|cx| Poll::Ready(exec.as_mut().poll(cx)));
                    assert!(polled.await.is_pending());
                }
            }
            assert_eq!(agent.read_file(&path, 5, PATIENCE).await.unwrap(), output.stdout[..5]);
            agent.ping(PATIENCE).await.unwrap();
        });
    }
}
