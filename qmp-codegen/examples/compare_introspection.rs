//! Compares a schema with QEMU's reply to `query-qmp-schema`.
//!
//! ```sh
//! cargo run -p qmp-codegen --features tools --example compare_introspection -- qapi-schema.json reply.json
//! ```
//!
//! The reply lacks what is not in QEMU's build, and does not tell which configuration symbols are
//! set. They are guessed: a symbol is not set if there are fewer differences without it. What
//! remains is the difference between the two releases.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;

use qmp_codegen::Root;
use qmp_codegen::diff::{Difference, Scope, diff_within};
use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::schema::{
    Arguments, Base, Condition, Definition, Feature, Member, Schema, TypeKind,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [schema, reply] = &arguments[..] else {
        eprintln!("usage: compare_introspection SCHEMA REPLY");
        return ExitCode::FAILURE;
    };
    match compare(schema, reply) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(schema: &str, reply: &str) -> Result<(), Box<dyn Error>> {
    let schema = qmp_codegen::load([Root::File(schema.into())])?.schema;
    let names = Names::from_schema(&schema);
    let reply = import(&std::fs::read_to_string(reply)?, &names)?;
    let difference = |unset: &BTreeSet<&str>| -> Result<Difference, Box<dyn Error>> {
        let built = export(&schema, Naming::Unmasked, &|symbol| !unset.contains(symbol));
        let built = import(&built.to_string(), &names)?;
        Ok(diff_within(&built, &reply, Scope::Introspection))
    };

    let mut unset = BTreeSet::new();
    let mut rest = difference(&unset)?;
    println!("{} differences with all symbols set", rest.changes.len());
    for symbol in symbols(&schema) {
        unset.insert(symbol);
        let without = difference(&unset)?;
        if without.changes.len() < rest.changes.len() {
            rest = without;
        } else {
            unset.remove(symbol);
        }
    }
    println!("{} without {}", rest.changes.len(), Vec::from_iter(unset).join(", "));
    print!("\n{rest}");
    Ok(())
}

/// Returns the symbols in a schema's conditions.
fn symbols(schema: &Schema) -> BTreeSet<&str> {
    let mut symbols = Symbols(BTreeSet::new());
    for ty in &schema.types {
        symbols.definition(&ty.definition);
        match &ty.kind {
            TypeKind::Enum(values) => {
                values.values.iter().for_each(|v| symbols.part(&v.condition, &v.features));
            }
            TypeKind::Struct(object) => symbols.members(&object.members),
            TypeKind::Union(union) => {
                if let Base::Inline(members) = &union.base {
                    symbols.members(members);
                }
                union.branches.iter().for_each(|branch| symbols.part(&branch.condition, &[]));
            }
            TypeKind::Alternate(alternate) => {
                alternate.alternatives.iter().for_each(|one| symbols.part(&one.condition, &[]));
            }
        }
    }
    for command in &schema.commands {
        symbols.definition(&command.definition);
        symbols.arguments(&command.arguments);
    }
    for event in &schema.events {
        symbols.definition(&event.definition);
        symbols.arguments(&event.data);
    }
    symbols.0
}

struct Symbols<'a>(BTreeSet<&'a str>);

impl<'a> Symbols<'a> {
    fn definition(&mut self, definition: &'a Definition) {
        self.part(&definition.condition, &definition.features);
    }

    fn arguments(&mut self, arguments: &'a Arguments) {
        if let Arguments::Inline(members) = arguments {
            self.members(members);
        }
    }

    fn members(&mut self, members: &'a [Member]) {
        members.iter().for_each(|member| self.part(&member.condition, &member.features));
    }

    fn part(&mut self, condition: &'a Option<Condition>, features: &'a [Feature]) {
        let conditions = features.iter().filter_map(|feature| feature.condition.as_ref());
        conditions.chain(condition).for_each(|condition| self.condition(condition));
    }

    fn condition(&mut self, condition: &'a Condition) {
        match condition {
            Condition::Symbol(symbol) => drop(self.0.insert(symbol)),
            Condition::All(all) => all.iter().for_each(|one| self.condition(one)),
            Condition::Any(any) => any.iter().for_each(|one| self.condition(one)),
            Condition::Not(not) => self.condition(not),
        }
    }
}
