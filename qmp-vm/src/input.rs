//! Input events, step by step.

use std::time::Duration;

use qmp_client::Result;
use qmp_types::qmp::commands::InputSendEvent;
use qmp_types::qmp::types::InputEvent;

use crate::guest::Guest;
use crate::monitor::Monitor;
use crate::monitor::rollback::Rollback;
use crate::monitor::session::{Call, Undo};

pub(crate) async fn send_input<M: Monitor>(
    vm: &M,
    steps: Vec<InputSendEvent>,
    pace: Duration,
) -> Result<()> {
    let rollback = Rollback::default();
    let mut guest = Guest::new(vm);
    let mut held = Held::default();
    let mut releasing: Option<M::Undo<InputSendEvent>> = None;
    for step in steps {
        // Also what the step itself presses, whether or not QEMU gets so far.
        let mut all = held.clone();
        all.press(&step);
        let (latency, guard) = loop {
            guest.wait_until_it_runs().await?;
            let (release, begin) = (all.release(&step), vm.now());
            let call = vm.call(step.clone());
            match call.execute_undoable(vm, &rollback, move |_| release.clone()).await {
                // The guest may have been stopped before QEMU received the command.
                Err(error) if error.server().is_some() && guest.is_stopped().await? => {}
                sent => break (vm.now().saturating_duration_since(begin), sent?.1),
            }
        };
        if let Some(earlier) = releasing.replace(guard) {
            earlier.disarm();
        }
        held.take(&step);
        if let Some(nothing) = releasing.take_if(|_| held.0.is_empty()) {
            nothing.disarm();
        }
        guest.read_for(pace.saturating_add(latency)).await?;
    }
    if let Some(rest) = releasing {
        rest.run().await?;
        guest.read_for(pace).await?;
    }
    Ok(())
}

/// The keys and buttons that are pressed, as the events that release them.
#[derive(Clone, Debug, Default)]
struct Held(Vec<InputEvent>);

impl Held {
    /// Adds what a step presses.
    fn press(&mut self, step: &InputSendEvent) {
        for release in step.events.iter().filter_map(release_of) {
            if !self.0.contains(&release) {
                self.0.push(release);
            }
        }
    }

    /// Takes note of a step that has been taken.
    fn take(&mut self, step: &InputSendEvent) {
        for event in &step.events {
            match release_of(event) {
                Some(release) if self.0.contains(&release) => {}
                Some(release) => self.0.push(release),
                None => self.0.retain(|release| release != event),
            }
        }
    }

    /// Returns the command that releases everything, the last key first, where a step was sent;
    /// `None` if nothing is held.
    fn release(&self, step: &InputSendEvent) -> Option<InputSendEvent> {
        let mut command = step.clone();
        command.events = self.0.iter().rev().cloned().collect();
        (!command.events.is_empty()).then_some(command)
    }
}

/// Returns the event that releases what an event presses.
fn release_of(event: &InputEvent) -> Option<InputEvent> {
    let mut release = event.clone();
    let down = match &mut release {
        InputEvent::Key(key) => &mut key.data.down,
        InputEvent::Btn(button) => &mut button.data.down,
        _ => return None,
    };
    std::mem::replace(down, false).then_some(release)
}
