//! Answers the questions that emitters have about a schema.
//!
//! A [`Plan`] is made from a schema and options. It knows which types are reached, which of them
//! callers build, the names of everything in Rust, and where a type must be boxed.

use std::collections::{HashMap, HashSet};

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::ident::Scope;
use super::options::Options;
use super::recursion;
use crate::few::Few;
use crate::schema::{Arguments, Builtin, Member, Schema, Type, TypeId, TypeKind, TypeRef};
use crate::shape;

/// A schema, with everything that depends on its becoming Rust.
pub(crate) struct Plan<'s> {
    pub(crate) schema: &'s Schema,
    pub(crate) options: &'s Options,
    pub(crate) commands: Vec<(&'s crate::schema::Command, Ident)>,
    pub(crate) events: Vec<(&'s crate::schema::Event, Ident)>,
    /// The types to emit, in the order of the schema.
    pub(crate) types: Vec<TypeId>,
    /// By the id of the type.
    names: Vec<Option<Ident>>,
    branch_names: Vec<Option<Ident>>,
    sent: HashSet<TypeId>,
    /// The objects that are read and written as parts of others.
    inner: HashSet<TypeId>,
    /// The members, branches and alternatives that must be boxed, by the id of their type.
    boxed: Vec<Few<&'s str, ()>>,
    /// The index of each name among the targets.
    by_name: HashMap<&'s str, usize>,
    targets: Vec<Target>,
    /// The types that have a secret member, at any depth.
    secretive: HashSet<TypeId>,
}

/// The item that a name in documentation refers to.
#[derive(Clone, Copy)]
enum Target {
    Type(TypeId),
    Command(usize),
    Event(usize),
}

impl<'s> Plan<'s> {
    /// Makes a plan, whose size the caller has limited.
    pub(super) fn new(schema: &'s Schema, options: &'s Options) -> Self {
        let (mut commands, mut scope) = (Vec::new(), Scope::module());
        for command in &schema.commands {
            if options.selects_command(&command.definition) {
                commands.push((command, scope.camel(&command.definition.name)));
            }
        }
        let (mut events, mut scope) = (Vec::new(), Scope::module());
        for event in &schema.events {
            if options.selects_event(&event.definition) {
                events.push((event, scope.camel(&event.definition.name)));
            }
        }
        let mut plan = Self {
            schema,
            options,
            commands,
            events,
            types: Vec::new(),
            names: vec![None; schema.types.len()],
            branch_names: vec![None; schema.types.len()],
            sent: HashSet::new(),
            inner: HashSet::new(),
            boxed: Vec::new(),
            by_name: HashMap::new(),
            targets: Vec::new(),
            secretive: HashSet::new(),
        };
        plan.reach();
        plan.inner = plan.find_inner();
        plan.name_types();
        plan.boxed = recursion::boxed(schema, options, &plan.types);
        plan.index_names();
        plan.secretive = plan.find_secretive();
        plan
    }

    pub(crate) fn get(&self, id: TypeId) -> &'s Type {
        &self.schema.types[id.0 as usize]
    }

    /// Returns the members of an object type, those of its bases first.
    pub(crate) fn members(&self, id: TypeId) -> Vec<&'s Member> {
        let mut members = shape::common_members(self.schema, id);
        members.retain(|member| self.options.holds(&member.condition));
        members
    }

    /// Returns the members of arguments or data that are not those of a union.
    pub(crate) fn flat_arguments(&self, arguments: &'s Arguments) -> Vec<&'s Member> {
        match arguments {
            Arguments::Inline(inline) => {
                let mut members: Vec<&Member> = inline.iter().collect();
                members.retain(|member| self.options.holds(&member.condition));
                members
            }
            Arguments::Named { ty, .. } => self.members(*ty),
        }
    }

    /// Returns the type of arguments or data that are carried whole: a union, or a type that the
    /// caller has replaced.
    pub(crate) fn whole_arguments(&self, arguments: &Arguments) -> Option<TypeId> {
        match arguments {
            Arguments::Named { ty, .. }
                if matches!(self.get(*ty).kind, TypeKind::Union(_)) || self.is_replaced(*ty) =>
            {
                Some(*ty)
            }
            _ => None,
        }
    }

    /// Returns whether a union is a Rust enum by itself: its base is only the discriminator.
    pub(crate) fn is_bare_union(&self, id: TypeId) -> bool {
        matches!(self.get(id).kind, TypeKind::Union(_)) && self.members(id).len() == 1
    }

    /// Returns whether callers build values of a type: it is reachable from the arguments of a
    /// command.
    pub(crate) fn is_built_by_callers(&self, id: TypeId) -> bool {
        self.options.constructors_for_all || self.sent.contains(&id)
    }

    /// Returns whether an object is read and written as a part of another one: it is the branch of a
    /// union, or the object of an alternate.
    pub(crate) fn is_inner(&self, id: TypeId) -> bool {
        self.inner.contains(&id)
    }

    pub(crate) fn is_replaced(&self, id: TypeId) -> bool {
        self.options.replacements.contains(&self.get(id).definition.name)
    }

    /// Returns whether a member, branch or alternative of a type must be boxed.
    pub(crate) fn is_boxed(&self, owner: TypeId, slot: &str) -> bool {
        self.boxed.get(owner.0 as usize).is_some_and(|slots| slots.contains(slot))
    }

    /// Returns the identifier of a type in module `types`.
    pub(crate) fn name(&self, id: TypeId) -> &Ident {
        match &self.names[id.0 as usize] {
            Some(name) => name,
            None => unreachable!("only types of the plan have a name"),
        }
    }

    /// Returns the identifier of the enum of a union's branches.
    pub(crate) fn branches_name(&self, id: TypeId) -> &Ident {
        self.branch_names[id.0 as usize].as_ref().unwrap_or_else(|| self.name(id))
    }

    /// Returns the path of a type, which is valid in any module of the vocabulary.
    pub(crate) fn path(&self, id: TypeId) -> TokenStream {
        if let Some(path) = self.options.replacements.get(&self.get(id).definition.name) {
            return quote!(#path);
        }
        let name = self.name(id);
        quote!(super::types::#name)
    }

    pub(crate) fn rust_type(&self, ty: &TypeRef) -> TokenStream {
        match ty {
            TypeRef::Builtin(builtin) => builtin_type(*builtin),
            TypeRef::Defined(id) => self.path(*id),
            TypeRef::Array(element) => {
                let element = self.rust_type(element);
                quote!(::std::vec::Vec<#element>)
            }
        }
    }

    /// Returns the link target of a name in documentation, which is valid in any module of the
    /// vocabulary.
    pub(crate) fn link(&self, name: &str) -> Option<String> {
        let (module, name) = match self.targets[*self.by_name.get(name)?] {
            Target::Type(id) => ("types", self.name(id)),
            Target::Command(index) => ("commands", &self.commands[index].1),
            Target::Event(index) => ("events", &self.events[index].1),
        };
        Some(format!("super::{module}::{name}"))
    }

    fn reach(&mut self) {
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for (command, _) in &self.commands {
            self.argument_types(&command.arguments, &mut sent);
            received.extend(command.returns.as_ref().and_then(defined));
        }
        for (event, _) in &self.events {
            self.argument_types(&event.data, &mut received);
        }
        if self.options.takes_everything() {
            for id in self.all_types() {
                if self.options.holds(&self.get(id).definition.condition) {
                    received.push(id);
                }
            }
        }
        self.sent = self.closure(sent);
        let reached = self.closure(received);
        for id in self.all_types() {
            let is_reached = reached.contains(&id) || self.sent.contains(&id);
            if is_reached && !self.is_replaced(id) {
                self.types.push(id);
            }
        }
    }

    /// Returns the names of all secret members in arguments, at any depth.
    pub(crate) fn secrets(&self, arguments: &'s Arguments) -> Vec<&'s str> {
        let mut secrets = Vec::new();
        for member in self.secret_members(arguments) {
            if member.secret {
                secrets.push(member.name.as_str());
            }
        }
        secrets.sort_unstable();
        secrets.dedup();
        secrets
    }

    /// Returns the members among which those are that [`secrets`](Self::secrets) names.
    pub(super) fn secret_members(&self, arguments: &'s Arguments) -> Vec<&'s Member> {
        let mut todo = Vec::new();
        self.argument_types(arguments, &mut todo);
        let mut reached = HashSet::new();
        while let Some(id) = todo.pop() {
            if self.secretive.contains(&id) && reached.insert(id) {
                todo.extend(self.neighbours(id));
            }
        }
        let mut members = match arguments {
            Arguments::Inline(_) => self.flat_arguments(arguments),
            Arguments::Named { .. } => Vec::new(),
        };
        for id in reached {
            members.append(&mut self.members(id));
        }
        members
    }

    fn find_secretive(&self) -> HashSet<TypeId> {
        let mut todo = Vec::new();
        for id in self.all_types() {
            if self.members(id).iter().any(|member| member.secret) {
                todo.push(id);
            }
        }
        let mut secretive = HashSet::new();
        if todo.is_empty() {
            return secretive;
        }
        let mut owners = vec![Vec::new(); self.schema.types.len()];
        for id in self.all_types() {
            for neighbour in self.neighbours(id) {
                owners[neighbour.0 as usize].push(id);
            }
        }
        while let Some(id) = todo.pop() {
            if secretive.insert(id) {
                todo.extend(&owners[id.0 as usize]);
            }
        }
        secretive
    }

    fn find_inner(&self) -> HashSet<TypeId> {
        let mut inner = HashSet::new();
        for id in &self.types {
            match &self.get(*id).kind {
                TypeKind::Enum(_) | TypeKind::Struct(_) => {}
                TypeKind::Union(union) => {
                    for branch in &union.branches {
                        if self.options.holds(&branch.condition) {
                            inner.insert(branch.ty);
                        }
                    }
                }
                TypeKind::Alternate(alternate) => {
                    for alternative in &alternate.alternatives {
                        let exists = self.options.holds(&alternative.condition);
                        if let (TypeRef::Defined(id), true) = (&alternative.ty, exists) {
                            inner.insert(*id);
                        }
                    }
                }
            }
        }
        inner
    }

    /// Returns all types of the schema, whether they are emitted or not.
    fn all_types(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..u32::try_from(self.schema.types.len()).unwrap_or(u32::MAX)).map(TypeId)
    }

    fn argument_types(&self, arguments: &'s Arguments, out: &mut Vec<TypeId>) {
        match arguments {
            Arguments::Inline(_) => {
                for member in self.flat_arguments(arguments) {
                    out.extend(defined(&member.ty));
                }
            }
            // Flattened into the command, but useful: it converts into the command.
            Arguments::Named { ty, .. } => out.push(*ty),
        }
    }

    fn closure(&self, mut todo: Vec<TypeId>) -> HashSet<TypeId> {
        let mut reached = HashSet::new();
        while let Some(id) = todo.pop() {
            if reached.insert(id) {
                todo.extend(self.neighbours(id));
            }
        }
        reached
    }

    /// Returns the types that a type refers to in Rust, where bases are flattened and the enumeration
    /// of the discriminator becomes the enum of the branches.
    fn neighbours(&self, id: TypeId) -> Vec<TypeId> {
        let mut neighbours = Vec::new();
        match &self.get(id).kind {
            TypeKind::Enum(_) | TypeKind::Struct(_) => {}
            TypeKind::Union(union) => {
                for branch in &union.branches {
                    if self.options.holds(&branch.condition) {
                        neighbours.push(branch.ty);
                    }
                }
            }
            TypeKind::Alternate(alternate) => {
                for one in &alternate.alternatives {
                    if self.options.holds(&one.condition) {
                        neighbours.extend(defined(&one.ty));
                    }
                }
            }
        }
        for member in self.members(id) {
            neighbours.extend(defined(&member.ty));
        }
        neighbours
    }

    fn name_types(&mut self) {
        let mut scope = Scope::module();
        for id in &self.types {
            let name = scope.type_name(&self.get(*id).definition.name);
            self.names[id.0 as usize] = Some(name);
        }
        for id in &self.types {
            let TypeKind::Union(union) = &self.get(*id).kind else { continue };
            if !self.is_bare_union(*id) {
                let name = format!("{}-{}", self.name(*id), union.discriminator);
                let name = scope.camel(&name);
                self.branch_names[id.0 as usize] = Some(name);
            }
        }
    }

    fn index_names(&mut self) {
        for id in &self.types {
            let name = &self.schema.types[id.0 as usize].definition.name;
            self.by_name.insert(name, self.targets.len());
            self.targets.push(Target::Type(*id));
        }
        for (index, (command, _)) in self.commands.iter().enumerate() {
            self.by_name.insert(&command.definition.name, self.targets.len());
            self.targets.push(Target::Command(index));
        }
        for (index, (event, _)) in self.events.iter().enumerate() {
            self.by_name.insert(&event.definition.name, self.targets.len());
            self.targets.push(Target::Event(index));
        }
    }
}

/// Returns the named type that a reference leads to, through arrays.
pub(crate) fn defined(ty: &TypeRef) -> Option<TypeId> {
    match ty {
        TypeRef::Builtin(_) => None,
        TypeRef::Defined(id) => Some(*id),
        TypeRef::Array(element) => defined(element),
    }
}

fn builtin_type(builtin: Builtin) -> TokenStream {
    match builtin {
        // An enumeration of QEMU's implementation, which is a string on the wire.
        Builtin::Str | Builtin::QType => quote!(::std::string::String),
        Builtin::Number => quote!(f64),
        Builtin::Int | Builtin::Int64 => quote!(i64),
        Builtin::Int8 => quote!(i8),
        Builtin::Int16 => quote!(i16),
        Builtin::Int32 => quote!(i32),
        Builtin::Uint8 => quote!(u8),
        Builtin::Uint16 => quote!(u16),
        Builtin::Uint32 => quote!(u32),
        Builtin::Uint64 | Builtin::Size => quote!(u64),
        Builtin::Bool => quote!(bool),
        Builtin::Null => quote!(::qmp_types::Null),
        Builtin::Any => quote!(::qmp_types::serde_json::Value),
    }
}
