//! The content of a site: the definitions of one or more schemas, by page, and where each of them is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use qmp_codegen::schema::{
    Arguments, Base, Definition, Member, ModuleId, Schema, TypeId, TypeKind, TypeRef,
};

use super::html::slug;

/// A schema with a title, and the pages of its definitions.
#[derive(Debug)]
pub(in crate::schema) struct Part {
    pub(super) title: String,
    pub(in crate::schema) schema: Schema,
    /// The domains, if the schema has lost its division into files.
    pub(super) domains: Option<Vec<Domain>>,
}

/// A group of definitions that belong together: a file of a schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Domain {
    /// The name of the page's file, without what its name ends with.
    pub(super) file: String,
    pub(super) title: String,
    pub(super) introduction: String,
    pub(super) definitions: Vec<String>,
}

impl Domain {
    /// Creates the domain of a file from its introduction, whose first line can be the title.
    pub(super) fn new(introduction: &[String], path: &str) -> Self {
        let is_rule =
            |line: &str| !line.is_empty() && line.chars().all(|c| matches!(c, '*' | '=' | '-'));
        let text = introduction.join("\n\n");
        let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = text.lines().map(str::trim_end);
        let mut lines = lines.skip_while(|line| line.is_empty() || is_rule(line));
        let first = lines.next().unwrap_or_default();
        let title = first.trim_start_matches('=').trim();
        let is_title = first.starts_with('=') || text.lines().any(is_rule);
        let (title, introduction) = match is_title && !title.is_empty() {
            true => {
                let rest: Vec<&str> = lines.filter(|line| !is_rule(line)).collect();
                (title.to_owned(), rest.join("\n").trim().to_owned())
            }
            false => (stem.clone(), text),
        };
        Self { file: stem, title, introduction, definitions: Vec::new() }
    }
}

/// One page of a site.
#[derive(Debug)]
pub(super) struct Page {
    /// The name of its file.
    pub(super) file: String,
    pub(super) title: String,
    pub(super) introduction: String,
    /// The index of the part.
    pub(super) part: usize,
    pub(super) items: Vec<Item>,
}

/// A definition.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Item {
    Command(usize),
    Event(usize),
    Type(usize),
}

impl Item {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Event(_) => "event",
            Self::Type(_) => "type",
        }
    }

    pub(super) fn definition(self, schema: &Schema) -> &Definition {
        match self {
            Self::Command(at) => &schema.commands[at].definition,
            Self::Event(at) => &schema.events[at].definition,
            Self::Type(at) => &schema.types[at].definition,
        }
    }
}

/// Where definitions are, and what uses a type.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// For each part, the target of each name.
    targets: Vec<HashMap<String, String>>,
    /// For each part and type, the definitions that mention it.
    users: Vec<HashMap<TypeId, BTreeSet<Item>>>,
}

impl Places {
    pub(super) fn target(&self, part: usize, name: &str) -> Option<String> {
        // A reference may go on to a member: `Type.member`.
        let targets = self.targets.get(part)?;
        targets.get(name).or_else(|| targets.get(name.split_once('.')?.0)).cloned()
    }

    pub(super) fn users(&self, part: usize, ty: TypeId) -> impl Iterator<Item = Item> + '_ {
        self.users.get(part).and_then(|users| users.get(&ty)).into_iter().flatten().copied()
    }
}

/// Divides parts into pages.
pub(super) fn pages(parts: &[Part]) -> Vec<Page> {
    let mut pages = Vec::new();
    // Files of systems that do not tell apart capital letters.
    let mut files: HashSet<String> = ["index", "releases"].into_iter().map(str::to_owned).collect();
    for (number, part) in parts.iter().enumerate() {
        for (domain, items) in grouped(part) {
            let base = slug(&domain.file).to_lowercase();
            let base = base.trim_matches('.').to_owned();
            let base = if base.is_empty() { "page".to_owned() } else { base };
            let mut file = base.clone();
            let mut count = 1;
            while !files.insert(file.clone()) {
                count += 1;
                file = format!("{base}-{count}");
            }
            pages.push(Page {
                file: format!("{file}.html"),
                title: domain.title,
                introduction: domain.introduction,
                part: number,
                items,
            });
        }
    }
    pages
}

/// Returns the groups of a part that have definitions.
fn grouped(part: &Part) -> Vec<(Domain, Vec<Item>)> {
    let schema = &part.schema;
    let commands = (0..schema.commands.len()).map(Item::Command);
    let events = (0..schema.events.len()).map(Item::Event);
    let types = (0..schema.types.len()).map(Item::Type);
    let all: Vec<Item> = commands.chain(events).chain(types).collect();
    let (domains, group_of) = domains(part, &all);
    let mut groups: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
    for item in all {
        let by_kind = || match item {
            Item::Command(_) => domains.len(),
            Item::Event(_) => domains.len() + 1,
            Item::Type(_) => domains.len() + 2,
        };
        let group = group_of.get(&item).copied().unwrap_or_else(by_kind);
        groups.entry(group).or_default().push(item);
    }
    let group = |(at, items): (usize, Vec<Item>)| {
        let kind = ["Commands", "Events", "Types"][at.saturating_sub(domains.len()).min(2)];
        let domain = domains.get(at).cloned().unwrap_or_else(|| Domain {
            file: format!("{}-{kind}", part.title).replace(' ', "-"),
            title: format!("{}: {kind}", part.title),
            ..Domain::default()
        });
        (domain, items)
    };
    groups.into_iter().map(group).collect()
}

/// Returns the domains of a part, and to which of them items belong. A schema in one file has none.
fn domains(part: &Part, items: &[Item]) -> (Vec<Domain>, HashMap<Item, usize>) {
    let schema = &part.schema;
    if let Some(domains) = &part.domains {
        let names: HashMap<&str, usize> = domains
            .iter()
            .enumerate()
            .flat_map(|(at, domain)| domain.definitions.iter().map(move |name| (&**name, at)))
            .collect();
        let group = |item: &Item| Some((*item, *names.get(&*item.definition(schema).name)?));
        return (domains.clone(), items.iter().filter_map(group).collect());
    }
    let used: HashSet<Option<ModuleId>> =
        items.iter().map(|item| item.definition(schema).module).collect();
    if used.len() < 2 {
        return (Vec::new(), HashMap::new());
    }
    let domains =
        schema.modules.iter().map(|module| Domain::new(&module.introduction, &module.path));
    let group = |item: &Item| Some((*item, item.definition(schema).module?.0 as usize));
    (domains.collect(), items.iter().filter_map(group).collect())
}

/// Finds the places of all definitions.
pub(super) fn places(parts: &[Part], pages: &[Page]) -> Places {
    let mut places = Places::default();
    places.targets.resize_with(parts.len(), HashMap::new);
    for page in pages {
        for item in &page.items {
            let name = &item.definition(&parts[page.part].schema).name;
            let target = format!("{}#{}", page.file, anchor(*item, name));
            places.targets[page.part].insert(name.clone(), target);
        }
    }
    places.users = parts.iter().map(|part| users(&part.schema)).collect();
    places
}

/// Returns the id of a definition in its page.
pub(super) fn anchor(item: Item, name: &str) -> String {
    format!("{}-{}", item.kind(), slug(name))
}

fn users(schema: &Schema) -> HashMap<TypeId, BTreeSet<Item>> {
    let mut users: HashMap<TypeId, BTreeSet<Item>> = HashMap::new();
    let mut add = |item: Item, ty: TypeId| {
        users.entry(ty).or_default().insert(item);
    };
    for (at, command) in schema.commands.iter().enumerate() {
        let returned = command.returns.iter().filter_map(defined);
        for ty in of_arguments(&command.arguments).into_iter().chain(returned) {
            add(Item::Command(at), ty);
        }
    }
    for (at, event) in schema.events.iter().enumerate() {
        of_arguments(&event.data).into_iter().for_each(|ty| add(Item::Event(at), ty));
    }
    for (at, ty) in schema.types.iter().enumerate() {
        of_type(&ty.kind).into_iter().for_each(|ty| add(Item::Type(at), ty));
    }
    users
}

fn of_arguments(arguments: &Arguments) -> Vec<TypeId> {
    match arguments {
        Arguments::Inline(members) => of_members(members),
        Arguments::Named { ty, .. } => vec![*ty],
    }
}

fn of_members(members: &[Member]) -> Vec<TypeId> {
    members.iter().filter_map(|member| defined(&member.ty)).collect()
}

fn of_type(kind: &TypeKind) -> Vec<TypeId> {
    match kind {
        TypeKind::Enum(_) => Vec::new(),
        TypeKind::Struct(data) => of_members(&data.members).into_iter().chain(data.base).collect(),
        TypeKind::Union(union) => {
            let mut types = match &union.base {
                Base::Named(base) => vec![*base],
                Base::Inline(members) => of_members(members),
            };
            types.extend(union.branches.iter().map(|branch| branch.ty));
            types
        }
        TypeKind::Alternate(data) => {
            data.alternatives.iter().filter_map(|one| defined(&one.ty)).collect()
        }
    }
}

fn defined(ty: &TypeRef) -> Option<TypeId> {
    match ty {
        TypeRef::Builtin(_) => None,
        TypeRef::Defined(id) => Some(*id),
        TypeRef::Array(element) => defined(element),
    }
}
