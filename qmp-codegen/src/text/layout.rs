//! Lays out expressions as QEMU's schemas do, in 80 columns if possible.

/// The width of a line in columns.
const WIDTH: usize = 80;

/// An expression of the schema language.
pub(super) enum Node {
    Text(String),
    Bool(bool),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }
}

/// Lays out a definition or directive, with each key on its own line.
pub(super) fn top_level(keys: &[(String, Node)]) -> String {
    let mut out = String::new();
    object_lines(keys, 0, 0, &mut out);
    out.push('\n');
    out
}

/// Writes a node at a column, with room for `trailing` characters after it.
fn write(node: &Node, column: usize, trailing: usize, out: &mut String) {
    let line = flat(node);
    if column + line.len() + trailing <= WIDTH {
        out.push_str(&line);
        return;
    }
    match node {
        Node::Object(keys) if !keys.is_empty() => object_lines(keys, column, trailing, out),
        Node::List(elements) if elements.iter().all(|e| matches!(e, Node::Text(_))) => {
            filled(elements, column, trailing, out);
        }
        Node::List(elements) => list_lines(elements, column, trailing, out),
        Node::Text(_) | Node::Bool(_) | Node::Object(_) => out.push_str(&line),
    }
}

fn flat(node: &Node) -> String {
    match node {
        // Names need no escapes. This keeps the text valid for any other string.
        Node::Text(text) => format!("'{}'", text.replace('\\', r"\\")),
        Node::Bool(value) => value.to_string(),
        Node::List(elements) => match &elements[..] {
            [] => String::from("[]"),
            [only @ Node::Text(_)] => format!("[{}]", flat(only)),
            _ => format!("[ {} ]", elements.iter().map(flat).collect::<Vec<_>>().join(", ")),
        },
        Node::Object(keys) if keys.is_empty() => String::from("{}"),
        Node::Object(keys) => {
            let key = |(key, value): &(String, Node)| format!("'{key}': {}", flat(value));
            format!("{{ {} }}", keys.iter().map(key).collect::<Vec<_>>().join(", "))
        }
    }
}

fn object_lines(keys: &[(String, Node)], column: usize, trailing: usize, out: &mut String) {
    out.push_str("{ ");
    for (index, (key, value)) in keys.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
            indent(column + 2, out);
        }
        out.push_str(&format!("'{key}': "));
        let trailing = if index + 1 == keys.len() { trailing + " }".len() } else { ",".len() };
        let at = column + 2 + key.len() + "'': ".len();
        if needs_own_line(value, at, column + 4, trailing) {
            out.truncate(out.trim_end().len());
            out.push('\n');
            indent(column + 4, out);
            write(value, column + 4, trailing, out);
        } else {
            write(value, at, trailing, out);
        }
    }
    out.push_str(" }");
}

/// Whether strings only fit if they begin on a new line.
fn needs_own_line(value: &Node, at: usize, own: usize, trailing: usize) -> bool {
    let widest = match value {
        Node::List(elements) if elements.iter().all(|e| matches!(e, Node::Text(_))) => {
            elements.iter().map(|element| flat(element).len()).max().unwrap_or_default()
        }
        Node::Text(_) => flat(value).len(),
        _ => return false,
    };
    let widest = widest + "[ ".len() + " ]".len().max(trailing);
    flat(value).len() + at + trailing > WIDTH && widest + at > WIDTH && own < at
}

fn list_lines(elements: &[Node], column: usize, trailing: usize, out: &mut String) {
    out.push_str("[ ");
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
            indent(column + 2, out);
        }
        let trailing = if index + 1 == elements.len() { trailing + " ]".len() } else { ",".len() };
        write(element, column + 2, trailing, out);
    }
    out.push_str(" ]");
}

/// Writes strings, filling each line.
fn filled(elements: &[Node], column: usize, trailing: usize, out: &mut String) {
    out.push_str("[ ");
    let mut at = column + 2;
    for (index, element) in elements.iter().enumerate() {
        let element = flat(element);
        let trailing = if index + 1 == elements.len() { trailing + " ]".len() } else { ",".len() };
        if index > 0 && at + 1 + element.len() + trailing > WIDTH {
            out.push('\n');
            indent(column + 2, out);
            at = column + 2;
        } else if index > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(&element);
        at += element.len();
        if index + 1 < elements.len() {
            out.push(',');
            at += 1;
        }
    }
    out.push_str(" ]");
}

fn indent(columns: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', columns));
}
