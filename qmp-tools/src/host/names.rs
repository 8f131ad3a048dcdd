//! Machines by their names.

use std::path::Path;

use qmp_client::Address;

use super::endpoint::{Endpoint, Role};
use super::machine::Machine;
use super::survey::Survey;

/// Returns whether a text is an address in its form, so that it is not the name of a machine.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    text.is_empty()
        || text.starts_with('-')
        || text.contains('/')
        || port
        || ["unix:", "tcp:", "telnet:", "fd:", "chardev:", "socket,", "backend=", "chardev="]
            .iter()
            .any(|prefix| text.starts_with(prefix))
}

/// Returns whether a text names a file in the current directory.
#[must_use]
pub fn is_file(text: &str) -> bool {
    Path::new(text).symlink_metadata().is_ok()
}

/// Returns the address of a socket with the role `wanted` of the machine with a name; `None` if no
/// machine has the name.
///
/// # Errors
/// Several machines have the name, or the machine has no such socket that a program can connect to.
pub fn find(survey: &Survey, text: &str, wanted: Role) -> Result<Option<Address>, String> {
    type Has = fn(&Machine, &str) -> bool;
    // The first kind of name that any machine has counts.
    let kinds: [Has; 4] = [
        |machine, text| machine.name.as_deref() == Some(text),
        |machine, text| machine.id.as_deref() == Some(text),
        |machine, text| machine.uuid.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(text)),
        |machine, text| machine.process.as_ref().is_some_and(|p| p.pid.to_string() == text),
    ];
    for has in kinds {
        let mut found: Vec<_> = survey.machines.iter().filter(|m| has(m, text)).collect();
        if found.len() > 1 {
            // A socket without a process is left over, or that of another user.
            let running: Vec<_> = found.iter().copied().filter(|m| m.process.is_some()).collect();
            if running.len() == 1 {
                found = running;
            }
        }
        match found[..] {
            [] => {}
            [machine] => return address(survey, machine, text, wanted).map(Some),
            _ => return Err(ambiguous(&found, text)),
        }
    }
    if let Some((_, port)) = text.rsplit_once(':') {
        if is_digits(port) {
            return Err(format!("the port {port} of `{text}` is not from 0 to 65535"));
        }
    }
    if is_digits(text) {
        return Err(format!(
            "no QEMU has the process id or the number {text}; `qmp ls` lists them; for a TCP port, \
             write `tcp:localhost:{text}`"
        ));
    }
    Ok(None)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn ambiguous(machines: &[&Machine], text: &str) -> String {
    let candidates = machines.iter().map(|machine| {
        let address = machine.monitors().find_map(|monitor| monitor.address());
        match (&machine.process, address) {
            (Some(process), Some(address)) => format!("pid {} ({address})", process.pid),
            (Some(process), None) => format!("pid {}", process.pid),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::from("a machine without a monitor"),
        }
    });
    let candidates: Vec<_> = candidates.collect();
    format!(
        "{} machines are called `{text}`: {}; use a process id or an address",
        machines.len(),
        candidates.join(", ")
    )
}

/// Returns the address of a machine's socket with a role.
fn address(
    survey: &Survey,
    machine: &Machine,
    text: &str,
    wanted: Role,
) -> Result<Address, String> {
    if let Some(address) = survey.address_of(machine, wanted) {
        return Ok(address.clone());
    }
    let has = |endpoint: &Endpoint| format!("{} at {endpoint}", endpoint.role);
    let others: Vec<_> = machine.endpoints.iter().map(has).collect();
    let others =
        if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) };
    let process = machine.process.as_ref().map(|process| format!(" (pid {})", process.pid));
    let process = process.unwrap_or_default();
    let advice = match wanted {
        Role::Qmp => "; open one with `-qmp unix:PATH,server=on,wait=off`",
        _ => "",
    };
    Err(format!(
        "the machine `{text}`{process} does not have {wanted} that a program can connect \
         to{others}{advice}"
    ))
}
