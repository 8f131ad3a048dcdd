//! Compares the schema with QEMU 7.2 to 9.2, including all targets and build options: names, and the
//! exact types of members, which introspection does not contain.
//!
//! Each line of `releases/*7.2-9.2.txt` is a definition: its kind, its name, then the values of an
//! enumeration, or members as `name:type` with those of the bases first. `name?:type` is a member
//! that is missing from some of these releases, or optional in one. `(value):type` is a branch, and
//! `->:type` is a return type.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::{BTreeMap, HashSet};

use qmp_codegen::Root;
use qmp_codegen::schema::{Arguments, Base, Member, Schema, TypeId, TypeKind, TypeRef};

const QMP: &str = include_str!("releases/7.2-9.2.txt");
const QGA: &str = include_str!("releases/qga-7.2-9.2.txt");

/// Intentional differences: the beginning of the lines that report the difference, and the reason.
const EXCEPTIONS: [(&str, &str); 13] = [
    ("union Audiodev: (dbus):", "the branch has its own type today"),
    ("union BlockExportOptions: iothread?:str", "an alternate with `str` today"),
    ("struct MigrationInfo: ram?:MigrationStats", "another name of the type"),
    ("struct MigrationParameters: tls-", "alternates with `str` today"),
    ("struct NetdevUserOptions: ", "other names of types"),
    ("union SevInfo: (", "not a union in all releases, and therefore a struct here"),
    ("struct SevGuestInfo is", "a branch of it"),
    ("struct SevSnpGuestInfo is", "a branch of it"),
    ("command cxl-inject-", "wider today"),
    ("command query-sgx: ->", "another name of the type"),
    ("command query-sgx-capabilities: ->", "another name of the type"),
    ("command query-target: ->", "another name of the type"),
    ("command block-export-add: iothread?:str", "an alternate with `str` today"),
];

#[test]
fn every_name_and_type_is_present() {
    let mut wrong = compare(QMP, &[qmp_schema::SPEC, qmp_schema::EVENTS]);
    wrong.extend(compare(QGA, &[qmp_schema::QGA]));
    for (known, _) in EXCEPTIONS {
        let before = wrong.len();
        wrong.retain(|line| !line.starts_with(known));
        if wrong.len() == before {
            wrong.push(format!("the exception is no longer needed: {known}"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

fn compare(facts: &str, roots: &[&str]) -> Vec<String> {
    let roots = roots.iter().map(|root| Root::File(root.into()));
    let schema = qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema;
    let ours = definitions(&schema);
    let received = received(&schema);
    let mut wrong = Vec::new();
    for line in facts.lines() {
        let mut words = line.split(' ');
        let (kind, name) = (words.next().unwrap(), words.next().unwrap());
        let Some(parts) = ours.get(name) else {
            wrong.push(format!("{kind} {name} is missing"));
            continue;
        };
        let strict = kind == "event" || received.contains(name);
        let missing = words.clone().filter(|word| !has(parts, word, strict));
        wrong.extend(missing.map(|word| format!("{kind} {name}: {word} is missing")));
        if strict {
            let names: HashSet<&str> = words.map(|word| split(word).0).collect();
            let extra = parts.iter().filter(|part| {
                let (name, optional, _) = split(part);
                part.contains(':')
                    && !optional
                    && !name.starts_with(['(', '-'])
                    && !names.contains(name)
            });
            wrong.extend(extra.map(|part| format!("{kind} {name}: {part} is not always present")));
        }
    }
    wrong
}

/// Returns whether a definition has a part: a member of the same type that is optional if required.
fn has(parts: &[String], word: &str, strict: bool) -> bool {
    let (name, optional, ty) = split(word);
    parts.iter().any(|part| {
        let (our_name, our_optional, our_type) = split(part);
        name == our_name && ty == our_type && (!strict || our_optional || !optional)
    })
}

/// Splits a part into its name, whether it is optional, and its type.
fn split(part: &str) -> (&str, bool, &str) {
    let (name, ty) = part.split_once(':').unwrap_or((part, ""));
    (name.trim_end_matches('?'), name.ends_with('?'), ty)
}

/// Returns the definitions of the schema in the format of the files.
fn definitions(schema: &Schema) -> BTreeMap<&str, Vec<String>> {
    let mut definitions = BTreeMap::new();
    for (index, ty) in schema.types.iter().enumerate() {
        let id = TypeId(u32::try_from(index).unwrap());
        let mut parts = object(schema, id);
        match &ty.kind {
            TypeKind::Enum(data) => parts.extend(data.values.iter().map(|v| v.name.clone())),
            TypeKind::Alternate(data) => {
                parts.extend(data.alternatives.iter().map(|a| format!(":{}", name(schema, &a.ty))));
            }
            TypeKind::Struct(_) | TypeKind::Union(_) => {}
        }
        definitions.insert(ty.definition.name.as_str(), parts);
    }
    for command in &schema.commands {
        let mut parts = arguments(schema, &command.arguments);
        parts.extend(command.returns.iter().map(|ty| format!("->:{}", name(schema, ty))));
        definitions.insert(&command.definition.name, parts);
    }
    for event in &schema.events {
        definitions.insert(&event.definition.name, arguments(schema, &event.data));
    }
    definitions
}

fn arguments(schema: &Schema, arguments: &Arguments) -> Vec<String> {
    match arguments {
        Arguments::Inline(members) => members.iter().map(|m| member(schema, m)).collect(),
        Arguments::Named { ty, .. } => object(schema, *ty),
    }
}

/// Returns the members and branches of a struct or union.
fn object(schema: &Schema, id: TypeId) -> Vec<String> {
    let mut parts: Vec<_> = members(schema, id).iter().map(|m| member(schema, m)).collect();
    if let TypeKind::Union(data) = &schema.types[id.0 as usize].kind {
        parts.extend(data.branches.iter().map(|branch| {
            format!("({}):{}", branch.name, schema.types[branch.ty.0 as usize].definition.name)
        }));
    }
    parts
}

fn members(schema: &Schema, id: TypeId) -> Vec<&Member> {
    let (base, own): (_, &[Member]) = match &schema.types[id.0 as usize].kind {
        TypeKind::Struct(data) => (data.base, &data.members),
        TypeKind::Union(data) => match &data.base {
            Base::Named(base) => (Some(*base), &[]),
            Base::Inline(members) => (None, members),
        },
        TypeKind::Enum(_) | TypeKind::Alternate(_) => (None, &[]),
    };
    let mut all = base.map_or_else(Vec::new, |base| members(schema, base));
    all.extend(own);
    all
}

fn member(schema: &Schema, member: &Member) -> String {
    let optional = if member.optional { "?" } else { "" };
    format!("{}{optional}:{}", member.name, name(schema, &member.ty))
}

fn name(schema: &Schema, ty: &TypeRef) -> String {
    match ty {
        TypeRef::Builtin(builtin) => format!("{builtin:?}").to_lowercase(),
        TypeRef::Defined(id) => schema.types[id.0 as usize].definition.name.clone(),
        TypeRef::Array(element) => format!("[{}]", name(schema, element)),
    }
}

/// Returns the type that a reference names, looking through arrays.
fn reach(ty: &TypeRef) -> Option<TypeId> {
    match ty {
        TypeRef::Builtin(_) => None,
        TypeRef::Defined(id) => Some(*id),
        TypeRef::Array(element) => reach(element),
    }
}

/// Returns the names of the types that servers send.
fn received(schema: &Schema) -> HashSet<&str> {
    let mut open: Vec<TypeId> = Vec::new();
    open.extend(schema.commands.iter().filter_map(|c| c.returns.as_ref()).filter_map(reach));
    for event in &schema.events {
        match &event.data {
            Arguments::Inline(members) => open.extend(members.iter().filter_map(|m| reach(&m.ty))),
            Arguments::Named { ty, .. } => open.push(*ty),
        }
    }
    let mut names = HashSet::new();
    while let Some(id) = open.pop() {
        let ty = &schema.types[id.0 as usize];
        if names.insert(ty.definition.name.as_str()) {
            open.extend(members(schema, id).iter().filter_map(|m| reach(&m.ty)));
            match &ty.kind {
                TypeKind::Union(data) => open.extend(data.branches.iter().map(|b| b.ty)),
                TypeKind::Alternate(data) => {
                    open.extend(data.alternatives.iter().filter_map(|a| reach(&a.ty)));
                }
                TypeKind::Enum(_) | TypeKind::Struct(_) => {}
            }
        }
    }
    names
}
