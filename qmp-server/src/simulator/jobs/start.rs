//! The commands that start jobs on nodes.

use qmp_types::qmp::types::{JobStatus, JobType};
use qmp_types::{QmpError, qmp::events::JobStatusChange};
use serde_json::Value;

use super::{Job, Work};
use crate::context::Context;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, is_identifier, not_found, refuse};

impl Machine {
    /// Starts the job that `create` prepares.
    pub(super) fn start(
        &mut self,
        arguments: &Arguments,
        create: fn(&mut Self, &Arguments) -> Reply,
        context: &mut Context,
    ) -> Reply {
        create(self, arguments)?;
        let Some(job) = self.jobs.last() else { return done() };
        let id = job.id.clone();
        if arguments.integer("speed").is_some_and(|speed| speed < 0) {
            self.announce(&id, context);
            self.announce_undone(&id, context);
            self.jobs.pop();
            return refuse("Parameter 'speed' expects a non-negative value");
        }
        self.announce(&id, context);
        self.begin(&id, context);
        done()
    }

    /// Tells clients that a job was created.
    pub(in crate::simulator) fn announce(&mut self, id: &str, context: &mut Context) {
        context.emit(&JobStatusChange::new(id, JobStatus::Created));
    }

    /// Tells clients that a job that never ran is gone.
    pub(in crate::simulator) fn announce_undone(&mut self, id: &str, context: &mut Context) {
        context.emit(&JobStatusChange::new(id, JobStatus::Null));
    }

    /// Adds a job after checking its identifier.
    fn push_job(&mut self, mut job: Job, arguments: &Arguments) -> Result<(), QmpError> {
        if !is_identifier(&job.id) {
            return refuse(format!("Invalid job ID '{}'", job.id));
        }
        if self.jobs.iter().any(|known| known.id == job.id) {
            return refuse(format!("Job ID '{}' already in use", job.id));
        }
        self.check_room(self.jobs.len(), 1, "jobs")?;
        let flag = |name: &str| arguments.get(name).and_then(Value::as_bool).unwrap_or(true);
        job.auto_finalize = flag("auto-finalize");
        job.auto_dismiss = flag("auto-dismiss");
        job.speed = arguments.size("speed").unwrap_or_default();
        self.jobs.push(job);
        Ok(())
    }

    pub(in crate::simulator) fn create_backup(&mut self, arguments: &Arguments) -> Reply {
        let source = self.named_node(arguments.required("device"))?;
        let target = self.named_node(arguments.required("target"))?;
        let (from, to) = (source.name.clone(), target.name.clone());
        let (size, target_size) = (source.size, target.size);
        let sync = arguments.required("sync");
        let bitmap = arguments.text("bitmap");
        let uses_bitmap = matches!(sync, "incremental" | "bitmap");
        if uses_bitmap && bitmap.is_none() {
            return refuse(format!("must provide a valid bitmap name for '{sync}' sync mode"));
        }
        if sync == "bitmap" && arguments.text("bitmap-mode").is_none() {
            return refuse("Bitmap sync mode must be given when providing a bitmap");
        }
        let mut length = size;
        if let Some(name) = bitmap {
            let found = source.bitmaps.iter().find(|bitmap| bitmap.name == name);
            let Some(found) = found else {
                return refuse(format!("Bitmap '{name}' could not be found"));
            };
            if found.busy {
                return refuse(format!(
                    "Bitmap '{name}' is currently in use by another operation and cannot be used"
                ));
            }
            if arguments.text("bitmap-mode").is_none() && !uses_bitmap {
                return refuse("Bitmap sync mode must be given when providing a bitmap");
            }
            if uses_bitmap {
                length = found.count;
            }
        }
        if from == to {
            return refuse("Source and target cannot be the same");
        }
        self.check_not_busy(&from)?;
        self.check_not_busy(&to)?;
        let id = self.job_id(arguments);
        if !is_identifier(&id) {
            return refuse(format!("Invalid job ID '{id}'"));
        }
        if size != target_size {
            return refuse("Source and target image have different sizes");
        }
        let keeps = arguments.text("bitmap-mode") == Some("never");
        let bitmap = bitmap.map(|name| (name.to_owned(), keeps));
        let is_endless = sync == "none";
        let work = Work::Backup { source: from, target: to, bitmap, is_endless };
        self.push_job(Job::new(&id, JobType::Backup, length, work), arguments)?;
        done()
    }

    /// Returns the identifier of a new job, which is by default the name of the drive.
    fn job_id(&self, arguments: &Arguments) -> String {
        let device = arguments.required("device");
        let is_drive = self.drives.iter().any(|drive| drive.name == device);
        let default = if is_drive { device } else { "" };
        arguments.text("job-id").unwrap_or(default).to_owned()
    }

    pub(super) fn create_mirror(&mut self, arguments: &Arguments) -> Reply {
        let source = self.named_node(arguments.required("device"))?;
        let target = self.named_node(arguments.required("target"))?;
        let (from, to, size) = (source.name.clone(), target.name.clone(), source.size);
        let target_size = target.size;
        let granularity = arguments.size("granularity");
        if self.is_used_by_job(&from) || self.has_parent(&from) {
            return refuse("Need a root block node");
        }
        if granularity.is_some_and(|bytes| bytes != 0 && !(512..=64 << 20).contains(&bytes)) {
            return refuse("Parameter 'granularity' expects a value in range [512B, 64MB]");
        }
        if granularity.is_some_and(|bytes| bytes != 0 && !bytes.is_power_of_two()) {
            return refuse("Parameter 'granularity' expects a power of 2");
        }
        if from == to {
            return refuse("Can't mirror node into itself");
        }
        let replaces = arguments.text("replaces");
        if let Some(name) = replaces.filter(|name| self.node(name).is_none()) {
            return refuse(format!("Failed to find node with node-name='{name}'"));
        }
        if let Some(name) = replaces.filter(|name| *name != from) {
            self.check_replaced(name, &from, &to)?;
        }
        if arguments.integer("buf-size").is_some_and(|bytes| bytes < 0) {
            return refuse("Invalid parameter 'buf-size'");
        }
        self.check_not_busy(&to)?;
        if self.is_attached(&to) {
            return refuse(format!("Node '{to}' is in use"));
        }
        let id = self.job_id(arguments);
        let work = Work::Mirror { source: from, target: to, replaces: replaces.map(str::to_owned) };
        let mut job = Job::new(&id, JobType::Mirror, size, work);
        if size != target_size {
            // QEMU notices when the job already runs.
            job.length = 0;
            job.failure = Some((0, "Source and target image have different sizes".to_owned()));
        }
        self.push_job(job, arguments)?;
        done()
    }

    /// Checks that the target of a mirror can take the place of a node.
    fn check_replaced(&self, name: &str, from: &str, to: &str) -> Result<(), QmpError> {
        let below = self.reachable(to);
        let parents = self.nodes.iter().filter(|node| below.contains(&node.name));
        for parent in parents {
            if parent.child("backing") == Some(name) {
                let parent = &parent.name;
                return refuse(format!(
                    "Node '{name}' is busy: node is used as backing hd of '{parent}'"
                ));
            }
        }
        match name != to && below.contains(name) {
            true => refuse(format!(
                "Cannot replace '{name}' by a node mirrored from '{from}', because it cannot be \
                 guaranteed that doing so would not lead to an abrupt change of visible data"
            )),
            false => Ok(()),
        }
    }

    pub(super) fn create_commit(&mut self, arguments: &Arguments) -> Reply {
        let device = arguments.required("device");
        let root = match self.medium_of(device).or_else(|| self.node(device)) {
            Some(node) => node.name.clone(),
            None => return Err(not_found(device)),
        };
        if self.has_parent(&root) {
            return refuse("Need a root block node");
        }
        let chain = self.backing_chain(&root);
        let find = |node: Option<&str>, file: Option<&str>| {
            let name = node.or(file)?;
            let by_file = |known: &&String| {
                self.node(known).is_some_and(|node| node.filename == name) && file.is_some()
            };
            chain.iter().find(|known| *known == name || by_file(known)).cloned()
        };
        let top = match (arguments.text("top-node"), arguments.text("top")) {
            (None, None) => root.clone(),
            (node, file) => match find(node, file) {
                Some(top) => top,
                None => return refuse(not_in_chain(node, file, &root)),
            },
        };
        let base = match (arguments.text("base-node"), arguments.text("base")) {
            (None, None) => match chain.last() {
                Some(last) => last.clone(),
                None => return refuse("the node has no backing chain"),
            },
            (node, file) => match find(node, file) {
                Some(base) => base,
                None => return refuse(not_in_chain(node, file, &root)),
            },
        };
        if top == base {
            return refuse("cannot commit an image into itself");
        }
        let position = |name: &str| chain.iter().position(|known| known == name);
        if position(&top) >= position(&base) {
            return refuse(format!("'{base}' is not in this backing file chain"));
        }
        self.check_not_busy(&top)?;
        let above = position(&top).and_then(|at| at.checked_sub(1));
        let parent = above.and_then(|at| chain.get(at).cloned());
        let id = self.job_id(arguments);
        // Nothing has been written to the nodes above the base.
        let work = Work::Commit { top, base, parent };
        self.push_job(Job::new(&id, JobType::Commit, 0, work), arguments)?;
        done()
    }

    pub(super) fn create_stream(&mut self, arguments: &Arguments) -> Reply {
        let node = self.named_node(arguments.required("device"))?;
        let (name, size) = (node.name.clone(), node.size);
        let chain = self.backing_chain(&name);
        let base = match (arguments.text("base-node"), arguments.text("base")) {
            (Some(_), Some(_)) => {
                return refuse("'base' and 'base-node' cannot be specified at the same time");
            }
            (Some(base), None) => {
                let found = self.named_node(base)?.name.clone();
                if !chain.iter().skip(1).any(|known| *known == found) {
                    return refuse(format!("Node '{base}' is not a backing image of '{name}'"));
                }
                Some(found)
            }
            (None, Some(base)) => {
                let is_base =
                    |known: &&String| self.node(known).is_some_and(|node| node.filename == base);
                match chain.iter().skip(1).find(is_base) {
                    Some(found) => Some(found.clone()),
                    None => {
                        return refuse(format!("Can't find '{base}' in the backing chain"));
                    }
                }
            }
            (None, None) => None,
        };
        self.check_not_busy(&name)?;
        let id = self.job_id(arguments);
        let length = if chain.len() > 1 { size } else { 0 };
        let work = Work::Stream { node: name, base };
        self.push_job(Job::new(&id, JobType::Stream, length, work), arguments)?;
        done()
    }
}

fn not_in_chain(node: Option<&str>, file: Option<&str>, root: &str) -> String {
    match (node, file) {
        (Some(node), _) => format!("Cannot find device='' nor node-name='{node}' in '{root}'"),
        (_, file) => format!("Can't find '{}' in the backing chain", file.unwrap_or_default()),
    }
}
