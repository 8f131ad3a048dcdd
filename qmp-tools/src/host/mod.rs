//! The QEMUs of this host, and the use of their monitors.
//!
//! Everything is found in `/proc`: the command lines of processes name the monitors, and the table of
//! sockets says who is connected. Nothing is sent to a machine whose monitor is held. Without
//! permission to look into a process of another user, what can be seen is shown.
//!
//! | module | what it does |
//! | --- | --- |
//! | `process` | reads `/proc/PID` |
//! | `command_line`, `options`, `read_config` | finds the name and the sockets of a QEMU |
//! | `endpoint` | the sockets of a QEMU, and what each is for |
//! | `managers` | a table of the programs that manage QEMUs, and of their sockets |
//! | `machine` | the QEMUs, from processes and managers' sockets |
//! | `socket_table`, `socket_diag` | who listens where, and who is connected |
//! | `survey` | the QEMUs with the use of their monitors |
//! | `ask` | asks the machines with a free monitor for their state |
//! | `list` | a table, and JSON |
//! | `names` | finds a machine by its name |
//! | `diagnosis` | says why an address does not answer |
//! | `connect` | connects to an address or a name, and says what is in the way |

mod ask;
mod command_line;
mod connect;
mod diagnosis;
mod endpoint;
mod list;
mod machine;
mod managers;
mod names;
mod options;
mod process;
mod read_config;
mod socket_diag;
mod socket_table;
mod survey;

pub use command_line::Program;
pub use diagnosis::Diagnosis;
pub use endpoint::{Endpoint, Place, Role};
pub use list::{Entry, entries, table};
pub use machine::Machine;
pub use managers::{Directories, Manager};
pub use names::{find as find_by_name, is_address, is_file};
pub use process::{Host, Process};
pub use survey::{Holder, Survey, Use};

pub use connect::resolve;
pub(crate) use connect::{connect, connect_by, connect_once, is_machine};
