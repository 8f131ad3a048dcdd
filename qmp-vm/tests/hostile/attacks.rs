//! The ways in which a peer misbehaves, each a name and what is sent instead of a reply.

use serde_json::{Value, json};

use super::script::{Change, ENDLESS, Script};

/// Text that takes control of a terminal, or hides what it says.
pub(crate) const ESCAPES: &str = "\\u001b]0;x\\u0007\\u202e\\u2066\\u200b\\ufeff\\u009b2J\\r\\n\\u0000\\u007f\u{202e}\u{9b}\u{7f}";

/// The situation in which a peer misbehaves.
pub(crate) struct Scene<'a> {
    /// The id of the command, as JSON; empty for a guest agent.
    pub(crate) id: &'a str,
    /// The reply that an honest peer would send.
    pub(crate) honest: &'a Value,
    /// An event that the client may be waiting for.
    pub(crate) event: &'a Value,
    /// The number of bytes of a large message.
    pub(crate) large: u64,
}

/// The name of the attack that is none.
pub(crate) const HONEST: &str = "nothing";

/// A way to misbehave.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Whether large messages are sent: these are played at the default limits, too.
    pub(crate) is_large: bool,
    pub(crate) script: fn(&Scene<'_>) -> Script,
}

impl Attack {
    /// Returns whether a case with this attack takes long.
    pub(crate) fn is_long(&self) -> bool {
        self.is_large || self.name.contains("endless") || self.name.contains("without end")
    }
}

impl Scene<'_> {
    fn wrap(&self, key: &str, value: Script) -> Script {
        let id = if self.id.is_empty() { String::new() } else { format!(", \"id\": {}", self.id) };
        Script::new(format!("{{\"{key}\": ")).append(value).then(format!("{id}}}\r\n"))
    }

    /// A reply that is text.
    fn returns(&self, text: impl Into<Vec<u8>>) -> Script {
        self.wrap("return", Script::new(text))
    }

    /// The honest reply, changed, after the event, changed likewise.
    fn changed(&self, change: &Change) -> Script {
        let event = Script::new(format!("{{\"event\": {}, \"data\": ", self.event["event"]))
            .append(change.apply(&self.event["data"]))
            .then("}\r\n");
        event.append(self.wrap("return", change.apply(self.honest)))
    }

    fn string(&self, string: Script) -> Script {
        self.changed(&Change { string: Some(string), ..Change::default() })
    }

    /// Strings that share the size of a large message.
    fn strings(&self, piece: impl Into<Vec<u8>>) -> Script {
        fn count(value: &Value) -> u64 {
            match value {
                Value::String(_) => 1,
                Value::Array(elements) => elements.iter().map(count).sum(),
                Value::Object(members) => members.values().map(count).sum(),
                _ => 0,
            }
        }
        let piece = piece.into();
        let strings = count(self.honest).max(count(self.event)).max(1);
        // Base64 has a multiple of four characters.
        let times = self.large / strings / piece.len() as u64 / 4 * 4;
        self.string(Script::default().repeat(piece, times))
    }

    fn number(&self, number: &'static str) -> Script {
        self.changed(&Change { number: Some(number), ..Change::default() })
    }

    fn first(&self, members: Script) -> Script {
        self.changed(&Change { first: Some(members), ..Change::default() })
    }

    fn error(&self, class: Script, desc: Script) -> Script {
        let error = Script::new("{\"class\": \"").append(class);
        self.wrap("error", error.then("\", \"desc\": \"").append(desc).then("\"}"))
    }

    fn honest(&self) -> Script {
        self.wrap("return", Script::new(self.honest.to_string()))
    }

    /// Repeats a piece until the message is large.
    fn large(&self, piece: &str) -> Script {
        Script::default().repeat(piece, self.large / piece.len() as u64)
    }
}

macro_rules! attacks {
    ($($name:literal, $is_large:literal, |$scene:ident| $script:expr;)*) => {
        &[$(Attack { name: $name, is_large: $is_large, script: |$scene| $script }),*]
    };
}

/// All attacks. Those without end come last, in groups.
#[rustfmt::skip]
pub(crate) const ATTACKS: &[Attack] = attacks![
    "nothing", false, |scene| scene.honest();

    // The right shape, and contents that no honest peer sends.
    "strings with escapes", false, |scene| scene.string(Script::new(ESCAPES));
    "large strings", true, |scene| scene.strings("x");
    "large strings with escapes", true, |scene| scene.strings(ESCAPES);
    "large strings of characters that are shown as escapes", true, |scene| scene.strings("\u{7f}");
    "long strings that are not UTF-8", true, |scene| scene.strings([0x80]);
    "numbers below all", false, |scene| scene.number("-9223372036854775808");
    "numbers above all", false, |scene| scene.number("18446744073709551615");
    "negative numbers", false, |scene| scene.number("-1");
    "zeros", false, |scene| scene.number("0");
    "numbers beyond every type", false, |scene| scene.number("1e999");
    "fractions", false, |scene| scene.number("1.5");
    "booleans turned to false", false, |scene| scene.changed(&Change { boolean: Some("false"), ..Change::default() });
    "booleans turned to true", false, |scene| scene.changed(&Change { boolean: Some("true"), ..Change::default() });
    "lists of many elements", true, |scene| scene.changed(&Change { times: scene.large / 60, ..Change::default() });
    "members twice", false, |scene| scene.changed(&Change { twice: true, ..Change::default() });
    "many unknown members", true, |scene| scene.first(Script::new("\"x\":0").append(scene.large(",\"x\":0")));
    "a long name of a member", true, |scene| scene.first(Script::new("\"").append(scene.large("x")).then("\":0"));
    "deep nesting in an unknown member", true, |scene| scene.first(Script::new("\"x\":").append(Script::default().repeat("[", scene.large / 2).repeat("]", scene.large / 2)));

    // The picture of a screen.
    "a picture of 3 GiB", false, |scene| { resize_picture(3 << 30); scene.honest() };
    "a picture of the largest size", false, |scene| { resize_picture(128 << 20); scene.honest() };

    // Another shape.
    "null", false, |scene| scene.returns("null");
    "a number", false, |scene| scene.returns("7");
    "a text with escapes", false, |scene| scene.returns(format!("\"{ESCAPES}\""));
    "a large text", true, |scene| scene.wrap("return", Script::new("\"").append(scene.large("\u{7f}")).then("\""));
    "an empty object", false, |scene| scene.returns("{}");
    "an empty list", false, |scene| scene.returns("[]");
    "many empty objects", true, |scene| scene.wrap("return", Script::new("[{}").append(scene.large(",{}")).then("]"));
    "many zeros", true, |scene| scene.wrap("return", Script::new("[0").append(scene.large(",0")).then("]"));
    "many empty lists as members", true, |scene| scene.wrap("return", Script::new("{\"x\":[]").append(scene.large(",\"x\":[]")).then("}"));
    "a deep reply", true, |scene| scene.wrap("return", Script::default().repeat("[", scene.large / 2).repeat("]", scene.large / 2));
    "a deep member and a wrong one", true, |scene| scene.wrap("return", Script::new("{\"x\":").repeat("[", scene.large / 2).repeat("]", scene.large / 2).then(",\"status\":7,\"pid\":[],\"device\":7}"));
    "a name with escapes and a wrong value", false, |scene| scene.returns(format!("{{\"{ESCAPES}\": {{\"{ESCAPES}\": [7]}}, \"status\": {{\"{ESCAPES}\": 1}}}}"));
    "a number of many digits", true, |scene| scene.wrap("return", Script::new("{\"pid\":").append(scene.large("7")).then("}"));

    // Errors.
    "an error with escapes", false, |scene| scene.error(Script::new(ESCAPES), Script::new(ESCAPES));
    "a large error with escapes", true, |scene| scene.error(Script::new(ESCAPES), scene.large(ESCAPES));
    "an error of a large class", true, |scene| scene.error(scene.large(ESCAPES), Script::new("no"));
    "an error without a description", true, |scene| scene.wrap("error", Script::new("{\"x\":[0").append(scene.large(",0")).then("]}"));
    "an error that is a large list", true, |scene| scene.wrap("error", Script::new("[0").append(scene.large(",0")).then("]"));
    "an error that is deep", true, |scene| scene.wrap("error", Script::default().repeat("[", scene.large / 2).repeat("]", scene.large / 2));
    "an error of unknown members", true, |scene| scene.wrap("error", Script::new("{\"desc\":\"no\"").append(scene.large(",\"x\":[]")).then("}"));

    // Other messages than replies.
    "garbage, then the reply", false, |scene| Script::new(format!("{ESCAPES}\n{{\"{ESCAPES}\": 1}}\n")).append(scene.honest());
    "a large object without a meaning", true, |scene| Script::new("{\"x\":").repeat("[", scene.large / 2).repeat("]", scene.large / 2).then(",\"id\":[}\n").append(scene.honest());
    "a long name in a message without a meaning", true, |scene| Script::new("{\"").append(scene.large("\u{7f}")).then("\":0}\n").append(scene.honest());
    "a large greeting, late", true, |scene| Script::new("{\"QMP\":{\"x\":[0").append(scene.large(",0")).then("]}}\n").append(scene.honest());
    "an id of another type", false, |_scene| Script::new("{\"return\": {}, \"id\": {\"x\": [1]}}\n");
    "a deep id", true, |scene| Script::new("{\"return\": {}, \"id\":").repeat("[", scene.large / 2).repeat("]", scene.large / 2).then("}\n");
    "a large id", true, |scene| Script::new("{\"return\": {}, \"id\":\"").append(scene.large("7")).then("\"}\n");
    "the end", false, |_scene| Script::new("{\"return\": ");

    // Without end.
    "an endless string", true, |_scene| Script::new("{\"return\": \"").repeat("x", ENDLESS);
    "an endless list", true, |_scene| Script::new("{\"return\": [0").repeat(",0", ENDLESS);
    "endless nesting", true, |_scene| Script::new("{\"return\": ").repeat("[{\"x\":", ENDLESS);
    "an endless name", true, |_scene| Script::new("{\"").repeat("x", ENDLESS);
    "endless digits", true, |_scene| Script::new("{\"return\": ").repeat("7", ENDLESS);
    "endless members", true, |_scene| Script::new("{\"return\": {\"x\":0").repeat(",\"x\":0", ENDLESS);
    "endless white space", false, |_scene| Script::default().repeat(" \r\n\t\0", ENDLESS);
    "an endless line", false, |_scene| Script::default().repeat("\u{1b}x", ENDLESS);
    "endless garbage", false, |_scene| Script::default().repeat(format!("{{\"x\": \"{}\"}}\n]\n", "x".repeat(4000)), ENDLESS);
    "0xFF without end", false, |_scene| Script::default().repeat([0xFF], ENDLESS);
    "endless events", false, |scene| Script::default().repeat(format!("{}\n", scene.event), ENDLESS);
    "endless events of an unknown name", false, |_scene| Script::default().repeat("{\"event\": \"OTHER\", \"data\": {\"x\": 1}}\n", ENDLESS);
    "endless large events", true, |scene| {
        let data = "x".repeat(256 << 10);
        Script::default().repeat(format!("{{\"event\": {}, \"data\": {{\"x\": \"{data}\"}}}}\n", scene.event["event"]), ENDLESS)
    };
    "endless events with large names", true, |_scene| Script::default().repeat(format!("{{\"event\": \"{}\"}}\n", "x".repeat(256 << 10)), ENDLESS);
    "endless replies to others", false, |_scene| Script::default().repeat(format!("{{\"return\": \"{}\", \"id\": \"other\"}}\n", "x".repeat(2000)), ENDLESS);
    "endless errors to others", false, |_scene| Script::default().repeat(format!("{{\"error\": {{\"desc\": \"{}\"}}, \"id\": \"other\"}}\n", "x".repeat(2000)), ENDLESS);
];

/// The ways to misbehave instead of a greeting, or of the first answer of a guest agent.
#[rustfmt::skip]
pub(crate) const GREETINGS: &[Attack] = attacks![
    "a greeting with escapes", false, |_scene| Script::new(format!("{{\"QMP\": {{\"version\": {{\"{ESCAPES}\": {{\"major\": -1}}, \"package\": \"{ESCAPES}\"}}, \"capabilities\": [\"{ESCAPES}\"]}}}}\n"));
    "a greeting with a large package", true, |scene| Script::new("{\"QMP\": {\"version\": {\"package\": \"").append(scene.large("x")).then("\"}}}\n");
    "a greeting of many capabilities", true, |scene| Script::new("{\"QMP\": {\"capabilities\": [\"\"").append(scene.large(",\"\"")).then("]}}\n");
    "a greeting of many members", true, |scene| Script::new("{\"QMP\": {\"version\": {\"\":[0").append(scene.large(",0")).then("]}}}\n");
    "an endless greeting", true, |_scene| Script::new("{\"QMP\": {\"version\": \"").repeat("x", ENDLESS);
    "another banner", false, |_scene| Script::new("QEMU 1.2.3 monitor \u{1b}[2J\u{9b}\u{202e} type help\r\n(qemu) ");
    "an endless banner", false, |_scene| Script::default().repeat("\u{1b}[2Jlogin: ", ENDLESS);
    "garbage in braces", true, |scene| Script::new("{\"\u{7f}").append(scene.large("\u{7f}")).then("\": 1}\n");
    "not UTF-8", true, |scene| Script::new("{\"").repeat([0x80], scene.large).then("\": 1}\n");
    "endless events", false, |_scene| Script::default().repeat("{\"event\": \"STOP\", \"data\": {}}\n", ENDLESS);
    "endless white space", false, |_scene| Script::default().repeat("\r\n", ENDLESS);
    "an endless list", true, |_scene| Script::new("{\"QMP\": [").repeat("[],", ENDLESS);
    "a refusal with escapes", false, |_scene| Script::new(format!("{{\"QMP\": {{}}}}\n{{\"error\": {{\"class\": \"{ESCAPES}\", \"desc\": \"{ESCAPES}\"}}}}\n"));
    "a large refusal", true, |scene| Script::new("{\"QMP\": {}}\n{\"error\": {\"class\": \"x\", \"desc\": \"").append(scene.large(ESCAPES)).then("\"}}\n");
    "endless replies", false, |_scene| Script::default().repeat("{\"return\": 7}\n", ENDLESS);
    "0xFF without end", false, |_scene| Script::default().repeat([0xFF], ENDLESS);
];

/// Resizes the memory that the picture of a screen is written to. It is that of this process, in
/// which the peer runs, too.
fn resize_picture(length: u64) {
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let is_picture = std::fs::read_link(&path)
            .is_ok_and(|target| target.to_string_lossy().contains("memfd:screenshot"));
        if is_picture {
            let picture = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            picture.set_len(length).unwrap();
            return;
        }
    }
    panic!("no picture is open");
}

/// Returns the reply of an honest peer.
pub(crate) fn honest(name: &str, arguments: &Value) -> Value {
    let job = |state: &str| {
        json!({"id": state, "type": "mirror", "status": state, "current-progress": 0,
            "total-progress": 1, "error": "none"})
    };
    let schema = json!([
        {"name": "stop", "meta-type": "command", "arg-type": "0", "ret-type": "0"},
        {"name": "0", "meta-type": "object", "members": [{"name": "x", "type": "int"}],
            "features": ["y"]},
        {"name": "1", "meta-type": "enum", "members": [{"name": "x"}], "values": ["x"]}
    ]);
    match name {
        "add-fd" => json!({"fdset-id": 1, "fd": 7}),
        "qom-list-types" => json!([{"name": "monitor-qmp", "parent": "monitor"}]),
        "query-chardev" => {
            json!([{"label": "qmp-monitor-0", "filename": "disconnected:", "frontend-open": false}])
        }
        "query-status" => json!({"status": "running", "running": true}),
        "query-hotpluggable-cpus" => json!([{"type": "cpu", "vcpus-count": 1, "props": {}}]),
        "query-jobs" => json!(["running", "ready", "pending", "paused", "concluded"].map(job)),
        "query-migrate" => json!({"status": "completed", "error-desc": "none", "total-time": 1,
            "ram": {"transferred": 1, "remaining": 0, "total": 1, "duplicate": 0, "normal": 0,
                "normal-bytes": 0, "dirty-pages-rate": 0, "mbps": 1.5, "dirty-sync-count": 1,
                "page-size": 4096, "multifd-bytes": 0, "pages-per-second": 0,
                "postcopy-requests": 0, "precopy-bytes": 0, "downtime-bytes": 0,
                "postcopy-bytes": 0, "dirty-sync-missed-zero-copy": 0}}),
        "query-qmp-schema" => schema,
        "device-list-properties" => {
            json!([{"name": "drive", "type": "str", "default-value": "", "description": "x"}])
        }
        "query-block" => json!([{"device": "d0", "locked": false, "removable": false,
            "type": "unknown"}]),
        "query-named-block-nodes" => {
            json!([{"file": "f", "node-name": "n", "ro": false, "drv": "raw",
            "backing_file_depth": 0, "active": true, "encrypted": false, "detect_zeroes": "off",
            "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
            "write_threshold": 0, "children": [],
            "cache": {"writeback": true, "direct": false, "no-flush": false},
            "image": {"filename": "f", "format": "raw", "virtual-size": 1}}])
        }
        "query-block-jobs" => json!([{"device": "paused", "type": "mirror", "len": 1, "offset": 0,
            "busy": false, "paused": true, "speed": 0, "io-status": "ok", "ready": false,
            "status": "paused", "auto-finalize": true, "auto-dismiss": true}]),
        "guest-get-fsinfo" => json!([{"name": "n", "mountpoint": "/", "type": "ext4", "disk": []}]),
        "guest-network-get-interfaces" => json!([{"name": "n", "ip-addresses": [
            {"ip-address": "::1", "ip-address-type": "ipv6", "prefix": 128}]}]),
        "human-monitor-command" => json!("text"),
        "raw" => json!({"x": ["text", 1, true]}),
        "guest-sync-delimited" | "guest-sync" => arguments["id"].clone(),
        "guest-info" => json!({"version": "10.0", "supported_commands": [
            {"name": "guest-ping", "enabled": true, "success-response": true}]}),
        "guest-exec" => json!({"pid": 7}),
        "guest-exec-status" => json!({"exited": true, "exitcode": 0, "signal": 0,
            "out-data": "eA==", "err-data": "eA==", "out-truncated": false,
            "err-truncated": false}),
        "guest-file-open" => json!(7),
        "guest-file-read" => json!({"count": 1, "buf-b64": "eA==", "eof": false}),
        "guest-file-write" => json!({"count": 1, "eof": false}),
        "guest-fsfreeze-freeze" | "guest-fsfreeze-thaw" => json!(2),
        _ => json!({}),
    }
}

/// Returns the event that the client waits for after a command.
pub(crate) fn event_after(command: &str) -> Value {
    match command {
        "device_del" => json!({"event": "DEVICE_DELETED", "data": {"device": "d0", "path": "p"}}),
        "start" | "job-cancel" | "query-jobs" | "query-block-jobs" | "job-dismiss" => {
            json!({"event": "JOB_STATUS_CHANGE", "data": {"id": "running", "status": "running"}})
        }
        "migrate" | "query-migrate" => {
            json!({"event": "MIGRATION", "data": {"status": "active"}})
        }
        "quit" | "system_powerdown" => {
            json!({"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}})
        }
        _ => json!({"event": "STOP", "data": {}}),
    }
}
