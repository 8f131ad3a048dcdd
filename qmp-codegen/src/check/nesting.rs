//! Checks bases and branches: their types, and that no type contains itself.

use crate::ast::{Body, Definition, Name};
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};

use super::index::{Index, Lookup, MAX_DEPTH};

/// The result of checking bases and branches.
pub(crate) struct Nesting {
    /// Whether the contents of each definition are known and finite.
    sound: Vec<bool>,
}

impl Nesting {
    /// Whether the contents of a definition, given by index, are known and finite.
    pub(crate) fn is_sound(&self, position: usize) -> bool {
        self.sound.get(position).copied().unwrap_or_default()
    }
}

pub(crate) fn check(index: &Index<'_>, report: &mut Report) -> Nesting {
    for definition in index.definitions() {
        check_kinds(index, definition, &mut Scope::of(report, definition));
    }
    let mut walk = Walk { index, report, states: vec![State::New; index.definitions().len()] };
    for position in 0..index.definitions().len() {
        walk.from(position);
    }
    let mut sound = Vec::with_capacity(walk.states.len());
    for state in &walk.states {
        sound.push(matches!(state, State::Done { sound: true, .. }));
    }
    Nesting { sound }
}

/// Checks that a base is a struct, and a branch is a struct or union.
fn check_kinds(index: &Index<'_>, definition: &Definition, scope: &mut Scope<'_, '_>) {
    let mut reject = |name: &Name, message: &str| {
        let what = match index.lookup(&name.text) {
            Lookup::Builtin(_) => String::from("a built-in type"),
            Lookup::Type(_, other) => other.with_article(),
            Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => return,
        };
        scope.push(Diagnostic::error(
            name.span,
            format!("{message}, but '{}' is {what}", name.text),
        ));
    };
    let body = |name: &Name| index.type_of(&name.text).map(|(_, definition)| &definition.body);
    let is_struct = |name: &Name| matches!(body(name), Some(Body::Struct { .. }));
    let is_union = |name: &Name| matches!(body(name), Some(Body::Union { .. }));
    if let Some(base) = definition.base().filter(|base| !is_struct(base)) {
        reject(base, "a base must be a struct");
    }
    for branch in definition.branches() {
        if !is_struct(&branch.ty) && !is_union(&branch.ty) {
            reject(&branch.ty, &format!("branch '{}' must be a struct or union", branch.name.text));
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    New,
    /// The definition is on the current path.
    Open,
    Done {
        depth: usize,
        sound: bool,
    },
}

/// A depth-first walk over bases and branches. The path is an explicit stack, since chains can be
/// long.
struct Walk<'i, 'a, 'r> {
    index: &'i Index<'a>,
    report: &'r mut Report,
    states: Vec<State>,
}

/// A definition on the path.
struct Step<'a> {
    position: usize,
    /// The contents that have not been visited yet, last first.
    contents: Vec<&'a Name>,
    depth: usize,
    sound: bool,
}

impl<'a> Walk<'_, 'a, '_> {
    fn from(&mut self, position: usize) {
        let mut path = Vec::new();
        self.enter(position, &mut path);
        while let Some(step) = path.last_mut() {
            if let Some(name) = step.contents.pop() {
                match self.index.type_of(&name.text) {
                    Some((inner, _)) => match self.states.get(inner).copied() {
                        Some(State::Done { depth, sound }) => step.absorb(depth, sound),
                        Some(State::Open) => {
                            step.sound = false;
                            self.report_cycle(inner, name);
                        }
                        _ => self.enter(inner, &mut path),
                    },
                    None => step.sound = false,
                }
                continue;
            }
            let Some(step) = path.pop() else { return };
            let mut sound = step.sound;
            if step.depth > MAX_DEPTH {
                // Only report the innermost definition, not those that contain it.
                if sound {
                    self.report_depth(step.position);
                }
                sound = false;
            }
            if let Some(state) = self.states.get_mut(step.position) {
                *state = State::Done { depth: step.depth, sound };
            }
            if let Some(outer) = path.last_mut() {
                outer.absorb(step.depth, sound);
            }
        }
    }

    fn enter(&mut self, position: usize, path: &mut Vec<Step<'a>>) {
        let (Some(state), Some(definition)) =
            (self.states.get_mut(position), self.index.definitions().get(position))
        else {
            return;
        };
        if *state != State::New {
            return;
        }
        *state = State::Open;
        // In reverse order, because they are popped from the end.
        let mut contents = Vec::new();
        for branch in definition.branches().iter().rev() {
            contents.push(&branch.ty);
        }
        if let Some(base) = definition.base() {
            contents.push(base);
        }
        path.push(Step { position, contents, depth: 1, sound: true });
    }

    fn report_cycle(&mut self, position: usize, by: &Name) {
        if let Some(definition) = self.index.definitions().get(position) {
            let name = &definition.name;
            let error = Diagnostic::error(name.span, format!("'{}' contains itself", name.text))
                .related(by.span, "through this reference");
            Scope::of(self.report, definition).push(error);
        }
    }

    fn report_depth(&mut self, position: usize) {
        if let Some(definition) = self.index.definitions().get(position) {
            let message =
                format!("bases and branches are nested more than {MAX_DEPTH} levels deep");
            Scope::of(self.report, definition).error(definition.name.span, message);
        }
    }
}

impl Step<'_> {
    fn absorb(&mut self, depth: usize, sound: bool) {
        self.depth = self.depth.max(depth + 1);
        self.sound &= sound;
    }
}
