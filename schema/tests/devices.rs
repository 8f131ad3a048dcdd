//! Proves the schema of devices by what releases of QEMU list.
//!
//! `devices/recorded.txt` has the properties of the shipped devices of each release, and
//! `devices/devices.txt` which properties are not shipped, and why.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use qmp_codegen::Root;
use qmp_codegen::schema::{Builtin, Member, Schema, TypeId, TypeKind, TypeRef};

const RECORDED: &str = include_str!("devices/recorded.txt");
const WORDS: &str = include_str!("devices/devices.txt");
const RELEASES: [&str; 3] = ["7.2", "10.0", "11.1"];

/// The arguments of `device_add` itself.
const ARGUMENTS: [&str; 2] = ["id", "bus"];

/// Defaults that QEMU states by another value than the one it uses.
const OTHER_DEFAULTS: [(&str, &str); 1] = [("rombar", "-1 for 1, unless the device is hidden")];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let root = Root::File(qmp_schema::DEVICES.into());
    qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema
});

/// A property of a device, as recorded.
#[derive(Clone, Debug, Default)]
struct Property {
    /// The types and defaults of each release that has it.
    releases: BTreeMap<usize, (String, Option<String>)>,
}

/// A device, as recorded.
#[derive(Clone, Debug, Default)]
struct Device {
    releases: BTreeSet<usize>,
    properties: BTreeMap<String, Property>,
}

fn release(name: &str) -> usize {
    RELEASES.iter().position(|release| *release == name).unwrap()
}

fn recorded() -> BTreeMap<String, Device> {
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    let mut current = String::new();
    for line in RECORDED.lines() {
        if let Some(line) = line.strip_prefix(' ') {
            let device = devices.get_mut(&current).unwrap();
            let (line, only) = line.split_once(" @").unwrap_or((line, ""));
            let mut words = line.splitn(3, ' ');
            let (name, ty) = (words.next().unwrap(), words.next().unwrap());
            let default = words.next().map(str::to_owned);
            let mut have: BTreeSet<usize> = only.split_whitespace().map(release).collect();
            if have.is_empty() {
                have = device.releases.clone();
            }
            let property = device.properties.entry(name.to_owned()).or_default();
            for release in have {
                property.releases.insert(release, (ty.to_owned(), default.clone()));
            }
        } else {
            let mut words = line.split(' ');
            current = words.next().unwrap().to_owned();
            let releases = words.map(release).collect();
            devices.insert(current.clone(), Device { releases, properties: BTreeMap::new() });
        }
    }
    devices
}

/// Returns whether a property is not shipped, for a reason that `devices.txt` has.
fn is_left_out(device: &str, property: &str) -> bool {
    let rules = WORDS.lines().filter_map(|line| line.strip_prefix("- "));
    rules.filter_map(|line| line.split_once(": ")).any(|(pattern, _)| {
        match pattern.split_once('/') {
            Some((of, pattern)) => matches(of, device) && matches(pattern, property),
            None => matches(pattern, property),
        }
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, end)) => name.starts_with(begin) && name[begin.len()..].ends_with(end),
    }
}

fn members(schema: &Schema, id: TypeId) -> Vec<&Member> {
    let TypeKind::Struct(data) = &schema.types[id.0 as usize].kind else { panic!("not a struct") };
    let mut all = data.base.map_or_else(Vec::new, |base| members(schema, base));
    all.extend(&data.members);
    all
}

/// Returns the drivers and their members.
fn shipped(schema: &Schema) -> BTreeMap<&str, Vec<&Member>> {
    let device = schema.types.iter().find(|ty| ty.definition.name == "Device").unwrap();
    let TypeKind::Union(union) = &device.kind else { panic!("not a union") };
    let branches = union.branches.iter();
    branches.map(|branch| (branch.name.as_str(), members(schema, branch.ty))).collect()
}

/// Returns the type of a member, as the recorded types name it.
fn type_of(schema: &Schema, ty: &TypeRef) -> String {
    match ty {
        TypeRef::Builtin(builtin) => format!("{builtin:?}").to_lowercase(),
        TypeRef::Defined(id) => schema.types[id.0 as usize].definition.name.clone(),
        TypeRef::Array(_) => "list".to_owned(),
    }
}

/// Returns whether a member of the schema takes what a property of a release takes.
fn takes(ours: &str, theirs: &str) -> bool {
    const NUMBERS: [&str; 5] = ["uint8", "uint16", "uint32", "uint64", "size"];
    let theirs = theirs.split('=').next().unwrap();
    let at = |name| NUMBERS.iter().position(|number| *number == name);
    match (ours, theirs) {
        (ours, theirs) if ours == theirs => true,
        ("str", "string" | "QemuUUID" | "int32") => true,
        ("str", link) => link.starts_with("link<"),
        ("list", theirs) => theirs.ends_with("List"),
        ("FloppyDriveType", theirs) => theirs == "FdcDriveType",
        ("OnOffAuto", theirs) => theirs == "bool",
        ("int32", theirs) => theirs == "uint32",
        _ => at(ours).zip(at(theirs)).is_some_and(|(ours, theirs)| ours >= theirs),
    }
}

/// Returns the releases that a text states, of those that have the device.
fn dated(text: &str, of: &BTreeSet<usize>) -> BTreeSet<usize> {
    let after = |word: &str| {
        let (_, rest) = text.rsplit_once(word)?;
        let end = rest.find([',', ')'])?;
        RELEASES.iter().position(|release| *release == rest[..end].trim())
    };
    let since = after("since ").unwrap_or(0);
    let until = after("until ").unwrap_or(RELEASES.len() - 1);
    of.iter().copied().filter(|release| (since..=until).contains(release)).collect()
}

/// Returns what is wrong with a member, given what the releases list.
fn wrong(device: &Device, member: &Member, ty: &str) -> Vec<String> {
    let Some(property) = device.properties.get(&member.name) else {
        return vec!["no release has it".to_owned()];
    };
    let mut wrong = Vec::new();
    let doc = member.doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let has: BTreeSet<usize> = property.releases.keys().copied().collect();
    let stated = dated(&doc, &device.releases);
    if stated != has {
        let names = |releases: BTreeSet<usize>| -> Vec<&str> {
            releases.into_iter().map(|release| RELEASES[release]).collect()
        };
        wrong.push(format!("is in {:?}, documented for {:?}", names(has), names(stated)));
    }
    for (theirs, _) in property.releases.values().filter(|(theirs, _)| !takes(ty, theirs)) {
        wrong.push(format!("has type {ty}, and {theirs} in a release"));
    }
    if OTHER_DEFAULTS.iter().any(|(name, _)| *name == member.name) {
        return wrong;
    }
    if let Some(default) = stated_default(&doc) {
        let differs =
            |theirs: &Option<String>| theirs.as_deref().is_some_and(|theirs| theirs != default);
        if property.releases.values().any(|(_, theirs)| differs(theirs)) {
            wrong.push(format!("the default {default} is not that of every release"));
        }
    }
    wrong
}

/// Returns the default that a text states as a value, as JSON.
fn stated_default(doc: &str) -> Option<String> {
    let (_, rest) = doc.split_once("(default: ")?;
    let (value, _) = rest.split_once(')')?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.strip_prefix("``").and_then(|value| value.strip_suffix("``")) {
        Some(text) => Some(format!("\"{text}\"")),
        None if is_number || matches!(value, "true" | "false") => Some(value.to_owned()),
        None => None,
    }
}

#[test]
fn every_property_is_that_of_the_releases() {
    let (recorded, shipped) = (recorded(), shipped(&SCHEMA));
    let names: Vec<&str> = recorded.keys().map(String::as_str).collect();
    assert_eq!(names, shipped.keys().copied().collect::<Vec<_>>(), "the devices are not the same");
    let mut faults = Vec::new();
    let mut compared = 0;
    for (driver, members) in &shipped {
        let device = &recorded[*driver];
        for member in members.iter().filter(|member| !ARGUMENTS.contains(&member.name.as_str())) {
            compared += 1;
            let ty = type_of(&SCHEMA, &member.ty);
            faults.extend(
                wrong(device, member, &ty)
                    .iter()
                    .map(|text| format!("{driver}.{}: {text}", member.name)),
            );
        }
        let has = |name: &str| members.iter().any(|member| member.name == name);
        let missing =
            device.properties.keys().filter(|name| !has(name) && !is_left_out(driver, name));
        faults.extend(missing.map(|name| format!("{driver}.{name} is missing")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared > 1500, "only {compared} properties were compared");
}

#[test]
fn every_device_is_dated() {
    let drivers = SCHEMA.types.iter().find(|ty| ty.definition.name == "DeviceDriver").unwrap();
    let TypeKind::Enum(drivers) = &drivers.kind else { panic!("not an enumeration") };
    let all = (0..RELEASES.len()).collect();
    for (driver, device) in recorded() {
        let value = drivers.values.iter().find(|value| value.name == driver).unwrap();
        assert_eq!(dated(&value.doc, &all), device.releases, "{driver}");
    }
}

/// Each of these was once in the schema, or nearly was.
#[test]
fn a_wrong_property_is_found() {
    let (recorded, shipped) = (recorded(), shipped(&SCHEMA));
    let disk = &recorded["virtio-blk-pci"];
    let member = |name: &str| {
        let member = shipped["virtio-blk-pci"].iter().find(|member| member.name == name).unwrap();
        Member::clone(member)
    };
    let queues = member("queue-size");
    assert_eq!(wrong(disk, &queues, "uint16"), Vec::<String>::new());
    assert_eq!(wrong(disk, &queues, "uint8"), ["has type uint8, and uint16 in a release"; 3]);
    let other = Member { doc: queues.doc.replace("256", "128"), ..queues.clone() };
    assert_eq!(wrong(disk, &other, "uint16"), ["the default 128 is not that of every release"]);
    let renamed = Member { name: "queue_size".to_owned(), ..queues };
    assert_eq!(wrong(disk, &renamed, "uint16"), ["no release has it"]);
    let mut dated = member("stats-intervals");
    dated.doc = dated.doc.replace("since 11.1", "since 10.0");
    let fault = "is in [\"11.1\"], documented for [\"10.0\", \"11.1\"]";
    assert_eq!(wrong(disk, &dated, "list"), [fault]);
    assert!(!is_left_out("virtio-blk-pci", "serial"));
    assert!(is_left_out("qemu64-x86_64-cpu", "level"));
}

#[test]
fn builtin_types_have_the_names_of_qemu() {
    assert_eq!(type_of(&SCHEMA, &TypeRef::Builtin(Builtin::Uint16)), "uint16");
}
