//! The host's knowledge of a machine that runs on it.

use std::fs::read_to_string;
use std::time::Duration;

use qmp_client::Address;

use crate::report::Report;

/// The host's view of a machine; empty if it may run elsewhere.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// The files with the run times of its CPUs.
    cpus: Vec<String>,
    /// The directories with the counters of its network interfaces.
    interfaces: Vec<String>,
}

impl Host {
    /// Finds the machine among the processes of this host. The ID of a thread says nothing about a
    /// machine on another host or in a container, so the process must have the socket's path among
    /// its arguments.
    pub(super) fn new(address: Option<&str>, report: &Report) -> Self {
        let Some(path) = address.and_then(socket) else { return Self::default() };
        let is_its = |thread: i64| {
            let status = read_to_string(format!("/proc/{thread}/status")).ok()?;
            let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim();
            let arguments = read_to_string(format!("/proc/{process}/cmdline")).ok()?;
            arguments.contains(&path).then_some(())
        };
        if report.cpus.is_empty() || report.cpus.iter().any(|cpu| is_its(cpu.thread).is_none()) {
            return Self::default();
        }
        let mut threads: Vec<i64> = report.cpus.iter().map(|cpu| cpu.thread).collect();
        // TCG can run all CPUs in one thread.
        threads.dedup();
        let interface = |details: &String| {
            let name = details.split(',').find_map(|detail| detail.strip_prefix("ifname="))?;
            let is_name = !name.contains('/') && !name.starts_with('.');
            is_name.then(|| format!("/sys/class/net/{name}/statistics"))
        };
        Self {
            cpus: threads.iter().map(|thread| format!("/proc/{thread}/schedstat")).collect(),
            interfaces: report
                .network
                .iter()
                .filter_map(|nic| nic.backend_details.as_ref().and_then(interface))
                .collect(),
        }
    }

    /// Returns the time for which the CPUs have run.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let time = |file: &String| {
            let text = read_to_string(file).ok()?;
            text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
        };
        let times: Option<Vec<Duration>> = self.cpus.iter().map(time).collect();
        times.filter(|times| !times.is_empty()).map(|times| times.iter().sum())
    }

    /// Returns the bytes that the guest has received and sent: the host's interface has sent and
    /// received them.
    pub(super) fn network_traffic(&self) -> Option<(u64, u64)> {
        let counter = |directory: &str, name: &str| -> Option<u64> {
            read_to_string(format!("{directory}/{name}")).ok()?.trim().parse().ok()
        };
        let sum = |name: &str| -> Option<u64> {
            self.interfaces.iter().map(|directory| counter(directory, name)).sum()
        };
        (!self.interfaces.is_empty()).then_some(())?;
        sum("tx_bytes").zip(sum("rx_bytes"))
    }
}

/// Returns the absolute path of the socket that an address, or the name of a machine, stands for.
fn socket(address: &str) -> Option<String> {
    #[cfg(unix)]
    let resolved = crate::host::resolve(address);
    #[cfg(not(unix))]
    let resolved = address.parse();
    match resolved {
        Ok(Address::Unix(path)) => Some(std::path::absolute(path).ok()?.to_str()?.to_owned()),
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A relative path, and the form with options, were not found among QEMU's arguments.
    #[test]
    fn a_socket_has_an_absolute_path() {
        let directory = std::env::current_dir().unwrap_or_default();
        let absolute = directory.join("run/vm.sock").to_str().map(str::to_owned);
        for address in ["run/vm.sock", "unix:run/vm.sock", "unix:run/vm.sock,server=on,wait=off"] {
            assert_eq!(socket(address), absolute, "{address}");
        }
        assert_eq!(socket("tcp:localhost:4444"), None);
    }
}
