//! A VMM with commands of each kind, and clients of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qmp_server::{
    Call, Context, Limits, MachineHandle, RateLimit, Reply, Router, Server, ServerBuilder,
};
use qmp_types::{Command, Empty, Event, QmpError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

macro_rules! commands {
    ($($type:ident $({ $($field:ident: $of:ty),* })? = $name:literal -> $returns:ty;)*) => { $(
        #[derive(Deserialize, Serialize)]
        pub(crate) struct $type { $($(pub(crate) $field: $of),*)? }

        impl Command for $type {
            const NAME: &'static str = $name;
            type Return = $returns;
        }
    )* };
}

commands! {
    Sleep { ms: u64 } = "sleep" -> Empty;
    HoldMachine { ms: u64 } = "hold-machine" -> Empty;
    Await { ms: u64 } = "await" -> Empty;
    Abort = "abort" -> Empty;
    Count = "count" -> i64;
    Ping = "ping" -> Empty;
    Announce { number: u32 } = "announce" -> Empty;
    Touch = "touch" -> Empty;
    Panic { kind: String } = "panic" -> Empty;
    PanicBorrowing = "panic-borrowing" -> Empty;
    PanicAsync = "panic-async" -> Empty;
    Forget = "forget" -> Empty;
    Nested = "nested" -> Empty;
    NestedClient = "nested-client" -> String;
    WhoAmI = "who-am-i" -> Value;
    TakeOne { name: String } = "take-one" -> i64;
    TakeAll = "take-all" -> Vec<String>;
    Missing = "missing" -> Empty;
    Quit = "quit" -> Empty;
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Tick {
    pub(crate) number: u32,
}

impl Event for Tick {
    const NAME: &'static str = "TICK";
}

/// An event with a rate limit.
#[derive(Deserialize, Serialize)]
pub(crate) struct Flood {
    pub(crate) disk: u32,
    pub(crate) number: u32,
}

impl Event for Flood {
    const NAME: &'static str = "FLOOD";
}

/// An event that the schema lacks.
#[derive(Deserialize, Serialize)]
pub(crate) struct Emptied {}

impl Event for Emptied {
    const NAME: &'static str = "EMPTIED";
}

pub(crate) const FLOOD_PERIOD: Duration = Duration::from_millis(100);

/// Returns the introspection of all commands and events above.
pub(crate) fn schema() -> String {
    let command = |name: &str, arguments: &str, returns: &str| {
        json!({"name": name, "meta-type": "command", "arg-type": arguments, "ret-type": returns,
               "allow-oob": name == "abort"})
    };
    let object = |name: &str, members: &[(&str, &str)]| {
        let members: Vec<Value> =
            members.iter().map(|(name, of)| json!({"name": name, "type": of})).collect();
        json!({"name": name, "meta-type": "object", "members": members})
    };
    let builtin =
        |name: &str, json: &str| json!({"name": name, "meta-type": "builtin", "json-type": json});
    json!([
        command("sleep", "1", "0"),
        command("hold-machine", "1", "0"),
        command("await", "1", "0"),
        command("abort", "0", "0"),
        command("count", "0", "int"),
        command("ping", "0", "0"),
        command("announce", "4", "0"),
        command("touch", "0", "0"),
        command("panic", "2", "0"),
        command("panic-borrowing", "0", "0"),
        command("panic-async", "0", "0"),
        command("forget", "0", "0"),
        command("nested", "0", "0"),
        command("nested-client", "0", "str"),
        command("who-am-i", "0", "any"),
        command("take-one", "3", "int"),
        command("take-all", "0", "[str]"),
        command("missing", "0", "0"),
        command("quit", "0", "0"),
        {"name": "TICK", "meta-type": "event", "arg-type": "4"},
        {"name": "FLOOD", "meta-type": "event", "arg-type": "5"},
        object("0", &[]),
        object("1", &[("ms", "int")]),
        object("2", &[("kind", "str")]),
        object("3", &[("name", "str")]),
        object("4", &[("number", "int")]),
        object("5", &[("disk", "int"), ("number", "int")]),
        {"name": "[str]", "meta-type": "array", "element-type": "str"},
        builtin("int", "int"),
        builtin("str", "string"),
        builtin("any", "value"),
    ])
    .to_string()
}

#[derive(Default)]
pub(crate) struct Vm {
    commands: i64,
}

pub(crate) fn router() -> Router<Vm> {
    let aborted = Arc::new(AtomicBool::new(false));
    let abort = Arc::clone(&aborted);
    Router::new()
        .introspection(schema())
        .event::<Tick>()
        .limited_event::<Flood>(RateLimit::every(FLOOD_PERIOD).by("disk"))
        .blocking(move |machine: &MachineHandle<Vm>, command: Sleep, _: &Call| {
            aborted.store(false, Ordering::SeqCst);
            let end = Instant::now() + Duration::from_millis(command.ms);
            while Instant::now() < end {
                if aborted.load(Ordering::SeqCst) {
                    return Err(QmpError::generic("aborted"));
                }
                thread::sleep(Duration::from_millis(5));
            }
            machine.with(|vm, _| vm.commands += 1);
            Ok(Empty {})
        })
        .command(|_: &mut Vm, command: HoldMachine, _: &mut Context| {
            thread::sleep(Duration::from_millis(command.ms));
            Ok(Empty {})
        })
        .asynchronous(|_: MachineHandle<Vm>, command: Await, _: Call| async move {
            tokio::time::sleep(Duration::from_millis(command.ms)).await;
            Ok(Empty {})
        })
        .deferred(move |_: &MachineHandle<Vm>, _: Abort, reply: Reply<Abort>| {
            abort.store(true, Ordering::SeqCst);
            reply.send(Ok(Empty {}));
        })
        .command(|vm: &mut Vm, _: Count, _: &mut Context| {
            vm.commands += 1;
            Ok(vm.commands)
        })
        .deferred(|_: &MachineHandle<Vm>, _: Ping, reply: Reply<Ping>| reply.send(Ok(Empty {})))
        .deferred(|_: &MachineHandle<Vm>, command: Announce, reply: Reply<Announce>| {
            // Late, with an event immediately before the reply and one immediately after it.
            thread::spawn(move || {
                let events = reply.call().events();
                events.emit(&Tick { number: command.number });
                reply.send(Ok(Empty {}));
                events.emit(&Tick { number: command.number + 1 });
            });
        })
        .deferred(|machine: &MachineHandle<Vm>, _: Touch, reply: Reply<Touch>| {
            // This blocks while another handler has the machine.
            machine.with(|vm, _| vm.commands += 1);
            reply.send(Ok(Empty {}));
        })
        .command(|_: &mut Vm, _: Quit, context: &mut Context| {
            context.end();
            Ok(Empty {})
        })
        .blocking(|_: &MachineHandle<Vm>, command: Panic, _: &Call| panic!("{}", command.kind))
        .command(|_: &mut Vm, _: PanicBorrowing, _: &mut Context| panic!("borrowing"))
        .asynchronous(|_: MachineHandle<Vm>, _: PanicAsync, _: Call| async move {
            tokio::task::yield_now().await;
            panic!("async")
        })
        .deferred(|_: &MachineHandle<Vm>, _: Forget, reply: Reply<Forget>| drop(reply))
        .command(|_: &mut Vm, _: WhoAmI, context: &mut Context| {
            let client = context.client().expect("a client");
            let credentials = client.credentials();
            Ok(json!({"number": client.number(), "process": credentials.and_then(|c| c.process)}))
        })
        .command(|_: &mut Vm, command: TakeOne, context: &mut Context| {
            match context.take_descriptor() {
                Some(descriptor) => Ok(size_of(descriptor)),
                None => Err(QmpError::generic(format!("no descriptor for {}", command.name))),
            }
        })
        .blocking(|_: &MachineHandle<Vm>, _: TakeAll, call: &Call| {
            let all = call.take_descriptors().into_iter();
            Ok(all.map(|descriptor| size_of(descriptor).to_string()).collect())
        })
}

fn size_of(descriptor: qmp_server::Descriptor) -> i64 {
    let file = std::fs::File::from(descriptor);
    i64::try_from(file.metadata().unwrap().len()).unwrap()
}

pub(crate) fn server() -> Server<Vm> {
    build(Server::builder(router()))
}

pub(crate) fn server_with(limits: Limits) -> Server<Vm> {
    build(Server::builder(router()).limits(limits))
}

fn build(builder: ServerBuilder<Vm>) -> Server<Vm> {
    builder.build(Vm::default()).unwrap()
}

/// The ways to serve a client. Both have a runtime, for asynchronous handlers.
pub(crate) struct Front {
    pub(crate) name: &'static str,
    runtime: tokio::runtime::Runtime,
}

impl Front {
    /// Returns all of them.
    pub(crate) fn all() -> [Self; 2] {
        ["threads", "tokio"].map(|name| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            Self { name, runtime }
        })
    }

    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn server(&self) -> Server<Vm> {
        build(Server::builder(router()).runtime(self.handle()))
    }

    pub(crate) fn connect<M: Send + 'static>(&self, server: &Server<M>) -> Client {
        if self.name == "threads" {
            return Client::new(server.connect_unix().unwrap());
        }
        let (client, end) = UnixStream::pair().unwrap();
        end.set_nonblocking(true).unwrap();
        let server = server.clone();
        self.runtime.spawn(async move {
            let end = tokio::net::UnixStream::from_std(end).unwrap();
            qmp_server::tokio::serve(&server, end).await
        });
        Client::new(client)
    }
}

/// A client on a blocking stream.
pub(crate) struct Client(pub(crate) BufReader<UnixStream>);

impl Client {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self(BufReader::new(stream));
        assert!(client.read()["QMP"].is_object());
        client
    }

    pub(crate) fn negotiated(self) -> Self {
        self.negotiate("{}")
    }

    pub(crate) fn with_oob(self) -> Self {
        self.negotiate("{'enable': ['oob']}")
    }

    fn negotiate(mut self, arguments: &str) -> Self {
        self.send(&format!("{{'execute': 'qmp_capabilities', 'arguments': {arguments}}}"));
        assert_eq!(self.read(), json!({"return": {}}));
        self
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub(crate) fn execute(&mut self, command: &str, arguments: &str) -> Value {
        self.send(&format!("{{'execute': '{command}', 'arguments': {arguments}}}"));
        self.read()
    }

    /// Executes a command that succeeds, and returns the time that it took.
    pub(crate) fn time(&mut self, command: &str) -> Duration {
        let start = Instant::now();
        let reply = self.execute(command, "{}");
        assert!(reply["return"].is_object() || reply["return"].is_number(), "{reply}");
        start.elapsed()
    }

    /// Sends bytes with file descriptors.
    pub(crate) fn send_with(&self, text: &str, files: &[&std::fs::File]) {
        use std::os::fd::AsFd;

        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let fds: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let bytes = [std::io::IoSlice::new(text.as_bytes())];
        let sent = sendmsg(self.0.get_ref(), &bytes, &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, text.len());
    }
}
