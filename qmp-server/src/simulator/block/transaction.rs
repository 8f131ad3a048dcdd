//! Transactions: several actions, of which all are done or none.

use serde_json::Value;

use crate::context::Context;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, check_size, done, refuse};

impl Machine {
    pub(super) fn transact(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let grouped = arguments
            .object("properties")
            .and_then(|properties| properties.get("completion-mode"))
            .is_some_and(|mode| mode == "grouped");
        let before = self.block_state();
        let mut started = Vec::new();
        let mut result = done();
        for action in arguments.list("actions") {
            let jobs = self.jobs.len();
            result = self.act(action);
            if result.is_err() {
                break;
            }
            started.extend(self.jobs[jobs..].iter().map(|job| job.id.clone()));
        }
        if let Err(error) = result {
            for id in &started {
                self.announce(id, context);
                self.announce_undone(id, context);
            }
            self.restore(before);
            return Err(error);
        }
        if grouped {
            for job in self.jobs.iter_mut().filter(|job| started.contains(&job.id)) {
                job.group = Some(self.next_group);
            }
            self.next_group += 1;
        }
        for id in &started {
            self.announce(id, context);
        }
        for id in started {
            self.begin(&id, context);
        }
        done()
    }

    fn act(&mut self, action: &Value) -> Reply {
        let kind = action.get("type").and_then(Value::as_str).unwrap_or_default();
        let data = action.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        let data = &Arguments(data);
        check_size(kind, data)?;
        match kind {
            "abort" => refuse("Transaction aborted using Abort action"),
            "block-dirty-bitmap-add" => self.add_bitmap(data),
            "block-dirty-bitmap-remove" => self.remove_bitmap(data),
            "block-dirty-bitmap-clear" => self.clear_bitmap(data),
            "block-dirty-bitmap-enable" => self.record_bitmap(data, true),
            "block-dirty-bitmap-disable" => self.record_bitmap(data, false),
            "block-dirty-bitmap-merge" => self.merge_bitmaps(data),
            "blockdev-backup" => self.create_backup(data),
            "blockdev-snapshot" => self.snapshot(data),
            "blockdev-snapshot-sync" => self.snapshot_to_file(data),
            "blockdev-snapshot-internal-sync" => self.internal_snapshot(data),
            other => refuse(format!("the simulated machine has no transaction action '{other}'")),
        }
    }
}
