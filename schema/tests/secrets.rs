//! Every member whose name suggests a secret is either marked as one in `secrets.json`, or listed
//! here as one that is not.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;

use qmp_codegen::Root;
use qmp_codegen::schema::{
    Arguments, Base, Builtin, Definition, Member, Schema, TypeKind, TypeRef,
};

/// Members that are not secret although their names suggest it, and the reason.
const NOT_SECRET: [(&str, &str); 41] = [
    ("AcpiTableOptions.data", "names of files"),
    ("BlockdevCreateOptionsQcow2.data-file", "a node"),
    ("BlockdevOptionsNbd.tls-creds", "the id of an object"),
    ("BlockdevOptionsQcow2.data-file", "a node"),
    ("ChardevSocket.tls-creds", "the id of an object"),
    ("CompatProperty.value", "the default of a device property"),
    ("GuestAuthorizedKeys.keys", "public keys"),
    ("GuestExecStatus.err-data", "output of a program"),
    ("GuestExecStatus.out-data", "output of a program"),
    ("HumanReadableText.human-readable-text", "a reply for people"),
    ("ImageInfoSpecificQCow2.data-file", "a path"),
    ("NbdServerOptionsBase.tls-creds", "the id of an object"),
    ("ObjectPropertyInfo.default-value", "a default"),
    ("ObjectPropertyValue.value", "a reply to a caller that asks for it"),
    ("PciDeviceInfo.irq_pin", "the pin of an interrupt"),
    ("QCryptoBlockAmendOptionsLUKS.iter-time", "a time"),
    ("QCryptoBlockAmendOptionsLUKS.old-secret", "the id of an object"),
    ("QCryptoBlockAmendOptionsLUKS.secret", "the id of an object"),
    ("QCryptoBlockCreateOptionsLUKS.iter-time", "a time"),
    ("QCryptoBlockInfoLUKS.master-key-iters", "a number of iterations"),
    ("QCryptoBlockInfoLUKSSlot.key-offset", "an offset in the image"),
    ("RockerOfDpaFlow.cookie", "the number of a flow"),
    ("SecretCommonProperties.iv", "an initialization vector, which is public"),
    ("SecretCommonProperties.keyid", "the id of an object"),
    ("SecretKeyringProperties.serial", "the number of a key in the kernel's keyring"),
    ("SecretProperties.file", "a path"),
    ("SevAttestationReport.data", "a signed report"),
    ("SevLaunchMeasureInfo.data", "a measurement and a nonce"),
    ("SevSnpGuestProperties.host-data", "part of reports"),
    ("SevSnpGuestProperties.id-auth", "signatures and public keys"),
    ("SpiceInfo.auth", "the name of a method"),
    ("SpiceServerInfo.auth", "the name of a method"),
    ("TlsCredsX509Properties.passwordid", "the id of an object"),
    ("UefiVariable.data", "a variable of the firmware, which the guest can read"),
    ("VncInfo.auth", "the name of a method"),
    ("VncServerInfo.auth", "the name of a method"),
    ("guest-ssh-add-authorized-keys.keys", "public keys"),
    ("guest-ssh-remove-authorized-keys.keys", "public keys"),
    ("ringbuf-write.data", "input of the guest's console"),
    ("sev-inject-launch-secret.gpa", "an address"),
    ("sev-inject-launch-secret.packet-header", "flags, an initialization vector and a checksum"),
];

/// Parts of names that suggest a secret.
const PARTS: [&str; 11] = [
    "cookie",
    "cred",
    "crypt",
    "passphrase",
    "passwd",
    "password",
    "private",
    "psk",
    "secret",
    "ticket",
    "token",
];
/// Words of names that suggest a secret; as parts, they are too frequent.
const WORDS: [&str; 8] = ["auth", "iv", "key", "keys", "pin", "pins", "salt", "seed"];
/// Words of names of text that can be anything.
const ANYTHING: [&str; 6] = ["content", "data", "env", "line", "text", "value"];
/// Parts of descriptions that suggest a secret.
const IN_DOCS: [&str; 7] =
    ["cookie", "passphrase", "password", "private key", "secret", "ticket", "token"];

#[test]
fn every_suspicious_member_is_decided() {
    let mut unused: BTreeSet<&str> = NOT_SECRET.iter().map(|(member, _)| *member).collect();
    let schemas = [&[qmp_schema::SPEC, qmp_schema::EVENTS][..], &[qmp_schema::QGA]].map(load);
    let mut wrong = Vec::new();
    for (schema, least) in schemas.iter().zip([9, 3]) {
        let secret = members(schema).iter().filter(|(_, member)| member.secret).count();
        println!("{secret} members are secret");
        assert!(secret >= least, "only {secret} members are secret");
        wrong.extend(undecided(schema, &mut unused));
    }
    wrong.extend(unused.iter().map(|name| format!("{name}: does not exist any more")));
    assert!(wrong.is_empty(), "{} members:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns the members that are neither marked nor listed, or both. Removes those found from the list.
fn undecided(schema: &Schema, listed: &mut BTreeSet<&str>) -> Vec<String> {
    let wrong = members(schema).into_iter().filter_map(|(owner, member)| {
        let name = format!("{}.{}", owner.name, member.name);
        match (member.secret, listed.remove(&*name)) {
            (true, true) => Some(format!("{name}: is secret, and listed as not secret")),
            (false, false) if is_suspicious(schema, owner, member) => {
                Some(format!("{name}: is it secret?"))
            }
            _ => None,
        }
    });
    wrong.collect()
}

/// Each kind of definition that has members, and each kind of type that holds text: `StrOrNull` was
/// overlooked, and so was every name that ends with `-secret`.
#[test]
fn a_new_secret_must_be_decided() {
    let definitions = [
        ("{ 'struct': 'NewThing', 'data': { 'password': 'str' } }", "NewThing.password"),
        ("{ 'struct': 'NewThing', 'data': { '*psk': 'StrOrNull' } }", "NewThing.psk"),
        ("{ 'struct': 'NewThing', 'data': { 'tokens': ['str'] } }", "NewThing.tokens"),
        ("{ 'struct': 'NewThing', 'data': { 'pin': 'int' } }", "NewThing.pin"),
        ("{ 'struct': 'NewThing', 'data': { 'client-secret': 'str' } }", "NewThing.client-secret"),
        ("{ 'command': 'do-new-thing', 'data': { 'key': 'str' } }", "do-new-thing.key"),
        ("{ 'command': 'do-new-thing', 'data': { 'data': 'any' } }", "do-new-thing.data"),
        ("{ 'event': 'NEW_THING', 'data': { 'ticket': 'str' } }", "NEW_THING.ticket"),
        (
            "{ 'union': 'NewThing', 'base': { 'on': 'OnOffAuto', 'cookie': 'str' },
               'discriminator': 'on', 'data': { 'on': 'StatusInfo' } }",
            "NewThing.cookie",
        ),
        // By its description alone.
        ("{ 'struct': 'NewThing', 'data': { 'phrase': 'str' } }", "NewThing.phrase"),
        ("{ 'struct': 'NewThing', 'data': { 'phrase': 'bool' } }", ""),
    ];
    for (definition, expected) in definitions {
        let mut words = definition.split('\'');
        let name = words.nth(3).unwrap();
        let member = expected.split_once('.').map_or("phrase", |(_, member)| member);
        let other = if definition.contains("'base'") { "# @on: Whether.\n#\n" } else { "" };
        let new = format!(
            "##\n# @{name}:\n#\n# New.\n#\n{other}# @{member}: Password of the thing.\n##\n{definition}\n"
        );
        let text = std::fs::read_to_string(qmp_schema::SPEC).unwrap() + &new;
        let root = Root::Text { name: qmp_schema::SPEC.to_owned(), text };
        let schema = qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema;
        let mut listed = NOT_SECRET.iter().map(|(member, _)| *member).collect();
        let wrong = undecided(&schema, &mut listed);
        let expected = Some(expected).filter(|name| !name.is_empty());
        let expected = expected.map(|name| format!("{name}: is it secret?"));
        assert_eq!(wrong, expected.into_iter().collect::<Vec<_>>(), "{definition}");
    }
}

/// The pragma is ours, so no definition may depend on its file.
#[test]
fn the_schema_is_complete_without_our_pragma() {
    let spec = std::fs::read_to_string(qmp_schema::SPEC).unwrap();
    let qga = std::fs::read_to_string(qmp_schema::QGA).unwrap();
    for (path, text, include) in [
        (qmp_schema::SPEC, spec, "{ 'include': 'secrets.json' }\n"),
        (qmp_schema::QGA, qga, "{ 'include': 'qga/secrets.json' }\n"),
    ] {
        assert!(text.contains(include), "{path}");
        let text = text.replace(include, "");
        let root = Root::Text { name: path.to_owned(), text };
        let loaded = qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty());
        assert!(members(&loaded.schema).iter().all(|(_, member)| !member.secret));
    }
}

fn load(roots: &[&str]) -> Schema {
    let roots = roots.iter().map(|root| Root::File(root.into()));
    qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema
}

/// Returns every member, with the definition that it is written in.
fn members(schema: &Schema) -> Vec<(&Definition, &Member)> {
    let types = schema.types.iter().map(|ty| {
        let members: &[Member] = match &ty.kind {
            TypeKind::Struct(object) => &object.members,
            TypeKind::Union(union) => match &union.base {
                Base::Inline(members) => members,
                Base::Named(_) => &[],
            },
            TypeKind::Enum(_) | TypeKind::Alternate(_) => &[],
        };
        (&ty.definition, members)
    });
    let commands = schema.commands.iter().map(|c| (&c.definition, inline(&c.arguments)));
    let events = schema.events.iter().map(|event| (&event.definition, inline(&event.data)));
    let all = types.chain(commands).chain(events);
    all.flat_map(|(owner, members)| members.iter().map(move |member| (owner, member))).collect()
}

fn inline(arguments: &Arguments) -> &[Member] {
    match arguments {
        Arguments::Inline(members) => members,
        Arguments::Named { .. } => &[],
    }
}

fn is_suspicious(schema: &Schema, owner: &Definition, member: &Member) -> bool {
    let Some(text) = text_in(schema, &member.ty) else { return false };
    // By QEMU's convention, the secret itself is in an object.
    if member.doc.starts_with("ID of ") {
        return false;
    }
    let name = member.name.to_ascii_lowercase();
    let doc = member.doc.to_ascii_lowercase();
    let has_word = |words: &[&str]| name.split(['-', '_']).any(|word| words.contains(&word));
    owner.name.to_ascii_lowercase().contains("secret")
        || PARTS.iter().any(|part| name.contains(part))
        || IN_DOCS.iter().any(|part| doc.contains(part))
        || has_word(&WORDS)
        || (text == Text::Any && has_word(&ANYTHING))
}

/// The content that a value can have.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Text {
    Number,
    Any,
}

/// Returns what a value of the type can be if it can be a secret: a boolean, a number of bytes, or one
/// of a few values cannot, and the members of an object are decided themselves.
fn text_in(schema: &Schema, ty: &TypeRef) -> Option<Text> {
    match ty {
        TypeRef::Array(element) => text_in(schema, element),
        TypeRef::Builtin(Builtin::Bool | Builtin::Null | Builtin::QType | Builtin::Size) => None,
        TypeRef::Builtin(Builtin::Any | Builtin::Str) => Some(Text::Any),
        TypeRef::Builtin(_) => Some(Text::Number),
        TypeRef::Defined(id) => match &schema.types[id.0 as usize].kind {
            TypeKind::Alternate(data) => {
                data.alternatives.iter().filter_map(|one| text_in(schema, &one.ty)).max()
            }
            TypeKind::Enum(_) | TypeKind::Struct(_) | TypeKind::Union(_) => None,
        },
    }
}
