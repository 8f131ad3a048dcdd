//! Limits how much larger than its schema the generated code can be.
//!
//! The members of a type are repeated in each command and event whose data it is, and in each type
//! whose base it is; the values of an enumeration are repeated in each union that it selects from.
//! A thousand commands with the same thousand arguments are gigabytes of Rust.

use super::options::Options;
use super::plan::Plan;
use crate::schema::{
    Arguments, Base, Condition, Definition, EnumValue, Feature, Member, Schema, TypeId, TypeKind,
};

/// The weight of everything that is repeated, about the bytes that it becomes. All the code
/// of QEMU's schema, repeated or not, has less than 2 MiB.
const MAX_REPEATED: usize = 16 << 20;

/// The weight of a member or value without its name and documentation.
const WEIGHT: usize = 200;

/// Makes the plan of a schema, unless the schema expands to far more than its own size. The error
/// names the definition with which the limit is exceeded.
pub(super) fn plan<'s>(schema: &'s Schema, options: &'s Options) -> Result<Plan<'s>, String> {
    let plan = Plan::new(schema, options);
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &Plan<'_>) -> Result<(), String> {
    let mut left = MAX_REPEATED;
    for id in &plan.types {
        let definition = &plan.get(*id).definition;
        spend(&mut left, of_type(plan, *id), "type", definition)?;
    }
    for (command, _) in &plan.commands {
        let weight = of_arguments(plan, &command.arguments, &command.definition)
            + of_secrets(plan, &command.arguments);
        spend(&mut left, weight, "command", &command.definition)?;
    }
    for (event, _) in &plan.events {
        let weight = of_arguments(plan, &event.data, &event.definition);
        spend(&mut left, weight, "event", &event.definition)?;
    }
    Ok(())
}

fn spend(
    left: &mut usize,
    weight: usize,
    kind: &str,
    definition: &Definition,
) -> Result<(), String> {
    *left = left.checked_sub(weight).ok_or_else(|| {
        let name = shortened(definition);
        format!(
            "{kind} '{name}' repeats the members of its data, base, or discriminator, \
             of which the schema repeats more than {} MiB in all",
            MAX_REPEATED >> 20
        )
    })?;
    Ok(())
}

fn shortened(definition: &Definition) -> String {
    definition.name.chars().take(100).collect()
}

fn of_type(plan: &Plan<'_>, id: TypeId) -> usize {
    let ty = plan.get(id);
    let named = ty.definition.name.len();
    match &ty.kind {
        TypeKind::Struct(own) => {
            let own = own.members.len();
            let members = plan.members(id);
            let inherited = members.len().saturating_sub(own);
            // The members of the base come first.
            of_members(members.iter().take(inherited).copied(), named) + own * named
        }
        TypeKind::Union(union) => {
            let inherited = match &union.base {
                Base::Named(_) => of_members(plan.members(id).into_iter(), named),
                Base::Inline(members) => members.len() * named,
            };
            let values = match &plan.get(union.discriminator_type).kind {
                TypeKind::Enum(data) => data.values.iter().map(of_value).sum(),
                _ => 0,
            };
            inherited + values
        }
        TypeKind::Enum(_) | TypeKind::Alternate(_) => 0,
    }
}

fn of_arguments(plan: &Plan<'_>, arguments: &Arguments, definition: &Definition) -> usize {
    let named = definition.name.len();
    match arguments {
        Arguments::Inline(members) => members.len() * named,
        Arguments::Named { .. } if plan.whole_arguments(arguments).is_some() => 0,
        Arguments::Named { ty, .. } => of_members(plan.members(*ty).into_iter(), named),
    }
}

/// Returns the weight of the secrets that a command can contain: they are listed for each command.
fn of_secrets(plan: &Plan<'_>, arguments: &Arguments) -> usize {
    let visited = 64;
    let mut weight = 0;
    for member in plan.secret_members(arguments) {
        weight += visited + if member.secret { member.name.len() } else { 0 };
    }
    weight
}

/// Returns the weight of members in a definition with a name of that length, which the documentation
/// of each can repeat.
fn of_members<'s>(members: impl Iterator<Item = &'s Member>, named: usize) -> usize {
    let weight = |member: &Member| {
        let more = of_condition(member.condition.as_ref()) + of_features(&member.features);
        WEIGHT + named + member.name.len() + member.doc.len() + more
    };
    members.map(weight).sum()
}

fn of_value(value: &EnumValue) -> usize {
    let more = of_condition(value.condition.as_ref()) + of_features(&value.features);
    WEIGHT + value.name.len() + value.doc.len() + more
}

fn of_condition(condition: Option<&Condition>) -> usize {
    match condition {
        None => 0,
        Some(Condition::Symbol(symbol)) => symbol.len(),
        Some(Condition::Not(condition)) => 1 + of_condition(Some(condition)),
        Some(Condition::All(conditions) | Condition::Any(conditions)) => {
            conditions.iter().map(|condition| 1 + of_condition(Some(condition))).sum()
        }
    }
}

fn of_features(features: &[Feature]) -> usize {
    features.iter().map(|feature| feature.name.len() + feature.doc.len()).sum()
}
