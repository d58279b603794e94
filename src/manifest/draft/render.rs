//! A draft as the text of `manifest.yaml`, with comments for whoever goes on from there.

use super::{Draft, Login, Pages, Way};

/// The page size that is asked for when nobody said.
const SIZE: u64 = 100;

/// The text of the manifest.
#[must_use]
pub fn manifest(draft: &Draft) -> String {
    let mut lines = Lines::default();
    head(draft, &mut lines);
    lines.add("objects:");
    lines.add(&format!("  {}:", draft.object));
    lines.add(&format!("    id: {}", draft.id));
    if draft.fields.iter().any(|field| field.name == "email") {
        lines.add("    match: [email]");
    }
    if let Some((at, format)) = &draft.modified {
        lines.add(&format!("    modified: {{at: {}, format: {format}}}", quoted(at)));
    }
    read(draft, &mut lines);
    if let Some(path) = &draft.get {
        lines.add(&format!(
            "    get: {{request: {}, records: {}}}",
            quoted(&format!("GET {path}")),
            one(draft)
        ));
    }
    if let Some(parameter) = &draft.find {
        lines.add("    find:");
        let query = format!("query: {{{}: \"{{{{ value }}}}\"}}", quoted(parameter));
        let records = records(draft);
        lines.add(&format!(
            "      email: {{request: GET {}, {query}, records: {records}}}",
            draft.list
        ));
    }
    write(draft, &mut lines);
    lines.add(if draft.fields.is_empty() {
        "    fields: {}"
    } else {
        "    fields:"
    });
    for field in &draft.fields {
        let to = quoted(&field.to);
        lines.add(&match field.kind.as_str() {
            "" => format!("      {}: {to}", field.name),
            kind => format!("      {}: {{to: {to}, type: {kind}}}", field.name),
        });
    }
    if !draft.others.is_empty() {
        lines.add(&format!("      # The tool also has: {}", draft.others.join(", ")));
    }
    lines.add("unverified:");
    for statement in draft
        .unverified
        .iter()
        .map(String::as_str)
        .chain(ALWAYS.iter().copied())
    {
        lines.add(&format!("  - {}", quoted(statement)));
    }
    lines.0
}

/// What no description says.
const ALWAYS: &[&str] = &[
    "how fast the tool may be called, and what its refusals look like",
    "how late the list is behind a write",
];

/// The text of a `tests.yaml` that proves the credential; `nivel connector record` makes the rest.
#[must_use]
pub fn tests(draft: &Draft) -> String {
    let mut lines = Lines::default();
    lines.add("# `nivel connector record SYSTEM` fills this file with what the tool really says.");
    let secrets = match draft.login {
        Login::Basic => "user: nivel, password: abc",
        _ => "token: abc",
    };
    lines.add(&format!("config: {{{secrets}}}"));
    lines.add("tests:");
    lines.add("  - name: the credential is proven");
    lines.add("    check: true");
    lines.add("    http:");
    lines.add(&format!("      - request: {{method: GET, path: {}}}", draft.check));
    lines.add("        response: {status: 200, body: {}}");
    lines.add("    expect: {}");
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

fn head(draft: &Draft, lines: &mut Lines) {
    lines.add(&format!(
        "# Drafted by `nivel connector new {}`. What is marked unverified was guessed: look, then remove the mark.",
        draft.name
    ));
    lines.add(&format!("connector: {}", draft.name));
    lines.add("format: 1");
    lines.add(&format!("doc: {}", quoted(&draft.doc)));
    lines.add("support: drafted");
    lines.add("config:");
    let auth = match &draft.login {
        Login::Basic => {
            lines.add("  user: {doc: \"Name of the user\"}");
            lines.add("  password: {secret: true, doc: \"Password or token of the user\"}");
            "auth: {basic: {user: \"{{ config.user }}\", password: \"{{ config.password }}\"}}".to_owned()
        }
        login => {
            lines.add("  token: {secret: true, doc: \"Access token\"}");
            match login {
                Login::Header(name) => format!(
                    "auth: {{header: {{{}: \"{{{{ config.token }}}}\"}}}}",
                    quoted(&name.to_ascii_lowercase())
                ),
                _ => "auth: {bearer: \"{{ config.token }}\"}".to_owned(),
            }
        }
    };
    lines.add(&format!("base: {}", quoted(draft.base.trim_end_matches('/'))));
    lines.add(&auth);
    lines.add(&format!("check: GET {}", draft.check));
    lines.add("limits:");
    lines.add("  - {rate: 2/1s}                                # unverified: what does the tool allow?");
    lines.add("  - {parallel: 2}");
    lines.add("  - {timeout: 60s}");
    lines.add("errors:                                          # unverified: what do its refusals look like?");
    for rule in [
        "{status: 429, class: throttle, wait: [header:retry-after, 10s]}",
        "{status: 401, class: auth}",
        "{status: 403, class: forbidden}",
        "{status: [404, 410], class: gone}",
        "{status: 409, class: exists}",
        "{status: [400, 422], class: invalid}",
        "{status: [500, 502, 503, 504], class: transient}",
    ] {
        lines.add(&format!("  - {rule}"));
    }
}

fn read(draft: &Draft, lines: &mut Lines) {
    lines.add("    read:");
    let mut query = Vec::new();
    match (&draft.since, &draft.modified) {
        (Some(parameter), Some((_, format))) => {
            lines.add("      window: {start: 2000-01-01T00:00:00Z, lag: 60s, overlap: 15m}   # unverified: how late is the list behind a write?");
            lines.add("      full: {every: 1d}                          # finds what was removed");
            let since = match format.as_str() {
                "s" => "{{ (window.since / 1000) | int }}",
                "ms" => "{{ window.since }}",
                _ => "{{ window.since | strftime('%Y-%m-%dT%H:%M:%SZ') }}",
            };
            query.push(format!("{}: \"{since}\"", quoted(parameter)));
        }
        _ => lines
            .add("      full: {every: 1h}                          # unverified: can the tool list only what changed?"),
    }
    if let Some(parents) = &draft.parents {
        let records = records_at(&parents.records);
        lines.add(&format!(
            "      parents: {{in_id: true, list: {{request: GET {}, records: {records}, id: {}}}}}   # unverified: is one answer all of them?",
            parents.list, parents.id
        ));
    }
    let request = format!("GET {}", draft.list);
    let request = if draft.parents.is_some() {
        quoted(&request)
    } else {
        request
    };
    lines.add(&format!("      request: {request}"));
    let size = draft.size.as_ref().map_or(SIZE, |(_, size)| *size);
    if let Some((parameter, size)) = &draft.size {
        query.push(format!("{}: {size}", quoted(parameter)));
    }
    if !query.is_empty() {
        lines.add(&format!("      query: {{{}}}", query.join(", ")));
    }
    lines.add(&format!("      records: {}", records(draft)));
    let whole = if draft.size.is_some() {
        format!(", size: {size}")
    } else {
        String::new()
    };
    let page = match &draft.pages {
        Pages::One => "      # unverified: does the answer hold everything? Then there is no `page`.".to_owned(),
        Pages::Number(to) => format!(
            "      page: {{by: page, to: {}, start: \"1\"{whole}}}   # unverified: is the first page 1?",
            quoted(&format!("query.{to}"))
        ),
        Pages::Skip(to) => format!(
            "      page: {{by: offset, to: {}, step: {size}{whole}}}",
            quoted(&format!("query.{to}"))
        ),
        Pages::Token(to, from) => format!(
            "      page: {{by: token, to: {}, from: {}}}",
            quoted(&format!("query.{to}")),
            quoted(from)
        ),
        Pages::Url(from) => format!("      page: {{by: next_url, from: {}}}", quoted(from)),
    };
    lines.add(&page);
}

fn write(draft: &Draft, lines: &mut Lines) {
    let (Some(create), Some(update)) = (&draft.create, &draft.update) else {
        lines.add("    # Nothing is written: `write: {create: …, update: …}` would say how.");
        return;
    };
    if draft.find.is_none() {
        lines.add(
            "    # Nothing is made before an object can be found again: `find: {email: …}`, then `write: {create: …}`.",
        );
    }
    lines.add("    write:");
    if draft.get.is_none() {
        lines.add(
            "      before: nothing                            # unverified: how is a change by somebody else noticed?",
        );
    }
    if draft.find.is_some() {
        lines.add(&format!(
            "      create: {{request: {} {}, body: {}}}",
            create.method,
            create.path,
            body(create)
        ));
    }
    lines.add(&format!(
        "      update: {{request: {}, by: id, body: {}, answer: status}}",
        quoted(&format!("{} {}", update.method, update.path)),
        body(update)
    ));
    lines.add("      result:");
    lines.add(&format!(
        "        one: {{id: {}}}                            # unverified: where is the id in the answer to a create?",
        quoted(&inside(create, &draft.id))
    ));
}

fn body(way: &Way) -> String {
    match &way.inside {
        Some(member) => format!("{{{}: \"{{{{ remote }}}}\"}}", quoted(member)),
        None => "\"{{ remote }}\"".to_owned(),
    }
}

fn inside(way: &Way, id: &str) -> String {
    way.inside
        .as_ref()
        .map_or_else(|| id.to_owned(), |member| format!("{member}.{id}"))
}

/// Where the objects of a list are; `one` is the answer itself.
fn records(draft: &Draft) -> String {
    records_at(&draft.records)
}

fn records_at(path: &str) -> String {
    if path.is_empty() {
        "one".to_owned()
    } else {
        quoted(path)
    }
}

/// Where the object is in the answer of `get`.
fn one(draft: &Draft) -> String {
    match draft.update.as_ref().and_then(|way| way.inside.as_ref()) {
        Some(member) => quoted(member),
        None => "one".to_owned(),
    }
}

/// A text as YAML takes it, with quotes where it would be something else without.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    if starts_well
        && text.chars().all(is_plain)
        && !matches!(text, "null" | "true" | "false" | "yes" | "no" | "on" | "off")
    {
        return text.to_owned();
    }
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(['\n', '\r'], " ")
    )
}
