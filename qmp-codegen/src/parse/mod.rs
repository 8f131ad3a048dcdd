//! Parses a file into definitions, directives, and documentation, in order.
//!
//! Errors are reported, and parsing resumes at the next top-level element.

mod definition;
mod directive;
mod doc;
mod parts;
mod value;

use crate::ast::{Doc, Item, Name};
use crate::diagnostic::{Diagnostic, Rule};
use crate::lexer::{Comment, Lexer, Token};
use crate::report::Report;
use crate::source::{FileId, Span};

pub(crate) use directive::Pragmas;
use doc::Block;
use value::{Node, Value};

/// The receiver of what is found in a file.
pub(crate) trait Sink {
    /// Takes a definition or free-form documentation.
    fn item(&mut self, item: Item, report: &mut Report);
    /// Takes the path of an `include` directive.
    fn include(&mut self, path: &str, span: Span, report: &mut Report);
    /// Takes the value of a `pragma` directive.
    fn pragma(&mut self, pragmas: Pragmas);
    /// Returns the number of the next `pragma` directive, counted over all files.
    fn next_pragma(&mut self) -> usize;
}

/// Parses a file.
pub(crate) fn parse(
    text: &str,
    file: FileId,
    root: usize,
    report: &mut Report,
    sink: &mut dyn Sink,
) {
    let mut parser =
        Parser { lexer: Lexer::new(text, file), file, root, pending: None, report, sink };
    while let Some(next) = parser.next() {
        if let Err(error) = next {
            parser.report.push(*error);
            parser.report.incomplete = true;
            parser.lexer.recover();
        }
    }
    parser.reject_pending();
}

struct Parser<'s, 'r> {
    lexer: Lexer<'s>,
    file: FileId,
    root: usize,
    /// Documentation whose definition has not been read yet.
    pending: Option<Pending>,
    report: &'r mut Report,
    sink: &'r mut dyn Sink,
}

enum Pending {
    Definition(Doc),
    /// Free-form documentation, which a definition cannot follow directly.
    FreeForm(Span),
    /// Documentation with an error that has been reported.
    Broken(Span),
}

impl<'s> Parser<'s, '_> {
    /// Parses a top-level element. Returns `None` at the end of the file.
    fn next(&mut self) -> Option<Result<(), Box<Diagnostic>>> {
        if let Some(comment) = self.lexer.documentation() {
            self.reject_pending();
            self.documentation(comment);
            return Some(Ok(()));
        }
        let mut ahead = self.lexer.clone();
        match ahead.next() {
            Ok((Token::End, _)) => None,
            Ok(_) => Some(self.statement()),
            Err(error) => Some(Err(error)),
        }
    }

    fn documentation(&mut self, start: Comment<'s>) {
        let rule = std::mem::replace(&mut self.report.rule, Rule::DocSyntax);
        let block = doc::parse(&mut self.lexer, start, self.report);
        self.report.rule = rule;
        self.pending = Some(match block {
            Block::Definition(doc) => Pending::Definition(doc),
            Block::FreeForm(text) => {
                self.sink.item(Item::Introduction { file: self.file, text }, self.report);
                Pending::FreeForm(start.span)
            }
            Block::Broken => Pending::Broken(start.span),
        });
    }

    fn statement(&mut self) -> Result<(), Box<Diagnostic>> {
        let node = match value::parse(&mut self.lexer) {
            Ok(node) => node,
            Err(error) => {
                // The pending documentation belongs to the definition that failed to parse.
                self.pending = None;
                return Err(error);
            }
        };
        let what = node.describe();
        let Value::Object(members) = node.value else {
            let message = format!("expected an object at the top level, found {what}");
            return Err(Diagnostic::error(node.span, message).into());
        };
        let directive = members.iter().find(|(key, _)| matches!(&*key.text, "include" | "pragma"));
        if let Some((key, _)) = directive {
            let key = key.clone();
            self.reject_pending();
            self.directive(&key, members);
        } else {
            self.definition(members, node.span);
        }
        Ok(())
    }

    fn directive(&mut self, key: &Name, members: Vec<(Name, Node)>) {
        for (extra, _) in members.iter().filter(|(other, _)| other.text != key.text) {
            let message = format!("unexpected key '{}' in '{}' directive", extra.text, key.text);
            if self.report.unknown(Diagnostic::error(extra.span, message).by(Rule::UnknownKey)) {
                return;
            }
        }
        let is_value = |(other, _): &(Name, Node)| other.text == key.text;
        let Some((_, node)) = members.into_iter().find(is_value) else { return };
        if key.text == "include" {
            match node.value {
                Value::String(path) => self.sink.include(&path, node.span, self.report),
                _ => {
                    let message =
                        format!("the path in 'include' must be a string, not {}", node.describe());
                    self.report.push(Diagnostic::error(node.span, message).by(Rule::Include));
                }
            }
        } else {
            let number = self.sink.next_pragma();
            let rule = std::mem::replace(&mut self.report.rule, Rule::Pragma);
            self.sink.pragma(directive::pragma(node, number, self.report));
            self.report.rule = rule;
        }
    }

    fn definition(&mut self, members: Vec<(Name, Node)>, span: Span) {
        let doc = match self.pending.take() {
            Some(Pending::Definition(doc)) => Some(doc),
            Some(Pending::FreeForm(doc)) => {
                let brace = Span { end: span.start + 1, ..span };
                let message = "the documentation of a definition must begin with its name";
                let error = Diagnostic::error(doc, message)
                    .related(brace, "the definition is here")
                    .help("begin the comment with a line '# @NAME:'")
                    .by(Rule::DocSyntax);
                self.report.push(error);
                Some(Doc::broken(doc))
            }
            Some(Pending::Broken(doc)) => Some(Doc::broken(doc)),
            None => None,
        };
        let rule = std::mem::replace(&mut self.report.rule, Rule::Definition);
        let item = definition::parse(members, span, doc, self.root, self.report);
        self.report.rule = rule;
        self.sink.item(item, self.report);
    }

    fn reject_pending(&mut self) {
        let Some(Pending::Definition(doc)) = self.pending.take() else { return };
        if !doc.broken {
            let message = format!(
                "the documentation for '{}' is not followed by its definition",
                doc.symbol.text
            );
            self.report.push(Diagnostic::error(doc.symbol.span, message).by(Rule::DocSyntax));
        }
    }
}
