use super::*;
use crate::shell::types::Builtin;

/// A machine with one of everything.
struct Machine;

impl Live for Machine {
    fn candidates(&self, kind: Kind<'_>) -> Vec<Candidate> {
        let names: &[&str] = match kind {
            Kind::BlockNode => &["node0", "node1"],
            Kind::Device => &["disk0"],
            Kind::QomPath(path) if "/machine/peripheral".starts_with(path) => {
                &["/machine/peripheral"]
            }
            Kind::PathProperty("/machine") => &["smm"],
            Kind::Job => &["job0"],
            Kind::Chardev => &["serial0"],
            Kind::Netdev => &["net0"],
            Kind::Object("iothread") => &["io0"],
            Kind::Object(_) => &["sec 0"],
            Kind::Driver => &["virtio-blk-pci"],
            Kind::DriverProperty("virtio-blk-pci") => &["drive", "serial", "id"],
            Kind::Export => &["export0"],
            Kind::Bitmap("node0") => &["bitmap0"],
            Kind::Setting => &["output"],
            Kind::SettingValue("output") => &["pretty", "raw"],
            Kind::Human("info st") => &["info block", "info status"],
            _ => &[],
        };
        names.iter().map(|name| Candidate::new(*name, "")).collect()
    }
}

/// Completes at the `|`, and returns the texts with the first candidates inserted.
fn completed(text: &str) -> Vec<String> {
    let cursor = text.find('|').unwrap_or(text.len());
    let text = text.replacen('|', "", 1);
    let completion = complete(&text, cursor, &Builtin, &Machine);
    let inserted = completion.candidates.iter().map(|candidate| {
        let then = candidate.then.map(String::from).unwrap_or_default();
        let before = &text[..completion.span.start];
        format!("{before}{}{then}{}", candidate.insert, &text[completion.span.end..])
    });
    inserted.collect()
}

#[test]
fn the_first_candidate_is_the_most_likely() {
    for (text, expected) in [
        ("query-statu|", "query-status "),
        ("exec-oob migrate-p|", "exec-oob migrate-pause "),
        ("blockdev-add |", "blockdev-add driver="),
        ("blockdev-add driver=qco|", "blockdev-add driver=qcow "),
        ("blockdev-add driver=qcow2 no|", "blockdev-add driver=qcow2 node-name="),
        ("blockdev-add driver=qcow2 file.|", "blockdev-add driver=qcow2 file.driver="),
        ("blockdev-add driver=qcow2 fi|", "blockdev-add driver=qcow2 file="),
        (
            "blockdev-add driver=qcow2 file.driver=file file.f|",
            "blockdev-add driver=qcow2 file.driver=file file.filename=",
        ),
        ("blockdev-add driver=qcow2 file=|", "blockdev-add driver=qcow2 file=node0 "),
        ("blockdev-add file={'dr|", "blockdev-add file={'driver': "),
        (
            "blockdev-add driver=raw file={'driver': 'qcow2', 'data-f|",
            "blockdev-add driver=raw file={'driver': 'qcow2', 'data-file': ",
        ),
        (
            "blockdev-add driver=raw file={\"driver\": \"qc|",
            "blockdev-add driver=raw file={\"driver\": \"qcow\"",
        ),
        ("blockdev-mirror |", "blockdev-mirror device="),
        (
            "blockdev-mirror device=node0 target=node1 |",
            "blockdev-mirror device=node0 target=node1 sync=",
        ),
        ("blockdev-mirror sync=f|", "blockdev-mirror sync=full "),
        ("blockdev-mirror device=|", "blockdev-mirror device=node0 "),
        ("blockdev-mirror device=| target=node1", "blockdev-mirror device=node0  target=node1"),
        ("blockdev-mirror de| sync=full", "blockdev-mirror device= sync=full"),
        ("device_add |", "device_add driver="),
        ("device_add driver=|", "device_add driver=virtio-blk-pci "),
        ("device_add driver=virtio-blk-pci se|", "device_add driver=virtio-blk-pci serial="),
        (
            "device_add driver=virtio-blk-pci drive=|",
            "device_add driver=virtio-blk-pci drive=node0 ",
        ),
        ("device_del id=|", "device_del id=disk0 "),
        ("qom-list path=/mach|", "qom-list path=/machine/peripheral "),
        ("qom-get path=/machine property=|", "qom-get path=/machine property=smm "),
        ("job-cancel id=|", "job-cancel id=job0 "),
        ("chardev-remove id=|", "chardev-remove id=serial0 "),
        ("netdev_del id=|", "netdev_del id=net0 "),
        ("set_link name=net0 up=t|", "set_link name=net0 up=true "),
        ("block-export-del id=|", "block-export-del id=export0 "),
        (
            "block-dirty-bitmap-remove node=node0 name=|",
            "block-dirty-bitmap-remove node=node0 name=bitmap0 ",
        ),
        ("object-add qom-type=iothr|", "object-add qom-type=iothread "),
        ("blockdev-add driver=luks key-secret=|", "blockdev-add driver=luks key-secret=\"sec 0\" "),
        ("wait SHUT|", "wait SHUTDOWN "),
        ("wait JOB_STATUS_CHANGE status=conc|", "wait JOB_STATUS_CHANGE status=concluded "),
        ("wait SHUTDOWN --t|", "wait SHUTDOWN --timeout "),
        ("set o|", "set output="),
        ("set output=p|", "set output=pretty "),
        ("help blockdev-mir|", "help blockdev-mirror "),
        ("hmp info st|", "hmp info status "),
        ("hmp  info st|", "hmp  info status "),
        ("transaction(\nblock-dirty-bitmap-a|", "transaction(\nblock-dirty-bitmap-add "),
        (
            "transaction(\nabort\nblockdev-backup device=|",
            "transaction(\nabort\nblockdev-backup device=node0 ",
        ),
        (
            "transaction(\nproperties.completion-mode=g|",
            "transaction(\nproperties.completion-mode=grouped ",
        ),
        ("{\"exe|", "{\"execute\": "),
        ("{\"execute\": \"query-statu|", "{\"execute\": \"query-status\""),
        (
            "{\"execute\": \"blockdev-mirror\", \"arguments\": {\"sy|",
            "{\"execute\": \"blockdev-mirror\", \"arguments\": {\"sync\": ",
        ),
        (
            "{\"execute\": \"blockdev-mirror\", \"arguments\": {\"device\": |",
            "{\"execute\": \"blockdev-mirror\", \"arguments\": {\"device\": \"node0\"",
        ),
    ] {
        let found = completed(text);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{text}: {found:?}");
    }
}

#[test]
fn given_arguments_are_not_offered_again() {
    let found = completed("blockdev-mirror device=node0 de|");
    assert!(!found.iter().any(|text| text.contains("device=node0 device=")), "{found:?}");
    assert!(completed("query-status |").is_empty());
    assert!(completed("# query-|").is_empty());
}

/// A machine whose names control a terminal.
struct Hostile;

impl Live for Hostile {
    fn candidates(&self, _: Kind<'_>) -> Vec<Candidate> {
        vec![
            Candidate::new("a\u{202e}", ""),
            Candidate::new("b\u{1b}[2J", ""),
            Candidate::new("c", "\u{1b}[2J"),
        ]
    }
}

#[test]
fn candidates_do_not_control_a_terminal() {
    let completion = complete("device_del id=", 14, &Builtin, &Hostile);
    let expected = [Candidate::new("\"b\\u001b[2J\"", ""), Candidate::new("c", "\\u{1b}[2J")];
    assert_eq!(completion.candidates, expected);
}

#[test]
fn descriptions_come_from_the_documentation() {
    let completion = complete("blockdev-mirror ta", 18, &Builtin, &Machine);
    assert!(
        completion.candidates[0].description.starts_with("str, mandatory: Name of the node"),
        "{completion:?}"
    );
}

#[test]
fn hints_show_what_is_missing() {
    for (text, expected) in [
        ("device_add ", Some("driver= [bus=] [id=]")),
        ("device_del ", Some("id=")),
        ("device_del id=x ", None),
        ("device_del id=", None),
        ("query-status ", None),
        (
            "blockdev-add driver=qcow2 file.driver=file ",
            Some("file.filename= [node-name=] [discard=] [cache.] ..."),
        ),
        ("transaction(\nblock-dirty-bitmap-clear node=a ", Some("name=")),
    ] {
        assert_eq!(hint(text, &Builtin).as_deref(), expected, "{text}");
    }
}
