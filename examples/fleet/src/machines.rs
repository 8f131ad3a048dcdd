//! The machines of a host: from the command line, and from directories of sockets.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qmp_client::tokio::Clock;
use qmp_client::{Address, Client, ToAddress};
use qmp_vm::supervise::{self, Status, Supervised, Supervision};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::say;

/// The greatest number of machines, so that a directory that fills up does not take all memory.
const MOST: usize = 4096;

/// The number of looks after which a socket that is missing counts as removed. A machine that is started
/// again is without one for a moment.
const LOOKS: u32 = 10;

/// The longest name of a machine, which is that of a file.
const LONGEST_NAME: usize = 255;

/// The time between two looks at the directories.
const LOOK: Duration = Duration::from_secs(1);

/// A machine whose monitor is connected to.
#[derive(Debug)]
pub struct Machine {
    /// The name, which is unique on this host.
    pub name: String,
    /// The connection.
    pub vm: Supervised<Client>,
}

/// Where the machines of this host are.
#[derive(Debug)]
pub struct Fleet {
    /// The name of the host.
    pub host: String,
    addresses: Vec<(String, Address)>,
    directories: Vec<PathBuf>,
    policy: fn() -> Supervision,
}

impl Fleet {
    /// Reads arguments: `NAME=ADDRESS`, or a directory, in which each socket `NAME.sock` is a machine.
    ///
    /// # Errors
    /// An argument is neither, or a name is given twice.
    pub fn new(host: String, arguments: &[String]) -> Result<Self, String> {
        let (mut addresses, mut directories) = (Vec::<(String, Address)>::new(), Vec::new());
        for argument in arguments {
            if Path::new(argument).is_dir() {
                directories.push(PathBuf::from(argument));
                continue;
            }
            let Some((name, address)) = argument.split_once('=') else {
                return Err(format!("`{argument}` is neither NAME=ADDRESS nor a directory"));
            };
            if name.is_empty() || name.len() > LONGEST_NAME || name.contains(['/', ':', ',']) {
                return Err(format!("the name in `{argument}` is invalid: write NAME=ADDRESS"));
            }
            if addresses.iter().any(|(other, _)| other == name) {
                return Err(format!("the name `{name}` is given to two machines"));
            }
            let address = address.to_address().map_err(|error| error.to_string())?;
            addresses.push((name.to_owned(), address));
        }
        if addresses.is_empty() && directories.is_empty() {
            return Err("no machine is given: pass NAME=ADDRESS, or a directory of sockets".into());
        }
        Ok(Self { host, addresses, directories, policy: Supervision::new })
    }

    /// Sets how connections are looked after.
    #[must_use]
    pub fn policy(mut self, policy: fn() -> Supervision) -> Self {
        self.policy = policy;
        self
    }

    /// Connects to all machines, and runs a task for each, for as long as it is there. A socket that
    /// appears in a directory is connected to; one that has disappeared is given up some seconds after
    /// its connection has ended. Dropping the future ends all tasks.
    ///
    /// What the function does before it returns its future, such as subscribing, happens before the
    /// connection is made.
    pub async fn attend<F>(&self, mut task: impl FnMut(Machine) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut attended, mut tasks) = (HashMap::new(), JoinSet::new());
        let mut told = HashSet::new();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let present = self.present(&mut told);
            attended.retain(|name, (vm, missing): &mut (Supervised<Client>, u32)| {
                let is_there =
                    present.contains_key(name) || matches!(vm.status(), Status::Connected { .. });
                *missing = if is_there { 0 } else { *missing + 1 };
                if *missing == LOOKS {
                    vm.close();
                }
                *missing < LOOKS
            });
            while tasks.try_join_next().is_some() {}
            for (name, address) in present {
                if attended.len() >= MOST || attended.contains_key(&name) {
                    continue;
                }
                match self.connect(&address) {
                    Ok((vm, keeper)) => {
                        attended.insert(name.clone(), (vm.clone(), 0));
                        tasks.spawn(task(Machine { name, vm }));
                        tasks.spawn(keeper);
                    }
                    Err(error) => say(&format!("cannot connect to {name}: {error}")),
                }
            }
        }
    }

    fn connect(
        &self,
        address: &Address,
    ) -> Result<(Supervised<Client>, impl Future<Output = ()> + use<>), String> {
        let source = qmp_vm::tokio::dial(address).map_err(|error| error.report())?;
        Ok(supervise::start(source, (self.policy)(), Clock::default()))
    }

    /// Returns the machines that are there now. What is left out is told once.
    fn present(&self, told: &mut HashSet<String>) -> HashMap<String, Address> {
        let mut present: HashMap<_, _> = self.addresses.iter().cloned().collect();
        let mut complain = |line: String| {
            if told.len() < MOST && told.insert(line.clone()) {
                say(&line);
            }
        };
        for directory in &self.directories {
            let entries = match fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) => {
                    complain(format!("cannot read {}: {error}", directory.display()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_socket()) {
                    continue;
                }
                let path = entry.path();
                let file_name = entry.file_name();
                let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(".sock"))
                else {
                    complain(format!("left out {}: its name is not NAME.sock", path.display()));
                    continue;
                };
                if present.len() >= MOST {
                    complain(format!("left out machines: there are more than {MOST}"));
                    return present;
                }
                match present.get(name) {
                    Some(Address::Unix(other)) if *other == path => {}
                    Some(_) => {
                        complain(format!(
                            "left out {}: another machine has its name",
                            path.display()
                        ));
                    }
                    None => {
                        present.insert(name.to_owned(), Address::Unix(path));
                    }
                }
            }
        }
        present
    }
}

/// Returns the name of this host.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
