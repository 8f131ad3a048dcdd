//! Renders the report as text.

use std::fmt;

use super::model::{BlockDevice, Image, Kind, Nic, Report};
use super::table::Table;
use super::units::{bytes, count, size};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity().write(f, "")?;
        for (title, table) in [
            ("CPUs", self.cpu_table()),
            ("Block devices", self.block_table()),
            (self.nodes_title(), self.node_table()),
            ("Dirty bitmaps", self.bitmap_table()),
            ("Exports", self.export_table()),
            ("Network", self.network_table()),
            ("Character devices", self.chardev_table()),
            ("Displays", self.display_table()),
            ("Pointing devices", self.mouse_table()),
            ("PCI", self.pci_table()),
            ("I/O threads", self.iothread_table()),
            ("Jobs", self.job_table()),
            ("Refused or unanswered", self.problem_table()),
        ] {
            if !table.is_empty() {
                writeln!(f, "\n{title}")?;
                table.write(f, "  ")?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn identity(&self) -> Table {
        let mut table = Table::default();
        let mut row = |label: &str, text: Option<String>| {
            if let Some(text) = text {
                table.row([label.to_owned(), text]);
            }
        };
        row("Name", self.name.clone());
        row("UUID", self.uuid.clone());
        row("QEMU", Some(self.version.clone()));
        row("Kind", (self.kind == Kind::StorageDaemon).then(|| "storage daemon".to_owned()));
        row("State", self.state.clone());
        row("Machine", join(&[self.machine.clone(), self.target.clone()]));
        row("Accelerator", self.accelerator.clone());
        row("CPUs", self.cpu_count());
        row("Memory", self.memory_line());
        row("Migration", self.migration_line());
        table
    }

    fn cpu_count(&self) -> Option<String> {
        let more = self.pluggable_cpus.filter(|more| *more > 0);
        match (self.cpus.len(), more) {
            (0, None) => None,
            (count, None) => Some(count.to_string()),
            (count, Some(more)) => Some(format!("{count} ({more} more can be plugged in)")),
        }
    }

    fn memory_line(&self) -> Option<String> {
        let memory = self.memory.as_ref()?;
        let mut line = bytes(memory.base);
        if let Some(plugged) = memory.plugged.filter(|plugged| *plugged > 0) {
            line += &format!(", {} plugged in", bytes(plugged));
        }
        if let Some(balloon) = memory.balloon {
            line += &format!(", {} after ballooning", size(balloon));
        }
        Some(line)
    }

    fn migration_line(&self) -> Option<String> {
        let migration = self.migration.as_ref()?;
        let mut line = migration.status.clone();
        if let (Some(sent), Some(left)) = (migration.transferred, migration.remaining) {
            line += &format!(", {} sent, {} remaining", size(sent), size(left));
        }
        if let Some(error) = &migration.error {
            line += &format!(": {error}");
        }
        if !migration.blocked_by.is_empty() {
            line += &format!("; blocked: {}", migration.blocked_by.join("; "));
        }
        Some(line)
    }

    fn cpu_table(&self) -> Table {
        let mut table = Table::default();
        for cpu in &self.cpus {
            let place = cpu.place.clone().unwrap_or_default();
            table.row([cpu.index.to_string(), format!("thread {}", cpu.thread), place]);
        }
        table
    }

    fn block_table(&self) -> Table {
        let mut table = Table::default();
        self.block.iter().for_each(|device| block_device(&mut table, device));
        table
    }

    fn nodes_title(&self) -> &'static str {
        if self.block.is_empty() { "Block nodes" } else { "Other block nodes" }
    }

    fn node_table(&self) -> Table {
        let mut table = Table::default();
        for node in &self.nodes {
            let label = node.node.clone().unwrap_or_default();
            chain(&mut table, label, node, String::new());
        }
        table
    }

    fn bitmap_table(&self) -> Table {
        let mut table = Table::default();
        for bitmap in &self.bitmaps {
            let name = bitmap.name.clone().unwrap_or_else(|| "(anonymous)".to_owned());
            let amount = format!("{} dirty", size(bitmap.dirty));
            let unit = format!("in units of {}", bytes(bitmap.granularity.into()));
            let recording = if bitmap.recording { "recording" } else { "disabled" };
            let states = words(&[
                (true, recording),
                (bitmap.persistent, "persistent"),
                (bitmap.busy, "busy"),
                (bitmap.inconsistent, "inconsistent"),
            ]);
            table.row([bitmap.node.clone(), name, amount, unit, states]);
        }
        table
    }

    fn export_table(&self) -> Table {
        let mut table = Table::default();
        for export in &self.exports {
            let state = if export.shutting_down { "shutting down" } else { "" };
            let node = format!("node {}", export.node);
            table.row([export.id.clone(), export.kind.clone(), node, state.to_owned()]);
        }
        table
    }

    fn network_table(&self) -> Table {
        let mut table = Table::default();
        for nic in &self.network {
            let promiscuous = if nic.promiscuous == Some(true) { "promiscuous" } else { "" };
            let (model, mac) = (nic.model.clone(), nic.mac.clone());
            table.row([
                nic.name.clone(),
                model.unwrap_or_default(),
                mac.unwrap_or_default(),
                backend(nic),
                promiscuous.to_owned(),
            ]);
        }
        table
    }

    fn chardev_table(&self) -> Table {
        let mut table = Table::default();
        for chardev in &self.chardevs {
            let open = if chardev.open { "" } else { "(not open)" };
            table.row([chardev.label.clone(), chardev.backend.clone(), open.to_owned()]);
        }
        table
    }

    fn display_table(&self) -> Table {
        let mut table = Table::default();
        for display in &self.displays {
            let address = display.address.clone().unwrap_or_else(|| "does not listen".to_owned());
            let websocket = if display.websocket { "WebSocket" } else { "" };
            let auth = display.auth.as_ref().map(|auth| format!("authentication: {auth}"));
            table.row([
                display.protocol.clone(),
                address,
                count(display.clients, "client"),
                auth.unwrap_or_default(),
                websocket.to_owned(),
            ]);
        }
        table
    }

    fn mouse_table(&self) -> Table {
        let mut table = Table::default();
        for mouse in &self.mice {
            let kind = if mouse.absolute { "absolute" } else { "relative" };
            let current = if mouse.current { ", receives input" } else { "" };
            table.row([mouse.name.clone(), format!("{kind}{current}")]);
        }
        table
    }

    fn pci_table(&self) -> Table {
        let mut table = Table::default();
        for pci in &self.pci {
            let device = pci.device.clone().unwrap_or_default();
            table.row([pci.address.clone(), pci.id.clone(), pci.class.clone(), device]);
        }
        table
    }

    fn iothread_table(&self) -> Table {
        let mut table = Table::default();
        for thread in &self.iothreads {
            table.row([thread.id.clone(), format!("thread {}", thread.thread)]);
        }
        table
    }

    fn job_table(&self) -> Table {
        let mut table = Table::default();
        for job in &self.jobs {
            let progress = job.progress.map(|p| format!("{:.0}%", p * 100.0)).unwrap_or_default();
            let error = job.error.clone().unwrap_or_default();
            table.row([job.id.clone(), job.kind.clone(), job.status.clone(), progress, error]);
        }
        table
    }

    /// Lists what failed. What a QEMU simply does not have is only in the JSON.
    fn problem_table(&self) -> Table {
        let mut table = Table::default();
        for (what, problems) in [
            ("refused", &self.refused),
            ("no reply", &self.unanswered),
            ("odd reply", &self.undecodable),
        ] {
            for problem in problems {
                table.row([problem.query.clone(), what.to_owned(), problem.reason.clone()]);
            }
        }
        table
    }
}

fn block_device(table: &mut Table, device: &BlockDevice) {
    let status = device.io_status.as_ref().filter(|status| *status != "ok");
    let status = status.map(|status| format!("I/O status: {status}"));
    let states = words(&[
        (device.removable, "removable"),
        (device.locked, "locked"),
        (status.is_some(), status.as_deref().unwrap_or_default()),
    ]);
    match &device.image {
        Some(image) => chain(table, device.name.clone(), image, states),
        None => table.row([device.name.clone(), "empty".to_owned(), states]),
    }
    let traffic =
        device.read.zip(device.written).filter(|(read, written)| *read > 0 || *written > 0);
    if let Some((read, written)) = traffic {
        table.row(["  traffic".to_owned(), format!("{} read, {} written", size(read), size(written))]);
    }
}

/// Adds an image and the chain below it.
fn chain(table: &mut Table, label: String, image: &Image, states: String) {
    image_row(table, label, image, states);
    for (number, link) in image.backing.iter().enumerate() {
        let given = link.node.as_ref().filter(|node| !node.starts_with('#'));
        let label = given.cloned().unwrap_or_else(|| format!("backing {}", number + 1));
        image_row(table, format!("  └ {label}"), link, String::new());
    }
    if let (true, Some(file)) = (image.backing.is_empty(), &image.backing_file) {
        table.row(["  └ backing 1".to_owned(), String::new(), String::new(), String::new(), file.clone()]);
    }
}

fn image_row(table: &mut Table, label: String, image: &Image, states: String) {
    let on_disk = image.on_disk.map(|on_disk| format!("{} on disk", size(on_disk)));
    let own = words(&[(image.read_only == Some(true), "read-only"), (image.encrypted, "encrypted")]);
    let states = words(&[(!own.is_empty(), &own), (!states.is_empty(), &states)]);
    table.row([
        label,
        image.format.clone(),
        size(image.size),
        on_disk.unwrap_or_default(),
        image.file.clone(),
        states,
    ]);
}

fn backend(nic: &Nic) -> String {
    let Some(backend) = &nic.backend else { return String::from("not connected") };
    match (&nic.backend_type, &nic.backend_details) {
        (Some(kind), Some(details)) => format!("{backend}: {kind},{details}"),
        (Some(kind), None) => format!("{backend}: {kind}"),
        _ => backend.clone(),
    }
}

/// Joins the words that apply.
fn words(words: &[(bool, &str)]) -> String {
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    words.join(", ")
}

fn join(parts: &[Option<String>]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
