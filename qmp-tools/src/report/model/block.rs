//! Block devices, images, bitmaps, exports and jobs.

use serde::Serialize;

/// A block device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockDevice {
    /// The name that a person gave: the device's ID, or else that of its drive, or of its node. If
    /// there is none, the QOM path.
    pub name: String,
    /// The QOM path of the device.
    pub path: Option<String>,
    /// Whether the medium can be removed.
    pub removable: bool,
    /// Whether the guest has locked the device's tray.
    pub locked: bool,
    /// The device's I/O status, such as `ok` or `nospace`, if the device reports one.
    pub io_status: Option<String>,
    /// The image; `null` if the drive is empty.
    pub image: Option<Image>,
    /// The number of bytes that the guest has read.
    pub read: Option<i64>,
    /// The number of bytes that the guest has written.
    pub written: Option<i64>,
    /// The number of read requests of the guest.
    pub read_operations: Option<i64>,
    /// The number of write requests of the guest.
    pub write_operations: Option<i64>,
    /// The number of flush requests of the guest.
    pub flush_operations: Option<i64>,
}

/// A disk image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Image {
    /// The name of its block node; `null` if it is not known.
    pub node: Option<String>,
    /// The image's file name, as QEMU spells it.
    pub file: String,
    /// The image's format: the name of its block driver, such as `qcow2`.
    pub format: String,
    /// The size that the guest sees, in bytes.
    pub size: i64,
    /// The space that the image takes on the host, in bytes.
    pub on_disk: Option<i64>,
    /// Whether the image is read-only; `null` if it is not known.
    pub read_only: Option<bool>,
    /// Whether the image is encrypted.
    pub encrypted: bool,
    /// The images below it, nearest first. Theirs are empty.
    pub backing: Vec<Image>,
    /// The name of the backing file.
    pub backing_file: Option<String>,
}

/// A dirty bitmap.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Bitmap {
    /// The name of the node or the device that has the bitmap.
    pub node: String,
    /// The bitmap's name; `null` if QEMU created the bitmap for itself.
    pub name: Option<String>,
    /// The number of bytes that each bit stands for.
    pub granularity: u32,
    /// The number of bytes that are dirty.
    pub dirty: i64,
    /// Whether writes are being recorded.
    pub recording: bool,
    /// Whether a job or an export uses the bitmap.
    pub busy: bool,
    /// Whether the bitmap is stored in the image.
    pub persistent: bool,
    /// Whether the bitmap was not stored properly, and can only be removed.
    pub inconsistent: bool,
}

/// An export of a block node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Export {
    /// The export's ID.
    pub id: String,
    /// The type of the export, such as `nbd`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the exported node.
    pub node: String,
    /// Whether the export is shutting down.
    pub shutting_down: bool,
}

/// A job.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Job {
    /// The job's ID.
    pub id: String,
    /// The type of the job, such as `mirror`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The job's status, such as `running`.
    pub status: String,
    /// The progress, from 0 to 1.
    pub progress: Option<f64>,
    /// The amount that is done, in a unit that depends on the type of the job.
    pub done: i64,
    /// The total amount, in the same unit. May grow.
    pub total: i64,
    /// The reason why the job failed.
    pub error: Option<String>,
}
