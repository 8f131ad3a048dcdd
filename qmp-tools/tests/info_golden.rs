//! The report about running QEMUs, as text and as JSON, compared with `tests/golden/info/VERSION`.
//!
//! `QMP_TEST_QEMUS` lists the QEMUs; the default is `QMP_TEST_QEMU`, or `qemu-system-x86_64`. The storage
//! daemon and `qemu-img` are those next to each. Numbers that differ from run to run are replaced;
//! `BLESS=1` writes the files.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::{Options, Raw};
use serde_json::{Value, json};
use support::{Directory, Process, VM_INFO, run};

macro_rules! live {
    ($(#[doc = $doc:literal])* fn $name:ident($qemu:ident) $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        fn $name() {
            for program in programs() {
                let $qemu = &Qemu::new(&program);
                $body
            }
        }
    };
}

fn programs() -> Vec<String> {
    let named =
        ["QMP_TEST_QEMUS", "QMP_TEST_QEMU"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.unwrap_or_else(|| "qemu-system-x86_64".to_owned());
    named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The programs of a release.
struct Qemu {
    system: String,
    /// The version, such as `10.0`.
    version: String,
    directory: Directory,
}

impl Qemu {
    fn new(system: &str) -> Self {
        let output = Command::new(system).arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(3).unwrap();
        let version = version.split('.').take(2).collect::<Vec<_>>().join(".");
        Self { system: system.to_owned(), version, directory: Directory::for_sockets() }
    }

    /// Returns another program of the same release, if it exists.
    fn tool(&self, name: &str) -> Option<PathBuf> {
        match Path::new(&self.system).parent().filter(|parent| *parent != Path::new("")) {
            Some(directory) => Some(directory.join(name)).filter(|path| path.is_file()),
            None => {
                let path = std::env::var_os("PATH")?;
                std::env::split_paths(&path).map(|it| it.join(name)).find(|path| path.is_file())
            }
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path(name)
    }

    /// Starts a program in the directory, so that names of images are relative.
    fn start(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Process {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path("")).stdin(Stdio::null());
        Process(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts a machine that does not run.
    fn machine(&self, arguments: &[&str]) -> Process {
        let monitor = format!("unix:{},server=on,wait=off", self.path("qmp"));
        let common = ["-display", "none", "-nodefaults", "-S", "-qmp", &monitor];
        self.start(&self.system, &[&common, arguments].concat())
    }

    /// Returns whether a machine starts with these arguments.
    fn starts_with(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new(&self.system);
        command.args(["-display", "none", "-nodefaults", "-S", "-monitor", "stdio"]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut machine = Process(command.spawn().unwrap());
        // It may have ended already.
        let _ = machine.0.stdin.take().unwrap().write_all(b"quit\n");
        machine.0.wait().unwrap().success()
    }

    /// Creates an image with six others below it.
    fn create_chain(&self) -> bool {
        let Some(tool) = self.tool("qemu-img") else { return false };
        let create = |arguments: &[&str]| {
            let mut command = Command::new(&tool);
            command.args(["create", "-q", "-f", "qcow2"]).args(arguments);
            assert!(command.current_dir(self.path("")).status().unwrap().success());
        };
        create(&["0.qcow2", "64M"]);
        for number in 1..=6 {
            let below = format!("{}.qcow2", number - 1);
            create(&["-b", &below, "-F", "qcow2", &format!("{number}.qcow2")]);
        }
        true
    }

    /// Executes commands.
    fn execute(&self, commands: &[(&str, Value)]) -> Vec<Value> {
        let options = Options::new().wait_for_socket(Duration::from_secs(30));
        let client = Client::connect_with(self.path("qmp"), &options).unwrap();
        let execute = |(name, arguments): &(&str, Value)| {
            client.execute(Raw::<Value>::new(name.to_string()).arguments(arguments)).unwrap()
        };
        commands.iter().map(execute).collect()
    }

    /// Compares the reports with the goldens, and returns the JSON.
    #[track_caller]
    fn check(&self, name: &str) -> Value {
        let path = self.path("qmp");
        let text = run(VM_INFO, &[&path]).ok();
        let json: Value = serde_json::from_str(&run(VM_INFO, &["--json", &path]).ok()).unwrap();
        let version = json["version"].as_str().unwrap();
        let text = self.normalized_text(&text.replace(version, "VERSION"));
        let mut normalized = json.clone();
        self.normalize(&mut normalized, "");
        normalized["version"] = "VERSION".into();
        let normalized = format!("{normalized:#}\n");
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/info").join(&self.version);
        for (extension, actual) in [("txt", &text), ("json", &normalized)] {
            let file = golden.join(format!("{name}.{extension}"));
            if std::env::var_os("BLESS").is_some() {
                std::fs::create_dir_all(&golden).unwrap();
                std::fs::write(&file, actual).unwrap();
            } else if golden.is_dir() {
                let expected = std::fs::read_to_string(&file).unwrap();
                assert_eq!(*actual, expected, "{}: BLESS=1 rewrites it", file.display());
            }
        }
        json
    }

    fn normalized_text(&self, text: &str) -> String {
        let mut out = String::new();
        for line in text.lines() {
            let line = replaced(&self.normalized(line), "thread ", "N");
            let indentation = line.len() - line.trim_start().len();
            let columns: Vec<&str> =
                line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
            let known: Vec<&str> = columns.iter().map(|column| volatile(column)).collect();
            // The width of such a column differs, too.
            let is_volatile = known != columns;
            let spaced = format!("{}{}", &line[..indentation], known.join("  "));
            out += if is_volatile { &spaced } else { &line };
            out.push('\n');
        }
        out
    }

    /// Replaces what differs from run to run in a string.
    fn normalized(&self, text: &str) -> String {
        let directory = self.path("");
        replaced(&text.replace(directory.trim_end_matches('/'), "DIR"), "#block", "")
    }

    fn normalize(&self, value: &mut Value, member: &str) {
        match value {
            Value::String(text) => *text = self.normalized(text),
            Value::Array(elements) => elements.iter_mut().for_each(|it| self.normalize(it, "")),
            Value::Object(members) => {
                for (name, value) in members {
                    self.normalize(value, name);
                }
            }
            Value::Number(_) => {
                let differs =
                    ["thread", "on-disk", "dirty", "done", "progress", "transferred", "remaining"];
                if differs.contains(&member) {
                    *value = 0.into();
                }
            }
            _ => {}
        }
    }
}

/// Replaces the text of a column that differs from run to run.
fn volatile(column: &str) -> &str {
    match column {
        _ if column.ends_with(" on disk") => "SIZE on disk",
        _ if column.ends_with(" dirty") => "SIZE dirty",
        _ if column.ends_with('%') => "P%",
        _ if column.ends_with(" remaining") => "pre-switchover, SIZE sent, SIZE remaining",
        _ => column,
    }
}

/// Replaces the digits after each occurrence of a text, and the padding after them.
fn replaced(text: &str, before: &str, by: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let padding = rest.len() - rest.trim_start_matches(' ').len();
        let rest = if padding > 2 { &rest[padding - 2..] } else { rest };
        out += &format!("{before}{by}{rest}");
    }
    out
}

/// Waits until something holds.
#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

live! {
    /// A machine with all that used to be reported wrongly: cards without filters, a chain of which
    /// only the first link was shown, anonymous devices, VNC on a Unix socket.
    fn a_machine(qemu) {
        assert!(qemu.create_chain(), "qemu-img is missing");
        let vnc = format!("unix:{}", qemu.path("vnc"));
        let _machine = qemu.machine(&[
            "-M", "q35", "-accel", "tcg", "-name", "golden\nState  forged", "-vnc", &vnc,
            "-uuid", "12345678-1234-1234-1234-123456789abc", "-smp", "2,maxcpus=4",
            "-netdev", "user,id=u0", "-device", "e1000,netdev=u0,id=nic0,romfile=",
            "-netdev", "user,id=u1", "-device", "virtio-net-pci,netdev=u1,romfile=",
            "-device", "rtl8139,romfile=", "-device", "qemu-xhci", "-device", "usb-net,id=nic3",
            "-device", "pcie-root-port,id=port0,chassis=1", "-device", "e1000e,bus=port0,romfile=",
            "-blockdev", "driver=qcow2,node-name=disk,file.driver=file,file.filename=6.qcow2",
            "-device", "virtio-blk-pci,drive=disk,id=disk0",
            "-drive", "if=none,driver=null-co,size=1048576,id=legacy", "-device", "ide-hd,drive=legacy",
            "-blockdev", "driver=null-co,node-name=lone,size=1048576",
            "-object", "iothread,id=io0", "-device", "virtio-balloon-pci,id=balloon0",
        ]);
        qemu.execute(&[("block-dirty-bitmap-add", json!({"node": "disk", "name": "b0"}))]);
        let json = qemu.check("machine");
        assert_eq!(json["accelerator"], "tcg");
        assert_eq!(json["network"].as_array().unwrap().len(), 5, "{json:#}");
        let disk = json["block"].as_array().unwrap().iter().find(|disk| disk["name"] == "disk0");
        let files = disk.unwrap()["image"]["backing"].as_array().unwrap();
        let files: Vec<_> = files.iter().map(|link| link["file"].as_str().unwrap()).collect();
        assert_eq!(files, ["5.qcow2", "4.qcow2", "3.qcow2", "2.qcow2", "1.qcow2", "0.qcow2"]);
    }
}

live! {
    fn a_job(qemu) {
        let _machine = qemu.machine(&[
            "-M", "q35", "-accel", "tcg",
            "-blockdev", "driver=null-co,node-name=source,size=67108864",
            "-blockdev", "driver=null-co,node-name=target,size=67108864",
            "-device", "virtio-blk-pci,drive=source,id=disk0",
        ]);
        qemu.execute(&[
            ("blockdev-backup", json!({"job-id": "backup0", "device": "source", "target": "target",
                "sync": "full", "speed": 1})),
            ("job-pause", json!({"id": "backup0"})),
        ]);
        wait_for("the job pauses", || {
            qemu.execute(&[("query-jobs", json!({}))])[0][0]["status"] == "paused"
        });
        let json = qemu.check("job");
        assert_eq!(json["jobs"][0]["id"], "backup0");
    }
}

live! {
    fn a_paused_migration(qemu) {
        let _machine = qemu.machine(&["-M", "q35", "-accel", "tcg", "-m", "32"]);
        qemu.execute(&[
            ("migrate-set-capabilities", json!({"capabilities":
                [{"capability": "pause-before-switchover", "state": true}]})),
            ("migrate", json!({"uri": "exec:cat >/dev/null"})),
        ]);
        wait_for("the migration pauses", || {
            let migration = &qemu.execute(&[("query-migrate", json!({}))])[0];
            migration["status"] == "pre-switchover"
        });
        let json = qemu.check("migration");
        assert_eq!(json["migration"]["status"], "pre-switchover");
    }
}

live! {
    fn no_machine(qemu) {
        let _machine = qemu.machine(&["-M", "none", "-accel", "tcg"]);
        assert_eq!(qemu.check("none")["machine"], "none");
    }
}

live! {
    /// Everything that was not KVM used to be called TCG.
    fn qtest(qemu) {
        // Distributors leave it out of older releases.
        if qemu.starts_with(&["-M", "none", "-accel", "qtest"]) {
            let _machine = qemu.machine(&["-M", "q35", "-accel", "qtest"]);
            let json = qemu.check("qtest");
            let asked = &qemu.execute(&[("query-commands", json!({}))])[0];
            let commands = asked.as_array().unwrap();
            // A release that does not tell gets no guess.
            let told = commands.iter().any(|command| command["name"] == "query-accelerators");
            assert_eq!(json["accelerator"], if told { "qtest".into() } else { Value::Null });
        }
    }
}

live! {
    fn a_storage_daemon(qemu) {
        let daemon = match qemu.tool("qemu-storage-daemon") {
            Some(daemon) if qemu.create_chain() => daemon,
            _ => continue,
        };
        let chardev = format!("socket,id=monitor,path={},server=on,wait=off", qemu.path("qmp"));
        let nbd = format!("addr.type=unix,addr.path={}", qemu.path("nbd"));
        let _daemon = qemu.start(daemon, &[
            "--blockdev", "driver=file,node-name=file0,filename=6.qcow2",
            "--blockdev", "driver=qcow2,node-name=disk,file=file0",
            "--chardev", &chardev, "--monitor", "chardev=monitor", "--nbd-server", &nbd,
            "--export", "type=nbd,id=export0,node-name=disk,writable=on",
            "--object", "iothread,id=io0",
        ]);
        let json = qemu.check("storage-daemon");
        assert_eq!(json["kind"], "storage-daemon");
        assert_eq!(json["exports"][0]["id"], "export0");
        assert_eq!(json["nodes"][0]["backing"].as_array().unwrap().len(), 6, "{json:#}");
    }
}
