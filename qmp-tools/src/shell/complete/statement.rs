//! Completion of statements: which one it is, and which of its words the cursor is in.

use std::collections::HashSet;

use super::given::Given;
use super::json::Root;
use super::place::Place;
use super::{Candidate, Completer, Completion, Kind};
use crate::shell::syntax::statements::own;
use crate::shell::syntax::transaction::{action_type, actions};
use crate::shell::syntax::words::{self, Word};
use crate::shell::syntax::{self};

impl<'a> Completer<'a> {
    pub(super) fn complete(&self) -> Completion {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let Some(start) = syntax::start::start(before) else {
            let line = before.rsplit('\n').next().unwrap_or_default();
            if line.trim_start().starts_with('#') {
                return Completion::default();
            }
            return self.names_of_commands(Word { text: "", start: self.cursor });
        };
        let rest = before.get(start..).unwrap_or_default();
        if rest.starts_with('{') {
            return self.json(start, Root::Message);
        }
        if let Some(inner) = rest.strip_prefix("transaction(") {
            return self.transaction(before.len() - inner.len());
        }
        let line = words::line(before, start);
        if line.end < self.cursor || before.ends_with('\n') || line.comment.is_some() {
            return Completion::default();
        }
        let (words, word) = self.split(&line.words);
        let Some(first) = words.first() else { return self.names_of_commands(word) };
        let arguments = words.get(1..).unwrap_or_default();
        match first.text {
            "exec-oob" => match arguments.split_first() {
                None => self.named(word, self.types.schema().oob_commands(), ' '),
                Some((command, arguments)) => self.command(command.text, arguments, start, word),
            },
            "help" | "?" => self.topics(word),
            "wait" => self.wait(arguments, word),
            "set" => self.set(word),
            "hmp" => self.human(first.end()),
            "exit" => Completion::default(),
            command => self.command(command, arguments, start, word),
        }
    }

    /// Splits words into those before the one at the cursor, and that one, which may be empty.
    fn split<'w>(&self, words: &'w [Word<'a>]) -> (&'w [Word<'a>], Word<'a>) {
        match words.split_last() {
            Some((last, words)) if last.end() == self.cursor => (words, *last),
            _ => (words, Word { text: "", start: self.cursor }),
        }
    }

    fn names_of_commands(&self, word: Word<'_>) -> Completion {
        let schema = self.types.schema();
        let mut candidates: Vec<_> = schema
            .commands()
            .into_iter()
            .filter(|name| name.starts_with(word.text))
            .map(|name| Candidate::new(name, self.summary(name)))
            .collect();
        let own =
            own(self.types.reference()).iter().filter(|(name, _)| name.starts_with(word.text));
        candidates.extend(own.map(|(name, text)| Candidate::new(*name, *text)));
        Completion { span: word.start..self.name_end(), candidates }
    }

    /// Returns the first sentence of the documentation of a name.
    fn summary(&self, name: &str) -> String {
        self.types.reference().summary(name)
    }

    pub(super) fn named<'n>(
        &self,
        word: Word<'_>,
        names: impl IntoIterator<Item = &'n str>,
        then: char,
    ) -> Completion {
        let names = names.into_iter().filter(|name| name.starts_with(word.text));
        let candidates = names.map(|name| Candidate {
            insert: name.to_owned(),
            description: self.summary(name),
            then: Some(then),
        });
        Completion { span: word.start..self.name_end(), candidates: candidates.collect() }
    }

    /// Returns the end of the name that the cursor is in.
    pub(super) fn name_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        self.cursor + after.find(|c| !is_name(c)).unwrap_or(after.len())
    }

    fn topics(&self, word: Word<'_>) -> Completion {
        // Commands and events first, which are what people ask for.
        let schema = self.types.schema();
        let mut names = schema.commands();
        names.extend(schema.events());
        let types = self.types.reference().names();
        let known: HashSet<&str> = names.iter().copied().collect();
        if !word.text.is_empty() {
            names.extend(types.into_iter().filter(|name| !known.contains(name)));
        }
        self.named(word, names, ' ')
    }

    fn wait(&self, words: &[Word<'a>], word: Word<'a>) -> Completion {
        let schema = self.types.schema();
        let Some((event, words)) = words.split_first() else {
            return self.named(word, schema.events(), ' ');
        };
        if words.last().is_some_and(|word| word.text == "--timeout") {
            return Completion::default();
        }
        let given = Given::new(self.text, words);
        let place = Place { command: event.text, root: schema.data_of(event.text), given: &given };
        let mut completion = self.argument(&place, word);
        if "--timeout".starts_with(word.text) {
            let text = "Fails if the event does not come within this number of seconds";
            completion.candidates.push(Candidate::new("--timeout", text));
        }
        completion
    }

    fn set(&self, word: Word<'_>) -> Completion {
        match word.argument() {
            None => {
                let known = self.live.candidates(Kind::Setting).into_iter();
                let candidates = known
                    .filter(|candidate| candidate.insert.starts_with(word.text))
                    .map(|candidate| Candidate { then: Some('='), ..candidate });
                Completion { span: word.start..self.name_end(), candidates: candidates.collect() }
            }
            Some((name, _, value)) => {
                let known = self.live.candidates(Kind::SettingValue(name.text)).into_iter();
                let candidates = known.filter(|known| known.insert.starts_with(value.text));
                Completion { span: value.start..self.cursor, candidates: candidates.collect() }
            }
        }
    }

    fn human(&self, start: usize) -> Completion {
        let line = self.text.get(start..self.cursor).unwrap_or_default().trim_start();
        // A candidate is a whole line: `info block`.
        let known = self.live.candidates(Kind::Human(line)).into_iter();
        let candidates = known.filter(|known| known.insert.starts_with(line));
        Completion { span: self.cursor - line.len()..self.cursor, candidates: candidates.collect() }
    }

    fn transaction(&self, inner: usize) -> Completion {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let mut at = inner;
        let line = loop {
            let line = words::line(before, at);
            if line.words.last().is_some_and(|word| word.text == ")" && word.end() < self.cursor) {
                return Completion::default();
            }
            at = line.end;
            if at >= before.len() && !before.ends_with('\n') || line.open.is_some() {
                break line;
            }
            if at >= before.len() {
                break words::Line::default();
            }
        };
        if line.comment.is_some() {
            return Completion::default();
        }
        let schema = self.types.schema();
        let (words, word) = self.split(&line.words);
        let is_own = |word: &Word<'_>| word.text.contains(['=', '.']);
        let (command, root, words) = match words.split_first() {
            Some((first, rest)) if !is_own(first) => {
                (first.text, action_type(schema, first.text), rest)
            }
            None if !is_own(&word) => {
                let mut completion = self.named(word, actions(schema), ' ');
                let own = ["properties.", ")"].iter().filter(|own| own.starts_with(word.text));
                completion.candidates.extend(own.map(|own| Candidate {
                    insert: (*own).to_owned(),
                    description: String::new(),
                    then: None,
                }));
                return completion;
            }
            _ => ("transaction", schema.arguments_of("transaction"), words),
        };
        let given = Given::new(self.text, words);
        self.argument(&Place { command, root, given: &given }, word)
    }

    fn command(
        &self,
        command: &str,
        words: &[Word<'a>],
        start: usize,
        word: Word<'a>,
    ) -> Completion {
        if words.is_empty() && word.text.starts_with('{') {
            let root = self.types.schema().arguments_of(command);
            return self.json(word.start, Root::Value { command, ty: root });
        }
        // What comes after the cursor is given, too.
        let all = words::line(self.text, start);
        let after = all.words.iter().filter(|word| word.start > self.cursor).copied();
        let given: Vec<_> = words.iter().copied().chain(after).collect();
        let given = Given::new(self.text, &given);
        let root = self.types.schema().arguments_of(command);
        self.argument(&Place { command, root, given: &given }, word)
    }
}
