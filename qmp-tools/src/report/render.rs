//! Renders the report as text.

use std::fmt;

use super::{BlockDevice, Image, Report};
use crate::terminal::inline;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity().write(f)?;
        for section in self.sections() {
            section.write(f)?;
        }
        Ok(())
    }
}

/// Rows that consist of a label and a text; the texts are aligned.
struct Rows(Vec<(String, String)>);

/// Rows under a heading.
struct Section {
    title: String,
    rows: Rows,
}

impl Rows {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line feed in a name must not forge a row.
        let labels: Vec<_> = self.0.iter().map(|(label, _)| inline(label)).collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        for (label, (_, text)) in labels.iter().zip(&self.0) {
            let line = format!("{label:<width$}  {}", inline(text));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Section {
    fn new(title: &str, rows: Vec<(String, String)>) -> Option<Self> {
        (!rows.is_empty()).then(|| Self { title: title.to_owned(), rows: Rows(rows) })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        let rows = self.rows.0.iter().map(|(label, text)| (format!("  {label}"), text.clone()));
        Rows(rows.collect()).write(f)
    }
}

impl Report {
    fn identity(&self) -> Rows {
        let mut rows = Vec::new();
        let mut row = |label: &str, text: Option<String>| {
            rows.extend(text.map(|text| (label.to_owned(), text)));
        };
        row("Name", self.name.clone());
        row("UUID", self.uuid.clone());
        row("QEMU", Some(self.version.clone()));
        row("State", self.state.clone());
        row("Machine", join(&[self.machine.clone(), self.target.clone()]));
        row("Accelerator", self.accelerator.clone());
        row("CPUs", self.cpu_count());
        row("Memory", self.memory_line());
        row("Migration", self.migration_line());
        Rows(rows)
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
            line += &format!(", {} after ballooning", bytes(balloon.unsigned_abs()));
        }
        Some(line)
    }

    fn migration_line(&self) -> Option<String> {
        let migration = self.migration.as_ref()?;
        let mut line = migration.status.clone();
        if let (Some(sent), Some(left)) = (migration.transferred, migration.remaining) {
            let (sent, left) = (bytes(sent.unsigned_abs()), bytes(left.unsigned_abs()));
            line += &format!(", {sent} sent, {left} remaining");
        }
        if let Some(error) = &migration.error {
            line += &format!(": {error}");
        }
        Some(line)
    }

    fn sections(&self) -> impl Iterator<Item = Section> {
        let cpus = self.cpus.iter().map(|cpu| {
            (format!("{}", cpu.index), format!("thread {:<8} {}", cpu.thread, cpu.place))
        });
        let network = self.network.iter().map(|nic| {
            let promiscuous = if nic.promiscuous { "  promiscuous" } else { "" };
            (nic.name.clone(), format!("{}{promiscuous}", nic.mac))
        });
        let chardevs = self.chardevs.iter().map(|chardev| {
            let open = if chardev.open { "" } else { "  (not open)" };
            (chardev.label.clone(), format!("{}{open}", chardev.backend))
        });
        let displays = self.displays.iter().map(|display| {
            let text = format!("{}  {}", display.address, count(display.clients, "client"));
            (display.protocol.clone(), text)
        });
        let mice = self.mice.iter().map(|mouse| {
            let kind = if mouse.absolute { "absolute" } else { "relative" };
            let current = if mouse.current { ", receives input" } else { "" };
            (mouse.name.clone(), format!("{kind}{current}"))
        });
        let pci = self
            .pci
            .iter()
            .map(|pci| (pci.address.clone(), format!("{}  {}  {}", pci.id, pci.class, pci.device)));
        let threads = self.iothreads.iter().map(|t| (t.id.clone(), format!("thread {}", t.thread)));
        let jobs = self.jobs.iter().map(|job| {
            let progress = job.progress.map(|p| format!("  {:.0}%", p * 100.0));
            let error = job.error.as_ref().map(|error| format!("  {error}"));
            let (progress, error) = (progress.unwrap_or_default(), error.unwrap_or_default());
            (job.id.clone(), format!("{}  {}{progress}{error}", job.kind, job.status))
        });
        let nodes =
            self.nodes.iter().map(|node| (node.node.clone().unwrap_or_default(), image(node)));
        [
            Section::new("CPUs", cpus.collect()),
            Section::new("Block devices", self.block.iter().flat_map(block_device).collect()),
            Section::new("Other block nodes", nodes.collect()),
            Section::new("Network", network.collect()),
            Section::new("Character devices", chardevs.collect()),
            Section::new("Displays", displays.collect()),
            Section::new("Pointing devices", mice.collect()),
            Section::new("PCI", pci.collect()),
            Section::new("I/O threads", threads.collect()),
            Section::new("Jobs", jobs.collect()),
        ]
        .into_iter()
        .flatten()
    }
}

fn block_device(device: &BlockDevice) -> Vec<(String, String)> {
    let mut first = match &device.image {
        Some(found) => image(found),
        None => String::from("empty"),
    };
    for (is, word) in [(device.removable, "removable"), (device.locked, "locked")] {
        if is {
            first += &format!("  {word}");
        }
    }
    if let Some(status) = device.io_status.as_ref().filter(|status| *status != "ok") {
        first += &format!("  I/O status: {status}");
    }
    let mut rows = vec![(device.name.clone(), first)];
    let backing = device.image.as_ref().and_then(|image| image.backing.as_ref());
    rows.extend(backing.map(|backing| (String::new(), format!("backing file {backing}"))));
    let traffic =
        device.read.zip(device.written).filter(|(read, written)| *read > 0 || *written > 0);
    rows.extend(traffic.map(|(read, written)| {
        let (read, written) = (bytes(read.unsigned_abs()), bytes(written.unsigned_abs()));
        (String::new(), format!("{read} read, {written} written"))
    }));
    rows
}

fn image(image: &Image) -> String {
    let mut line =
        format!("{}  {}  {}", image.file, image.format, bytes(image.size.unsigned_abs()));
    if let Some(on_disk) = image.on_disk {
        line += &format!(" ({} on disk)", bytes(on_disk.unsigned_abs()));
    }
    for (is, word) in [(image.read_only, "read-only"), (image.encrypted, "encrypted")] {
        if is {
            line += &format!("  {word}");
        }
    }
    line
}

fn join(parts: &[Option<String>]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Formats a size in the largest unit in which it is at least one, with at most one decimal.
fn bytes(bytes: u64) -> String {
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit < 5 {
        value /= 1024.0;
        unit += 1;
    }
    let unit = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit];
    let number = format!("{value:.1}");
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_use_the_largest_unit() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (134_217_728, "128 MiB"), (1_610_612_736, "1.5 GiB")]
        {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(u64::MAX), "16384 PiB");
    }
}
