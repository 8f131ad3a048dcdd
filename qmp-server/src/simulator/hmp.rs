//! Human monitor (HMP) commands.

use qmp_types::QmpError;
use qmp_types::qmp::commands::HumanMonitorCommand;
use qmp_types::qmp::types::RunState;

use super::identity::version;
use super::machine::Machine;
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router.command(|machine: &mut Machine, command: HumanMonitorCommand, context: &mut Context| {
        machine.human_command(&command.command_line, context)
    })
}

impl Machine {
    fn human_command(&mut self, line: &str, context: &mut Context) -> Result<String, QmpError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = match words.as_slice() {
            [] => return Ok(String::new()),
            ["stop" | "s"] => {
                self.stop(RunState::Paused, context);
                return Ok(String::new());
            }
            ["cont" | "c"] => match self.cont(context) {
                Ok(_) => return Ok(String::new()),
                Err(error) => format!("Error: {}", error.desc),
            },
            ["info", topic] => match self.human_info(topic) {
                Some(text) => text,
                None => format!("unknown command: 'info {topic}'"),
            },
            _ => format!("unknown command: '{}'", line.trim()),
        };
        Ok(format!("{text}\r\n"))
    }

    fn human_info(&self, topic: &str) -> Option<String> {
        Some(match topic {
            "balloon" => format!("balloon: actual={}", self.balloon >> 20),
            "kvm" => "kvm support: disabled".to_owned(),
            "name" => self.name.clone().unwrap_or_default(),
            "status" if self.is_running() => "VM status: running".to_owned(),
            "status" if self.state == RunState::Paused => "VM status: paused".to_owned(),
            "status" => format!("VM status: paused ({})", self.state),
            "uuid" => self.uuid.clone(),
            "version" => format!("{} ({})", version().qemu, version().package),
            _ => return None,
        })
    }
}
