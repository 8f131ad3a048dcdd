//! Programs that manage QEMUs, and where their monitors are.

use std::path::{Path, PathBuf};

use super::endpoint::Role;
use super::process::Host;

/// A program that manages QEMUs.
#[derive(Debug)]
pub struct Manager {
    /// Its name.
    pub name: &'static str,
    /// The advice about a monitor that the program keeps connected, in which `{name}` is the
    /// machine's name; empty if it leaves the monitor free.
    pub holds: &'static str,
    /// The monitors that the program opens.
    places: &'static [Place],
}

#[derive(Debug)]
struct Place {
    /// Components in braces: `{name}` is the machine's name, `{number}` a number, and `{user}` one
    /// of the user's directories.
    pattern: &'static str,
    role: Role,
}

const fn qmp(pattern: &'static str) -> Place {
    Place { pattern, role: Role::Qmp }
}

/// The managers, and the files in which each says where its sockets are. Crosvm, Firecracker and
/// cloud-hypervisor are not QEMU. UTM's monitor is a port of SPICE and has no socket.
const MANAGERS: [Manager; 10] = [
    // qemu-server, PVE/QemuServer/Helpers.pm
    Manager { name: "Proxmox", holds: "", places: &[qmp("/run/qemu-server/{name}.qmp")] },
    // lima, pkg/limatype/filenames/filenames.go; colima keeps its machines in a directory of its own.
    Manager {
        name: "Lima",
        holds: "",
        places: &[qmp("{home}/.lima/{name}/qmp.sock"), qmp("{home}/.colima/_lima/{name}/qmp.sock")],
    },
    // podman, pkg/machine/qemu (until release 5)
    Manager {
        name: "Podman",
        holds: "",
        places: &[
            qmp("{runtime}/podman/qmp_{name}.sock"),
            qmp("{temporary}/podman/qmp_{name}.sock"),
        ],
    },
    // incus, internal/server/instance/drivers/driver_qemu.go
    Manager {
        name: "Incus",
        holds: "Incus keeps this monitor connected",
        places: &[qmp("/run/incus/{name}/qemu.monitor"), qmp("/var/log/incus/{name}/qemu.monitor")],
    },
    // lxd, lxd/instance/drivers/driver_qemu.go
    Manager {
        name: "LXD",
        holds: "LXD keeps this monitor connected",
        places: &[
            qmp("/var/snap/lxd/common/lxd/logs/{name}/qemu.monitor"),
            qmp("/var/log/lxd/{name}/qemu.monitor"),
        ],
    },
    // libvirt, src/qemu/qemu_domain.c
    Manager {
        name: "libvirt",
        holds: "libvirt keeps this monitor connected; use `virsh qemu-monitor-command {name} COMMAND`",
        places: &[
            qmp("/var/lib/libvirt/qemu/domain-{number}-{name}/monitor.sock"),
            qmp("{config}/libvirt/qemu/lib/domain-{number}-{name}/monitor.sock"),
        ],
    },
    // docker-machine-driver-qemu, as minikube contains it
    Manager {
        name: "minikube",
        holds: "",
        places: &[qmp("{home}/.minikube/machines/{name}/monitor")],
    },
    // kata-containers, virtcontainers
    Manager {
        name: "Kata Containers",
        holds: "Kata Containers keeps this monitor connected",
        places: &[qmp("/run/vc/vm/{name}/qmp.sock")],
    },
    // ganeti, lib/hypervisor/hv_kvm
    Manager {
        name: "Ganeti",
        holds: "",
        places: &[qmp("/run/ganeti/kvm-hypervisor/ctrl/{name}.qmp")],
    },
    // quickemu, the script quickemu; the directory is that of the machine.
    Manager {
        name: "quickemu",
        holds: "",
        places: &[Place { pattern: "{any}/{name}-monitor.socket", role: Role::Human }],
    },
];

/// A socket of a manager.
#[derive(Clone, Debug)]
pub(crate) struct Managed {
    pub(crate) manager: &'static Manager,
    /// The machine's name.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) role: Role,
}

impl Manager {
    /// Returns the advice about a monitor of the machine `name` that the program keeps connected.
    pub(crate) fn advice(&self, name: &str) -> Option<String> {
        (!self.holds.is_empty()).then(|| self.holds.replace("{name}", name))
    }
}

/// The directories of a user, in which managers keep sockets.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    /// The home directory.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, or `~/.config`.
    pub config: Option<PathBuf>,
    /// The directory for temporary files.
    pub temporary: Option<PathBuf>,
}

impl Directories {
    /// Returns those of the user who runs this program.
    #[must_use]
    pub fn of_user() -> Self {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = variable("HOME");
        Self {
            runtime: variable("XDG_RUNTIME_DIR"),
            config: variable("XDG_CONFIG_HOME").or(home.as_ref().map(|home| home.join(".config"))),
            temporary: Some(std::env::temp_dir()),
            home,
        }
    }

    fn expand(&self, pattern: &str) -> Option<PathBuf> {
        let (head, rest) = pattern.split_once('/')?;
        let directory = match head {
            "" => Some(Path::new("/")),
            "{home}" => self.home.as_deref(),
            "{runtime}" => self.runtime.as_deref(),
            "{config}" => self.config.as_deref(),
            "{temporary}" => self.temporary.as_deref(),
            _ => None,
        };
        Some(directory?.join(rest))
    }
}

/// The most entries of a directory that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// Finds the sockets of all managers.
pub(crate) fn find(host: &Host, directories: &Directories) -> Vec<Managed> {
    let mut found = Vec::new();
    for manager in &MANAGERS {
        for place in manager.places {
            let Some(pattern) = directories.expand(place.pattern) else { continue };
            for (name, path) in matches(host, &pattern) {
                found.push(Managed { manager, name, path, role: place.role });
            }
        }
    }
    found
}

/// Returns the manager whose pattern a path has, in the directory of any user, and the machine's
/// name.
pub(crate) fn of_path(path: &Path) -> Option<(&'static Manager, String)> {
    let text = path.to_str()?;
    let text = text.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(text);
    let components: Vec<&str> = text.split('/').collect();
    for manager in &MANAGERS {
        for place in manager.places {
            let is_absolute = place.pattern.starts_with('/');
            let pattern: Vec<&str> = place.pattern.split('/').skip(1).collect();
            let Some(before) = components.len().checked_sub(pattern.len()) else { continue };
            if is_absolute && before != 1 {
                continue;
            }
            let pairs = pattern.iter().zip(&components[before..]);
            let names: Option<Vec<&str>> =
                pairs.map(|(part, text)| component(part, text)).collect();
            let name = names.and_then(|names| names.into_iter().find(|name| !name.is_empty()));
            if let Some(name) = name {
                return Some((manager, name.to_owned()));
            }
        }
    }
    None
}

/// Returns the paths that match a pattern with one `{name}`, and the names.
fn matches(host: &Host, pattern: &Path) -> Vec<(String, PathBuf)> {
    let text = pattern.to_string_lossy().into_owned();
    let components: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let Some(at) = components.iter().position(|part| part.contains("{name}")) else {
        return Vec::new();
    };
    let directory = Path::new("/").join(components[..at].join("/"));
    let rest = components[at + 1..].join("/");
    let Ok(entries) = std::fs::read_dir(host.place(&directory)) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .take(MOST_ENTRIES)
        .filter_map(|entry| {
            let file = entry.file_name();
            let name = component(components[at], file.to_str()?)?.to_owned();
            let path = directory.join(&file);
            let path = if rest.is_empty() { path } else { path.join(&rest) };
            host.place(&path).symlink_metadata().is_ok().then_some((name, path))
        })
        .collect();
    found.sort();
    found
}

/// Matches one component of a path, and returns the name in it; empty if the pattern has none.
fn component<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{name}") else {
        return (pattern == text).then_some("");
    };
    let text = match before.split_once("{number}") {
        None => text.strip_prefix(before)?,
        Some((before, between)) => {
            let rest = text.strip_prefix(before)?;
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest[digits..].strip_prefix(between).filter(|_| digits > 0)?
        }
    };
    text.strip_suffix(after).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_known_by_the_path() {
        for (path, expected) in [
            ("/var/run/qemu-server/100.qmp", Some(("Proxmox", "100"))),
            ("/run/qemu-server/100.qmp", Some(("Proxmox", "100"))),
            ("/home/x/.lima/default/qmp.sock", Some(("Lima", "default"))),
            (
                "/run/user/1000/podman/qmp_podman-machine-default.sock",
                Some(("Podman", "podman-machine-default")),
            ),
            ("/run/incus/web_c1/qemu.monitor", Some(("Incus", "web_c1"))),
            ("/var/lib/libvirt/qemu/domain-12-web-1/monitor.sock", Some(("libvirt", "web-1"))),
            ("/home/x/.config/libvirt/qemu/lib/domain-1-a/monitor.sock", Some(("libvirt", "a"))),
            ("/home/x/vms/ubuntu/ubuntu-monitor.socket", Some(("quickemu", "ubuntu"))),
            ("/run/qemu-server/100.qga", None),
            ("/var/lib/libvirt/qemu/domain-x-web/monitor.sock", None),
            ("/tmp/qmp.sock", None),
        ] {
            let found = of_path(Path::new(path));
            let found = found.as_ref().map(|(manager, name)| (manager.name, name.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }
}
