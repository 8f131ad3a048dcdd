//! The creation of images.

use std::time::Duration;

use qmp_types::qmp::events::JobStatusChange;
use qmp_types::qmp::types::{JobStatus, JobType};
use serde_json::{Map, Value};

use super::{Job, Work};
use crate::context::Context;
use crate::simulator::block::formats;
use crate::simulator::clock::Timer;
use crate::simulator::descriptor_set;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, is_identifier, os_error, refuse};

const TOO_LARGE: &str = "The image size is too large for file format 'qcow2' (try using a larger \
    cluster size)";

/// The time after which a job fails that could be started. QEMU leaves the work to a thread.
const FAILS_AFTER: Duration = Duration::from_millis(50);

impl Machine {
    pub(super) fn create_image(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let id = arguments.required("job-id");
        let empty = Map::new();
        let options = arguments.object("options").unwrap_or(&empty);
        if !is_identifier(id) {
            return refuse(format!("Invalid job ID '{id}'"));
        }
        if self.jobs.iter().any(|job| job.id == id) {
            return refuse(format!("Job ID '{id}' already in use"));
        }
        self.check_room(self.jobs.len(), 1, "jobs")?;
        let mut job = Job::new(id, JobType::Create, 1, Work::Create);
        (job.auto_finalize, job.auto_dismiss, job.offset) = (true, false, 1);
        for status in [JobStatus::Created, JobStatus::Running] {
            context.emit(&JobStatusChange::new(id, status));
        }
        job.status = JobStatus::Running;
        let result = self.write_image(options);
        self.jobs.push(job);
        match result {
            Ok(()) => context.after_reply(|context| self.job_works(id, context)),
            // QEMU fails before the reply if the file cannot be created.
            Err(error) if error.starts_with("Could not create") || error.contains("fdset") => {
                self.plan_failure(id, error);
                self.job_works(id, context);
            }
            Err(error) => {
                self.plan_failure(id, error);
                match self.clock.manual_time().is_some() {
                    true => context.after_reply(|context| self.job_works(id, context)),
                    false => self.clock.set(FAILS_AFTER, Timer::Job(id.to_owned())),
                }
            }
        }
        done()
    }

    fn plan_failure(&mut self, id: &str, error: String) {
        if let Some(job) = self.job(id) {
            job.failure = Some((1, error));
        }
    }

    fn write_image(&mut self, options: &Map<String, Value>) -> Result<(), String> {
        let text = |name: &str| options.get(name).and_then(Value::as_str);
        let size = options.get("size").and_then(Value::as_u64).unwrap_or_default();
        match text("driver").unwrap_or_default() {
            // No file can be that large.
            "file" if i64::try_from(size).is_err() => {
                Err("Could not resize file: File too large".to_owned())
            }
            "file" => {
                let path = text("filename").unwrap_or_default();
                self.create_file(path, size, &[]).map_err(|error| error.desc)
            }
            "qcow2" => {
                if size % 512 != 0 {
                    return Err("Image size must be a multiple of 512 bytes".to_owned());
                }
                if size > formats::MAX_SIZE {
                    return Err(TOO_LARGE.to_owned());
                }
                if text("backing-file").is_none() && text("backing-fmt").is_some() {
                    return Err("Backing format cannot be used without backing file".to_owned());
                }
                let node = self.created_on(options)?;
                let backing = text("backing-file").map(|file| (file, text("backing-fmt")));
                let (head, length) = formats::new_qcow2(size, backing);
                self.write_to(&node, length, &head)
            }
            "raw" => {
                let node = self.created_on(options)?;
                self.write_to(&node, size, &[])
            }
            driver => {
                Err(format!("the simulated machine does not create images with driver '{driver}'"))
            }
        }
    }

    /// Returns the node that the new image is written to.
    fn created_on(&mut self, options: &Map<String, Value>) -> Result<String, String> {
        match options.get("file") {
            Some(Value::String(name)) => {
                self.named_node(name).map(|node| node.name.clone()).map_err(|error| error.desc)
            }
            _ => Err("the simulated machine creates images only on nodes with a name".to_owned()),
        }
    }

    fn write_to(&mut self, node: &str, size: u64, head: &[u8]) -> Result<(), String> {
        let Some(node) = self.node_mut(node) else { return Ok(()) };
        if node.driver != "file" {
            return match node.size >= size {
                true => Ok(()),
                false => Err("Image format driver does not support resize".to_owned()),
            };
        }
        if node.read_only {
            return Err(format!("Block node '{}' is read-only", node.name));
        }
        node.size = size;
        node.allocated = head.len() as u64;
        let path = node.filename.clone();
        let written = match node.descriptor.clone() {
            Some(descriptor) => descriptor_set::overwrite(&descriptor, size, head),
            None => self.files.write(&path, size, head),
        };
        written.map_err(|error| format!("Could not write '{path}': {}", os_error(&error)))
    }
}
