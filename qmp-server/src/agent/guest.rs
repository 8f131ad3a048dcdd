//! The state of a simulated guest.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use qmp_types::qga::types::{
    GuestIpAddress, GuestIpAddressType, GuestNetworkInterface, GuestOSInfo,
};

use super::program::{Process, Program};

/// The state of a simulated guest, as its agent sees it.
#[derive(Debug)]
pub struct Guest {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) open_files: BTreeMap<i64, OpenFile>,
    pub(super) next_handle: i64,
    pub(super) programs: BTreeMap<String, Program>,
    pub(super) processes: BTreeMap<i64, Process>,
    pub(super) next_pid: i64,
    pub(super) file_systems: u32,
    pub(super) frozen: bool,
    pub(super) os: GuestOSInfo,
    pub(super) interfaces: Vec<GuestNetworkInterface>,
    pub(super) host_name: String,
    /// The difference between the guest's time and the host's, in nanoseconds.
    pub(super) clock_offset: i64,
    pub(super) shutdown_mode: Option<String>,
    pub(super) suspensions: Vec<String>,
}

/// A file that has been opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) path: String,
    pub(super) position: usize,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) appends: bool,
    /// Whether a read has reached the end.
    pub(super) eof: bool,
}

impl Guest {
    pub(super) fn standard() -> Self {
        let address = |address: &str, kind, prefix| GuestIpAddress::new(address, kind, prefix);
        let loopback = GuestNetworkInterface::new("lo")
            .hardware_address("00:00:00:00:00:00")
            .ip_addresses(vec![
                address("127.0.0.1", GuestIpAddressType::Ipv4, 8),
                address("::1", GuestIpAddressType::Ipv6, 128),
            ]);
        let network = GuestNetworkInterface::new("eth0")
            .hardware_address("52:54:00:12:34:56")
            .ip_addresses(vec![address("10.0.2.15", GuestIpAddressType::Ipv4, 24)]);
        let os = GuestOSInfo::new()
            .kernel_release("6.12.0")
            .kernel_version("#1 SMP")
            .machine("x86_64")
            .id("simulated")
            .name("Simulated Linux")
            .pretty_name("Simulated Linux 1")
            .version("1")
            .version_id("1");
        Self {
            files: BTreeMap::new(),
            open_files: BTreeMap::new(),
            next_handle: 1000,
            programs: BTreeMap::new(),
            processes: BTreeMap::new(),
            next_pid: 1001,
            file_systems: 1,
            frozen: false,
            os,
            interfaces: vec![loopback, network],
            host_name: "guest".to_owned(),
            clock_offset: 0,
            shutdown_mode: None,
            suspensions: Vec::new(),
        }
    }

    /// Returns the contents of a file, if it exists.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// assert_eq!(guest.file("/etc/hostname"), Some(&b"web1\n"[..]));
    /// # }
    /// ```
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Creates a file, or replaces its contents.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// guest.set_file("/etc/motd", "hello\n");
    /// # }
    /// ```
    pub fn set_file(&mut self, path: impl Into<String>, contents: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), contents.into());
    }

    /// Returns whether the file systems are frozen.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// assert!(!guest.is_frozen());
    /// # }
    /// ```
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Returns the mode of `guest-shutdown`, if the guest has been shut down: `halt`, `powerdown` or
    /// `reboot`.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// assert_eq!(guest.shutdown_mode(), Some("powerdown"));
    /// # }
    /// ```
    #[must_use]
    pub fn shutdown_mode(&self) -> Option<&str> {
        self.shutdown_mode.as_deref()
    }

    /// Returns the commands that have suspended the guest, such as `guest-suspend-ram`, in order.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// assert_eq!(guest.suspensions(), ["suspend-ram"]);
    /// # }
    /// ```
    #[must_use]
    pub fn suspensions(&self) -> &[String] {
        &self.suspensions
    }

    /// Returns the guest's time in nanoseconds since 1970.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// println!("{} ns", guest.time());
    /// # }
    /// ```
    #[must_use]
    pub fn time(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX).saturating_add(self.clock_offset)
    }

    /// Starts the guest again after a shutdown. Clients can connect again.
    ///
    /// ```
    /// # fn example(guest: &mut qmp_server::agent::Guest) {
    /// guest.boot();
    /// # }
    /// ```
    pub fn boot(&mut self) {
        self.shutdown_mode = None;
        self.frozen = false;
        self.open_files.clear();
        self.processes.clear();
    }
}
