//! A peer decides how deeply its messages are nested, and a thread has two megabytes of stack.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

use qmp_types::qmp::commands::BlockdevAdd;
use qmp_types::qmp::types::ImageInfo;

#[test]
fn the_deepest_reply_that_is_read_fits_a_thread() {
    let open = r#"{"filename": "f", "format": "raw", "virtual-size": 1, "backing-image": "#;
    let last = r#"{"filename": "f", "format": "raw", "virtual-size": 1}"#;
    let nested = |depth: usize| open.repeat(depth) + last + &"}".repeat(depth);
    let mut image: ImageInfo = qmp_types::decode(&nested(127)).unwrap();
    let mut depth = 0;
    while let Some(backing) = image.backing_image {
        image = *backing;
        depth += 1;
    }
    assert_eq!(depth, 127);
    let error = qmp_types::decode::<ImageInfo>(&nested(128)).unwrap_err();
    assert!(error.reason().contains("deep"), "{error}");
}

#[test]
fn the_deepest_arguments_that_are_read_fit_a_thread() {
    let open = r#"{"driver": "raw", "file": "#;
    let nested = |depth: usize| open.repeat(depth) + "\"f\"" + &"}".repeat(depth);
    let add: BlockdevAdd = qmp_types::decode(&nested(128)).unwrap();
    // It can be written, copied and dropped as well.
    assert_eq!(serde_json::to_string(&add.clone()).unwrap().matches("raw").count(), 128);
    let error = qmp_types::decode::<BlockdevAdd>(&nested(129)).unwrap_err();
    assert!(error.reason().contains("deep"), "{error}");
}

/// The branch of a disk image is the largest that contains itself.
#[test]
fn the_largest_arguments_that_are_read_fit_a_thread() {
    for (open, close) in [
        (r#"{"driver": "qcow2", "file": "f", "backing": "#, "}"),
        (r#"{"file": "f", "backing": "#, r#", "driver": "qcow2"}"#),
        (r#"{"file": "f", "backing": "#, r#", "dr\u0069ver": "qcow2"}"#),
    ] {
        let nested = |depth: usize| open.repeat(depth) + "\"f\"" + &close.repeat(depth);
        let add: BlockdevAdd = qmp_types::decode(&nested(128)).unwrap();
        assert_eq!(serde_json::to_string(&add.clone()).unwrap().matches("qcow2").count(), 128);
        let error = qmp_types::decode::<BlockdevAdd>(&nested(129)).unwrap_err();
        assert!(error.reason().contains("deep"), "{error}");
    }
}
