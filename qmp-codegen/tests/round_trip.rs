//! Random schemas, which must survive being written as text.

#![allow(clippy::unwrap_used)] // tests

#[path = "support/random.rs"]
mod random;
mod support;

use qmp_codegen::{Root, load};
use random::Random;
use support::assert_equal_schemas;

#[test]
fn random_schemas_survive() {
    for seed in 0..300 {
        let text = Generator::new(seed).schema();
        let root = Root::Text { name: format!("seed-{seed}.json"), text: text.clone() };
        let loaded = load([root]).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let written = qmp_codegen::text::write(&loaded.schema);
        let root = Root::Text { name: format!("written-{seed}.json"), text: written.clone() };
        let again = load([root]).unwrap_or_else(|error| panic!("{written}\n{error}"));
        let what = format!("seed {seed}:\n{text}\n=> {written}");
        assert_equal_schemas(&what, &loaded.schema, &again.schema);
        assert_eq!(qmp_codegen::text::write(&again.schema), written, "seed {seed}");
    }
}

/// A generator of valid schemas. Names are numbered, so that they are unique.
struct Generator {
    random: Random,
    next: usize,
    enums: Vec<(String, Vec<String>)>,
    structs: Vec<String>,
    unions: Vec<String>,
    alternates: Vec<String>,
    /// The structs and commands whose names, or whose members' names, need a pragma.
    exceptions: Vec<String>,
}

/// A part of a definition that documentation can describe.
struct Part {
    text: String,
    name: String,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let (enums, exceptions) = (Vec::new(), Vec::new());
        let (structs, unions, alternates) = (Vec::new(), Vec::new(), Vec::new());
        Self { random: Random(seed), next: 0, enums, structs, unions, alternates, exceptions }
    }

    fn schema(&mut self) -> String {
        let mut definitions = vec![self.enumeration(), self.structure()];
        for _ in 0..self.random.below(30) {
            definitions.push(match self.random.below(8) {
                0 => self.enumeration(),
                1 | 2 => self.structure(),
                3 => self.union(),
                4 => self.alternate(),
                5 | 6 => self.command(),
                _ => self.event(),
            });
        }
        // References can be forward.
        for at in 0..definitions.len() {
            let other = self.random.below(definitions.len());
            definitions.swap(at, other);
        }
        let exceptions = list(&self.exceptions);
        let pragma = format!(
            "{{ 'pragma': {{ 'member-name-exceptions': {exceptions}, 'documentation-exceptions': {exceptions},
            'command-returns-exceptions': {exceptions}, 'command-name-exceptions': {exceptions} }} }}\n"
        );
        definitions.insert(0, pragma);
        if self.random.once_in(2) {
            let text = self.paragraphs("# ");
            definitions.insert(0, format!("##\n# = Things\n#\n{text}##\n"));
        }
        definitions.concat()
    }

    fn enumeration(&mut self) -> String {
        let name = self.type_name();
        let values: Vec<Part> = (0..self.random.below(6)).map(|_| self.value(&name)).collect();
        let mut keys = format!("'enum': '{name}', 'data': {}", parts('[', &values, ']'));
        if self.random.once_in(4) {
            keys += ", 'prefix': 'PREFIX'";
        }
        let names = values.iter().map(|value| value.name.clone()).collect();
        self.enums.push((name.clone(), names));
        self.definition(&name, keys, &values, true)
    }

    fn value(&mut self, of: &str) -> Part {
        let name = match self.random.below(3) {
            0 => format!("{}-th", self.number()),
            _ => self.member_name(of),
        };
        let text = match self.random.below(3) {
            0 => {
                let extras = self.extras(true);
                format!("{{ 'name': '{name}'{extras} }}")
            }
            _ => format!("'{name}'"),
        };
        Part { text, name }
    }

    fn structure(&mut self) -> String {
        let name = self.type_name();
        let members: Vec<Part> = (0..self.random.below(6)).map(|_| self.member(&name)).collect();
        let mut keys = format!("'struct': '{name}', 'data': {}", parts('{', &members, '}'));
        if !self.structs.is_empty() && self.random.once_in(3) {
            keys += &format!(", 'base': '{}'", self.random.pick(&self.structs));
        }
        self.structs.push(name.clone());
        self.definition(&name, keys, &members, true)
    }

    fn union(&mut self) -> String {
        let name = self.type_name();
        let enums = self.enums.iter().filter(|(_, values)| !values.is_empty());
        let enums: Vec<(String, Vec<String>)> = enums.cloned().collect();
        if enums.is_empty() {
            return self.enumeration();
        }
        let (discriminator_type, values) = self.random.pick(&enums).clone();
        let tag = self.member_name(&name);
        let mut base: Vec<Part> = (0..self.random.below(3)).map(|_| self.member(&name)).collect();
        base.push(Part { text: format!("'{tag}': '{discriminator_type}'"), name: tag.clone() });
        let branches: Vec<String> = values.iter().filter_map(|value| self.branch(value)).collect();
        let data = format!("{{ {} }}", branches.join(", "));
        let mut before = String::new();
        let mut keys =
            format!("'union': '{name}', 'discriminator': '{tag}', 'data': {data}, 'base': ");
        if self.random.once_in(3) {
            let base_name = self.type_name();
            self.exceptions.push(base_name.clone());
            keys += &format!("'{base_name}'");
            let data = parts('{', &base, '}');
            before = format!("{{ 'struct': '{base_name}', 'data': {data} }}\n");
            base.clear();
        } else {
            keys += &parts('{', &base, '}');
        }
        self.unions.push(name.clone());
        before + &self.definition(&name, keys, &base, true)
    }

    fn branch(&mut self, value: &str) -> Option<String> {
        let ty = match self.random.below(4) {
            0 => return None,
            1 if !self.unions.is_empty() => self.random.pick(&self.unions).clone(),
            _ => self.random.pick(&self.structs).clone(),
        };
        let condition = self.condition();
        Some(match self.random.below(2) {
            0 => format!("'{value}': '{ty}'"),
            _ => format!("'{value}': {{ 'type': '{ty}', 'if': {condition} }}"),
        })
    }

    fn alternate(&mut self) -> String {
        let name = self.type_name();
        let (an_enum, _) = self.random.pick(&self.enums).clone();
        let a_struct = self.random.pick(&self.structs).clone();
        let groups: [&[String]; 4] = [
            &[format!("'{a_struct}'")],
            &[format!("['{a_struct}']"), "['str']".into()],
            &["'null'".into()],
            // Strings could be mistaken for numbers.
            &[
                "'str'".into(),
                "'int'".into(),
                "'bool'".into(),
                "'QType'".into(),
                format!("'{an_enum}'"),
            ],
        ];
        let mut alternatives = Vec::new();
        for group in groups {
            let part = self.member_name("");
            let ty = self.random.pick(group);
            let text = match self.random.below(3) {
                0 => format!("'{part}': {{ 'type': {ty}, 'if': {} }}", self.condition()),
                1 => format!("'{part}': {ty}"),
                _ if alternatives.is_empty() => format!("'{part}': {ty}"),
                _ => continue,
            };
            alternatives.push(Part { text, name: part });
        }
        let keys = format!("'alternate': '{name}', 'data': {}", parts('{', &alternatives, '}'));
        self.alternates.push(name.clone());
        self.definition(&name, keys, &alternatives, true)
    }

    fn command(&mut self) -> String {
        let mut name = format!("do-{}", self.number());
        if self.random.once_in(5) {
            name = name.replace('-', "_");
            self.exceptions.push(name.clone());
        }
        let (data, arguments) = self.data("");
        let mut keys = format!("'command': '{name}'{data}");
        if self.random.once_in(2) {
            let ty = self.random.pick(&self.structs).clone();
            keys += &format!(
                ", 'returns': {}",
                self.random.pick(&[format!("'{ty}'"), format!("['{ty}']")])
            );
        } else if self.exceptions.contains(&name) {
            keys += &format!(", 'returns': {}", self.ty());
        }
        for flag in ["'gen': false", "'success-response': false", "'allow-preconfig': true"] {
            if self.random.once_in(5) {
                keys += &format!(", {flag}");
            }
        }
        let concurrency = ["", "", ", 'allow-oob': true", ", 'coroutine': true"];
        keys += *self.random.pick(&concurrency);
        self.definition(&name, keys, &arguments, false)
    }

    fn event(&mut self) -> String {
        let name = format!("DONE_{}", self.number());
        let (data, members) = self.data("");
        self.definition(&name, format!("'event': '{name}'{data}"), &members, false)
    }

    fn data(&mut self, of: &str) -> (String, Vec<Part>) {
        match self.random.below(4) {
            0 => (String::new(), Vec::new()),
            1 => {
                let types: Vec<String> = self.structs.iter().chain(&self.unions).cloned().collect();
                (format!(", 'boxed': true, 'data': '{}'", self.random.pick(&types)), Vec::new())
            }
            _ => {
                let members: Vec<Part> =
                    (0..self.random.below(5)).map(|_| self.member(of)).collect();
                (format!(", 'data': {}", parts('{', &members, '}')), members)
            }
        }
    }

    fn member(&mut self, of: &str) -> Part {
        let name = self.member_name(of);
        let star = if self.random.once_in(3) { "*" } else { "" };
        let ty = self.ty();
        let text = match self.random.below(4) {
            0 => format!("'{star}{name}': {{ 'type': {ty}{} }}", self.extras(!of.is_empty())),
            _ => format!("'{star}{name}': {ty}"),
        };
        Part { text, name }
    }

    fn ty(&mut self) -> String {
        const BUILTINS: [&str; 16] = [
            "str", "number", "int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
            "uint64", "size", "bool", "null", "any", "QType",
        ];
        let enums = self.enums.iter().map(|(name, _)| name);
        let defined = enums.chain(&self.structs).chain(&self.unions).chain(&self.alternates);
        let defined: Vec<&String> = defined.collect();
        let name = match self.random.below(2) {
            0 if !defined.is_empty() => self.random.pick(&defined),
            _ => *self.random.pick(&BUILTINS),
        };
        if self.random.once_in(4) { format!("['{name}']") } else { format!("'{name}'") }
    }

    /// Returns the optional keys of a value or member.
    fn extras(&mut self, conditional: bool) -> String {
        let mut extras = String::new();
        if conditional && self.random.once_in(2) {
            extras += &format!(", 'if': {}", self.condition());
        }
        if self.random.once_in(3) {
            extras += &format!(
                ", 'features': {}",
                self.random.pick(&["[]", "['deprecated']", "['unstable', 'odd']"])
            );
        }
        extras
    }

    fn condition(&mut self) -> String {
        match self.random.below(6) {
            0 => format!("{{ 'not': {} }}", self.condition()),
            1 => format!("{{ 'all': [ {} ] }}", self.condition()),
            2 => format!("{{ 'any': [ {}, {} ] }}", self.condition(), self.condition()),
            _ => format!("'{}'", self.random.pick(&["A", "CONFIG_B", "C_2"])),
        }
    }

    /// Returns a definition, with documentation in two cases out of three.
    fn definition(
        &mut self,
        name: &str,
        mut keys: String,
        parts: &[Part],
        is_type: bool,
    ) -> String {
        if self.random.once_in(4) {
            keys += &format!(", 'if': {}", self.condition());
        }
        let mut features = vec!["odd"];
        if !is_type {
            features.extend(["deprecated", "unstable"]);
        }
        let features: Vec<&str> = features.into_iter().filter(|_| self.random.once_in(4)).collect();
        if !features.is_empty() {
            keys += &format!(", 'features': {}", list(&features));
        }
        let mut documented: Vec<&str> = Vec::new();
        for feature in ["odd", "deprecated", "unstable"] {
            if keys.contains(&format!("'{feature}'")) {
                documented.push(feature);
            }
        }
        let definition = format!("{{ {keys} }}\n");
        if self.random.once_in(3) {
            definition
        } else {
            self.doc(name, parts, &documented, keys.contains("'command'")) + &definition
        }
    }

    fn doc(&mut self, name: &str, parts: &[Part], features: &[&str], is_command: bool) -> String {
        let mut doc = format!("##\n# @{name}:\n#\n");
        doc += &self.paragraphs("# ");
        for part in parts {
            doc += &self.described(&format!("@{}:", part.name));
        }
        if !features.is_empty() {
            doc += "# Features:\n#\n";
        }
        for feature in features {
            doc += &self.described(&format!("@{feature}:"));
        }
        for tag in ["Errors:", "Note:", "Since:", "TODO:"] {
            if self.random.once_in(4) && (is_command || tag != "Errors:") {
                doc += &self.described(tag);
            }
            if self.random.once_in(6) {
                doc += &self.paragraphs("# ");
            }
        }
        doc + "##\n"
    }

    /// Returns a tag with a text on the same line, below it, or both.
    fn described(&mut self, tag: &str) -> String {
        let text = self.paragraphs("#     ");
        let text = text.trim_end_matches(['#', '\n']);
        // The line below the tag determines the indentation of those after it.
        let second = text.lines().skip(1).find(|line| *line != "#").unwrap_or_default();
        if second.starts_with("#      ") || self.random.once_in(2) {
            format!("# {tag}\n{text}\n#\n")
        } else {
            format!("# {tag} {}\n#\n", text.trim_start_matches(['#', ' ']))
        }
    }

    /// Returns one or two paragraphs, each followed by a blank line.
    fn paragraphs(&mut self, indent: &str) -> String {
        const PARAGRAPHS: [&[&str]; 7] = [
            &["A thing."],
            &["A thing of two lines,", "with `markup` and \"quotes\": 'this' and \\that."],
            &["Literally::", "", "    Returns: code", "      @more: code", "", "    = and more"],
            &["- an item", "  that goes on", "", "- and another"],
            &[".. note:: Mind the gap.", "   It is wide."],
            &["Note:: is markup, and Since: in a line is text"],
            &["Größe: größer \u{2192} am größten"],
        ];
        let mut text = String::new();
        for _ in 0..=self.random.below(2) {
            for line in *self.random.pick(&PARAGRAPHS) {
                text += format!("{indent}{line}").trim_end();
                text.push('\n');
            }
            text += "#\n";
        }
        text
    }

    fn type_name(&mut self) -> String {
        let number = self.number();
        let prefix = self.random.pick(&["Type", "__org.example_Type", "XType", "x-Type"]);
        format!("{prefix}{number}")
    }

    /// Returns the name of a member. In a type, it can be a name that needs a pragma.
    fn member_name(&mut self, of: &str) -> String {
        let number = self.number();
        if !of.is_empty() && self.random.once_in(6) {
            self.exceptions.push(of.to_owned());
            return format!("Odd_{number}");
        }
        let prefix = self.random.pick(&["member", "x-member", "__org.example_m", "type"]);
        format!("{prefix}-{number}")
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }
}

fn parts(open: char, parts: &[Part], close: char) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    format!("{open} {} {close}", texts.join(", "))
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{}'", name.as_ref())).collect();
    format!("[ {} ]", names.join(", "))
}
