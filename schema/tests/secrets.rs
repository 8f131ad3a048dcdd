//! Every member whose name suggests a secret is either marked as one in `secrets.json`, or listed
//! here as one that is not.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;

use qmp_codegen::Root;
use qmp_codegen::schema::{
    Arguments, Base, Builtin, Definition, Member, Schema, TypeKind, TypeRef,
};

/// Members that are not secret although their names suggest it, and the reason.
const NOT_SECRET: [(&str, &str); 23] = [
    ("BlockdevOptionsNbd.tls-creds", "the id of an object"),
    ("ChardevSocket.tls-creds", "the id of an object"),
    ("GuestAuthorizedKeys.keys", "public keys"),
    ("NbdServerOptionsBase.tls-creds", "the id of an object"),
    ("PciDeviceInfo.irq_pin", "the pin of an interrupt"),
    ("QCryptoBlockAmendOptionsLUKS.secret", "the id of an object"),
    ("QCryptoBlockInfoLUKS.master-key-iters", "a number of iterations"),
    ("QCryptoBlockInfoLUKSSlot.key-offset", "an offset in the image"),
    ("RockerOfDpaFlow.cookie", "the number of a flow"),
    ("SecretCommonProperties.iv", "an initialization vector, which is public"),
    ("SecretCommonProperties.keyid", "the id of an object"),
    ("SecretKeyringProperties.serial", "the number of a key in the kernel's keyring"),
    ("SecretProperties.file", "a path"),
    ("SevSnpGuestProperties.id-auth", "signatures and public keys"),
    ("SpiceInfo.auth", "the name of a method"),
    ("SpiceServerInfo.auth", "the name of a method"),
    ("TlsCredsX509Properties.passwordid", "the id of an object"),
    ("VncInfo.auth", "the name of a method"),
    ("VncServerInfo.auth", "the name of a method"),
    ("guest-ssh-add-authorized-keys.keys", "public keys"),
    ("guest-ssh-remove-authorized-keys.keys", "public keys"),
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

#[test]
fn every_suspicious_member_is_decided() {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = NOT_SECRET.iter().map(|(member, _)| *member).collect();
    for (roots, least) in
        [(&[qmp_schema::SPEC, qmp_schema::EVENTS][..], 7), (&[qmp_schema::QGA], 1)]
    {
        let schema = load(roots);
        let members = members(&schema);
        let secret = members.iter().filter(|(_, member)| member.secret).count();
        assert!(secret >= least, "{roots:?} has only {secret} secret members");
        for (owner, member) in members {
            let name = format!("{}.{}", owner.name, member.name);
            match (member.secret, unused.remove(&*name)) {
                (true, true) => wrong.push(format!("{name} is secret, and listed as not secret")),
                (false, false) if is_suspicious(owner, member) => {
                    wrong.push(format!("{name}: is it secret?"));
                }
                _ => {}
            }
        }
    }
    wrong.extend(unused.iter().map(|name| format!("{name} does not exist any more")));
    assert!(wrong.is_empty(), "{} members:\n{}", wrong.len(), wrong.join("\n"));
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

fn is_suspicious(owner: &Definition, member: &Member) -> bool {
    let mut ty = &member.ty;
    while let TypeRef::Array(element) = ty {
        ty = element;
    }
    // A boolean, a number of bytes, or one of a few values cannot be a secret.
    let TypeRef::Builtin(builtin) = ty else { return false };
    if matches!(builtin, Builtin::Bool | Builtin::Null | Builtin::Size) {
        return false;
    }
    let name = member.name.to_ascii_lowercase();
    // By QEMU's convention, the id of a secret object.
    if name.ends_with("-secret") {
        return false;
    }
    let of_secret = owner.name.to_ascii_lowercase().contains("secret");
    of_secret
        || PARTS.iter().any(|part| name.contains(part))
        || name.split(['-', '_']).any(|word| WORDS.contains(&word))
}
