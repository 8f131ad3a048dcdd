//! `qmp-schema site`: a reference as a set of HTML pages.
//!
//! ```text
//! schemas ──> model (pages, targets) ──> page, releases ──> html ──> files
//! ```

pub(super) mod builtin;
mod html;
mod markup;
mod model;
mod page;
mod releases;

use std::path::{Path, PathBuf};

use clap::Args;
use qmp_codegen::LoadOptions;

use self::html::{code, escape, link, script_string};
use self::model::{Item, Page, Part, Places};
use self::page::Renderer;
use super::{Failure, document, input};
use crate::cli::{TimeoutArgs, create_directory};
use crate::reference::Reference;
use crate::terminal::{inline, notice};

const STYLE: &str = include_str!("assets/style.css");
const SEARCH: &str = include_str!("assets/search.js");

/// The arguments of `qmp-schema site`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Site {
    /// The directory to write to, which is created if it is missing
    directory: PathBuf,

    /// Schema files, a file of introspection data, the address of a QEMU, or 'builtin'
    #[arg(default_value = "builtin")]
    schema: Vec<String>,

    /// The title of the pages
    #[arg(long, default_value = "QMP reference")]
    title: String,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

const EXAMPLES: &str = "\
The pages need no server and nothing from elsewhere: open DIRECTORY/index.html in a browser. Files of \
an earlier run are replaced, and others are left as they are.

Examples:
  qmp-schema site reference                           the builtin schema, with the guest agent
  qmp-schema site reference qapi/qapi-schema.json     that of a release of QEMU
  qmp-schema site reference unix:/run/vm.sock         what a running QEMU has";

impl Site {
    /// Writes the pages.
    ///
    /// # Errors
    /// Returns an error if a schema cannot be read, or a file cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        let parts = self.parts()?;
        let pages = model::pages(&parts);
        let places = model::places(&parts, &pages);
        let references: Vec<_> = parts.iter().map(|part| Reference::of(&part.schema)).collect();
        let site = Rendered {
            title: &self.title,
            parts: &parts,
            references: &references,
            pages: &pages,
            places: &places,
        };
        create_directory(&self.directory)
            .map_err(|error| failed("create", &self.directory, &error))?;
        for page in &pages {
            self.write(&page.file, &site.page(page))?;
        }
        self.write("index.html", &site.index())?;
        self.write(
            "releases.html",
            &site.document("By release", &releases::render(&parts, &pages, &places)),
        )?;
        self.write("index.js", &site.search_index())?;
        self.write("search.js", SEARCH)?;
        self.write("style.css", STYLE)?;
        notice(&format!(
            "{} pages; open {}",
            pages.len() + 2,
            inline(&self.directory.join("index.html").display().to_string())
        ));
        Ok(())
    }

    fn parts(&self) -> Result<Vec<Part>, Failure> {
        match &self.schema[..] {
            [source] if source == input::BUILTIN => builtin::parts(),
            [source] => {
                let schema = document::read(source, self.timeout)?;
                Ok(vec![Part { title: "Reference".to_owned(), schema, domains: None }])
            }
            files => {
                let schema = input::load_files(files, &LoadOptions::new())?.schema;
                Ok(vec![Part { title: "Reference".to_owned(), schema, domains: None }])
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.directory.join(file);
        std::fs::write(&path, text).map_err(|error| failed("write", &path, &error))
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    format!("cannot {what} '{}': {error}", path.display()).into()
}

/// Everything that the pages are made of.
struct Rendered<'a> {
    title: &'a str,
    parts: &'a [Part],
    references: &'a [Reference],
    pages: &'a [Page],
    places: &'a Places,
}

impl Rendered<'_> {
    /// Returns a whole document.
    fn document(&self, title: &str, body: &str) -> String {
        let (title, site) = (escape(title), escape(self.title));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title} - {site}</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n\
             <header><a class=\"home\" href=\"index.html\">{site}</a> <a href=\"releases.html\">By release</a>\n\
             <form role=\"search\"><input id=\"search\" type=\"search\" autocomplete=\"off\" \
             placeholder=\"Search (press /)\" aria-label=\"Search the reference\" aria-controls=\"results\">\n\
             <span id=\"found\" class=\"facts\" role=\"status\"></span><ul id=\"results\"></ul></form></header>\n\
             <main>\n{body}</main>\n\
             <script src=\"index.js\"></script>\n<script src=\"search.js\"></script>\n</body>\n</html>\n"
        )
    }

    fn page(&self, page: &Page) -> String {
        let schema = &self.parts[page.part].schema;
        let reference = &self.references[page.part];
        let renderer = Renderer { schema, reference, part: page.part, places: self.places };
        let mut body = format!("<h1>{}</h1>\n", escape(&page.title));
        body += &markup::blocks(&page.introduction, &|name| self.places.target(page.part, name));
        for (title, kind) in [("Commands", "command"), ("Events", "event"), ("Types", "type")] {
            let items = page.items.iter().filter(|item| item.kind() == kind);
            let links: Vec<String> = items.map(|item| self.link(page, *item)).collect();
            if !links.is_empty() {
                body += &format!("<p>{title}: {}</p>\n", links.join(", "));
            }
        }
        body.extend(page.items.iter().map(|item| renderer.item(*item)));
        self.document(&page.title, &body)
    }

    fn link(&self, page: &Page, item: Item) -> String {
        let name = &item.definition(&self.parts[page.part].schema).name;
        let target = self.places.target(page.part, name);
        target.map_or_else(|| code(name), |target| link(&target, name))
    }

    /// Returns the first page: the domains, and all commands and events.
    fn index(&self) -> String {
        let mut body = format!("<h1>{}</h1>\n", escape(self.title));
        for (number, part) in self.parts.iter().enumerate() {
            let schema = &part.schema;
            body += &format!(
                "<h2>{}</h2>\n<p class=\"facts\">{} commands, {} events, {} types</p>\n<ul class=\"list\">\n",
                escape(&part.title),
                schema.commands.len(),
                schema.events.len(),
                schema.types.len()
            );
            let pages = self.pages.iter().filter(|page| page.part == number);
            for page in pages.clone() {
                body += &format!("<li>{}</li>\n", link(&page.file, &page.title));
            }
            body += "</ul>\n";
            for (title, kind) in [("Commands", "command"), ("Events", "event")] {
                let mut entries: Vec<(&str, String)> = Vec::new();
                for page in pages.clone() {
                    for item in page.items.iter().filter(|item| item.kind() == kind) {
                        let definition = item.definition(schema);
                        let summary = markup::summary(&definition.doc.body);
                        let entry =
                            format!("{} <span>{}</span>", self.link(page, *item), escape(&summary));
                        entries.push((&definition.name, entry));
                    }
                }
                entries.sort();
                if !entries.is_empty() {
                    body += &format!("<h3>{title}</h3>\n<ul class=\"list\">\n");
                    body.extend(entries.iter().map(|(_, entry)| format!("<li>{entry}</li>\n")));
                    body += "</ul>\n";
                }
            }
        }
        self.document("Contents", &body)
    }

    /// Returns the script with the entries that can be found.
    fn search_index(&self) -> String {
        let mut script = String::from("var INDEX = [\n");
        for page in self.pages {
            let schema = &self.parts[page.part].schema;
            for item in &page.items {
                let definition = item.definition(schema);
                let target = self.places.target(page.part, &definition.name).unwrap_or_default();
                let fields = [
                    &definition.name,
                    item.kind(),
                    &target,
                    &markup::summary(&definition.doc.body),
                ];
                let fields: Vec<String> = fields.into_iter().map(script_string).collect();
                script += &format!("[{}],\n", fields.join(","));
            }
        }
        script + "];\n"
    }
}
