//! Masks secrets in lines, so that they do not get into a history, a log or an error.
//!
//! The schema says which arguments of which commands are secret, and names that suggest a secret count
//! as well. A line need not be valid: it may be incomplete, misspelled, or written for the human
//! monitor. Where it is not clear what belongs to a secret, more is masked rather than less.

use std::borrow::Cow;
use std::ops::Range;

use super::complete::did_you_mean;
use super::syntax::literal;
use crate::reference;

/// The text that replaces a secret.
const MASK: &str = "<secret>";

/// Returns a line as it may be kept or shown: without passwords, keys and the data of secret objects.
/// The text may have several lines, in the syntax of the shell, in JSON, or for the human monitor.
#[must_use]
pub fn masked(line: &str) -> Cow<'_, str> {
    let mut spans = Vec::new();
    match super::syntax::start::start(line) {
        Some(start) if line.get(start..).is_some_and(|rest| rest.starts_with('{')) => {
            object(line, start, &mut spans);
        }
        _ => {
            let mut start = 0;
            for part in line.split_inclusive('\n') {
                plain(line, start..start + part.len(), &mut spans);
                start += part.len();
            }
        }
    }
    match replaced(line, spans) {
        Cow::Borrowed(line) => qmp_types::redact("", line),
        Cow::Owned(line) => Cow::Owned(qmp_types::redact("", &line).into_owned()),
    }
}

/// Returns whether a line was masked, such as one from a history: it does not mean what it did.
#[must_use]
pub fn is_masked(line: &str) -> bool {
    line.contains(MASK)
}

/// Returns a message about a line without the secrets that the message quotes from the line.
#[must_use]
pub fn unquoted(line: &str, message: &str) -> String {
    let masked = masked(line);
    let is_secret = |part: &str| line.contains(part) && !masked.contains(part);
    let parts = message.split('`').enumerate();
    let parts =
        parts.map(|(index, part)| if index % 2 == 1 && is_secret(part) { MASK } else { part });
    parts.collect::<Vec<_>>().join("`")
}

/// A place that is masked.
struct Secret {
    span: Range<usize>,
    /// Whether the mask is in quotes, as JSON needs it.
    quoted: bool,
}

/// Replaces the places, which may overlap.
fn replaced(line: &str, mut spans: Vec<Secret>) -> Cow<'_, str> {
    spans.retain(|secret| !secret.span.is_empty());
    if spans.is_empty() {
        return Cow::Borrowed(line);
    }
    spans.sort_by_key(|secret| (secret.span.start, std::cmp::Reverse(secret.span.end)));
    let (mut out, mut copied) = (String::new(), 0);
    for secret in spans {
        if secret.span.start < copied {
            // What overlaps and goes further is masked, too.
            copied = copied.max(secret.span.end);
            continue;
        }
        out.push_str(line.get(copied..secret.span.start).unwrap_or_default());
        let quote = if secret.quoted { "\"" } else { "" };
        out.extend([quote, MASK, quote]);
        copied = secret.span.end;
    }
    out.push_str(line.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The names that are secret in a command.
enum Names {
    /// Those that the schema lists for these commands.
    Of(Vec<String>),
    /// All that the schema lists for any command, since the command is not known.
    All,
}

impl Names {
    fn of(command: &str) -> Self {
        if is_command(command) { Self::Of(vec![command.to_owned()]) } else { Self::All }
    }

    fn contains(&self, name: &str) -> bool {
        let suggests = qmp_types::is_secret("", name);
        suggests
            || match self {
                Self::Of(commands) => {
                    commands.iter().any(|command| qmp_types::is_secret(command, name))
                }
                Self::All => all().any(|(_, names)| names.contains(&name)),
            }
    }
}

impl Names {
    /// Returns whether a name may be a misspelled secret of the command.
    fn is_like(&self, name: &str) -> bool {
        let Self::Of(commands) = self else { return false };
        let secrets = commands.iter().flat_map(|command| qmp_types::secrets_of(command));
        did_you_mean(name, secrets.copied()).is_some()
    }
}

fn all() -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    qmp_types::qmp::SECRETS.iter().chain(qmp_types::qga::SECRETS)
}

fn is_command(name: &str) -> bool {
    reference::MONITOR.has_command(name) || reference::AGENT.has_command(name)
}

/// Masks an object, as it is on the wire.
fn object(text: &str, start: usize, spans: &mut Vec<Secret>) {
    let mut commands = Vec::new();
    let mut names = Names::All;
    for pair in pairs(text, start..text.len()) {
        if !matches!(pair.name.as_str(), "execute" | "exec-oob") {
            continue;
        }
        let quoted = literal::unquoted(text, pair.value.clone());
        let command = quoted.and_then(Result::ok).unwrap_or_default();
        commands.push(command);
    }
    if !commands.is_empty() && commands.iter().all(|command| is_command(command)) {
        names = Names::Of(commands);
    }
    mask_pairs(text, start..text.len(), &names, true, spans);
}

/// Masks one line that is not an object.
fn plain(text: &str, line: Range<usize>, spans: &mut Vec<Secret>) {
    let mut words = words(text, line.clone());
    while words.first().is_some_and(|word| {
        matches!(
            text.get(word.clone()),
            Some("(QEMU)" | "TRANS>" | "->" | "exec-oob" | "hmp" | "transaction(")
        ) || text.get(word.clone()) == Some("\u{feff}")
    }) {
        words.remove(0);
    }
    let Some(first) = words.first().cloned() else { return };
    let name = text.get(first.clone()).unwrap_or_default().trim_start_matches('\u{feff}');
    if matches!(name, "help" | "?") {
        return;
    }
    let rest = first.end..line.end;
    human(text, name, &words, rest.clone(), spans);
    let secret_commands = all().map(|(command, _)| *command);
    let known = is_command(name);
    let meant = if known { None } else { did_you_mean(name, secret_commands) };
    let names = Names::of(name);
    mask_pairs(text, line.start..line.end, &names, false, spans);
    let command = meant.as_deref().unwrap_or(name);
    let has_secrets = !qmp_types::secrets_of(command).is_empty();
    mask_bare(text, &words, has_secrets && !is_human(name), spans);
}

/// Returns whether a command of the human monitor has positional arguments that [`human`] masks.
fn is_human(name: &str) -> bool {
    HUMAN.iter().any(|(known, _)| *known == name)
}

/// The commands of the human monitor with secrets in their positional arguments, and how many
/// arguments come before those.
const HUMAN: [(&str, usize); 4] =
    [("set_password", 1), ("change", 2), ("qom-set", 2), ("block_passwd", 1)];

/// Masks positional arguments of the human monitor's commands.
fn human(
    text: &str,
    name: &str,
    words: &[Range<usize>],
    rest: Range<usize>,
    spans: &mut Vec<Secret>,
) {
    let names = HUMAN.map(|(name, _)| name);
    let meant = if names.contains(&name) {
        Some(name.to_owned())
    } else if is_command(name) {
        None
    } else {
        did_you_mean(name, names.into_iter())
    };
    if let Some((_, before)) = HUMAN.iter().find(|(known, _)| Some(*known) == meant.as_deref()) {
        let word = |index: usize| words.get(index).and_then(|word| text.get(word.clone()));
        if meant.as_deref() == Some("change") && word(1).is_some_and(|device| device != "vnc") {
            // A medium, unless it is the password of a display that is misspelled.
            if word(2).is_none_or(|word| !word.starts_with("pass")) {
                return;
            }
        }
        // The password may be all that was written.
        let displays = [Some("vnc"), Some("spice")];
        let is_short = meant.as_deref() == Some("set_password") && !displays.contains(&word(1));
        let before = if is_short && words.len() == 2 { 0 } else { *before };
        for word in words.iter().skip(before + 1) {
            if is_bare(text, word) {
                spans.push(Secret { span: word.clone(), quoted: false });
            }
        }
    }
    if name == "object_add" {
        mask_pairs(text, rest, &Names::All, false, spans);
    }
}

/// Masks words without a key: all of them in a command that has secrets, and otherwise those that
/// follow a word such as `password`, or a secret value that is not in quotes.
fn mask_bare(text: &str, words: &[Range<usize>], all: bool, spans: &mut Vec<Secret>) {
    let mut after_secret = all;
    for word in words.iter().skip(1) {
        if !is_bare(text, word) {
            let masked = spans
                .iter()
                .any(|secret| secret.span.start > word.start && secret.span.start <= word.end);
            after_secret = after_secret || masked;
            continue;
        }
        if after_secret {
            spans.push(Secret { span: word.clone(), quoted: false });
        }
        let word = text.get(word.clone()).unwrap_or_default();
        after_secret = after_secret || qmp_types::is_secret("", word);
    }
}

fn is_bare(text: &str, word: &Range<usize>) -> bool {
    !text.get(word.clone()).unwrap_or_default().contains('=') && text.get(word.clone()) != Some(")")
}

/// Splits a line at spaces outside of quotes, and of brackets that begin a value.
fn words(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = line.start;
    let mut start = None;
    while at < line.end {
        let Some(byte) = bytes.get(at) else { break };
        let begins =
            start.is_none_or(|start| at > start && matches!(bytes.get(at - 1), Some(b'=' | b':')));
        let end = match byte {
            b'"' | b'\'' => string_end(bytes, at, line.end).unwrap_or(line.end),
            b'{' | b'[' if begins => brackets_end(bytes, at, line.end),
            byte if byte.is_ascii_whitespace() => {
                words.extend(start.take().map(|start| start..at));
                at += 1;
                continue;
            }
            _ => at + 1,
        };
        start = start.or(Some(at));
        at = end.min(line.end);
    }
    let blank = text.get(line.clone()).map_or(0, |line| line.len() - line.trim_end().len());
    words.extend(start.map(|start| start..(line.end - blank).max(start)));
    words
}

/// A key and its value, wherever they are.
struct Pair {
    name: String,
    /// The names before the last one in a dotted key.
    owners: String,
    value: Range<usize>,
    /// Whether the value is in a bracket.
    nested: bool,
}

/// Masks the values of secret keys. In a whole object, everything is in brackets.
fn mask_pairs(
    text: &str,
    range: Range<usize>,
    names: &Names,
    whole: bool,
    spans: &mut Vec<Secret>,
) {
    for pair in pairs_in(text, range, whole) {
        if pair.name == "command-line" {
            command_line(text, &pair, spans);
        } else if pair.owners.split('.').any(|name| names.contains(name))
            || names.contains(&pair.name)
            || !pair.nested && names.is_like(&pair.name)
        {
            spans.push(Secret { span: pair.value, quoted: pair.nested });
        }
    }
}

/// Masks what is secret in a line for the human monitor that is an argument.
fn command_line(text: &str, pair: &Pair, spans: &mut Vec<Secret>) {
    let value = text.get(pair.value.clone()).unwrap_or_default();
    let start = pair.value.start + usize::from(value.starts_with(['"', '\'']));
    let mut inner = Vec::new();
    plain(text, start..pair.value.end, &mut inner);
    let secret = inner.iter().any(|secret| !secret.span.is_empty());
    let line = text.get(start..pair.value.end).unwrap_or_default();
    // An escape could hide a name.
    if secret || line.contains("\\u") || line.contains("\\x") {
        spans.push(Secret { span: pair.value.clone(), quoted: pair.nested });
    }
}

fn pairs(text: &str, range: Range<usize>) -> Vec<Pair> {
    pairs_in(text, range, true)
}

/// Finds everything that looks like a key and its value. Quotes and brackets are not relied upon, since
/// they may be missing.
fn pairs_in(text: &str, range: Range<usize>, whole: bool) -> Vec<Pair> {
    let bytes = text.as_bytes();
    let mut pairs = Vec::new();
    let mut depth = usize::from(whole);
    let mut at = range.start;
    while at < range.end {
        let Some(byte) = bytes.get(at) else { break };
        if !is_key(*byte) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1).max(usize::from(whole)),
                _ => {}
            }
            at += 1;
            continue;
        }
        let length = bytes.get(at..range.end).unwrap_or_default();
        let length = length.iter().take_while(|byte| is_key(**byte)).count();
        let key = text.get(at..at + length).unwrap_or_default();
        at += length;
        let Some(value) = value_start(bytes, at, range.end) else { continue };
        let end = value_end(text, value, range.end, depth > 0);
        let owners = key.rsplit_once('.').map_or("", |(owners, _)| owners).to_owned();
        pairs.push(Pair { name: last_name(key), owners, value: value..end, nested: depth > 0 });
    }
    pairs
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'\\') || !byte.is_ascii()
}

/// Returns the last name of a dotted key, without escapes.
fn last_name(key: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    if !name.contains('\\') {
        return name.to_owned();
    }
    let quoted = format!("\"{name}\"");
    match literal::unquoted(&quoted, 0..quoted.len()) {
        Some(Ok(name)) => name,
        _ => name.to_owned(),
    }
}

/// Returns where the value begins, if the key that ends at an index has one.
fn value_start(bytes: &[u8], end: usize, limit: usize) -> Option<usize> {
    let skip = |at: usize, wanted: fn(u8) -> bool| {
        let rest = bytes.get(at..limit).unwrap_or_default();
        at + rest.iter().take_while(|byte| wanted(**byte)).count()
    };
    let quote = |byte: u8| matches!(byte, b'"' | b'\'');
    let at = skip(skip(end, quote), |byte| byte.is_ascii_whitespace());
    let separator = skip(at, |byte| matches!(byte, b':' | b'='));
    (separator > at).then(|| skip(separator, |byte| byte.is_ascii_whitespace()))
}

/// Returns the index after a value, or after everything that might belong to it.
fn value_end(text: &str, start: usize, limit: usize, nested: bool) -> usize {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..limit).unwrap_or_default();
    match rest.first() {
        None => limit,
        Some(b'"' | b'\'') => {
            let Some(end) = string_end(bytes, start, limit) else { return limit };
            if nested {
                let after = bytes.get(end..limit).unwrap_or_default();
                let next = after.iter().find(|byte| !byte.is_ascii_whitespace());
                // Otherwise, the quote was in the value.
                let ends = next.is_none_or(|byte| matches!(byte, b',' | b'}' | b']' | b'#'));
                return if ends { end } else { limit };
            }
            word_end(bytes, end, limit)
        }
        Some(b'{' | b'[') => brackets_end(bytes, start, limit),
        Some(_) if nested => {
            let is_end =
                |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
            let length = rest.iter().position(is_end).unwrap_or(rest.len());
            let value = text.get(start..start + length).unwrap_or_default();
            let is_json = literal::is_number(value)
                || matches!(value, "true" | "false" | "null" | "True" | "False" | "None");
            if is_json { start + length } else { limit }
        }
        Some(_) => word_end(bytes, start, limit),
    }
}

fn word_end(bytes: &[u8], start: usize, limit: usize) -> usize {
    let rest = bytes.get(start..limit).unwrap_or_default();
    let mut quote = None;
    for (index, byte) in rest.iter().enumerate() {
        match (byte, quote) {
            (byte, Some(open)) if *byte == open => quote = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) => quote = Some(*byte),
            (byte, None) if byte.is_ascii_whitespace() => return start + index,
            _ => {}
        }
    }
    let blank = rest.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    limit - blank
}

fn string_end(bytes: &[u8], start: usize, limit: usize) -> Option<usize> {
    let quote = bytes.get(start)?;
    let mut at = start + 1;
    while at < limit {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn brackets_end(bytes: &[u8], start: usize, limit: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < limit {
        match bytes.get(at) {
            Some(b'"' | b'\'') => match string_end(bytes, at, limit) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return limit,
            },
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with the secret `hunter2`, and what is left of them.
    const LINES: [(&str, &str); 37] = [
        ("set_password hunter2", "set_password <secret>"),
        ("set_password password.x=hunter2", "set_password password.x=<secret>"),
        (
            "object-add qom-type=secret id=s0 dta=hunter2",
            "object-add qom-type=secret id=s0 dta=<secret>",
        ),
        (
            "set_password protocol=vnc password=hunter2",
            "set_password protocol=vnc password=<secret>",
        ),
        (
            "set_password protocol=vnc password=\"hunter2 x\" connected=keep",
            "set_password protocol=vnc password=<secret> connected=keep",
        ),
        (
            "set_password protocol=vnc password:=\"hunter2\"",
            "set_password protocol=vnc password:=<secret>",
        ),
        ("set_password vnc hunter2", "set_password vnc <secret>"),
        ("hmp set_password vnc hunter2", "hmp set_password vnc <secret>"),
        ("set_password protocol=vnc hunter2", "set_password protocol=vnc <secret>"),
        (
            "set_password protocol=vnc password hunter2",
            "set_password protocol=vnc <secret> <secret>",
        ),
        ("set_pasword protocol=vnc pass hunter2", "set_pasword protocol=vnc <secret> <secret>"),
        (
            "set_password protocol=vnc password='hunter2",
            "set_password protocol=vnc password=<secret>",
        ),
        (
            "set_password protocol=vnc password=hunter2 hunter2",
            "set_password protocol=vnc password=<secret> <secret>",
        ),
        (
            "object-add qom-type=secret id=s0 data=hunter2",
            "object-add qom-type=secret id=s0 data=<secret>",
        ),
        (
            "object-add qom-type=secret id=s0 props.data=hunter2",
            "object-add qom-type=secret id=s0 props.data=<secret>",
        ),
        (
            "object-add qom-type=secret id=s0 props={'data': 'hunter2', 'format': 'raw'}",
            "object-add qom-type=secret id=s0 props={'data': \"<secret>\", 'format': 'raw'}",
        ),
        ("object_add secret,id=s0,data=hunter2", "object_add secret,id=s0,data=<secret>"),
        ("hmp object_add secret,data=hunter2,id=s0", "hmp object_add secret,data=<secret>"),
        ("change vnc password hunter2", "change vnc password <secret>"),
        ("hmp change vnc password hunter2", "hmp change vnc password <secret>"),
        ("change-vnc-password password=hunter2", "change-vnc-password password=<secret>"),
        ("change-vnc-password hunter2", "change-vnc-password <secret>"),
        (
            "human-monitor-command command-line=\"set_password vnc hunter2\"",
            "human-monitor-command command-line=<secret>",
        ),
        (
            "human-monitor-command command-line='object_add secret,id=a,data=hunter2' cpu-index=0",
            "human-monitor-command command-line=<secret> cpu-index=0",
        ),
        (
            "blockdev-add driver=https node-name=n file.cookie=hunter2 url=x",
            "blockdev-add driver=https node-name=n file.cookie=<secret> url=x",
        ),
        (
            "qom-set path=/objects/s0 property=data value=hunter2",
            "qom-set path=/objects/s0 property=data value=<secret>",
        ),
        ("qom-set /objects/s0 data hunter2", "qom-set /objects/s0 data <secret>"),
        (
            "{\"execute\": \"set_password\", \"arguments\": {\"protocol\": \"vnc\", \"password\": \"hunter2\"}}",
            "{\"execute\": \"set_password\", \"arguments\": {\"protocol\": \"vnc\", \"password\": \"<secret>\"}}",
        ),
        (
            "{'execute': 'object-add', 'arguments': {'data': 'hunter2'",
            "{'execute': 'object-add', 'arguments': {'data': \"<secret>\"",
        ),
        (
            "{\"execute\": \"set_password\", \"arguments\": {\"password\": \"hun\"ter2\"}}",
            "{\"execute\": \"set_password\", \"arguments\": {\"password\": \"<secret>\"",
        ),
        (
            "{\"execute\": \"x, \"arguments\": {\"password\": \"hunter2\"}}",
            "{\"execute\": \"x, \"arguments\": {\"password\": \"<secret>\"}}",
        ),
        (
            "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"set_password vnc hunter2\"}}",
            "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"<secret>\"}}",
        ),
        (
            "{\"arguments\": {\"p\\u0061ssword\": \"hunter2\"}, \"execute\": \"set_password\"}",
            "{\"arguments\": {\"p\\u0061ssword\": \"<secret>\"}, \"execute\": \"set_password\"}",
        ),
        ("transaction(\nobject-add data=hunter2\n)", "transaction(\nobject-add data=<secret>\n)"),
        (
            "guest-set-user-password username=root password=hunter2 crypted=false",
            "guest-set-user-password username=root password=<secret> crypted=false",
        ),
        ("something admin_password = hunter2", "something admin_password = <secret>"),
        (
            "netdev_add type=l2tpv3 rxcookie=hunter2 id=n",
            "netdev_add type=l2tpv3 rxcookie=<secret> id=n",
        ),
    ];

    #[test]
    fn secrets_are_masked() {
        for (line, expected) in LINES {
            assert_eq!(masked(line), expected, "{line}");
        }
    }

    /// A history keeps what has been typed when the connection is lost.
    #[test]
    fn incomplete_lines_have_no_secrets_either() {
        for (line, _) in LINES {
            let secret = line.find("hunter2").or_else(|| line.find("hun\"ter2")).unwrap_or(0);
            for end in secret + 3..=line.len() {
                let masked = masked(&line[..end]);
                assert!(!masked.contains("hun"), "{} -> {masked}", &line[..end]);
            }
        }
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        for (line, expected) in [
            (
                "blockdev-add driver=https url=https://u:hunter2@h/x node-name=n",
                "blockdev-add driver=https url=https://u:<secret>@h/x node-name=n",
            ),
            (
                "{'execute': 'migrate', 'arguments': {'uri': 'ssh://u:hunter2@h/x'}}",
                "{'execute': 'migrate', 'arguments': {'uri': 'ssh://u:<secret>@h/x'}}",
            ),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn messages_quote_no_secrets() {
        let line = "object-add qom-type=secret id=s0 data:={'a': hunter2}";
        let message = "unexpected `hunter2`: text must be in quotes";
        assert_eq!(unquoted(line, message), "unexpected `<secret>`: text must be in quotes");
        let message = "`object-add` has no argument `id`; did you mean `qom-type`?";
        assert_eq!(unquoted(line, message), message);
    }

    #[test]
    fn other_lines_are_unchanged() {
        for line in [
            "",
            "query-status",
            "blockdev-add driver=qcow2 node-name=n0 file={'driver': 'file', 'filename': 'a'}",
            "blockdev-add driver=luks key-secret=sec0 node-name=n0",
            "chardev-add id=c backend={\"type\": \"ringbuf\", \"data\": {\"size\": 1024}}",
            "transaction actions=[{'type': 'abort', 'data': {}}]",
            "{\"execute\": \"transaction\", \"arguments\": {\"actions\": [{\"type\": \"abort\", \"data\": {}}]}}",
            "human-monitor-command command-line=\"info status\"",
            "hmp info status",
            "change ide1-cd0 /tmp/a.iso",
            "help set_password",
            "# a comment",
            "expire_password protocol=vnc time=now",
        ] {
            assert_eq!(masked(line), line);
        }
    }
}
