//! The differences between two views.

use std::collections::BTreeMap;

use qmp_types::qmp::types::{BlockInfo, JobStatus, MigrationStatus, ObjectPropertyInfo, RunState};

use super::part::{Part, Parts, child_type};
use super::view::View;

/// Something that differs between two views of a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The mirror has been connected.
    Connected,
    /// The connection has ended. Until the next one, the view is the last that was known.
    Disconnected,
    /// The run state is another one; `None` if it is not known.
    RunState {
        /// The earlier run state.
        from: Option<RunState>,
        /// The later run state.
        to: Option<RunState>,
    },
    /// A block node, by its name.
    Node(String, Fate),
    /// A block device as the guest sees it, by its name, or by that of its device.
    Drive(String, Fate),
    /// The status of a job is another one; `None` if the job does not exist.
    Job {
        /// The id of the job.
        id: String,
        /// The earlier status.
        from: Option<JobStatus>,
        /// The later status.
        to: Option<JobStatus>,
    },
    /// An export of a block node, by its id.
    Export(String, Fate),
    /// A device, by its id.
    Device(String, Fate),
    /// An object, by its id.
    Object(String, Fate),
    /// A character device, by its id.
    Chardev(String, Fate),
    /// The status of the migration is another one; `None` if there is no migration.
    Migration {
        /// The earlier status.
        from: Option<MigrationStatus>,
        /// The later status.
        to: Option<MigrationStatus>,
    },
    /// The balloon has another size, in bytes; `None` if there is no balloon.
    Balloon {
        /// The earlier size of the guest's memory.
        from: Option<i64>,
        /// The later size of the guest's memory.
        to: Option<i64>,
    },
    /// Something else in a part, such as the progress of a job.
    Other(Part),
}

/// The fate of a thing that has a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The later view has it, and the earlier one does not.
    Added,
    /// The earlier view has it, and the later one does not.
    Removed,
    /// Both views have it, with different details.
    Changed,
}

/// Lists what differs between two views.
pub(super) fn changes(from: &View, to: &View) -> Vec<Change> {
    let mut list = List { from, to, changes: Vec::new(), told: Parts::NONE };
    list.connection();
    list.run_state();
    list.nodes();
    list.jobs();
    list.objects();
    list.migration();
    list.balloon();
    list.others();
    list.changes
}

struct List<'a> {
    from: &'a View,
    to: &'a View,
    changes: Vec<Change>,
    /// The parts of whose differences at least one is in the list.
    told: Parts,
}

impl List<'_> {
    fn connection(&mut self) {
        let (from, to) = (self.from, self.to);
        if from.connections != to.connections {
            if from.is_connected {
                self.changes.push(Change::Disconnected);
            }
            self.changes.push(Change::Connected);
            if !to.is_connected {
                self.changes.push(Change::Disconnected);
            }
        } else if from.is_connected && !to.is_connected {
            self.changes.push(Change::Disconnected);
        }
    }

    fn differ(&self, part: Part) -> bool {
        !self.from.agrees(self.to, part)
    }

    fn tell(&mut self, part: Part, change: Change) {
        self.told.insert(part);
        self.changes.push(change);
    }

    fn run_state(&mut self) {
        let (from, to) = (self.from.run_state().cloned(), self.to.run_state().cloned());
        if from != to {
            self.tell(Part::Status, Change::RunState { from, to });
        }
    }

    /// Lists the differences of a part with names.
    fn named<T: PartialEq>(
        &mut self,
        part: Part,
        of: fn(&View) -> Option<&[T]>,
        name: fn(&T) -> Option<&str>,
        change: impl Fn(String, Fate) -> Change,
    ) {
        if !self.differ(part) {
            return;
        }
        let (from, to) = (of(self.from).unwrap_or_default(), of(self.to).unwrap_or_default());
        for (name, fate) in compare(from, to, name) {
            self.tell(part, change(name.to_owned(), fate));
        }
    }

    fn nodes(&mut self) {
        self.named(Part::Nodes, View::nodes, |node| node.node_name.as_deref(), Change::Node);
        self.named(Part::Drives, View::drives, drive_name, Change::Drive);
        self.named(Part::Exports, View::exports, |export| Some(&export.id), Change::Export);
        self.named(Part::Chardevs, View::chardevs, |it| Some(&it.label), Change::Chardev);
    }

    fn jobs(&mut self) {
        if !self.differ(Part::Jobs) {
            return;
        }
        let (from, to) = (statuses(self.from), statuses(self.to));
        for job in self.from.jobs().unwrap_or_default() {
            let now = to.get(&*job.id).map(|status| (*status).clone());
            if now.as_ref() != Some(&job.status) {
                let (id, from) = (job.id.clone(), Some(job.status.clone()));
                self.tell(Part::Jobs, Change::Job { id, from, to: now });
            }
        }
        for job in self.to.jobs().unwrap_or_default() {
            if !from.contains_key(&*job.id) {
                let (id, to) = (job.id.clone(), Some(job.status.clone()));
                self.tell(Part::Jobs, Change::Job { id, from: None, to });
            }
        }
    }

    fn objects(&mut self) {
        self.named(Part::Devices, View::devices, object_name, Change::Device);
        self.named(Part::Objects, View::objects, object_name, Change::Object);
    }

    fn migration(&mut self) {
        let status = |view: &View| view.migration().and_then(|it| it.status.clone());
        let (from, to) = (status(self.from), status(self.to));
        if from != to {
            self.tell(Part::Migration, Change::Migration { from, to });
        }
    }

    fn balloon(&mut self) {
        let size = |view: &View| view.balloon().map(|balloon| balloon.actual);
        let (from, to) = (size(self.from), size(self.to));
        if from != to {
            self.tell(Part::Balloon, Change::Balloon { from, to });
        }
    }

    fn others(&mut self) {
        for part in Part::ALL {
            if self.differ(*part) && !self.told.contains(*part) {
                self.changes.push(Change::Other(*part));
            }
        }
    }
}

/// Returns the status of each job, by its id.
fn statuses(view: &View) -> BTreeMap<&str, &JobStatus> {
    view.jobs().unwrap_or_default().iter().map(|job| (&*job.id, &job.status)).collect()
}

fn object_name(property: &ObjectPropertyInfo) -> Option<&str> {
    child_type(property).map(|_| property.name.as_str())
}

/// Returns the name of a block device: its own, or that of its device if it has none.
fn drive_name(drive: &BlockInfo) -> Option<&str> {
    let qdev = drive.qdev.as_deref().filter(|_| drive.device.is_empty());
    Some(qdev.unwrap_or(&drive.device))
}

/// Compares two lists by the names of their entries.
fn compare<'a, T: PartialEq>(
    from: &'a [T],
    to: &'a [T],
    name: fn(&T) -> Option<&str>,
) -> Vec<(&'a str, Fate)> {
    let by_name = |list: &'a [T]| -> BTreeMap<&'a str, &'a T> {
        list.iter().filter_map(|entry| Some((name(entry)?, entry))).collect()
    };
    let (before, after) = (by_name(from), by_name(to));
    let mut fates = Vec::new();
    for (name, entry) in &before {
        match after.get(name) {
            None => fates.push((*name, Fate::Removed)),
            Some(now) if now != entry => fates.push((*name, Fate::Changed)),
            Some(_) => {}
        }
    }
    let added = after.keys().filter(|name| !before.contains_key(*name));
    fates.extend(added.map(|name| (*name, Fate::Added)));
    fates
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use qmp_types::qmp::types::JobInfo;
    use serde_json::{Value, json};

    use super::*;

    fn view(jobs: &Value, chardevs: &Value, actual: Option<i64>) -> View {
        let mut view = View::empty();
        view.values.jobs = Some(Arc::new(serde_json::from_value(jobs.clone()).unwrap()));
        view.values.chardevs = Some(Arc::new(serde_json::from_value(chardevs.clone()).unwrap()));
        let balloon =
            actual.map(|actual| serde_json::from_value(json!({"actual": actual})).unwrap());
        view.values.balloon = balloon.map(Arc::new);
        view
    }

    fn job(id: &str, status: &str, progress: u32) -> Value {
        json!({"id": id, "type": "mirror", "status": status, "current-progress": progress,
            "total-progress": 9})
    }

    fn chardev(id: &str, is_open: bool) -> Value {
        json!({"label": id, "filename": "null", "frontend-open": is_open})
    }

    #[test]
    fn changes_lead_from_one_view_to_the_other() {
        let before = view(
            &json!([job("gone", "ready", 1), job("on", "running", 1)]),
            &json!([chardev("a", false), chardev("b", false), chardev("c", false)]),
            Some(1),
        );
        let mut after = view(
            &json!([job("on", "ready", 2), job("new", "created", 0)]),
            &json!([chardev("c", false), chardev("b", true), chardev("d", false)]),
            None,
        );
        (after.is_connected, after.connections) = (true, 1);
        let chardev = |id: &str, fate| Change::Chardev(id.to_owned(), fate);
        let job = |id: &str, from, to| Change::Job { id: id.to_owned(), from, to };
        assert_eq!(
            changes(&before, &after),
            [
                Change::Connected,
                chardev("a", Fate::Removed),
                chardev("b", Fate::Changed),
                chardev("d", Fate::Added),
                job("gone", Some(JobStatus::Ready), None),
                job("on", Some(JobStatus::Running), Some(JobStatus::Ready)),
                job("new", None, Some(JobStatus::Created)),
                Change::Balloon { from: Some(1), to: None },
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }

    /// Progress has no change of its own, and must not be lost.
    #[test]
    fn whatever_differs_is_told() {
        let before = view(&json!([job("on", "running", 1)]), &json!([]), None);
        let after = view(&json!([job("on", "running", 2)]), &json!([]), None);
        assert_eq!(changes(&before, &after), [Change::Other(Part::Jobs)]);
    }

    /// A server lists what it likes, and each job was looked for in the whole list.
    #[test]
    fn changes_of_many_jobs_are_found_in_a_moment() {
        let view = |status: &str| {
            let mut job: JobInfo = serde_json::from_value(job("", status, 1)).unwrap();
            let mut jobs = Vec::new();
            for number in 0..50_000 {
                job.id = format!("job{number}");
                jobs.push(job.clone());
            }
            let mut view = View::empty();
            view.values.jobs = Some(Arc::new(jobs));
            view
        };
        let (before, after, begin) = (view("running"), view("ready"), Instant::now());
        assert_eq!(changes(&before, &after).len(), 50_000);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_connection_that_came_and_went_is_told() {
        let mut before = View::empty();
        (before.is_connected, before.connections) = (true, 1);
        let mut after = View::empty();
        after.connections = 3;
        let told = changes(&before, &after);
        assert_eq!(told, [Change::Disconnected, Change::Connected, Change::Disconnected]);
    }
}
