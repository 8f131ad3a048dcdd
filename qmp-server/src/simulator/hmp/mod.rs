//! Human monitor (HMP) commands.

mod expression;
mod info;

use qmp_types::QmpError;
use qmp_types::qmp::commands::HumanMonitorCommand;
use qmp_types::qmp::events::{Resume, Stop};
use qmp_types::qmp::types::{RunState, ShutdownCause};
use serde_json::{Value, json};

use super::block::node::Node;
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, refuse};
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router.on::<HumanMonitorCommand>(|machine, arguments, context| {
        let cpus = i64::from(machine.cpus.max);
        let cpu = arguments.integer("cpu-index").unwrap_or_default();
        if !(0..cpus).contains(&cpu) {
            return refuse("Parameter 'cpu-index' expects a CPU number");
        }
        Ok(machine.human_command(arguments.required("command-line"), context).into())
    })
}

type Run = fn(&mut Machine, &[&str], &mut Context) -> Result<String, QmpError>;

/// A command, with its names and its arguments as `help` shows them.
struct Entry {
    names: &'static str,
    /// The names of arguments; those that begin with `[` are optional.
    arguments: &'static [&'static str],
    run: Run,
}

const COMMANDS: [Entry; 25] = [
    Entry { names: "balloon", arguments: &["target"], run: balloon },
    Entry {
        names: "chardev-remove",
        arguments: &["id"],
        run: |machine, words, context| {
            machine.by_qmp("chardev-remove", &json!({"id": words[0]}), context)
        },
    },
    Entry { names: "commit", arguments: &["device"], run: |_, _, _| empty() },
    Entry {
        names: "cont|c",
        arguments: &[],
        run: |machine, _, context| {
            machine.cont(context)?;
            empty()
        },
    },
    Entry { names: "cpu", arguments: &["index"], run: cpu },
    Entry {
        names: "device_del",
        arguments: &["id"],
        run: |machine, words, context| {
            machine.by_qmp("device_del", &json!({"id": words[0]}), context)
        },
    },
    Entry {
        names: "eject",
        arguments: &["device"],
        run: |machine, words, context| machine.by_qmp("eject", &json!({"id": words[0]}), context),
    },
    Entry { names: "help|?", arguments: &["[cmd]"], run: |_, words, _| Ok(help(words)) },
    Entry { names: "log", arguments: &["item1[,...]"], run: |_, _, _| empty() },
    Entry {
        names: "netdev_del",
        arguments: &["id"],
        run: |machine, words, context| {
            machine.by_qmp("netdev_del", &json!({"id": words[0]}), context)
        },
    },
    Entry { names: "nmi", arguments: &[], run: |_, _, _| empty() },
    Entry {
        names: "object_del",
        arguments: &["id"],
        run: |machine, words, context| {
            machine.by_qmp("object-del", &json!({"id": words[0]}), context)
        },
    },
    Entry { names: "print|p", arguments: &["expr"], run: print },
    Entry {
        names: "qom-get",
        arguments: &["path", "property"],
        run: |machine, words, context| {
            machine.by_qmp("qom-get", &json!({"path": words[0], "property": words[1]}), context)
        },
    },
    Entry { names: "qom-list", arguments: &["path"], run: qom_list },
    Entry {
        names: "quit|q",
        arguments: &[],
        run: |machine, _, context| {
            machine.quit(context);
            empty()
        },
    },
    Entry { names: "savevm", arguments: &["[tag]"], run: savevm },
    Entry {
        names: "screendump",
        arguments: &["filename"],
        run: |machine, words, context| {
            machine.by_qmp("screendump", &json!({"filename": words[0]}), context)
        },
    },
    Entry { names: "sendkey", arguments: &["keys"], run: |_, _, _| empty() },
    Entry {
        names: "snapshot_blkdev",
        arguments: &["block device name", "[new-image-file]"],
        run: |_, _, _| {
            refuse("the simulated machine has no `snapshot_blkdev`; use `blockdev-snapshot-sync`")
        },
    },
    Entry {
        names: "stop|s",
        arguments: &[],
        run: |machine, _, context| {
            machine.stop(RunState::Paused, context);
            empty()
        },
    },
    Entry {
        names: "sum",
        arguments: &["addr", "size"],
        run: |_, _, _| {
            // All memory is zero.
            Ok("00000\r\n".to_owned())
        },
    },
    Entry {
        names: "system_powerdown",
        arguments: &[],
        run: |machine, _, context| {
            machine.power_down(context);
            empty()
        },
    },
    Entry {
        names: "system_reset",
        arguments: &[],
        run: |machine, _, context| {
            machine.reset(false, ShutdownCause::HostQmpSystemReset, context);
            empty()
        },
    },
    Entry {
        names: "system_wakeup",
        arguments: &[],
        run: |machine, _, context| {
            machine.wake_up(context)?;
            empty()
        },
    },
];

impl Entry {
    fn has_name(&self, name: &str) -> bool {
        self.names.split('|').any(|known| known == name)
    }

    fn first_name(&self) -> &'static str {
        self.names.split('|').next().unwrap_or_default()
    }

    fn usage(&self) -> String {
        [self.names, &self.arguments.join(" ")].join(" ").trim_end().to_owned()
    }
}

impl Machine {
    /// Executes a line, and returns what QEMU prints.
    fn human_command(&mut self, line: &str, context: &mut Context) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((name, words)) = words.split_first() else { return String::new() };
        if *name == "info" {
            return match words.first() {
                None => info::topics(),
                Some(topic) => match self.human_info(topic) {
                    Some(text) => text,
                    None => format!("unknown command: 'info {topic}'\r\n"),
                },
            };
        }
        if let Some(count) = name.strip_prefix("x/").or(name.strip_prefix("xp/")) {
            return examine(count, words);
        }
        let Some(entry) = COMMANDS.iter().find(|entry| entry.has_name(name)) else {
            return format!("unknown command: '{name}'\r\n");
        };
        let hint = format!("Try \"help {}\" for more information\r\n", entry.first_name());
        let names = entry.names;
        let missing = entry.arguments.get(words.len()).filter(|name| !name.starts_with('['));
        if let Some(missing) = missing {
            let what = match *missing {
                "target" | "expr" | "addr" | "size" | "index" => "value",
                other => other,
            };
            return format!("{names}: {what} expected\r\n{hint}");
        }
        // An expression may contain spaces.
        let is_text = matches!(entry.first_name(), "print" | "log");
        if words.len() > entry.arguments.len() && !is_text {
            return format!("{names}: extraneous characters at the end of line\r\n{hint}");
        }
        match (entry.run)(self, words, context) {
            Ok(text) => text,
            Err(error) => format!("Error: {}\r\n", error.desc),
        }
    }

    /// Executes a QMP command, and returns what HMP prints for its result.
    fn by_qmp(
        &mut self,
        name: &str,
        arguments: &Value,
        context: &mut Context,
    ) -> Result<String, QmpError> {
        let arguments = &Arguments::of(arguments);
        let reply = match name {
            "chardev-remove" => self.remove_chardev(arguments.required("id")),
            "device_del" => self.delete_device(arguments.required("id"), context),
            "eject" => self.eject_by_name(arguments.required("id"), context),
            "netdev_del" => self.delete_netdev(arguments.required("id")),
            "object-del" => self.delete_object(arguments.required("id")),
            "qom-get" => self.property(arguments.required("path"), arguments.required("property")),
            "screendump" => self.screendump(arguments),
            _ => refuse(format!("the simulated machine has no `{name}`")),
        }?;
        Ok(match reply {
            Value::Object(members) if members.is_empty() => String::new(),
            value => format!("{value:#}\r\n"),
        })
    }
}

fn empty() -> Result<String, QmpError> {
    Ok(String::new())
}

fn balloon(
    machine: &mut Machine,
    words: &[&str],
    context: &mut Context,
) -> Result<String, QmpError> {
    let Some(megabytes) = expression::evaluate(words[0]) else {
        return refuse("invalid expression");
    };
    machine.set_balloon(megabytes.saturating_mul(1 << 20), context)?;
    empty()
}

fn cpu(machine: &mut Machine, words: &[&str], _: &mut Context) -> Result<String, QmpError> {
    match words[0].parse::<u32>() {
        Ok(index) if index < machine.cpus.max => empty(),
        _ => Ok("invalid CPU index\r\n".to_owned()),
    }
}

fn print(_: &mut Machine, words: &[&str], _: &mut Context) -> Result<String, QmpError> {
    let (format, words) = match words.split_first() {
        Some((first, rest)) if first.starts_with('/') => (&first[1..], rest),
        _ => ("x", words),
    };
    let Some(value) = expression::evaluate(&words.join(" ")) else {
        return Ok("invalid char in expression\r\n".to_owned());
    };
    Ok(match format {
        "d" => format!("{value}\r\n"),
        "u" => format!("{}\r\n", u64::from_ne_bytes(value.to_ne_bytes())),
        "o" => format!("{value:#o}\r\n"),
        _ => format!("{value:#x}\r\n"),
    })
}

fn qom_list(machine: &mut Machine, words: &[&str], _: &mut Context) -> Result<String, QmpError> {
    let listed: Reply = machine.list_properties(words[0]);
    let text = listed?
        .as_array()
        .into_iter()
        .flatten()
        .map(|property| {
            let text = |name: &str| property[name].as_str().unwrap_or_default().to_owned();
            format!("{} ({})\r\n", text("name"), text("type"))
        })
        .collect();
    Ok(text)
}

fn savevm(
    machine: &mut Machine,
    words: &[&str],
    context: &mut Context,
) -> Result<String, QmpError> {
    let writable = machine.nodes.iter().rev().find(|node| {
        !node.read_only
            && node.driver != "qcow2"
            && node.owned_by_monitor
            && !machine.has_parent(&node.name)
    });
    if let Some(node) = writable {
        let name = &node.name;
        return refuse(format!("Device '{name}' is writable but does not support snapshots"));
    }
    let tag = words.first().map_or("vm-1", |tag| tag).to_owned();
    let saved = machine.nodes.iter().filter(|node| is_saved(node));
    let more = saved.filter(|node| !node.snapshots.contains(&tag)).count();
    machine.check_room(machine.snapshots(), more, "snapshots")?;
    if machine.is_running() {
        context.emit(&Stop::new());
        context.emit(&Resume::new());
    }
    for node in machine.nodes.iter_mut().filter(|node| is_saved(node)) {
        // One of the same name is replaced.
        node.snapshots.retain(|known| *known != tag);
        node.snapshots.push(tag.clone());
    }
    empty()
}

/// Returns whether `savevm` takes a snapshot of a node.
fn is_saved(node: &Node) -> bool {
    node.driver == "qcow2" && !node.read_only
}

fn help(words: &[&str]) -> String {
    let wanted = words.first();
    let shown = COMMANDS.iter().filter(|entry| wanted.is_none_or(|name| entry.has_name(name)));
    shown.map(|entry| format!("{}\r\n", entry.usage())).collect()
}

/// Prints memory, which is all zero.
fn examine(format: &str, words: &[&str]) -> String {
    let digits: String = format.chars().take_while(char::is_ascii_digit).collect();
    let count: usize = digits.parse().unwrap_or(1).clamp(1, 1024);
    let width: usize = match format.chars().last() {
        Some('b') => 1,
        Some('h') => 2,
        Some('g') => 8,
        _ => 4,
    };
    let Some(mut address) = words.first().and_then(|word| expression::evaluate(word)) else {
        return "x: address expected\r\nTry \"help x\" for more information\r\n".to_owned();
    };
    let mut text = String::new();
    let mut left = count;
    while left > 0 {
        let here = left.min(16 / width);
        let values = vec![format!("0x{}", "00".repeat(width)); here].join(" ");
        text += &format!("{address:016x}: {values}\r\n");
        address = address.wrapping_add(16);
        left -= here;
    }
    text
}
