//! `qmp ls`, and machines by their names: on a host of files, with the simulated machine in QEMU's
//! place, and with QEMU.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Directory, Process, QMP, Ran, SCHEMA, SHELL, VM_INFO, run, unused_address};

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The files of a host.
struct Fixture(Directory);

impl Fixture {
    fn place(&self, path: &str) -> PathBuf {
        PathBuf::from(self.0.path(path.trim_start_matches('/')))
    }

    fn file(&self, path: &str, bytes: &[u8]) {
        let place = self.place(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }

    /// Adds a process in this state, with this number of threads.
    fn process(&self, pid: u32, state: char, threads: u32, arguments: &[&str]) {
        let comm = arguments[0].rsplit('/').next().unwrap();
        let comm: String = comm.chars().take(15).collect();
        self.file(&format!("/proc/{pid}/comm"), format!("{comm}\n").as_bytes());
        let stat =
            format!("{pid} ({comm}) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 9\n");
        self.file(&format!("/proc/{pid}/stat"), stat.as_bytes());
        let line: String = arguments.iter().flat_map(|argument| [argument, "\0"]).collect();
        self.file(&format!("/proc/{pid}/cmdline"), line.as_bytes());
        std::os::unix::fs::symlink("/srv", self.place(&format!("/proc/{pid}/cwd"))).unwrap();
    }

    fn ls(&self, arguments: &[&str]) -> Ran {
        let root = self.0.path("");
        Command::new(QMP)
            .args(["ls", "--root", &root])
            .args(arguments)
            .env("HOME", "/home/me")
            .env("XDG_RUNTIME_DIR", "/run/user/1000")
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap()
            .into()
    }
}

fn fixture() -> Fixture {
    let host = Fixture(Directory::new());
    let qmp = "socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off";
    let proxmox = [
        "-id",
        "100",
        "-name",
        "web,debug-threads=on",
        "-chardev",
        qmp,
        "-mon",
        "chardev=qmp,mode=control",
    ];
    host.process(100, 'S', 5, &[&["/usr/bin/kvm"] as &[&str], &proxmox].concat());
    let descriptor = "socket,id=charmonitor,fd=23,server=on,wait=off";
    let libvirt = [
        "-name",
        "guest=db,debug-threads=on",
        "-chardev",
        descriptor,
        "-mon",
        "chardev=charmonitor,id=monitor,mode=control",
    ];
    host.process(101, 'S', 5, &[&["/usr/bin/qemu-system-x86_64"] as &[&str], &libvirt].concat());
    host.file("/var/lib/libvirt/qemu/domain-3-db/monitor.sock", b"");
    // A name that would clear the screen and forge a row, and a relative path with a comma.
    let name = "a\u{1b}[2J\nforged  1  running,uuid=1";
    host.process(
        102,
        'S',
        5,
        &["qemu-system-arm", "-name", name, "-qmp", "unix:a,,b.sock,server,nowait"],
    );
    host.process(
        103,
        'S',
        3,
        &[
            "qemu-storage-daemon",
            "--chardev",
            "socket,id=m,path=/run/qsd.sock,server=on,wait=off",
            "--monitor",
            "{\"chardev\":\"m\"}",
        ],
    );
    host.process(
        104,
        'S',
        5,
        &[
            "qemu-system-x86_64",
            "-monitor",
            "unix:/home/me/vm/ubuntu-monitor.socket,server=on,wait=off",
        ],
    );
    host.process(105, 'S', 5, &["qemu-system-x86_64", "-nographic", "-serial", "mon:stdio"]);
    host.process(
        106,
        'S',
        2,
        &["qemu-system-x86_64", "-name", "new", "-qmp", "unix:/run/new.sock,server=on"],
    );
    host.process(107, 'T', 5, &["qemu-system-x86_64", "-name", "still", "-readconfig", "vm.cfg"]);
    host.file("/srv/vm.cfg", b"[chardev \"m\"]\n  backend = \"socket\"\n  path = \"/run/still.sock\"\n  server = \"on\"\n  wait = \"off\"\n[mon]\n  chardev = \"m\"\n  mode = \"control\"\n");
    host.process(108, 'S', 5, &["qemu-system-x86_64", "-display", "none"]);
    host.process(109, 'S', 1, &["bash", "-c", "exec qemu-system-x86_64 -qmp unix:/x,server=on"]);
    host.process(
        110,
        'S',
        5,
        &[
            "/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            "/x",
            "/y/qemu-system-ppc64",
            "-qmp",
            "tcp:127.0.0.1:4444,server=on,wait=off",
        ],
    );
    host.file("/proc/2/cmdline", b"");
    host.file("/home/me/.lima/default/qmp.sock", b"");
    let row = |flags: &str, state: &str, number: u32, path: &str| {
        format!("0000000000000000: 00000002 00000000 {flags} 0001 {state} {number} {path}\n")
    };
    let listener = |number: u32, path: &str| row("00010000", "01", number, path);
    let unix = [
        listener(1, "/var/run/qemu-server/100.qmp"),
        row("00000000", "03", 2, "/var/run/qemu-server/100.qmp"),
        listener(3, "/var/lib/libvirt/qemu/domain-3-db/monitor.sock"),
        row("00000000", "03", 4, "/var/lib/libvirt/qemu/domain-3-db/monitor.sock"),
        listener(5, "/srv/a,b.sock"),
        listener(6, "/run/qsd.sock"),
        listener(7, "/home/me/vm/ubuntu-monitor.socket"),
        listener(8, "/run/new.sock"),
        listener(9, "/run/still.sock"),
    ];
    host.file("/proc/net/unix", format!("Num RefCount\n{}", unix.concat()).as_bytes());
    host.file(
        "/proc/net/tcp",
        b"  sl  local_address\n   0: 0100007F:115C 00000000:0000 0A 0:0 00:0 0 0 0 20 1 0\n   \
          1: 0100007F:115C 0202000A:C001 01 0:0 00:0 0 0 0 21 1 0\n",
    );
    host
}

#[test]
fn managers_and_odd_command_lines() {
    let host = fixture();
    let table = host.ls(&[]).ok();
    let lines: Vec<String> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "NAME PID STATE VERSION MONITOR",
        "web (100) 100 - - unix:/var/run/qemu-server/100.qmp held by another client",
        "db 101 - - unix:/var/lib/libvirt/qemu/domain-3-db/monitor.sock held by another client; \
         libvirt keeps this monitor connected; use `virsh qemu-monitor-command db COMMAND`",
        "a\\u{1b}[2J\\nforged 1 running 102 - - unix:/srv/a,,b.sock free",
        "(storage daemon) 103 - - unix:/run/qsd.sock free",
        "ubuntu 104 - - unix:/home/me/vm/ubuntu-monitor.socket human, free",
        "(no name) 105 - - mon:stdio human, not a socket",
        "new 106 - - unix:/run/new.sock awaits its first client",
        "still 107 process stopped - unix:/run/still.sock free",
        "(no name) 108 - - none",
        "(no name) 110 - - tcp:127.0.0.1:4444 held by 10.0.2.2:49153",
        "default - not running - unix:/home/me/.lima/default/qmp.sock closed",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line, expected, "{table}");
    }
    assert_eq!(lines.len(), expected.len(), "{table}");

    let list: Value = serde_json::from_str(&host.ls(&["--json"]).ok()).unwrap();
    let mut first = list[0].clone();
    assert!(first["user"].take().is_u64());
    assert_eq!(
        first,
        json!({
            "name": "web", "id": "100", "uuid": null, "pid": 100, "user": null,
            "program": "qemu-system", "manager": "Proxmox", "state": null, "version": null,
            "monitors": [{
                "kind": "qmp", "address": "unix:/var/run/qemu-server/100.qmp", "use": "held",
                "holders": [{"pid": null, "command": null, "address": null}], "advice": null,
            }],
        })
    );
    assert_eq!(list[2]["name"], "a\u{1b}[2J\nforged  1  running");
    assert_eq!(list[9]["monitors"][0]["holders"][0]["address"], "10.0.2.2:49153");
}

/// Without permission to read anything, or without `/proc`, the list is empty or lacks cells.
#[test]
fn what_cannot_be_read_is_left_out() {
    let empty = Fixture(Directory::new());
    let ran = empty.ls(&[]);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (0, "", "no QEMU was found\n"));
    assert_eq!(empty.ls(&["--json"]).ok(), "[]\n");
    let host = Fixture(Directory::new());
    host.file("/proc/7/cmdline", b"qemu-system-x86_64\0-name\0web\0-qmp\0unix:rel.sock,server=on");
    host.file("/proc/8/cmdline", b"qemu-system-x86_64\0-qmp");
    host.file("/proc/9/cmdline", &[b'x'; 100_000]);
    let out = host.ls(&[]).ok();
    assert!(out.contains("unix:rel.sock  unknown\n"), "{out}");
}

/// Starts the simulated machine by QEMU's name.
fn stand_in(directory: &Directory, arguments: &[&str]) -> Process {
    let program = directory.path("qemu-system-x86_64");
    let _ = std::os::unix::fs::symlink(QMP, &program);
    let mut command = Command::new(program);
    Process(command.args(arguments).stdin(Stdio::null()).spawn().unwrap())
}

fn start(directory: &Directory, name: &str, file: &str) -> Process {
    let path = directory.path(file);
    let process = stand_in(
        directory,
        &["-M", "none", "-name", name, "-qmp", &format!("unix:{path},server=on,wait=off")],
    );
    wait_until(&path, || UnixStream::connect(&path).is_ok());
    process
}

/// Returns a name that no other test uses at the same time.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn every_program_takes_a_name() {
    let directory = Directory::new();
    let (name, other) = (unique("alone"), unique("twin"));
    let machine = start(&directory, &name, "alone");
    let _twins = [start(&directory, &other, "twin1"), start(&directory, &other, "twin2")];
    let pid = machine.0.id().to_string();
    for text in [&name, &pid] {
        assert!(run(VM_INFO, &[text]).ok().contains(&name), "{text}");
        run(SHELL, &[text, "-c", "query-status"]).ok();
        run(SCHEMA, &["import", text]).ok();
    }
    let proxy = directory.path("proxy");
    let served = Command::new(QMP).args(["proxy", &proxy, &name]).stderr(Stdio::null()).spawn();
    let served = Process(served.unwrap());
    wait_until(&proxy, || UnixStream::connect(&proxy).is_ok());
    assert!(run(SHELL, &[&proxy, "-c", "query-name"]).ok().contains(&name));
    drop(served);
    let error = run(QMP, &["proxy", &proxy, &other]).err;
    assert!(error.contains("2 machines are called"), "{error}");
    for program in [VM_INFO, SHELL] {
        let ran = run(program, &[&other]);
        assert!(ran.err.contains("2 machines are called"), "{ran:?}");
        assert!(ran.err.contains("/twin1)") && ran.err.contains("/twin2)"), "{ran:?}");
        assert_ne!(ran.status, 0);
        let begin = Instant::now();
        let ran = run(program, &["localhost:99999"]);
        assert!(ran.err.contains("the port 99999 of `localhost:99999` is not"), "{ran:?}");
        let ran = run(program, &["4444444444"]);
        assert!(ran.err.contains("tcp:localhost:4444444444"), "{ran:?}");
        assert!(begin.elapsed() < PATIENCE * 2 / 3, "{:?}", begin.elapsed());
    }
    // A file of that name in the current directory is a path.
    let in_directory = |arguments: &[&str]| -> Ran {
        Command::new(VM_INFO)
            .args(arguments)
            .current_dir(directory.path(""))
            .output()
            .unwrap()
            .into()
    };
    std::fs::write(directory.path(&name), "").unwrap();
    let ran = in_directory(&[&name]);
    assert!(ran.err.contains("not a socket"), "{ran:?}");
    std::fs::remove_file(directory.path(&name)).unwrap();
    assert!(in_directory(&[&name]).ok().contains(&name));
}

/// A socket that is left over was waited for 30 seconds, although no process could open it.
#[test]
fn a_wrong_socket_fails_at_once() {
    let directory = Directory::new();
    let stale = directory.path("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let file = directory.write("file", "");
    for (path, reason) in [
        (stale.clone(), "no process listens"),
        (file, "not a socket"),
        (directory.path("no/such/vm.sock"), "does not exist"),
        (directory.path(""), "a directory"),
    ] {
        for program in [VM_INFO, SHELL] {
            let begin = Instant::now();
            let ran = run(program, &[&path]);
            let elapsed = begin.elapsed();
            assert!(ran.err.contains(reason), "{path}: {ran:?}");
            assert_ne!(ran.status, 0);
            // 0.12 s alone; the machine may be busy.
            assert!(elapsed < Duration::from_secs(20), "{path}: {elapsed:?}");
        }
    }
    // A socket that does not exist yet is waited for, and so is one that a QEMU is about to replace.
    for path in [directory.path("late"), stale] {
        let client = {
            let path = path.clone();
            std::thread::spawn(move || run(VM_INFO, &[&path, "--timeout", "20"]))
        };
        let name = unique("late");
        let _machine = start(&directory, &name, path.rsplit('/').next().unwrap());
        let ran = client.join().unwrap();
        if path.ends_with("late") {
            assert!(ran.ok().contains(&name));
        }
    }
}

/// A guest agent that listens itself was waited for as if it were a monitor that starts.
#[test]
fn a_guest_agent_is_recognized() {
    let directory = Directory::new();
    let (agent, monitor) = (directory.path("agent"), directory.path("monitor"));
    let program = directory.path("qemu-ga");
    std::os::unix::fs::symlink(QMP, &program).unwrap();
    let mut command = Command::new(program);
    command.args(["sim", &monitor, "--agent", &agent]).stdin(Stdio::null());
    let _process = Process(command.stderr(Stdio::null()).spawn().unwrap());
    wait_until(&agent, || UnixStream::connect(&agent).is_ok());
    for program in [VM_INFO, SHELL] {
        let begin = Instant::now();
        let ran = run(program, &[&agent]);
        assert!(ran.err.contains("the guest agent qemu-ga"), "{ran:?}");
        assert!(ran.err.contains("`qmp agent`"), "{ran:?}");
        assert_eq!(ran.status, 3, "{ran:?}");
        assert!(begin.elapsed() < PATIENCE * 2 / 3, "{:?}", begin.elapsed());
    }
    assert!(run(QMP, &["agent", &agent, "-c", "guest-ping"]).ok().contains("{}"));
}

/// A server that serves one client at a time, as a monitor does.
#[test]
fn a_busy_monitor_is_said_to_be_busy() {
    let directory = Directory::new();
    let path = directory.path("busy");
    let listener = UnixListener::bind(&path).unwrap();
    let _holder = UnixStream::connect(&path).unwrap();
    let _served = listener.accept().unwrap();
    let begin = Instant::now();
    // By a relative path, too.
    let mut client = Command::new(VM_INFO)
        .args(["busy", "--timeout", "20"])
        .current_dir(directory.path(""))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map(Process)
        .unwrap();
    let mut text = Vec::new();
    let mut err = client.0.stderr.take().unwrap();
    let mut byte = [0];
    while err.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let own = std::process::id();
    assert!(text.contains("is busy") && text.contains(&format!("(pid {own})")), "{text}");
    // 1.05 s alone.
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

macro_rules! live {
    ($(#[doc = $doc:literal])* fn $name:ident() $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not(qemu),
            ignore = "needs QEMU: install qemu-system-x86, or name a program in QMP_TEST_QEMU"
        )]
        fn $name() $body
    };
}

/// Returns the QEMU with this number, of those to test with.
fn program(index: usize) -> String {
    let several = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let programs: Vec<&str> = several.split([':', '\n']).filter(|name| !name.is_empty()).collect();
    match programs.len() {
        0 => std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned()),
        count => programs[index % count].to_owned(),
    }
}

fn qemu(index: usize, name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(program(index));
    command.args(["-M", "none", "-display", "none", "-nodefaults", "-name", name]).args(arguments);
    Process(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn signal(process: &Process, name: &str) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Returns what is known of the processes, in their order.
fn listed(machines: &[Process]) -> Vec<Value> {
    let list: Value = serde_json::from_str(&run(QMP, &["ls", "--json"]).ok()).unwrap();
    let list = list.as_array().unwrap();
    let find =
        |machine: &Process| list.iter().find(|entry| entry["pid"] == machine.0.id()).cloned();
    machines.iter().map(|machine| find(machine).unwrap_or_default()).collect()
}

live! {
    fn five_machines() {
        let directory = Directory::for_sockets();
        let unix = |name: &str| format!("unix:{},server=on,wait=off", directory.path(name));
        let unused = unused_address();
        let tcp = format!("tcp:{unused}");
        let machines = [
            qemu(0, &unique("free"), &["-qmp", &unix("free")]),
            qemu(1, &unique("busy"), &["-qmp", &unix("busy")]),
            qemu(2, &unique("stopped"), &["-qmp", &unix("stopped")]),
            qemu(0, &unique("human"), &["-monitor", &unix("human")]),
            qemu(1, &unique("tcp"), &["-qmp", &format!("{tcp},server=on,wait=off")]),
        ];
        for name in ["free", "busy", "stopped", "human"] {
            wait_until(name, || UnixStream::connect(directory.path(name)).is_ok());
        }
        wait_until("tcp", || std::net::TcpStream::connect(unused).is_ok());
        let mut holder = UnixStream::connect(directory.path("busy")).unwrap();
        assert_ne!(holder.read(&mut [0; 1024]).unwrap(), 0);
        signal(&machines[2], "-STOP");
        // The connections above are seen until QEMU has closed its ends, and so are those of each list.
        let mut list = Vec::new();
        wait_until("no client is left", || {
            list = listed(&machines);
            let held = list.iter().filter(|entry| entry["monitors"][0]["use"] == "held").count();
            held == 1 && list[0]["state"] == "running" && list[4]["state"] == "running"
        });

        let own = std::process::id();
        for (entry, machine) in list.iter_mut().zip(&machines) {
            assert_eq!(entry["pid"].take(), machine.0.id());
            assert!(entry["user"].take().is_u64());
            let name = entry["name"].take();
            entry["name"] = name.as_str().unwrap().rsplit_once('-').unwrap().0.into();
            if let Some(version) = entry["version"].as_str() {
                assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
                entry["version"] = "VERSION".into();
            }
            let holders = entry["monitors"][0]["holders"].as_array_mut().unwrap();
            for holder in holders {
                assert_eq!(holder["pid"].take(), own);
                assert!(holder["command"].take().is_string());
            }
        }
        let entry = |name: &str, state: Value, kind: &str, address: String, held: bool| {
            let version = if state == "running" { json!("VERSION") } else { Value::Null };
            let holder = json!({"pid": null, "command": null, "address": null});
            let holders = if held { vec![holder] } else { Vec::new() };
            json!({
                "name": name, "id": null, "uuid": null, "pid": null, "user": null,
                "program": "qemu-system", "manager": null, "state": state, "version": version,
                "monitors": [{
                    "kind": kind, "address": address, "use": if held { "held" } else { "free" },
                    "holders": holders, "advice": null,
                }],
            })
        };
        let at = |name: &str| format!("unix:{}", directory.path(name));
        assert_eq!(list, [
            entry("free", "running".into(), "qmp", at("free"), false),
            entry("busy", Value::Null, "qmp", at("busy"), true),
            entry("stopped", "process-stopped".into(), "qmp", at("stopped"), false),
            entry("human", Value::Null, "human", at("human"), false),
            entry("tcp", "running".into(), "qmp", tcp.clone(), false),
        ]);
        let rows = [
            (unique("free"), format!("{}  free\n", at("free"))),
            (unique("busy"), format!("(pid {own})\n")),
            (unique("stopped"), "process stopped".to_owned()),
            (unique("human"), "human, free\n".to_owned()),
            (unique("tcp"), format!("{tcp}  free\n")),
        ];
        wait_until("the table", || {
            let table = run(QMP, &["ls"]).ok();
            rows.iter().all(|(name, end)| {
                let row = table.split_inclusive('\n').find(|row| row.starts_with(name)).unwrap();
                let has_end = row.contains(end);
                println!("{has_end}: {row}");
                has_end
            })
        });

        for (name, reason) in [
            ("busy", "is busy: it is held by".to_owned()),
            ("stopped", format!("kill -CONT {}", machines[2].0.id())),
            ("human", "but a human monitor at".to_owned()),
        ] {
            let ran = run(VM_INFO, &[&unique(name), "--timeout", "1.5"]);
            assert!(ran.err.contains(&reason), "{ran:?}");
            assert_ne!(ran.status, 0, "{ran:?}");
        }
        run(VM_INFO, &[&unique("tcp")]).ok();
        signal(&machines[2], "-CONT");
    }
}

live! {
    /// A machine's name stood for its first monitor, also if that was held and another one was free.
    fn a_name_stands_for_a_monitor_that_is_free() {
        let directory = Directory::for_sockets();
        let (name, held, free) = (unique("two"), directory.path("held"), directory.path("free"));
        let monitors = [&held, &free].map(|path| format!("unix:{path},server=on,wait=off"));
        let _machine = qemu(0, &name, &["-qmp", &monitors[0], "-qmp", &monitors[1]]);
        wait_until("the monitors", || UnixStream::connect(&free).is_ok());
        let mut holder = UnixStream::connect(&held).unwrap();
        holder.read_exact(&mut [0]).unwrap();
        let ran = run(VM_INFO, &[&name, "--timeout", "20"]);
        assert_eq!((ran.complaints().as_str(), ran.status), ("", 0), "{ran:?}");
    }
}

live! {
    /// Each of these is silent, or speaks another protocol, and is recognized.
    fn other_sockets_of_a_machine_are_recognized() {
        let directory = Directory::for_sockets();
        let at = |name: &str| directory.path(name);
        let chardev = |name: &str| format!("socket,id={name},path={},server=on,wait=off", at(name));
        let unused = unused_address();
        let telnet = format!("telnet:{unused},server=on,wait=off");
        let mut command = Command::new(program(0));
        command.args(["-M", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-S", "-device", "virtio-serial"]);
        command.args(["-chardev", &chardev("agent"), "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
        command.args(["-chardev", &chardev("serial"), "-serial", "chardev:serial"]);
        command.args(["-vnc", &format!("unix:{}", at("vnc"))]);
        command.args(["-monitor", &format!("unix:{},server=on,wait=off", at("human"))]);
        command.args(["-qmp", &telnet, "-chardev", &chardev("qmp"), "-mon", "qmp,mode=control"]);
        let _qemu = Process(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until("qmp", || UnixStream::connect(at("qmp")).is_ok());
        wait_until("telnet", || run(SHELL, &[&unused.to_string(), "-c", "query-status"]).status == 0);
        run(VM_INFO, &[&telnet]).ok();
        run(VM_INFO, &[&format!("-chardev {}", chardev("qmp"))]);
        for (name, reason) in [
            ("agent", "the port of a guest agent"),
            ("serial", "a serial console"),
            ("vnc", "a VNC server"),
            ("human", "a human monitor"),
        ] {
            for (program, arguments) in
                [(VM_INFO, &[] as &[&str]), (SHELL, &["-c", "query-status"]), (SCHEMA, &["import"])]
            {
                let begin = Instant::now();
                let ran = run(program, &[arguments, &[&at(name)]].concat());
                assert!(ran.err.contains(reason), "{name}: {ran:?}");
                assert_ne!(ran.status, 0, "{name}: {ran:?}");
                assert!(begin.elapsed() < Duration::from_secs(25), "{name}: {:?}", begin.elapsed());
            }
        }
    }
}

/// Many machines are listed in little time.
#[test]
fn a_hundred_machines() {
    let host = Fixture(Directory::new());
    for pid in 1000..1100 {
        let socket = format!("unix:/run/{pid}.sock,server=on,wait=off");
        host.process(pid, 'S', 5, &["qemu-system-x86_64", "-name", "web", "-qmp", &socket]);
    }
    let begin = Instant::now();
    assert_eq!(host.ls(&[]).ok().lines().count(), 101);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn the_help_says_how_names_are_found() {
    let help = run(VM_INFO, &["--help"]).ok();
    assert!(help.contains("the UUID and the pid"), "{help}");
}
