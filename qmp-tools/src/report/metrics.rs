//! The report as metrics, in the text format that Prometheus reads.
//!
//! Every sample has the label `address`, the machine's address as it was given. In the values of
//! labels, backslashes, quotes and line feeds are escaped as the format says, and other characters
//! that control a terminal are written as `\u{1b}`.
//!
//! | metric | type | further labels | value |
//! | --- | --- | --- | --- |
//! | `qmp_up` | gauge | | 1 if the machine answered, and 0 if not |
//! | `qmp_info` | gauge | `kind`, `name`, `uuid`, `version`, `machine`, `accelerator` | 1 |
//! | `qmp_state` | gauge | `state` | 1 for the current run state |
//! | `qmp_cpus` | gauge | | virtual CPUs |
//! | `qmp_memory_bytes` | gauge | `memory`: `base`, `plugged`, `balloon` | bytes |
//! | `qmp_block_read_bytes_total` | counter | `device` | bytes |
//! | `qmp_block_written_bytes_total` | counter | `device` | bytes |
//! | `qmp_block_reads_total` | counter | `device` | requests |
//! | `qmp_block_writes_total` | counter | `device` | requests |
//! | `qmp_block_flushes_total` | counter | `device` | requests |
//! | `qmp_block_size_bytes` | gauge | `device`, `node`, `format` | the size that the guest sees |
//! | `qmp_block_allocated_bytes` | gauge | `device`, `node`, `format` | the space on the host |
//! | `qmp_block_io_error` | gauge | `device` | 1 if the I/O status is not `ok` |
//! | `qmp_bitmap_dirty_bytes` | gauge | `node`, `bitmap` | bytes |
//! | `qmp_job_done_ratio` | gauge | `job`, `type`, `status` | progress, from 0 to 1 |
//! | `qmp_migration_state` | gauge | `status` | 1 for the current status |
//! | `qmp_migration_transferred_bytes` | gauge | | bytes |
//! | `qmp_migration_remaining_bytes` | gauge | | bytes |
//! | `qmp_display_clients` | gauge | `protocol`, `listen` | connected clients |
//! | `qmp_exports` | gauge | | exports of block nodes |
//! | `qmp_failed_queries` | gauge | `reason`: `refused`, `unanswered`, `undecodable` | queries |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use qmp_client::protocol::Printable;

use super::model::{BlockDevice, Report};

/// The families: name, type, and help.
const FAMILIES: [(&str, &str, &str); 21] = [
    ("qmp_up", "gauge", "Whether the machine answered."),
    ("qmp_info", "gauge", "The machine, in labels."),
    ("qmp_state", "gauge", "The current run state, in a label."),
    ("qmp_cpus", "gauge", "Virtual CPUs."),
    ("qmp_memory_bytes", "gauge", "Sizes of the guest's memory."),
    ("qmp_block_read_bytes_total", "counter", "Bytes that the guest has read."),
    ("qmp_block_written_bytes_total", "counter", "Bytes that the guest has written."),
    ("qmp_block_reads_total", "counter", "Read requests of the guest."),
    ("qmp_block_writes_total", "counter", "Write requests of the guest."),
    ("qmp_block_flushes_total", "counter", "Flush requests of the guest."),
    ("qmp_block_size_bytes", "gauge", "The size of the disk that the guest sees."),
    ("qmp_block_allocated_bytes", "gauge", "The space that the image takes on the host."),
    ("qmp_block_io_error", "gauge", "Whether the I/O status of the device is not ok."),
    ("qmp_bitmap_dirty_bytes", "gauge", "Bytes that are dirty in a bitmap."),
    ("qmp_job_done_ratio", "gauge", "The progress of a job."),
    ("qmp_migration_state", "gauge", "The status of the migration, in a label."),
    ("qmp_migration_transferred_bytes", "gauge", "Bytes of memory that have been sent."),
    ("qmp_migration_remaining_bytes", "gauge", "Bytes of memory that remain to be sent."),
    ("qmp_display_clients", "gauge", "Clients that are connected to a remote display."),
    ("qmp_exports", "gauge", "Exports of block nodes."),
    ("qmp_failed_queries", "gauge", "Queries of this report without a usable answer."),
];

/// Samples by family, and in a family by labels, which are unique.
#[derive(Default)]
struct Samples(BTreeMap<&'static str, BTreeMap<String, f64>>);

/// Writes the reports of machines, each with its address. A machine that did not answer has none.
#[must_use]
pub fn metrics(machines: &[(&str, Option<&Report>)]) -> String {
    let mut samples = Samples::default();
    for (address, report) in machines {
        let machine = Machine { samples: &mut samples, address };
        machine.add_all(*report);
    }
    let mut text = String::new();
    for (name, kind, help) in FAMILIES {
        let Some(family) = samples.0.get(name) else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in family {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    text
}

struct Machine<'a> {
    samples: &'a mut Samples,
    address: &'a str,
}

impl Machine<'_> {
    fn add(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        debug_assert!(FAMILIES.iter().any(|family| family.0 == name), "{name}");
        let mut text = format!("address=\"{}\"", label(self.address));
        for (name, value) in labels {
            let _ = write!(text, ",{name}=\"{}\"", label(value));
        }
        // A second sample of the same name and labels makes a scrape invalid.
        self.samples.0.entry(name).or_default().entry(text).or_insert(value);
    }

    fn add_some(&mut self, name: &'static str, labels: &[(&str, &str)], value: Option<i64>) {
        if let Some(value) = value {
            self.add(name, labels, value as f64);
        }
    }

    fn add_all(mut self, report: Option<&Report>) {
        self.add("qmp_up", &[], if report.is_some() { 1.0 } else { 0.0 });
        let Some(report) = report else { return };
        self.add_identity(report);
        report.block.iter().for_each(|device| self.add_block(device));
        for bitmap in &report.bitmaps {
            let labels =
                [("node", &*bitmap.node), ("bitmap", bitmap.name.as_deref().unwrap_or_default())];
            self.add("qmp_bitmap_dirty_bytes", &labels, bitmap.dirty as f64);
        }
        for job in &report.jobs {
            let labels = [("job", &*job.id), ("type", &job.kind), ("status", &job.status)];
            self.add("qmp_job_done_ratio", &labels, job.progress.unwrap_or(0.0));
        }
        if let Some(migration) = &report.migration {
            self.add("qmp_migration_state", &[("status", &migration.status)], 1.0);
            self.add_some("qmp_migration_transferred_bytes", &[], migration.transferred);
            self.add_some("qmp_migration_remaining_bytes", &[], migration.remaining);
        }
        for display in &report.displays {
            let listen = display.address.as_deref().unwrap_or_default();
            let labels = [("protocol", &*display.protocol), ("listen", listen)];
            self.add("qmp_display_clients", &labels, display.clients as f64);
        }
        self.add("qmp_exports", &[], report.exports.len() as f64);
        for (reason, problems) in [
            ("refused", &report.refused),
            ("unanswered", &report.unanswered),
            ("undecodable", &report.undecodable),
        ] {
            self.add("qmp_failed_queries", &[("reason", reason)], problems.len() as f64);
        }
    }

    fn add_identity(&mut self, report: &Report) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let kind = match report.kind {
            super::Kind::Machine => "machine",
            super::Kind::StorageDaemon => "storage-daemon",
        };
        let labels = [
            ("kind", kind),
            ("name", &text(&report.name)),
            ("uuid", &text(&report.uuid)),
            ("version", &report.version),
            ("machine", &text(&report.machine)),
            ("accelerator", &text(&report.accelerator)),
        ];
        self.add("qmp_info", &labels, 1.0);
        if let Some(state) = &report.state {
            self.add("qmp_state", &[("state", state)], 1.0);
        }
        self.add("qmp_cpus", &[], report.cpus.len() as f64);
        if let Some(memory) = &report.memory {
            for (kind, bytes) in [
                ("base", Some(memory.base as f64)),
                ("plugged", memory.plugged.map(|plugged| plugged as f64)),
                ("balloon", memory.balloon.map(|balloon| balloon as f64)),
            ] {
                if let Some(bytes) = bytes {
                    self.add("qmp_memory_bytes", &[("memory", kind)], bytes);
                }
            }
        }
    }

    fn add_block(&mut self, device: &BlockDevice) {
        let labels = [("device", &*device.name)];
        self.add_some("qmp_block_read_bytes_total", &labels, device.read);
        self.add_some("qmp_block_written_bytes_total", &labels, device.written);
        self.add_some("qmp_block_reads_total", &labels, device.read_operations);
        self.add_some("qmp_block_writes_total", &labels, device.write_operations);
        self.add_some("qmp_block_flushes_total", &labels, device.flush_operations);
        if let Some(status) = &device.io_status {
            let failed = if status == "ok" { 0.0 } else { 1.0 };
            self.add("qmp_block_io_error", &labels, failed);
        }
        if let Some(image) = &device.image {
            let node = image.node.as_deref().unwrap_or_default();
            let labels = [("device", &*device.name), ("node", node), ("format", &image.format)];
            self.add("qmp_block_size_bytes", &labels, image.size as f64);
            self.add_some("qmp_block_allocated_bytes", &labels, image.on_disk);
        }
    }
}

/// Escapes the value of a label.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ if Printable::escapes(character) => {
                let _ = write!(out, "\\{}", character.escape_default());
            }
            _ => out.push(character),
        }
    }
    out
}
