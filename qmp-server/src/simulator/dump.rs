//! Dumps of memory and state to files.

use qmp_types::qmp::commands::{
    DumpGuestMemory, InjectNmi, Memsave, Pmemsave, QueryDump, QueryDumpGuestMemoryCapability,
    XenSaveDevicesState,
};
use qmp_types::qmp::events::{DumpCompleted, Resume, Stop};
use serde_json::{Value, json};

use super::descriptor_set;
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, done, os_error, refuse};
use crate::context::Context;
use crate::router::Router;

/// The largest number of bytes of memory that are written to a file.
const MAX_SAVED: u64 = 64 << 20;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<DumpGuestMemory>(|machine, arguments, context| {
            machine.dump_memory(arguments, context)
        })
        .on::<QueryDump>(|machine, _, _| Ok(machine.query_dump()))
        .on::<QueryDumpGuestMemoryCapability>(|_, _, _| {
            Ok(json!({"formats": ["elf", "kdump-zlib", "kdump-raw-zlib"]}))
        })
        .on::<Memsave>(|machine, arguments, _| {
            let cpu = arguments.integer("cpu-index").unwrap_or_default();
            match u32::try_from(cpu).is_ok_and(|cpu| cpu < machine.cpus.boot) {
                true => machine.save_memory(arguments),
                false => refuse("Parameter 'cpu-index' expects a CPU number"),
            }
        })
        .on::<Pmemsave>(|machine, arguments, _| machine.save_memory(arguments))
        .on::<InjectNmi>(|_, _, _| done())
        .on::<XenSaveDevicesState>(|machine, arguments, context| {
            machine.save_devices(arguments, context)
        })
        .event::<DumpCompleted>()
}

impl Machine {
    fn dump_memory(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let protocol = arguments.required("protocol");
        if arguments.get("begin").is_some() != arguments.get("length").is_some() {
            let missing = if arguments.get("begin").is_some() { "length" } else { "begin" };
            return refuse(format!("Parameter '{missing}' is missing"));
        }
        let descriptor = protocol.strip_prefix("fd:").map(|name| self.descriptors.take(name));
        let descriptor = descriptor.transpose()?;
        let format = arguments.text("format").unwrap_or("elf");
        let selects = arguments.flag("paging") || arguments.get("begin").is_some();
        if format.starts_with("kdump") && selects {
            return refuse("kdump-compressed format doesn't support paging or filter");
        }
        match format {
            "win-dmp" => return refuse("win-dump: no vmcoreinfo note from the guest"),
            "elf" | "kdump-zlib" | "kdump-raw-zlib" => {}
            other => {
                let name = other.replace("raw-", "");
                return refuse(format!("{name} is not available now"));
            }
        }
        // The header of an ELF core file for x86-64.
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0".to_vec();
        head.resize(64, 0);
        let written = match (protocol.strip_prefix("file:"), descriptor) {
            (Some(path), _) => {
                self.create_file(path, self.memory, &head)?;
                Ok(())
            }
            (None, Some(descriptor)) if !descriptor_set::is_regular(&descriptor) => {
                return refuse("the simulated machine dumps only to files");
            }
            (None, Some(descriptor)) => descriptor_set::write(&descriptor, self.memory, &head),
            (None, None) => return refuse("parameter 'protocol' must start with 'file:' or 'fd:'"),
        };
        let error = written
            .err()
            .map(|error| format!("dump: failed to write elf header: {}", os_error(&error)));
        match (arguments.flag("detach"), error) {
            (true, error) => context.after_reply(|context| self.end_dump(error, context)),
            (false, None) => self.end_dump(None, context),
            (false, Some(error)) => {
                self.end_dump(Some(error.clone()), context);
                return refuse(error);
            }
        }
        done()
    }

    fn query_dump(&self) -> Value {
        let none = json!({"status": "none", "completed": 0, "total": 0});
        self.last_dump.clone().unwrap_or(none)
    }

    /// Emits the events of a dump, for which the guest stops.
    fn end_dump(&mut self, error: Option<String>, context: &mut Context) {
        if self.is_running() {
            context.emit(&Stop::new());
        }
        let (status, completed) = match error {
            None => ("completed", self.memory),
            Some(_) => ("failed", 0),
        };
        let result = json!({"status": status, "completed": completed, "total": self.memory});
        self.last_dump = Some(result.clone());
        if let Ok(result) = serde_json::from_value(result) {
            let event = DumpCompleted::new(result);
            context.emit(&match error {
                None => event,
                Some(error) => event.error(error),
            });
        }
        if self.is_running() {
            context.emit(&Resume::new());
        }
    }

    fn save_memory(&mut self, arguments: &Arguments) -> Reply {
        let path = arguments.required("filename");
        let size = arguments.size("size").unwrap_or_default();
        if size > MAX_SAVED {
            let most = MAX_SAVED >> 20;
            return refuse(format!("the simulated machine saves at most {most} MiB of memory"));
        }
        match self.files.create(path, size, &[]) {
            Ok(()) => done(),
            Err(error) => refuse(format!("Could not open '{path}': {}", os_error(&error))),
        }
    }

    fn save_devices(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let path = arguments.required("filename");
        let was_running = self.is_running();
        if was_running {
            context.emit(&Stop::new());
        }
        let created = self.files.create(path, 0, b"QEVM\0\0\0\x03");
        if was_running {
            context.emit(&Resume::new());
        }
        match created {
            Ok(()) => done(),
            Err(error) => refuse(format!("Could not create '{path}': {}", os_error(&error))),
        }
    }
}
