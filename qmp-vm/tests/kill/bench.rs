//! The surroundings of a program: QEMUs, agents and files, whose state is compared before and after.

use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use qmp_client::Raw;
use qmp_client::blocking::Client;
use qmp_server::agent::AgentSimulator;
use qmp_vm::Workflows;
use qmp_vm::blocking::Agent;
use serde_json::{Value, json};

use crate::state::{State, settle};
use crate::vm::{Scratch, Vm, eventually};

/// A server that the program reaches through a relay.
pub struct Server {
    /// The name of the relay's socket.
    pub name: &'static str,
    pub path: String,
    /// Whether the server is sent what other processes send after the end of the program.
    pub outlives: bool,
}

/// The surroundings of a program.
#[derive(Default)]
pub struct Bench {
    pub vm: Option<Vm>,
    /// The destination of a migration.
    pub target: Option<Vm>,
    /// The client of a simulated agent.
    pub agent: Option<Agent>,
    /// A guest agent that runs on this host.
    pub real_agent: Option<Owned>,
    pub servers: Vec<Server>,
    /// Whatever else has to exist.
    pub kept: Vec<Box<dyn Any>>,
    pub files: Files,
    /// The QEMU that the program starts itself.
    pub qemu: String,
}

/// The directory of the program.
pub struct Files(Scratch);

impl Default for Files {
    fn default() -> Self {
        Self(Scratch::new())
    }
}

impl Files {
    pub fn path(&self, name: &str) -> String {
        self.0.file(name)
    }

    pub fn qcow2(&self, name: &str, size: &str) -> String {
        self.0.qcow2(name, size)
    }
}

/// A process that is killed when this is dropped.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench {
    /// Has a QEMU, whose monitor is reached through a relay.
    pub fn with(vm: Vm) -> Self {
        Self::default().and_vm(vm)
    }

    pub fn and_vm(mut self, vm: Vm) -> Self {
        self.servers.push(Server { name: "qmp", path: vm.scratch.file("qmp"), outlives: false });
        self.vm = Some(vm);
        self
    }

    pub fn and_target(mut self, vm: Vm) -> Self {
        let path = vm.scratch.file("qmp");
        self.servers.push(Server { name: "target", path, outlives: false });
        self.target = Some(vm);
        self
    }

    /// Adds a simulated agent, with one file system.
    pub fn and_agent(mut self) -> Self {
        let simulator = AgentSimulator::builder().file_systems(1).build();
        let path = self.files.path("agent");
        let (listener, serving) = (UnixListener::bind(&path).unwrap(), simulator.clone());
        std::thread::spawn(move || serving.serve_unix(&listener));
        let agent = Agent::connect(&*format!("unix:{path}")).unwrap();
        self.servers.push(Server { name: "qga", path, outlives: true });
        self.agent = Some(agent);
        self
    }

    /// Adds an agent that presses a key of the guest when it is asked for something that suspends or
    /// ends the guest.
    pub fn and_guest_agent(mut self) -> Self {
        let path = self.files.path("agent");
        let listener = UnixListener::bind(&path).unwrap();
        let vm = self.vm.as_ref().unwrap().test.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(BufReader::new(stream.unwrap()), &vm);
            }
        });
        self.servers.push(Server { name: "qga", path, outlives: false });
        self
    }

    /// Adds a guest agent, which runs on this host.
    pub fn and_real_agent(mut self) -> Self {
        let program = option_env!("QMP_TEST_FOUND_QEMU_GA").unwrap_or("qemu-ga");
        let path = self.files.path("agent");
        let state = Scratch::new();
        let agent = Command::new(program)
            .args(["-m", "unix-listen", "-p", &path, "-t", &state.file("")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the agent to listen", || std::fs::metadata(&path).is_ok());
        self.servers.push(Server { name: "qga", path, outlives: false });
        self.real_agent = Some(Owned(agent));
        self.kept.push(Box::new(state));
        self
    }

    pub fn vm(&self) -> &Vm {
        self.vm.as_ref().unwrap()
    }

    /// Returns the address of a relay.
    pub fn address(&self, name: &str) -> String {
        format!("unix:{}", self.relay(name))
    }

    pub fn relay(&self, name: &str) -> String {
        self.files.path(&format!("relay-{name}"))
    }

    /// Waits until everything that ends by itself has ended, and returns the state.
    pub fn state(&mut self) -> State {
        let mut state = State::default();
        for (vm, prefix) in [(&mut self.vm, ""), (&mut self.target, "target: ")] {
            if let Some(vm) = vm {
                settle(vm, prefix.is_empty());
                state.add_vm(vm, prefix);
            }
        }
        if let Some(agent) = &self.agent {
            state.add_agent(agent);
        }
        if let Some(agent) = &self.real_agent {
            let id = agent.0.id();
            // It listens again when it has noticed the end of the program's connection.
            eventually("the agent to listen alone", || sockets(id) == 1);
            state.add_open(id, "agent: ");
            for name in children(id) {
                state.add_process(&name);
            }
        }
        state.add_files(Path::new(&self.files.path("")));
        state
    }

    /// Waits until the programs of the guest have ended.
    pub fn wait_for_programs(&self) {
        let agent = self.real_agent.as_ref().unwrap().0.id();
        eventually("the programs of the guest to end", || children(agent).is_empty());
    }

    /// Executes a command on the test's own monitor.
    pub fn execute(&self, name: &'static str, arguments: Value) -> qmp_client::Result<Value> {
        self.vm().test.execute(Raw::<Value>::new(name).arguments(&arguments))
    }
}

/// Returns the number of sockets of a process.
fn sockets(process: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Serves a client as a guest agent.
fn serve(mut stream: BufReader<std::os::unix::net::UnixStream>, vm: &Client) {
    let mut line = Vec::new();
    while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
        let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
        let command: Value = serde_json::from_slice(text).unwrap_or_default();
        let (mut reply, mut value) = (Vec::new(), json!({}));
        match command["execute"].as_str() {
            Some("guest-sync-delimited") => {
                reply.push(0xFF);
                value = command["arguments"]["id"].clone();
            }
            Some("guest-suspend-ram" | "guest-shutdown") => {
                let _ = vm.human_monitor("sendkey a");
            }
            _ => {}
        }
        reply.extend_from_slice(format!("{}\n", json!({"return": value})).as_bytes());
        if stream.get_mut().write_all(&reply).is_err() {
            return;
        }
        line.clear();
    }
}

/// Returns the names of the children of a process that run.
fn children(of: u32) -> Vec<String> {
    let task = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let task = task.unwrap_or_default();
    let name = |id: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (!rest.starts_with('Z')).then(|| name.to_owned())
    };
    task.split_whitespace().filter_map(name).collect()
}
