//! Sessions of the shell with servers that answer late, early or not at all.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::transport::Unix;
use qmp_client::{ErrorClass, Options, QmpError};
use qmp_server::script::{Script, ScriptServer};
use qmp_tools::shell::output::Mode;
use qmp_tools::shell::types::Builtin;
use qmp_tools::shell::{Outcome, Session, Settings};
use serde_json::{Value, json};

/// The text that a session has written.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    /// Takes the text that has been written.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// A session with a scripted server, whose replies and messages are on one screen.
struct Bench {
    session: Session<Screen>,
    screen: Screen,
    server: ScriptServer,
}

impl Bench {
    fn new(script: Script, settings: Settings) -> Self {
        let server = script.start();
        let stream = Unix::from_stream(server.connect().unwrap()).unwrap();
        let client = Client::over(stream, &Options::new()).unwrap();
        let screen = Screen::default();
        let session = Session::new(client, screen.clone(), Box::new(screen.clone()), settings);
        Self { session, screen, server }
    }

    fn line(&mut self, line: &str) -> Outcome {
        self.session.line(line).unwrap()
    }

    /// Shows events and late replies until a text is on the screen, and returns all of it.
    #[track_caller]
    fn pump_until(&mut self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        let mut seen = String::new();
        while !seen.contains(text) {
            assert!(Instant::now() < until, "{text:?} is not shown: {seen}");
            self.session.pump(Duration::from_millis(5)).unwrap();
            seen += &self.screen.take();
        }
        seen
    }

    #[track_caller]
    fn finish(self) {
        self.server.finish().unwrap();
    }
}

fn event(name: &str, data: &Value) -> String {
    json!({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}).to_string()
}

fn deleted(device: &str) -> String {
    event("DEVICE_DELETED", &json!({"device": device, "path": "/machine/peripheral/x"}))
}

/// The time after which [`interrupted`] interrupts a line.
const PAUSE: Duration = Duration::from_millis(100);

/// Executes a line, and interrupts it: again and again, since an interrupt that comes before the line
/// has begun to wait is not meant for it.
fn interrupted(bench: &mut Bench, line: &str) -> Outcome {
    let interrupt = bench.session.interrupt();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = is_done.recv_timeout(PAUSE) {
            interrupt.raise();
        }
    });
    let outcome = bench.line(line);
    drop(done);
    thread.join().unwrap();
    outcome
}

/// An interrupt gives the prompt back, and the reply is shown with its command when it comes, also if
/// other commands were answered meanwhile.
#[test]
fn an_interrupted_command_is_answered_late() {
    let script = Script::new()
        .expect_raw("slow")
        .never()
        .expect_raw("query-name")
        .returns_raw(json!({"name": "n"}))
        .expect_raw("query-uuid")
        .returns_raw(json!({"UUID": "u"}))
        .answer("slow")
        .returns_raw(json!({"done": true}));
    let mut bench = Bench::new(script, Settings::default());
    let interrupt = bench.session.interrupt();
    // Interrupts what is waited for, and not what comes next.
    interrupt.raise();
    let begun = Instant::now();
    assert_eq!(interrupted(&mut bench, "slow"), Outcome::Interrupted);
    // 50 ms after the interrupt, and far more on a busy machine.
    assert!((PAUSE..Duration::from_secs(15)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(bench.line("query-name"), Outcome::Done);
    assert_eq!(bench.screen.take(), "{\"name\": \"n\"}\n");
    assert_eq!(bench.line("query-uuid"), Outcome::Done);
    let seen = bench.pump_until("done");
    assert!(seen.ends_with("late reply to `slow`:\n{\"done\": true}\n"), "{seen}");
    bench.finish();
}

/// A script says which command was not answered, how long it waited, and how to wait longer.
#[test]
fn a_deadline_passes_and_the_reply_is_late() {
    let script = Script::new()
        .expect_raw("slow")
        .never()
        .answer("slow")
        .after(Duration::from_secs(2))
        .fails(QmpError::generic("not today"));
    let timeout = Some(Duration::from_millis(100));
    let settings = Settings { timeout, output: Mode::Jsonl, ..Settings::default() };
    let mut bench = Bench::new(script, settings);
    bench.session.at(Some("backup.qmp"), Some(7));
    assert_eq!(bench.line("{'execute': 'slow', 'id': 'x'}"), Outcome::Timeout);
    let envelope: Value = serde_json::from_str(&bench.screen.take()).unwrap();
    assert_eq!(envelope["error"]["kind"], "timeout");
    let desc = envelope["error"]["desc"].as_str().unwrap();
    for part in ["0.1 s", "`slow`", "--timeout", "set timeout=SECONDS"] {
        assert!(desc.contains(part), "{desc}");
    }
    let late: Value = serde_json::from_str(&bench.pump_until("late")).unwrap();
    assert_eq!((&late["late"], &late["id"], &late["line"]), (&json!(true), &json!("x"), &json!(7)));
    assert_eq!(late["error"]["desc"], "not today");
    bench.finish();
}

/// QEMU may emit an event before the reply to the command that causes it, and emit a stale one for an
/// earlier command.
#[test]
fn an_event_with_the_reply_satisfies_the_wait_and_a_stale_one_does_not() {
    let script = Script::new()
        .expect_raw("device_del")
        .sends(deleted("old"))
        .returns_raw(json!({}))
        .expect_raw("device_del")
        .sends(deleted("d1"))
        .sends(deleted("d0"))
        .returns_raw(json!({}))
        .expect_raw("query-name")
        .returns_raw(json!({}));
    let mut bench = Bench::new(script, Settings::default());
    assert_eq!(bench.line("device_del id=old"), Outcome::Done);
    assert_eq!(bench.line("device_del id=d0"), Outcome::Done);
    // A wait in vain takes no events from the next one.
    assert_eq!(bench.line("wait SHUTDOWN --timeout 0.05"), Outcome::Timeout);
    assert_eq!(bench.line("wait DEVICE_DELETED device=d0 --timeout 10"), Outcome::Done);
    bench.screen.take();
    // Each event satisfies one wait, and with it, those before it are over.
    for wait in ["device=d0", "device=d1", "device=old", ""] {
        let wait = format!("wait DEVICE_DELETED {wait} --timeout 0.05");
        assert_eq!(bench.line(&wait), Outcome::Timeout, "{wait}");
        let seen = bench.screen.take();
        assert!(seen.contains("timed out after 0.05 s waiting for DEVICE_DELETED"), "{seen}");
        assert!(seen.contains("after `device_del`"), "{seen}");
    }
    assert_eq!(bench.line("query-name"), Outcome::Done);
    bench.finish();
}

/// A wait ends with the connection, with an interrupt, and with an event that comes later. An event
/// that is not shown is waited for all the same.
#[test]
fn waits_end() {
    let script = Script::new()
        .expect_raw("query-name")
        .returns_raw(json!({}))
        .pause(Duration::from_millis(100))
        .send(event("JOB_STATUS_CHANGE", &json!({"id": "j0", "status": "running"})) + "\n")
        .send(event("JOB_STATUS_CHANGE", &json!({"id": "j0", "status": "concluded"})) + "\n")
        .expect_raw("query-name")
        .returns_raw(json!({}))
        .close();
    let mut bench = Bench::new(script, Settings::default());
    assert_eq!(bench.line("set events=-JOB_*"), Outcome::Done);
    assert_eq!(bench.line("query-name"), Outcome::Done);
    bench.screen.take();
    assert_eq!(bench.line("wait JOB_STATUS_CHANGE id=j0 status=concluded"), Outcome::Done);
    let seen = bench.screen.take();
    assert!(seen.contains("concluded") && !seen.contains("running"), "{seen}");
    assert_eq!(interrupted(&mut bench, "wait JOB_STATUS_CHANGE"), Outcome::Interrupted);
    assert_eq!(bench.line("query-name"), Outcome::Done);
    assert_eq!(bench.line("wait JOB_STATUS_CHANGE"), Outcome::Lost);
    bench.finish();
}

/// Nothing is sent unless the user agrees, whichever way the machine would end.
#[test]
fn the_machine_ends_only_if_the_user_agrees() {
    let lines =
        ["quit", "{'execute': 'quit'}", "hmp q", "human-monitor-command command-line='quit '"];
    let script = Script::new().expect_raw("quit").returns_raw(json!({}));
    let mut bench = Bench::new(script, Settings::default());
    let agrees = Arc::new(Mutex::new(false));
    let answer = Arc::clone(&agrees);
    bench.session = bench.session.confirm(Box::new(move |_| *answer.lock().unwrap()));
    for line in lines {
        assert_eq!(bench.line(line), Outcome::Done, "{line}");
    }
    *agrees.lock().unwrap() = true;
    assert_eq!(bench.line("quit"), Outcome::Ended);
    bench.finish();
}

/// A script does not wait for a schema that it does not need, and asks the machine where the builtin
/// one does not suffice.
#[test]
fn the_machine_is_asked_for_types_only_where_necessary() {
    let schema = json!([
        {"meta-type": "command", "name": "brand-new", "arg-type": "1", "ret-type": "0"},
        {"meta-type": "object", "name": "0", "members": []},
        {"meta-type": "object", "name": "1", "members": [{"name": "text", "type": "str"}]},
        {"meta-type": "builtin", "name": "str", "json-type": "string"},
    ]);
    let script = Script::new()
        .expect_raw("set_link")
        .arguments(json!({"name": "n", "up": false}))
        .returns_raw(json!({}))
        .expect_raw("query-qmp-schema")
        .returns_raw(schema)
        .expect_raw("brand-new")
        .arguments(json!({"text": "5"}))
        .returns_raw(json!({}))
        .expect_raw("brand-new")
        .arguments(json!({"text": "true"}))
        .returns_raw(json!({}));
    let mut bench = Bench::new(script, Settings::default());
    for line in ["set_link name=n up=off", "brand-new text=5", "brand-new text=true"] {
        assert_eq!(bench.line(line), Outcome::Done, "{line}: {}", bench.screen.take());
    }
    bench.finish();
}

/// The text that HMP returns is shown as it is, and a message of a failure is one.
#[test]
fn human_monitor() {
    let human = |script: Script, line: &str, text: &str| {
        let expected = script.expect_raw("human-monitor-command");
        expected.arguments(json!({"command-line": line})).returns_raw(json!(text))
    };
    let script = human(Script::new(), "info status", "VM status: running\r\n");
    let script = human(script, "stop", "");
    let script = human(script, "device_del x", "Error: Device 'x' not found\r\n");
    let script = human(script, "nonsense", "unknown command: 'nonsense'\r\n");
    let mut bench = Bench::new(script, Settings { hmp: true, ..Settings::default() });
    assert_eq!(
        (bench.line("info status"), bench.screen.take()),
        (Outcome::Done, "VM status: running\n".to_owned())
    );
    assert_eq!((bench.line("stop"), bench.screen.take()), (Outcome::Done, String::new()));
    assert_eq!(bench.line(""), Outcome::Done);
    assert_eq!(
        (bench.line("device_del x"), bench.screen.take()),
        (Outcome::Failed, "Error: Device 'x' not found\n".to_owned())
    );
    assert_eq!(bench.line("set hmp=off"), Outcome::Done);
    assert_eq!(bench.line("hmp nonsense"), Outcome::Failed);
    bench.finish();
}

/// The builtin schema has the commands of all releases. A command of it that the server lacks was said
/// to be there, and not allowed.
#[test]
fn a_command_that_the_server_lacks_is_not_said_to_be_there() {
    let lacks = |name: &str| {
        let missing = format!("The command {name} has not been found");
        QmpError::new(ErrorClass::CommandNotFound, missing)
    };
    let script = Script::new()
        .expect_raw("query-stats")
        .fails(lacks("query-stats"))
        .expect_raw("query-commands")
        .returns_raw(json!([{"name": "query-commands"}, {"name": "stop"}]))
        .expect_raw("query-stats")
        .fails(lacks("query-stats"))
        .expect_raw("query-commands")
        .fails(lacks("query-commands"))
        .expect_raw("query-stats")
        .fails(lacks("query-stats"))
        .expect_raw("query-commands")
        .returns_raw(json!([{"name": "query-commands"}, {"name": "query-stats"}]));
    let mut bench = Bench::new(script, Settings::default());
    bench.session = bench.session.types(Arc::new(Builtin));
    let mut hint = || {
        assert_eq!(bench.line("query-stats target=vm"), Outcome::Failed);
        let seen = bench.screen.take();
        seen.split_once("hint: ").map(|(_, hint)| hint.trim_end().to_owned())
    };
    let unknown = "`query-commands` lists the available commands; `query-stats` is not one of them";
    assert_eq!(hint().as_deref(), Some(unknown));
    // Without the list, nothing is known.
    assert_eq!(hint(), None);
    let refused = "the server has `query-stats`, but does not allow it on this connection";
    assert_eq!(hint().as_deref(), Some(refused));
    bench.finish();
}
