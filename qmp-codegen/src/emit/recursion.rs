//! Finds where types contain themselves: the places that must be boxed, and no others.
//!
//! An edge leads from a type to each type that it holds by value; arrays break it. Only edges within
//! a strongly connected component are in cycles. They are added one after the other, and an edge
//! that would close a cycle is boxed instead. Those of unions' branches and of alternates come last:
//! a box there has to be matched once, whereas a box in a struct would trouble every caller who
//! builds one.

use super::options::Options;
use crate::few::Few;
use crate::schema::{Schema, TypeId, TypeKind, TypeRef};
use crate::shape;

/// The largest number of edges of a component in which each edge is tried. QEMU's schema has 60. A
/// larger component has boxes where it could do without.
const MAX_TRIED: usize = 256;

struct Edge<'s> {
    /// The type, as a number: its id, or its place among the types of a component.
    owner: usize,
    slot: &'s str,
    target: usize,
    rank: u8,
}

/// The number of ranks.
const RANKS: u8 = 3;

/// The targets of the edges of each type.
type Graph = Vec<Vec<usize>>;

/// Returns the members, branches and alternatives that must be boxed, by the id of the type.
pub(crate) fn boxed<'s>(
    schema: &'s Schema,
    options: &Options,
    types: &[TypeId],
) -> Vec<Few<&'s str, ()>> {
    let count = schema.types.len();
    let mut edges = Vec::new();
    for id in types {
        add_edges(schema, options, *id, &mut edges);
    }
    let mut boxed = Vec::new();
    boxed.resize_with(count, Few::new);
    let mut places = vec![0; count];
    for component in inner_edges(edges, count) {
        let (edges, owners) = numbered(&component, &mut places);
        let few = edges.len() <= MAX_TRIED;
        let found = if few { try_each(&edges, owners) } else { order(&edges, owners) };
        for at in found {
            boxed[component[at].owner].insert(component[at].slot, ());
        }
    }
    boxed
}

fn add_edges<'s>(schema: &'s Schema, options: &Options, id: TypeId, edges: &mut Vec<Edge<'s>>) {
    let kind = |id| &shape::type_of(schema, id).kind;
    let mut add = |slot: &'s str, ty: &TypeRef, rank| match ty {
        TypeRef::Defined(target) if !matches!(kind(*target), TypeKind::Enum(_)) => {
            edges.push(Edge { owner: id.0 as usize, slot, target: target.0 as usize, rank });
        }
        _ => {}
    };
    for member in shape::common_members(schema, id) {
        if options.holds(&member.condition) {
            add(&member.name, &member.ty, 0);
        }
    }
    match kind(id) {
        TypeKind::Union(union) => {
            for branch in &union.branches {
                if options.holds(&branch.condition) {
                    add(&branch.name, &TypeRef::Defined(branch.ty), 1);
                }
            }
        }
        TypeKind::Alternate(alternate) => {
            for one in &alternate.alternatives {
                if options.holds(&one.condition) {
                    add(&one.name, &one.ty, 2);
                }
            }
        }
        TypeKind::Enum(_) | TypeKind::Struct(_) => {}
    }
}

/// Returns the edges within each strongly connected component.
fn inner_edges(edges: Vec<Edge<'_>>, count: usize) -> Vec<Vec<Edge<'_>>> {
    let mut graph = vec![Vec::new(); count];
    for edge in &edges {
        graph[edge.owner].push(edge.target);
    }
    let components = components(&graph);
    let mut inner = Vec::new();
    inner.resize_with(count, Vec::new);
    for edge in edges {
        let component = components[edge.owner];
        if components[edge.target] == component {
            inner[component].push(edge);
        }
    }
    inner
}

/// Returns the edges of a component between the places of its types, and the number of these.
/// `places` is working memory, for all components, which have no type in common.
fn numbered<'s>(edges: &[Edge<'s>], places: &mut [usize]) -> (Vec<Edge<'s>>, usize) {
    let mut owners = 0;
    let mut last = None;
    for edge in edges {
        if last.replace(edge.owner) != Some(edge.owner) {
            places[edge.owner] = owners;
            owners += 1;
        }
    }
    let mut numbered = Vec::with_capacity(edges.len());
    for edge in edges {
        let (owner, target) = (places[edge.owner], places[edge.target]);
        numbered.push(Edge { owner, target, ..*edge });
    }
    (numbered, owners)
}

/// Adds the edges of a component one after the other, and returns those that would close a cycle.
fn try_each(edges: &[Edge<'_>], count: usize) -> Vec<usize> {
    let mut added = vec![Vec::new(); count];
    let mut boxed = Vec::new();
    for rank in 0..RANKS {
        for (at, edge) in edges.iter().enumerate() {
            if edge.rank != rank {
                continue;
            }
            if leads_to(&added, edge.target, edge.owner) {
                boxed.push(at);
            } else {
                added[edge.owner].push(edge.target);
            }
        }
    }
    boxed
}

/// Returns the edges of a component that lead back in an order of its types, which is one in which
/// all edges of lower ranks that are not boxed lead forward.
fn order(edges: &[Edge<'_>], count: usize) -> Vec<usize> {
    let mut added = vec![Vec::new(); count];
    let mut boxed = Vec::new();
    for rank in 0..RANKS {
        if rank == 0 {
            for edge in edges.iter().filter(|edge| edge.rank == rank) {
                added[edge.owner].push(edge.target);
            }
        }
        // A type is finished after all that it leads to, unless that leads back.
        let mut places = vec![0; count];
        for (place, ty) in finished(&added).into_iter().enumerate() {
            places[ty] = place;
        }
        let forward = |edge: &Edge<'_>| places[edge.target] < places[edge.owner];
        if rank == 0 {
            added = vec![Vec::new(); count];
        }
        for (at, edge) in edges.iter().enumerate() {
            if edge.rank != rank {
                continue;
            }
            if forward(edge) {
                added[edge.owner].push(edge.target);
            } else {
                boxed.push(at);
            }
        }
    }
    boxed
}

/// Returns whether edges lead from one type to another.
fn leads_to(graph: &Graph, from: usize, to: usize) -> bool {
    let mut seen = vec![false; graph.len()];
    let mut todo = vec![from];
    while let Some(ty) = todo.pop() {
        if ty == to {
            return true;
        }
        if !std::mem::replace(&mut seen[ty], true) {
            todo.extend(&graph[ty]);
        }
    }
    false
}

/// Returns all types, in the order in which a walk in depth is finished with them.
fn finished(graph: &Graph) -> Vec<usize> {
    let mut seen = vec![false; graph.len()];
    let mut finished = Vec::with_capacity(graph.len());
    for start in 0..graph.len() {
        walk(graph, start, &mut seen, &mut finished);
    }
    finished
}

fn walk(graph: &Graph, start: usize, seen: &mut [bool], out: &mut Vec<usize>) {
    // Each step is a type and the number of its edges that have been followed. Chains of types
    // can be longer than the stack of calls.
    let mut path = Vec::new();
    if !std::mem::replace(&mut seen[start], true) {
        path.push((start, 0));
    }
    while let Some((ty, followed)) = path.last_mut() {
        match graph[*ty].get(*followed) {
            Some(target) => {
                *followed += 1;
                if !std::mem::replace(&mut seen[*target], true) {
                    path.push((*target, 0));
                }
            }
            None => {
                out.push(*ty);
                path.pop();
            }
        }
    }
}

/// Returns the number of each type's strongly connected component, by the algorithm of Kosaraju
/// and Sharir.
fn components(graph: &Graph) -> Vec<usize> {
    let mut reversed = vec![Vec::new(); graph.len()];
    for (owner, targets) in graph.iter().enumerate() {
        for target in targets {
            reversed[*target].push(owner);
        }
    }
    let mut seen = vec![false; graph.len()];
    let mut components = vec![0; graph.len()];
    let mut members = Vec::new();
    for (number, start) in finished(graph).into_iter().rev().enumerate() {
        walk(&reversed, start, &mut seen, &mut members);
        for ty in members.drain(..) {
            components[ty] = number;
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: [&str; 3] = ["0", "1", "2"];

    fn edges(edges: &[(usize, usize, u8)]) -> Vec<Edge<'static>> {
        let edge = |(owner, target, rank): &(usize, usize, u8)| Edge {
            owner: *owner,
            slot: SLOTS.get(*target).copied().unwrap_or("more"),
            target: *target,
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
            let edges = edges(&list);
            for found in [try_each(&edges, 3), order(&edges, 3)] {
                let mut slots: Vec<&str> = found.into_iter().map(|at| edges[at].slot).collect();
                slots.sort_unstable();
                assert_eq!(slots, expected, "{list:?}");
            }
        }
    }

    #[test]
    fn a_large_ring_has_one_box() {
        let ring: Vec<_> = (0..5_000).map(|n| (n, (n + 1) % 5_000, 0)).collect();
        assert_eq!(order(&edges(&ring), 5_000).len(), 1);
    }

    #[test]
    fn types_of_a_component_are_numbered() {
        let list = edges(&[(7, 9, 0), (7, 7, 0), (9, 7, 1)]);
        let (numbered, count) = numbered(&list, &mut [0; 10]);
        let found: Vec<_> = numbered.iter().map(|edge| (edge.owner, edge.target)).collect();
        assert_eq!((found, count), (vec![(0, 1), (0, 0), (1, 0)], 2));
    }
}
