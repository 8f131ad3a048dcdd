//! Finds where types contain themselves: the places that must be boxed, and no others.
//!
//! An edge leads from a type to each type that it holds by value; arrays break it. Edges are added
//! one after the other, and an edge that would close a cycle is boxed instead. Those of unions'
//! branches and of alternates come last: a box there has to be matched once, whereas a box in a
//! struct would trouble every caller who builds one.

use std::collections::{HashMap, HashSet};

use super::options::Options;
use crate::schema::{Schema, TypeId, TypeKind, TypeRef};
use crate::shape;

/// The number of steps that all searches for cycles take together. QEMU's schema needs a fraction of
/// it. A schema that needs more has boxes where it could do without.
const MAX_STEPS: usize = 5_000_000;

struct Edge {
    owner: TypeId,
    slot: String,
    target: TypeId,
    rank: u8,
}

/// Returns the members, branches and alternatives that must be boxed, by type.
pub(crate) fn boxed(
    schema: &Schema,
    options: &Options,
    types: &[TypeId],
) -> HashMap<TypeId, HashSet<String>> {
    let mut edges: Vec<Edge> = types.iter().flat_map(|id| edges_of(schema, options, *id)).collect();
    edges.sort_by_key(|edge| edge.rank);
    let mut added: HashMap<TypeId, Vec<TypeId>> = HashMap::new();
    let mut boxed: HashMap<TypeId, HashSet<String>> = HashMap::new();
    let mut steps = MAX_STEPS;
    for edge in edges {
        if may_lead_to(&added, edge.target, edge.owner, &mut steps) {
            boxed.entry(edge.owner).or_default().insert(edge.slot);
        } else {
            added.entry(edge.owner).or_default().push(edge.target);
        }
    }
    boxed
}

fn edges_of(schema: &Schema, options: &Options, owner: TypeId) -> Vec<Edge> {
    let kind = |id| &shape::type_of(schema, id).kind;
    let edge = |slot: &str, ty: &TypeRef, rank| match ty {
        TypeRef::Defined(target) if !matches!(kind(*target), TypeKind::Enum(_)) => {
            Some(Edge { owner, slot: slot.to_owned(), target: *target, rank })
        }
        _ => None,
    };
    let members = shape::common_members(schema, owner).into_iter();
    let members = members.filter(|member| options.holds(&member.condition));
    let mut edges: Vec<Edge> =
        members.filter_map(|member| edge(&member.name, &member.ty, 0)).collect();
    match kind(owner) {
        TypeKind::Union(union) => edges.extend(
            union
                .branches
                .iter()
                .filter_map(|branch| edge(&branch.name, &TypeRef::Defined(branch.ty), 1)),
        ),
        TypeKind::Alternate(alternate) => {
            edges.extend(alternate.alternatives.iter().filter_map(|a| edge(&a.name, &a.ty, 2)));
        }
        TypeKind::Enum(_) | TypeKind::Struct(_) => {}
    }
    edges
}

/// Returns whether edges lead from one type to another. Once no steps are left, they may.
fn may_lead_to(
    added: &HashMap<TypeId, Vec<TypeId>>,
    from: TypeId,
    to: TypeId,
    steps: &mut usize,
) -> bool {
    let mut seen = HashSet::new();
    let mut todo = vec![from];
    while let Some(id) = todo.pop() {
        if id == to || *steps == 0 {
            return true;
        }
        if seen.insert(id) {
            let next = added.get(&id).map_or(&[][..], Vec::as_slice);
            *steps = steps.saturating_sub(1 + next.len());
            todo.extend(next);
        }
    }
    false
}
