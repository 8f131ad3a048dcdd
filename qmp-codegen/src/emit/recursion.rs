//! Where a type contains itself: the places that must be boxed, and no others.
//!
//! An edge leads from a type to each type that it holds by value; arrays break it. Edges are
//! taken in one after the other, and one that would close a cycle is boxed instead. Alternates
//! come last, then unions' branches: a box there is a pattern to match once, where a box in a
//! struct would be in the way of everybody who builds one.

use std::collections::{HashMap, HashSet};

use super::plan::Plan;
use crate::schema::{TypeId, TypeKind, TypeRef};

struct Edge {
    owner: TypeId,
    slot: String,
    target: TypeId,
    rank: u8,
}

pub(crate) fn boxed(plan: &Plan<'_>) -> HashMap<TypeId, HashSet<String>> {
    let mut edges: Vec<Edge> = plan.types.iter().flat_map(|id| edges_of(plan, *id)).collect();
    edges.sort_by_key(|edge| edge.rank);
    let mut taken: HashMap<TypeId, Vec<TypeId>> = HashMap::new();
    let mut boxed: HashMap<TypeId, HashSet<String>> = HashMap::new();
    for edge in edges {
        if leads_to(&taken, edge.target, edge.owner) {
            boxed.entry(edge.owner).or_default().insert(edge.slot);
        } else {
            taken.entry(edge.owner).or_default().push(edge.target);
        }
    }
    boxed
}

fn edges_of(plan: &Plan<'_>, owner: TypeId) -> Vec<Edge> {
    let edge = |slot: &str, ty: &TypeRef, rank| match ty {
        TypeRef::Defined(target) if !matches!(plan.get(*target).kind, TypeKind::Enum(_)) => {
            Some(Edge { owner, slot: slot.to_owned(), target: *target, rank })
        }
        _ => None,
    };
    let members = plan.members(owner);
    let mut edges: Vec<Edge> =
        members.iter().filter_map(|member| edge(&member.name, &member.ty, 0)).collect();
    match &plan.get(owner).kind {
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

fn leads_to(taken: &HashMap<TypeId, Vec<TypeId>>, from: TypeId, to: TypeId) -> bool {
    let mut seen = HashSet::new();
    let mut todo = vec![from];
    while let Some(id) = todo.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            todo.extend(taken.get(&id).into_iter().flatten());
        }
    }
    false
}
