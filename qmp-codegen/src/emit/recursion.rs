//! Finds where types contain themselves: the places that must be boxed, and no others.
//!
//! An edge leads from a type to each type that it holds by value; arrays break it. Only edges within
//! a strongly connected component are in cycles. They are added one after the other, and an edge
//! that would close a cycle is boxed instead. Those of unions' branches and of alternates come last:
//! a box there has to be matched once, whereas a box in a struct would trouble every caller who
//! builds one.

use std::collections::{HashMap, HashSet};

use super::options::Options;
use crate::schema::{Schema, TypeId, TypeKind, TypeRef};
use crate::shape;

/// The largest number of edges of a component in which each edge is tried. QEMU's schema has 60. A
/// larger component has boxes where it could do without.
const MAX_TRIED: usize = 256;

struct Edge<'s> {
    owner: TypeId,
    slot: &'s str,
    target: TypeId,
    rank: u8,
}

/// The number of ranks.
const RANKS: u8 = 3;

type Graph = HashMap<TypeId, Vec<TypeId>>;

/// Returns the members, branches and alternatives that must be boxed, by type.
pub(crate) fn boxed(
    schema: &Schema,
    options: &Options,
    types: &[TypeId],
) -> HashMap<TypeId, HashSet<String>> {
    let edges: Vec<Edge<'_>> = types.iter().flat_map(|id| edges_of(schema, options, *id)).collect();
    let mut graph = Graph::new();
    edges.iter().for_each(|edge| graph.entry(edge.owner).or_default().push(edge.target));
    let components = Finished::of(&graph, types).components(&graph);
    let mut inner: HashMap<usize, Vec<Edge<'_>>> = HashMap::new();
    for edge in edges {
        if let Some(component) = components.get(&edge.owner) {
            if components.get(&edge.target) == Some(component) {
                inner.entry(*component).or_default().push(edge);
            }
        }
    }
    let mut boxed: HashMap<TypeId, HashSet<String>> = HashMap::new();
    for edges in inner.into_values() {
        let found = if edges.len() <= MAX_TRIED { try_each(edges) } else { order(&edges) };
        found
            .into_iter()
            .for_each(|(owner, slot)| _ = boxed.entry(owner).or_default().insert(slot));
    }
    boxed
}

fn edges_of<'s>(schema: &'s Schema, options: &Options, owner: TypeId) -> Vec<Edge<'s>> {
    let kind = |id| &shape::type_of(schema, id).kind;
    let edge = |slot: &'s str, ty: &TypeRef, rank| match ty {
        TypeRef::Defined(target) if !matches!(kind(*target), TypeKind::Enum(_)) => {
            Some(Edge { owner, slot, target: *target, rank })
        }
        _ => None,
    };
    let members = shape::common_members(schema, owner).into_iter();
    let members = members.filter(|member| options.holds(&member.condition));
    let mut edges: Vec<Edge<'s>> =
        members.filter_map(|member| edge(&member.name, &member.ty, 0)).collect();
    match kind(owner) {
        TypeKind::Union(union) => edges.extend(
            union
                .branches
                .iter()
                .filter(|branch| options.holds(&branch.condition))
                .filter_map(|branch| edge(&branch.name, &TypeRef::Defined(branch.ty), 1)),
        ),
        TypeKind::Alternate(alternate) => {
            let alternatives = alternate.alternatives.iter();
            let existing = alternatives.filter(|one| options.holds(&one.condition));
            edges.extend(existing.filter_map(|one| edge(&one.name, &one.ty, 2)));
        }
        TypeKind::Enum(_) | TypeKind::Struct(_) => {}
    }
    edges
}

/// Adds the edges of a component one after the other, and returns those that would close a cycle.
fn try_each(mut edges: Vec<Edge<'_>>) -> Vec<(TypeId, String)> {
    edges.sort_by_key(|edge| edge.rank);
    let mut added = Graph::new();
    let mut boxed = Vec::new();
    for edge in edges {
        if leads_to(&added, edge.target, edge.owner) {
            boxed.push((edge.owner, edge.slot.to_owned()));
        } else {
            added.entry(edge.owner).or_default().push(edge.target);
        }
    }
    boxed
}

/// Returns the edges of a component that lead back in an order of its types, which is one in which
/// all edges of lower ranks that are not boxed lead forward.
fn order(edges: &[Edge<'_>]) -> Vec<(TypeId, String)> {
    let mut owners: Vec<TypeId> = edges.iter().map(|edge| edge.owner).collect();
    owners.dedup();
    let mut added = Graph::new();
    let mut boxed = Vec::new();
    for rank in 0..RANKS {
        let of_rank = || edges.iter().filter(|edge| edge.rank == rank);
        if rank == 0 {
            of_rank().for_each(|edge| added.entry(edge.owner).or_default().push(edge.target));
        }
        // A type is finished after all that it leads to, unless that leads back.
        let finished = Finished::of(&added, &owners).0;
        let places: HashMap<TypeId, usize> =
            finished.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        let forward = |edge: &&Edge<'_>| places.get(&edge.target) < places.get(&edge.owner);
        boxed.extend(of_rank().filter(|e| !forward(e)).map(|e| (e.owner, e.slot.to_owned())));
        if rank == 0 {
            added.clear();
        }
        for edge in of_rank().filter(forward) {
            added.entry(edge.owner).or_default().push(edge.target);
        }
    }
    boxed
}

/// Returns whether edges lead from one type to another.
fn leads_to(graph: &Graph, from: TypeId, to: TypeId) -> bool {
    let mut seen = HashSet::new();
    let mut todo = vec![from];
    while let Some(id) = todo.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            todo.extend(graph.get(&id).into_iter().flatten());
        }
    }
    false
}

/// Types in the order in which a walk in depth is finished with them.
struct Finished(Vec<TypeId>);

impl Finished {
    fn of(graph: &Graph, starts: &[TypeId]) -> Self {
        let mut seen = HashSet::new();
        let mut finished = Vec::new();
        for start in starts {
            Self::walk(graph, *start, &mut seen, &mut finished);
        }
        Self(finished)
    }

    fn walk(graph: &Graph, start: TypeId, seen: &mut HashSet<TypeId>, out: &mut Vec<TypeId>) {
        // Each step is a type and the number of its edges that have been followed. Chains of types
        // can be longer than the stack of calls.
        let mut path = Vec::new();
        if seen.insert(start) {
            path.push((start, 0));
        }
        while let Some((id, followed)) = path.last_mut() {
            match graph.get(id).and_then(|targets| targets.get(*followed)) {
                Some(target) => {
                    *followed += 1;
                    if seen.insert(*target) {
                        path.push((*target, 0));
                    }
                }
                None => {
                    out.push(*id);
                    path.pop();
                }
            }
        }
    }

    /// Returns the number of each type's strongly connected component, by the algorithm of Kosaraju
    /// and Sharir.
    fn components(self, graph: &Graph) -> HashMap<TypeId, usize> {
        let mut reversed = Graph::new();
        for (owner, targets) in graph {
            targets.iter().for_each(|target| reversed.entry(*target).or_default().push(*owner));
        }
        let mut seen = HashSet::new();
        let mut components = HashMap::new();
        for (number, start) in self.0.into_iter().rev().enumerate() {
            let mut members = Vec::new();
            Self::walk(&reversed, start, &mut seen, &mut members);
            components.extend(members.into_iter().map(|id| (id, number)));
        }
        components
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: [&str; 3] = ["0", "1", "2"];

    fn edges(edges: &[(u32, u32, u8)]) -> Vec<Edge<'static>> {
        let edge = |(owner, target, rank): &(u32, u32, u8)| Edge {
            owner: TypeId(*owner),
            slot: SLOTS.get(*target as usize).copied().unwrap_or("more"),
            target: TypeId(*target),
            rank: *rank,
        };
        edges.iter().map(edge).collect()
    }

    /// Whatever is boxed, no cycle remains, and a cycle through a branch has no box in a struct.
    #[test]
    fn both_ways_break_every_cycle() {
        for (list, expected) in [
            (vec![(0, 0, 0)], vec!["0"]),
            (vec![(0, 1, 0), (1, 0, 1)], vec!["0"]),
            (vec![(0, 1, 1), (1, 0, 0)], vec!["1"]),
            (vec![(0, 1, 0), (1, 2, 0), (2, 0, 2), (2, 1, 2)], vec!["0", "1"]),
            (vec![(0, 1, 0), (1, 2, 1), (2, 0, 0)], vec!["2"]),
        ] {
            for found in [try_each(edges(&list)), order(&edges(&list))] {
                let mut slots: Vec<String> = found.into_iter().map(|(_, slot)| slot).collect();
                slots.sort();
                assert_eq!(slots, expected, "{list:?}");
            }
        }
    }

    #[test]
    fn a_large_ring_has_one_box() {
        let ring: Vec<_> = (0..5_000).map(|n| (n, (n + 1) % 5_000, 0)).collect();
        assert_eq!(order(&edges(&ring)).len(), 1);
    }
}
