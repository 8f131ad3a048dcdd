//! The command line of a QEMU: the name of the machine, and its sockets.

use std::collections::HashMap;

use qmp_client::Address;

use super::endpoint::{Endpoint, Place, Role};
use super::options::{Options, split};
use super::read_config;

/// The program of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// An emulator of a machine, `qemu-system-*`.
    System,
    /// `qemu-storage-daemon`.
    StorageDaemon,
}

/// The longest chain of configuration files that is followed, in files.
const MOST_FILES: usize = 16;

/// The name, the identifiers and the sockets that a command line gives.
#[derive(Debug, Default)]
pub(crate) struct CommandLine {
    pub(crate) name: Option<String>,
    pub(crate) uuid: Option<String>,
    /// The number that Proxmox's QEMU is given.
    pub(crate) id: Option<String>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Returns the program that a command line starts, and the arguments after it. The program may be
/// started by the dynamic loader.
pub(crate) fn program(arguments: &[String]) -> Option<(Program, &[String])> {
    let (first, rest) = arguments.split_first()?;
    if let Some(program) = by_name(base(first)) {
        return Some((program, rest));
    }
    if !base(first).starts_with("ld-") && !base(first).starts_with("ld.so") {
        return None;
    }
    let is_program = |argument: &String| by_name(base(argument)).is_some();
    // Options of the loader come before the program.
    let at = rest.iter().take(16).position(is_program)?;
    Some((by_name(base(&rest[at]))?, &rest[at + 1..]))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn by_name(name: &str) -> Option<Program> {
    // A wrapper's program is hidden: `.qemu-system-x86_64-wrapped`.
    let name = name.strip_prefix('.').unwrap_or(name);
    match name {
        "kvm" | "qemu-kvm" | "qemu" => Some(Program::System),
        _ if name.starts_with("qemu-storage-daemon") => Some(Program::StorageDaemon),
        _ if name.starts_with("qemu-system-") || name.starts_with("qemu-kvm-") => {
            Some(Program::System)
        }
        _ => None,
    }
}

impl CommandLine {
    /// Reads the arguments of a program. `read` returns the text of a configuration file.
    pub(crate) fn parse(
        program: Program,
        arguments: &[String],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut reader = Reader { program, ..Reader::default() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix('-') else { continue };
            let option = option.strip_prefix('-').unwrap_or(option);
            if option == "s" {
                reader.endpoint(Role::Gdb, "tcp::1234,server=on,wait=off");
            } else if let Some((option, value)) = option.split_once('=') {
                reader.option(option, value, read);
            } else if OPTIONS.contains(&option) {
                let Some(value) = arguments.next() else { break };
                reader.option(option, value, read);
            }
        }
        reader.finish()
    }
}

/// The options that are read. All have an argument.
const OPTIONS: [&str; 22] = [
    "chardev",
    "debugcon",
    "device",
    "export",
    "gdb",
    "id",
    "incoming",
    "mon",
    "monitor",
    "name",
    "nbd-server",
    "netdev",
    "object",
    "parallel",
    "qmp",
    "qmp-pretty",
    "qtest",
    "readconfig",
    "serial",
    "spice",
    "uuid",
    "vnc",
];

struct Reader {
    program: Program,
    found: CommandLine,
    chardevs: HashMap<String, Endpoint>,
    /// Which role the chardev of this name has.
    uses: Vec<(String, Role)>,
    files: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            program: Program::System,
            found: CommandLine::default(),
            chardevs: HashMap::new(),
            uses: Vec::new(),
            files: 0,
        }
    }
}

impl Reader {
    fn option(&mut self, option: &str, value: &str, read: &dyn Fn(&str) -> Option<String>) {
        match option {
            "name" => self.name(&Options::parse(value, "guest")),
            "uuid" => self.found.uuid = Some(value.to_owned()),
            "id" => self.found.id = Some(value.to_owned()),
            "qmp" | "qmp-pretty" => self.endpoint(Role::Qmp, value),
            "monitor" if self.program == Program::StorageDaemon => self.monitor(value),
            "monitor" => self.endpoint(Role::Human, value),
            "mon" => self.monitor(value),
            "chardev" => self.chardev(&Options::parse(value, "backend")),
            "object" => self.object(&Options::parse(value, "qom-type")),
            "device" => self.device(&Options::parse(value, "driver")),
            "netdev" => self.device(&Options::parse(value, "type")),
            "serial" | "parallel" | "debugcon" => self.serial(value),
            "gdb" => self.endpoint(Role::Gdb, value),
            "qtest" => self.endpoint(Role::Qtest, value),
            "incoming" => self.listener(Role::Migration, value),
            "vnc" => self.vnc(value),
            "spice" => self.spice(&Options::parse(value, "")),
            "nbd-server" => self.server(Role::Nbd, &Options::parse(value, "")),
            "export" => self.server(Role::VhostUser, &Options::parse(value, "type")),
            "readconfig" => self.read_config(value, read),
            _ => {}
        }
    }

    fn name(&mut self, options: &Options) {
        if let Some(name) = options.get("guest").filter(|name| !name.is_empty()) {
            self.found.name = Some(name.to_owned());
        }
    }

    fn monitor(&mut self, value: &str) {
        self.monitor_of(&Options::parse(value, "chardev"));
    }

    fn monitor_of(&mut self, options: &Options) {
        let is_qmp = match options.get("mode") {
            Some(mode) => mode == "control",
            None => self.program == Program::StorageDaemon,
        };
        if let Some(chardev) = options.get("chardev") {
            self.uses.push((chardev.to_owned(), if is_qmp { Role::Qmp } else { Role::Human }));
        }
    }

    fn object(&mut self, options: &Options) {
        let role = match options.get("qom-type") {
            Some("monitor-qmp") => Role::Qmp,
            Some("monitor-hmp") => Role::Human,
            _ => return,
        };
        self.uses.extend(options.get("chardev").map(|chardev| (chardev.to_owned(), role)));
    }

    /// Reads a device or a network backend that uses a chardev.
    fn device(&mut self, options: &Options) {
        let driver = options.get("driver").or(options.get("type")).unwrap_or_default();
        let name = options.get("name").unwrap_or_default();
        let role = match driver {
            _ if driver.starts_with("vhost-user") => Role::VhostUser,
            _ if name.starts_with("org.qemu.guest_agent") => Role::GuestAgent,
            "virtserialport" => Role::Channel,
            _ => Role::Serial,
        };
        self.uses.extend(options.get("chardev").map(|chardev| (chardev.to_owned(), role)));
    }

    fn serial(&mut self, value: &str) {
        match value.strip_prefix("mon:") {
            // The monitor is one of two users of this chardev: it is asked for with Ctrl-A c.
            Some(rest) => self.found.endpoints.push(Endpoint {
                role: Role::Human,
                place: Place::Other(format!("mon:{}", base(rest))),
                listens: false,
                waits: false,
            }),
            None => self.endpoint(Role::Serial, value),
        }
    }

    /// Reads a chardev in the short form, such as `unix:/run/vm.sock,server=on,wait=off`.
    fn endpoint(&mut self, role: Role, value: &str) {
        if let Some(chardev) = value.strip_prefix("chardev:") {
            self.uses.push((chardev.to_owned(), role));
            return;
        }
        if matches!(value, "none" | "null") {
            return;
        }
        let socket = ["unix:", "tcp:", "telnet:"].iter().any(|prefix| value.starts_with(prefix));
        let place = match value.parse::<Address>() {
            Ok(address) if socket => Place::Socket(address),
            _ => Place::Other(split(value).swap_remove(0)),
        };
        let options = Options::parse(value, "address");
        self.found.endpoints.push(with_options(role, place, &options));
    }

    fn chardev(&mut self, options: &Options) {
        let Some(id) = options.get("id") else { return };
        let place = match options.get("backend") {
            Some("socket") => match chardev_address(options) {
                Some(place) => place,
                None => return,
            },
            Some(other) => Place::Other(other.to_owned()),
            None => return,
        };
        self.chardevs.insert(id.to_owned(), with_options(Role::Unused, place, options));
    }

    /// Reads an address that QEMU listens at without further options.
    fn listener(&mut self, role: Role, value: &str) {
        if let Ok(address @ (Address::Unix(_) | Address::Tcp { .. })) = value.parse::<Address>() {
            if value.starts_with("unix:") || value.starts_with("tcp:") {
                let place = Place::Socket(address);
                self.found.endpoints.push(Endpoint { role, place, listens: true, waits: false });
            }
        }
    }

    fn vnc(&mut self, value: &str) {
        let display = split(value).swap_remove(0);
        if display.starts_with("unix:") {
            return self.listener(Role::Vnc, &display);
        }
        let Some((host, number)) = display.rsplit_once(':') else { return };
        if let Some(port) = number.parse::<u16>().ok().and_then(|number| number.checked_add(5900)) {
            self.listener(Role::Vnc, &format!("tcp:{host}:{port}"));
        }
    }

    fn spice(&mut self, options: &Options) {
        let address = options.get("addr").unwrap_or_default();
        if options.is_on("unix") {
            self.listener(Role::Spice, &format!("unix:{}", address.replace(',', ",,")));
        } else if let Some(port) = options.get("port") {
            self.listener(Role::Spice, &format!("tcp:{address}:{port}"));
        }
    }

    /// Reads the address of a storage daemon's server.
    fn server(&mut self, role: Role, options: &Options) {
        match (options.get("addr.path"), options.get("addr.port")) {
            (Some(path), _) => self.listener(role, &format!("unix:{}", path.replace(',', ",,"))),
            (_, Some(port)) => {
                let host = options.get("addr.host").unwrap_or_default();
                self.listener(role, &format!("tcp:{host}:{port}"));
            }
            _ => {}
        }
    }

    fn read_config(&mut self, file: &str, read: &dyn Fn(&str) -> Option<String>) {
        self.files += 1;
        if self.files > MOST_FILES {
            return;
        }
        let Some(text) = read(file) else { return };
        for section in read_config::sections(&text) {
            match section.kind.as_str() {
                "chardev" => self.chardev(&section.options),
                "mon" => self.monitor_of(&section.options),
                "name" => self.name(&section.options),
                "object" => self.object(&section.options),
                "device" | "netdev" => self.device(&section.options),
                _ => {}
            }
        }
    }

    /// Gives each chardev the role of its user.
    fn finish(mut self) -> CommandLine {
        for (chardev, role) in &self.uses {
            if let Some(mut endpoint) = self.chardevs.remove(chardev) {
                endpoint.role = *role;
                self.found.endpoints.push(endpoint);
            }
        }
        let mut unused: Vec<_> = self.chardevs.into_iter().collect();
        unused.sort_by(|(one, _), (other, _)| one.cmp(other));
        let unused = unused.into_iter().map(|(_, endpoint)| endpoint);
        self.found.endpoints.extend(unused.filter(|endpoint| endpoint.address().is_some()));
        self.found
    }
}

fn chardev_address(options: &Options) -> Option<Place> {
    if let Some(descriptor) = options.get("fd") {
        return descriptor.parse().ok().map(Place::Descriptor);
    }
    let address = match (options.get("path"), options.get("port")) {
        (Some(name), _) if options.is_on("abstract") => Address::Abstract(name.to_owned()),
        (Some(path), _) => Address::Unix(path.into()),
        (None, Some(port)) => {
            let host = options.get("host").unwrap_or_default();
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            format!("tcp:{host}:{port}").parse().ok()?
        }
        (None, None) => return None,
    };
    Some(Place::Socket(address))
}

fn with_options(role: Role, place: Place, options: &Options) -> Endpoint {
    let listens = options.is_on("server");
    // QEMU waits unless it is told not to.
    let waits = listens && options.get("wait").is_none_or(|_| options.is_on("wait"));
    Endpoint { role, place, listens, waits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn read(text: &str) -> CommandLine {
        let arguments = words(text);
        let (program, rest) = program(&arguments).unwrap_or((Program::System, &[]));
        let file = |name: &str| {
            (name == "vm.cfg").then(|| {
                "# comment\n[name]\n guest = \"from, file\"\n[chardev \"m\"]\n  backend = \"socket\"\n\
                 path = \"/run/a,b\"\n server = \"on\"\n wait = \"off\"\n[mon \"x\"]\n chardev = \"m\"\n \
                 mode = \"control\"\n"
                    .to_owned()
            })
        };
        CommandLine::parse(program, rest, &file)
    }

    /// Each socket as its role, address, and whether QEMU listens (`l`) and waits (`w`).
    fn sockets(text: &str) -> Vec<String> {
        let describe = |endpoint: &Endpoint| {
            let listens = if endpoint.listens { " l" } else { "" };
            let waits = if endpoint.waits { "w" } else { "" };
            format!("{:?} {endpoint}{listens}{waits}", endpoint.role)
        };
        read(text).endpoints.iter().map(describe).collect()
    }

    #[test]
    fn programs_are_recognized() {
        for (text, expected) in [
            ("/usr/bin/qemu-system-x86_64 -S", Some(Program::System)),
            ("qemu-system-aarch64", Some(Program::System)),
            ("/usr/bin/kvm -id 100", Some(Program::System)),
            ("/usr/libexec/qemu-kvm", Some(Program::System)),
            ("/nix/store/x/bin/.qemu-system-x86_64-wrapped", Some(Program::System)),
            ("/usr/bin/qemu-storage-daemon --pidfile x", Some(Program::StorageDaemon)),
            (
                "/lib64/ld-linux-x86-64.so.2 --library-path /x /y/qemu-system-arm -S",
                Some(Program::System),
            ),
            ("/usr/bin/vim qemu-system-x86_64", None),
            ("qemu-x86_64 ./program", None),
            ("qemu-img info x", None),
            ("", None),
        ] {
            assert_eq!(program(&words(text)).map(|(program, _)| program), expected, "{text}");
        }
    }

    #[test]
    fn sockets_are_found_in_every_spelling() {
        for (arguments, expected) in [
            ("-qmp unix:/a,server=on,wait=off", "Qmp unix:/a l"),
            ("--qmp-pretty tcp:localhost:1,server,nowait", "Qmp tcp:localhost:1 l"),
            ("-qmp=unix:/a,server=on", "Qmp unix:/a lw"),
            ("-monitor telnet::5,server=on", "Human tcp::5 lw"),
            ("-monitor stdio", "Human stdio"),
            ("-serial mon:stdio", "Human mon:stdio"),
            ("-qmp unix:/a", "Qmp unix:/a"),
            (
                "-chardev socket,id=m,path=/a,server=on,wait=off -mon m,mode=control",
                "Qmp unix:/a l",
            ),
            ("-mon chardev=m -chardev socket,id=m,port=5,server=on,wait=off", "Human tcp::5 l"),
            (
                "-chardev socket,id=m,path=/a,abstract=on,server=on -object monitor-qmp,id=q,chardev=m",
                "Qmp unix:/a,abstract=on lw",
            ),
            (
                r#"-chardev socket,id=m,fd=7,server=on,wait=off -object {"qom-type":"monitor-hmp","chardev":"m"}"#,
                "Human fd:7 l",
            ),
            (
                "-chardev socket,id=a,path=/g,server=on,wait=off -device virtserialport,chardev=a,name=org.qemu.guest_agent.0",
                "GuestAgent unix:/g l",
            ),
            (
                "-chardev socket,id=a,path=/g -device vhost-user-fs-pci,chardev=a",
                "VhostUser unix:/g",
            ),
            ("-chardev socket,id=a,path=/g,server=on,wait=off", "Unused unix:/g l"),
            ("-serial unix:/s,server=on,wait=off", "Serial unix:/s l"),
            ("-s", "Gdb tcp::1234 l"),
            ("-vnc 127.0.0.1:3,password=on", "Vnc tcp:127.0.0.1:5903 l"),
            ("-vnc unix:/v", "Vnc unix:/v l"),
            ("-spice port=5930,addr=127.0.0.1", "Spice tcp:127.0.0.1:5930 l"),
            ("-readconfig vm.cfg", "Qmp unix:/run/a,,b l"),
        ] {
            assert_eq!(
                sockets(&format!("qemu-system-x86_64 {arguments}")),
                [expected],
                "{arguments}"
            );
        }
        let daemon = "qemu-storage-daemon --chardev socket,id=m,path=/a,server=on,wait=off \
                      --monitor m --nbd-server addr.type=unix,addr.path=/n";
        assert_eq!(sockets(daemon), ["Nbd unix:/n l", "Qmp unix:/a l"]);
        for without in
            ["-monitor none", "-qmp", "-readconfig missing.cfg", "-chardev socket,path=/a"]
        {
            assert!(sockets(&format!("qemu-system-x86_64 {without}")).is_empty(), "{without}");
        }
    }

    #[test]
    fn names_are_found() {
        for (arguments, name) in [
            ("-name web", Some("web")),
            ("-name guest=web,debug-threads=on", Some("web")),
            ("-name web,process=qemu:web", Some("web")),
            ("-name debug-threads=on", None),
            ("-readconfig vm.cfg", Some("from, file")),
        ] {
            let found = read(&format!("qemu-system-x86_64 {arguments}"));
            assert_eq!(found.name.as_deref(), name, "{arguments}");
        }
    }
}
