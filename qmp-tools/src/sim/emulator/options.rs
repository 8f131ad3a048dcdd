//! The options of QEMU's command line.

use std::fmt;

use super::Refusal;

/// The options that take no argument.
const SWITCHES: [&str; 17] = [
    "S",
    "daemonize",
    "enable-kvm",
    "full-screen",
    "mem-prealloc",
    "no-fd-bootchk",
    "no-reboot",
    "no-shutdown",
    "no-user-config",
    "nodefaults",
    "nographic",
    "only-migratable",
    "preconfig",
    "s",
    "snapshot",
    "usb",
    "version",
];

/// The options with an argument that the machine follows.
const FOLLOWED: [&str; 29] = [
    "M",
    "accel",
    "action",
    "add-fd",
    "blockdev",
    "cdrom",
    "chardev",
    "cpu",
    "device",
    "display",
    "drive",
    "hda",
    "hdb",
    "hdc",
    "hdd",
    "incoming",
    "m",
    "machine",
    "mon",
    "name",
    "net",
    "netdev",
    "nic",
    "object",
    "pidfile",
    "qmp",
    "qmp-pretty",
    "smp",
    "uuid",
];

/// The options with an argument that only a guest would notice.
const IGNORED: [&str; 57] = [
    "D",
    "L",
    "acpitable",
    "append",
    "audio",
    "audiodev",
    "bios",
    "boot",
    "compat",
    "d",
    "debugcon",
    "dfilter",
    "dtb",
    "echr",
    "fda",
    "fdb",
    "fsdev",
    "fw_cfg",
    "g",
    "gdb",
    "global",
    "icount",
    "initrd",
    "k",
    "kernel",
    "loadvm",
    "mem-path",
    "monitor",
    "msg",
    "mtdblock",
    "numa",
    "overcommit",
    "parallel",
    "perfmap",
    "pflash",
    "plugin",
    "prom-env",
    "qtest",
    "qtest-log",
    "rtc",
    "run-with",
    "sandbox",
    "sd",
    "seed",
    "semihosting-config",
    "serial",
    "set",
    "smbios",
    "spice",
    "tpmdev",
    "trace",
    "usbdevice",
    "vga",
    "virtfs",
    "vnc",
    "watchdog-action",
    "xen-domid",
];

/// An option as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The name without hyphens.
    pub(crate) name: String,
    pub(crate) value: String,
    /// The name as it was written.
    written: String,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.written.is_empty(), self.value.is_empty()) {
            (true, _) => f.write_str(&self.value),
            (false, true) => f.write_str(&self.written),
            (false, false) => write!(f, "{} {}", self.written, self.value),
        }
    }
}

/// The options of a command line, all of which exist.
#[derive(Debug, Default)]
pub(crate) struct Options(Vec<Given>);

impl Options {
    /// Reads the arguments.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Refusal> {
        let mut options = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(written) = arguments.next() {
            let Some(name) = written.strip_prefix('-').filter(|name| !name.is_empty()) else {
                // A disk image.
                let (name, value) = ("hda".to_owned(), written.clone());
                options.push(Given { name, value, written: String::new() });
                continue;
            };
            let name = name.strip_prefix('-').unwrap_or(name).to_owned();
            let mut given = Given { name, value: String::new(), written: written.clone() };
            let name = given.name.as_str();
            if !SWITCHES.contains(&name) {
                let lists = [&FOLLOWED as &[&str], &IGNORED];
                if !lists.iter().any(|list| list.contains(&name)) {
                    return Err(Refusal::of(&given, "invalid option"));
                }
                match arguments.next() {
                    Some(value) => given.value.clone_from(value),
                    None => return Err(Refusal::of(&given, "requires an argument")),
                }
            }
            options.push(given);
        }
        Ok(Self(options))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// Returns the last option of a name, which replaces the others.
    pub(crate) fn last(&self, name: &str) -> Option<&Given> {
        self.0.iter().rfind(|given| given.name == name)
    }

    /// Returns the options with these names, in their order.
    pub(crate) fn all<'o>(&'o self, names: &'o [&str]) -> impl Iterator<Item = &'o Given> {
        self.0.iter().filter(move |given| names.contains(&given.name.as_str()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Options::parse(&arguments)
            .map_err(|Refusal { at, message, .. }| format!("{}: {message}", at.unwrap_or_default()))
    }

    #[test]
    fn options_are_read_as_qemu_does() {
        let options = parse("-S --name vm disk.img -device a -device b").unwrap();
        assert!(options.has("S") && !options.has("daemonize"));
        assert_eq!(options.last("name").unwrap().to_string(), "--name vm");
        assert_eq!(options.last("device").unwrap().value, "b");
        assert_eq!(options.last("hda").unwrap().to_string(), "disk.img");
        for (text, error) in [
            ("-nope", "-nope: invalid option"),
            ("--nope=1", "--nope=1: invalid option"),
            ("-S=1", "-S=1: invalid option"),
            ("-S -device", "-device: requires an argument"),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }
}
