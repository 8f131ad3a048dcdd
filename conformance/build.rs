//! Generates a list of all commands that can be executed without arguments, and one of all types that
//! messages consist of, so that the tests miss none of them, and sets a `cfg` for each program that is
//! available to the tests.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use qmp_codegen::schema::{Arguments, Command, Member, Schema, TypeId, TypeKind};
use qmp_codegen::{Builder, Root, SurfaceKind};

#[allow(unreachable_pub)] // public in the library
#[path = "src/programs.rs"]
mod programs;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/programs.rs");
    set_program_cfgs();
    // Two releases of a small vocabulary.
    for release in ["old", "new"] {
        let schema = format!("tests/stability/{release}.json");
        let builder = Builder::new().schema(schema);
        if builder.generate(&format!("release_{release}")) != ExitCode::SUCCESS {
            return Err("the schemas of the test `stability` are invalid".into());
        }
    }
    let mut code = String::new();
    vocabulary("qmp", &[qmp_schema::SPEC, qmp_schema::EVENTS], &mut code)?;
    vocabulary("qga", &[qmp_schema::QGA], &mut code)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("queries.rs"), code)?;
    fs::write(out.join("readers.rs"), readers()?)?;
    Ok(())
}

/// Generates a function that reads a text as the type of a command's arguments, of its reply, or of
/// an event's data. These contain every type of the vocabulary.
fn readers() -> Result<String, Box<dyn Error>> {
    let builder = Builder::new().schema(qmp_schema::SPEC).schema(qmp_schema::EVENTS);
    let mut code = String::from(
        "#[allow(clippy::too_many_lines, deprecated)]\n\
         fn read(role: Role, name: &str, text: &str) -> Result<bool, String> {\n    \
         match (role, name) {\n",
    );
    for item in builder.surface()? {
        let (wire, path) = (&item.wire, format!("qmp_client::qmp::{}", item.path));
        match item.kind {
            SurfaceKind::Command => {
                writeln!(code, "(Role::Arguments, {wire:?}) => compare::<{path}>(text),")?;
                writeln!(
                    code,
                    "(Role::Reply, {wire:?}) => compare::<<{path} as Command>::Return>(text),"
                )?;
            }
            SurfaceKind::Event => {
                writeln!(code, "(Role::Data, {wire:?}) => compare::<{path}>(text),")?;
            }
            _ => {}
        }
    }
    code.push_str("_ => Err(format!(\"the vocabulary has no {role:?} `{name}`\")),\n    }\n}\n");
    Ok(code)
}

fn set_program_cfgs() {
    for variable in ["PATH", "QMP_TEST_QEMU", "QMP_TEST_QEMUS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for (name, found) in [
        ("qemu", !programs::qemus().is_empty()),
        ("targets", !programs::targets().is_empty()),
        ("storage_daemon", !programs::beside_qemus("qemu-storage-daemon").is_empty()),
        ("guest_agent", !programs::beside_qemus("qemu-ga").is_empty()),
    ] {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if found {
            println!("cargo::rustc-cfg={name}");
        }
    }
}

/// Generates a function that visits every command without mandatory arguments, and one that checks
/// an event by name.
fn vocabulary(name: &str, roots: &[&str], code: &mut String) -> Result<(), Box<dyn Error>> {
    let schema = qmp_codegen::load(roots.iter().map(|root| Root::File(root.into())))?.schema;
    let builder = roots.iter().fold(Builder::new(), |builder, root| builder.schema(*root));
    let paths: HashMap<(SurfaceKind, String), String> =
        builder.surface()?.into_iter().map(|item| ((item.kind, item.wire), item.path)).collect();
    let path = |kind, wire: &str| &paths[&(kind, wire.to_owned())];

    writeln!(code, "/// Visits every command of `{name}` that has no mandatory arguments.")?;
    writeln!(code, "#[allow(deprecated)]")?;
    writeln!(code, "pub fn for_each_{name}_query(visit: &mut impl Visit) {{")?;
    for command in schema.commands.iter().filter(|command| is_query(&schema, command)) {
        let path = path(SurfaceKind::Command, &command.definition.name);
        writeln!(code, "    visit.command(qmp_client::{name}::{path}::new());")?;
    }
    writeln!(code, "}}")?;
    if schema.events.is_empty() {
        return Ok(());
    }
    writeln!(code, "#[allow(deprecated)]")?;
    writeln!(code, "fn event_of_{name}(name: &str, data: &str) -> Result<Checked, String> {{")?;
    writeln!(code, "    match name {{")?;
    for event in &schema.events {
        let path = path(SurfaceKind::Event, &event.definition.name);
        let wire = &event.definition.name;
        writeln!(code, "        {wire:?} => check::<qmp_client::{name}::{path}>(data),")?;
    }
    writeln!(
        code,
        "        _ => Err(format!(\"the schema has no event `{{name}}`\")),\n    }}\n}}"
    )?;
    Ok(())
}

/// Returns whether a command can be executed without arguments.
fn is_query(schema: &Schema, command: &Command) -> bool {
    match &command.arguments {
        Arguments::Inline(members) => members.iter().all(|member| member.optional),
        Arguments::Named { ty, .. } => {
            struct_members(schema, *ty).is_some_and(|all| all.iter().all(|member| member.optional))
        }
    }
}

/// Returns the members of a struct, or `None` for a union, whose discriminator is mandatory.
fn struct_members(schema: &Schema, id: TypeId) -> Option<Vec<&Member>> {
    let (base, own): (_, &[Member]) = match &schema.types[id.0 as usize].kind {
        TypeKind::Struct(data) => (data.base, &data.members),
        TypeKind::Union(_) | TypeKind::Enum(_) | TypeKind::Alternate(_) => return None,
    };
    let mut members = base.map_or_else(|| Some(Vec::new()), |base| struct_members(schema, base))?;
    members.extend(own);
    Some(members)
}
