//! Masks secrets in a session: in commands, and in what servers reply to them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::strict::unquote;
use super::text::{Masking, mask, mask_file_names, strings};
use super::{SECRET, commands_with_secrets, human, masking, secrets_of, to_strict, url};
use crate::secret::suggests_secret;

/// The greatest number of replies that are waited for.
const MAX_AWAITED: usize = 4096;
/// The greatest size of the secrets of one command whose repetition is noticed, in bytes.
const MAX_ECHO: usize = 64 << 10;
/// The length of the shortest secret whose repetition is noticed, in bytes.
const MIN_ECHO: usize = 3;

/// Masks the secrets in all messages between a client and a server, for logs, transcripts and
/// recordings.
///
/// A redactor is for one connection. Secret are the members of commands that
/// [`redact`](crate::redact) masks, however the command is written, also in file names that are JSON, of
/// commands, replies and events; passwords in URLs; what `qom-get` and `qom-list-get` return of secret
/// properties; and what a reply, or an event before it, repeats of its command's secrets.
///
/// ```
/// # #[cfg(feature = "qmp")] {
/// use qmp_types::Redactor;
///
/// let mut redactor = Redactor::new();
/// let get = "{'execute': 'qom-get', 'arguments': {'path': '/objects/key', 'property': 'data'}}";
/// redactor.sent(get);
/// assert_eq!(redactor.received(r#"{"return": "hunter2"}"#), r#"{"return": "<secret>"}"#);
/// # }
/// ```
#[derive(Default)]
pub struct Redactor {
    /// The commands without a reply. Those that have an id and no secrets are not among them.
    awaited: VecDeque<Awaited>,
    /// Whether a command was forgotten, so that any reply may have its secrets.
    has_forgotten: bool,
}

struct Awaited {
    id: Option<Value>,
    reply: ReplySecrets,
}

/// The secrets in a reply.
enum ReplySecrets {
    Nothing,
    /// The value that is returned, and the description of an error.
    Everything,
    /// The values of secret properties, in what `qom-list-get` returns.
    Properties,
    /// These texts.
    Texts(BTreeSet<String>),
}

/// The parts of a command that decide what is secret in its reply.
#[derive(Default)]
struct Sent {
    command: String,
    arguments: Value,
    id: Option<Value>,
}

impl fmt::Debug for Redactor {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("awaited", &self.awaited.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Creates a redactor for a new connection.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Masks a message that the client has sent. It need not be valid.
    #[inline]
    pub fn sent<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let secrets = secrets_in(text);
        let mut hidden = BTreeSet::new();
        let masking = |name: &str| masking(name, &secrets);
        let masked = mask(text, &masking, &mut |value| note_texts(value, &mut hidden));
        let sent = Sent::read(text);
        let reply = sent.reply_secrets(hidden);
        // Replies without an id are matched by their order, so that all of these count.
        if sent.id.is_none() || !matches!(reply, ReplySecrets::Nothing) {
            if self.awaited.len() == MAX_AWAITED {
                let forgotten = self.awaited.pop_front();
                self.has_forgotten |=
                    forgotten.is_some_and(|one| !matches!(one.reply, ReplySecrets::Nothing));
            }
            self.awaited.push_back(Awaited { id: sent.id, reply });
        }
        url::mask(masked)
    }

    /// Masks a message that the client has received.
    #[inline]
    pub fn received<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let masked = match self.reply_secrets(text) {
            ReplySecrets::Nothing => Cow::Borrowed(text),
            ReplySecrets::Everything => {
                let masking = |name: &str| match name {
                    "return" | "desc" => Masking::Hide,
                    _ => Masking::Show,
                };
                mask(text, &masking, &mut |_| ())
            }
            ReplySecrets::Properties => mask_properties(text),
            ReplySecrets::Texts(texts) => {
                let replace = |text: Cow<'t, str>, secret: &String| match text.contains(secret) {
                    true => Cow::Owned(text.replace(secret, SECRET)),
                    false => text,
                };
                texts.iter().rev().fold(Cow::Borrowed(text), replace)
            }
        };
        url::mask(match mask_file_names(&masked, &in_file_names) {
            Some(masked) => Cow::Owned(masked),
            None => masked,
        })
    }

    /// Returns what is secret in a message of the server.
    #[inline]
    fn reply_secrets(&mut self, text: &str) -> ReplySecrets {
        if self.awaited.is_empty() {
            return self.unknown();
        }
        let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
            // It could be any reply.
            return ReplySecrets::Everything;
        };
        if members.contains_key("event") {
            return self.awaited_texts();
        }
        if members.contains_key("QMP") {
            return ReplySecrets::Nothing;
        }
        let id = members.get("id").and_then(|id| serde_json::from_str::<Value>(id.get()).ok());
        let at = self.awaited.iter().position(|awaited| awaited.id == id);
        match at.and_then(|at| self.awaited.remove(at)) {
            Some(awaited) => awaited.reply,
            None => self.unknown(),
        }
    }

    /// Returns the secrets of all commands that have no reply yet, which an event may repeat.
    #[inline]
    fn awaited_texts(&self) -> ReplySecrets {
        let texts = self.awaited.iter().filter_map(|awaited| match &awaited.reply {
            ReplySecrets::Texts(texts) => Some(texts),
            _ => None,
        });
        let texts: BTreeSet<String> = texts.flatten().cloned().collect();
        match texts.is_empty() {
            true => ReplySecrets::Nothing,
            false => ReplySecrets::Texts(texts),
        }
    }

    #[inline]
    fn unknown(&self) -> ReplySecrets {
        match self.has_forgotten {
            true => ReplySecrets::Everything,
            false => ReplySecrets::Nothing,
        }
    }
}

impl Sent {
    #[inline]
    fn read(text: &str) -> Self {
        let Ok(Value::Object(mut members)) = serde_json::from_str(&to_strict(text)) else {
            return Self::default();
        };
        let command = members.remove("execute").or_else(|| members.remove("exec-oob"));
        Self {
            command: command.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(),
            arguments: members.remove("arguments").unwrap_or_default(),
            id: members.remove("id"),
        }
    }

    #[inline]
    fn argument(&self, name: &str) -> &str {
        self.arguments.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    #[inline]
    fn reply_secrets(&self, hidden: BTreeSet<String>) -> ReplySecrets {
        let property = match &*self.command {
            "qom-get" => Some(self.argument("property")),
            "qom-list-get" => return ReplySecrets::Properties,
            "human-monitor-command" => human::property_read(self.argument(human::LINE)),
            _ => None,
        };
        if property.is_some_and(is_secret_property)
            || hidden.iter().map(String::len).sum::<usize>() > MAX_ECHO
        {
            return ReplySecrets::Everything;
        }
        match hidden.is_empty() {
            true => ReplySecrets::Nothing,
            false => ReplySecrets::Texts(hidden),
        }
    }
}

/// Returns the names of the secret members of all commands that a text names, since a command may be
/// written in any way.
#[inline]
fn secrets_in(text: &str) -> Vec<&'static str> {
    let mut secrets = Vec::new();
    for name in strings(text).filter_map(unquote) {
        let found = commands_with_secrets().find(|(command, _)| *command == name);
        if let Some((_, of_command)) = found {
            let new = |secret: &&&str| !secrets.contains(*secret);
            let new: Vec<&str> = of_command.iter().filter(new).copied().collect();
            secrets.extend(new);
        }
    }
    secrets
}

/// Returns whether a property of an object is secret: if it is so when objects are created.
#[inline]
fn is_secret_property(name: &str) -> bool {
    secrets_of("object-add").contains(&name) || suggests_secret(name)
}

/// Returns how a member is masked in a file name of an image.
#[inline]
fn in_file_names(name: &str) -> Masking {
    masking(name, secrets_of("blockdev-add"))
}

/// Notes the texts in a hidden value that a reply could repeat.
#[inline]
fn note_texts(value: &str, texts: &mut BTreeSet<String>) {
    let mut note = |text: &str| {
        if text.len() >= MIN_ECHO {
            texts.insert(text.to_owned());
        }
    };
    for quoted in strings(value) {
        let content = unquote(quoted).unwrap_or_default();
        // A server may escape it differently.
        let written = serde_json::to_string(&*content).unwrap_or_default();
        note(written.get(1..written.len().saturating_sub(1)).unwrap_or_default());
        note(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        // The arguments in a line of the human monitor, and variables of an environment.
        let parts = content.split([' ', ',', '=']);
        parts.skip(1).filter(|part| part.len() > MIN_ECHO).for_each(&mut note);
    }
}

/// Masks the values of secret properties, `{"name": .., "value": ..}`, at any depth.
#[inline]
fn mask_properties(text: &str) -> Cow<'_, str> {
    #[inline]
    fn mask_in(value: &mut Value) -> bool {
        match value {
            Value::Array(elements) => {
                elements.iter_mut().fold(false, |any, one| mask_in(one) | any)
            }
            Value::Object(members) => {
                let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
                if is_secret_property(name) && members.contains_key("value") {
                    members.insert("value".to_owned(), SECRET.into());
                    return true;
                }
                members.values_mut().fold(false, |any, one| mask_in(one) | any)
            }
            _ => false,
        }
    }
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => match mask_in(&mut value) {
            true => Cow::Owned(value.to_string()),
            false => Cow::Borrowed(text),
        },
        Err(_) => Cow::Owned(format!("{{\"return\": \"{SECRET}\"}}")),
    }
}

#[cfg(all(test, feature = "qmp", feature = "qga"))]
mod tests {
    use super::*;

    /// Commands in any syntax, and what a server could reply.
    #[test]
    fn secrets_are_masked_in_any_syntax() {
        for (sent, received) in [
            (r#"{"arguments": {"password": "hunter2"}, "execute": "change-vnc-password"}"#, "{}"),
            (
                "{'execute': 'object-add', 'arguments': {'data': 'hunter2', 'qom-type': 'secret'}}",
                "{}",
            ),
            (
                r#"{"execute": "object\u002dadd", "arguments": {"props": {"d\u0061ta": "hunter2"}}}"#,
                "{}",
            ),
            ("{\"execute\": \"object-add\",\n \"arguments\": {\"data\"\n:\n\"hunter2", "{}"),
            (
                "{'execute': 'human-monitor-command', 'arguments': {'command-line': 'change vnc password hunter2'}}",
                r#"{"error": {"class": "GenericError", "desc": "no 'hunter2'"}}"#,
            ),
            (
                r#"{"execute": "human-monitor-command", "arguments": {"command-line": "object_add secret,id=s,data=hunter2"}}"#,
                r#"{"return": "invalid: hunter2\r\n"}"#,
            ),
            (
                r#"{"execute": "human-monitor-command", "arguments": {"command-line": "qom-get /objects/s data"}}"#,
                r#"{"return": "hunter2\r\n"}"#,
            ),
            (
                r#"{"execute": "qom-get", "arguments": {"path": "/objects/s", "property": "data"}, "id": "\u0061"}"#,
                r#"{"return": "hunter2", "id": "a"}"#,
            ),
            (
                r#"{"execute": "qom-list-get", "arguments": {"paths": ["/objects/s"]}, "id": 1}"#,
                r#"{"id": 1, "return": [{"properties": [{"name": "data", "type": "string", "value": "hunter2"}]}]}"#,
            ),
            (
                r#"{"execute": "qom-get", "arguments": {"property": "data"}, "id": 1}"#,
                "{\"return\": \"hunter2\", \"id",
            ),
            (
                r#"{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "file": "json:{\"driver\": \"https\", \"cookie\": \"hunter2\"}"}}"#,
                "{}",
            ),
            (
                r#"{"execute": "blockdev-add", "arguments": {"url": "https://me:hunter2@host/x"}}"#,
                r#"{"return": {"filename": "https://me:hunter2@host/x"}}"#,
            ),
            (
                r#"{"execute": "guest-exec", "arguments": {"path": "x", "env": ["TOKEN=hunter2"]}}"#,
                r#"{"error": {"desc": "bad variable TOKEN=hunter2"}}"#,
            ),
            (
                r#"{"execute": "set_password", "arguments": {"password": "hunter2"}, "id": 5}"#,
                r#"{"error": {"class": "GenericError", "desc": "hunter2 is short"}, "id": 5}"#,
            ),
            (
                r#"{"execute": "set_password", "arguments": {"password": "hunter2"}, "id": 5}"#,
                r#"{"event": "VNC_CHANGED", "data": {"reason": "hunter2 is set"}}"#,
            ),
        ] {
            let mut redactor = Redactor::new();
            for shown in [redactor.sent(sent), redactor.received(received)] {
                assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }

    #[test]
    fn replies_are_matched_with_commands() {
        let mut redactor = Redactor::new();
        let get = |property: &str, id: &str| {
            format!(r#"{{"execute": "qom-get", "arguments": {{"property": "{property}"}}{id}}}"#)
        };
        for sent in [get("data", ", \"id\": 1"), get("type", ""), get("data", ""), get("type", "")]
        {
            assert_eq!(redactor.sent(&sent), sent);
        }
        for (received, shown) in [
            (r#"{"event": "STOP"}"#, true),
            (r#"{"return": "x"}"#, true),
            (r#"{"return": "x"}"#, false),
            (r#"{"return": "x", "id": 2}"#, true),
            (r#"{"return": "x", "id": 1}"#, false),
            (r#"{"return": "x"}"#, true),
            (r#"{"return": "x"}"#, true),
        ] {
            assert_eq!(redactor.received(received) == received, shown, "{received}");
        }
        // Commands that have been forgotten are not forgotten silently.
        for id in 0..=MAX_AWAITED {
            redactor.sent(&get("data", &format!(", \"id\": {id}")));
        }
        assert!(!redactor.received(r#"{"return": "x", "id": 0}"#).contains('x'));
    }

    /// QEMU describes an image by a file name that is JSON, which has its cookies: in replies to other
    /// commands, in errors, and in the text of the human monitor.
    #[test]
    fn file_names_in_replies_have_no_secrets() {
        let name = r#"json:{\"driver\": \"raw\", \"file\": {\"driver\": \"https\", \"cookie\": \"hunter2\", \"url\": \"x\"}}"#;
        let nested = r#"json:{\"file\": \"json:{\\\"cookie\\\": \\\"hunter2\\\"}\"}"#;
        for name in [name, nested] {
            for received in [
                format!(r#"{{"return": [{{"file": "{name}", "ro": true}}, {{"x": "y"}}]}}"#),
                format!(r#"{{"error": {{"desc": "Could not open '{name}': x"}}}}"#),
                format!(r#"{{"return": "d0: {name} (raw)\r\n    Attached to: x\r\n"}}"#),
                format!(r#"{{"event": "X", "data": {{"'": "{name}"}}}}"#),
            ] {
                let shown = Redactor::new().received(&received).into_owned();
                assert!(shown.contains("<secret>") && !shown.contains("hunter2"), "{shown}");
                assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{shown}");
            }
        }
        let plain = r#"{"return": "json:{\"driver\": \"null-co\"}"}"#;
        assert!(matches!(Redactor::new().received(plain), Cow::Borrowed(_)));
    }

    #[test]
    fn any_text_can_be_redacted() {
        let text = r#"{"execute": "human-monitor-command", 'arguments': {"command-line": "x\" 'é"}, "a": "json:{'\\": "://é:@"}"#;
        for start in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for end in (start..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut redactor = Redactor::new();
                let _ = redactor.sent(&text[start..end]);
                let _ = redactor.received(&text[start..end]);
            }
        }
    }
}
