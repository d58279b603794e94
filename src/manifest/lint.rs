//! Does a well-formed manifest make sense? First half: every expression uses only names that exist where it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::body::Body;
use super::cond::Cond;
use super::decode::suggest;
use super::expr::Template;
use super::field::WriteRule;
use super::from_answer::FromAnswer;
use super::hook::{Subscriptions, Webhook};
use super::job::ListJob;
use super::lint_sense;
use super::map_out::GOLDEN_NAMES;
use super::object::{Object, Read};
use super::paging::Paging;
use super::parents::Parents;
use super::scalar::Request;
use super::types::{Auth, Manifest, Pick};
use super::write::Op;
use crate::error::{Code, Problem};

/// Everything about a manifest that cannot be right, with its place in the file.
#[must_use]
pub fn lint(manifest: &Manifest) -> Vec<Problem> {
    let mut lint = Lint::new(manifest);
    lint.head();
    for (name, object) in &manifest.objects {
        lint.object(&format!("objects.{name}"), object);
    }
    if let Some(webhook) = &manifest.webhook {
        lint.webhook(webhook);
    }
    lint.unused_settings();
    lint_sense::check(&mut lint);
    lint.problems
}

/// The names an expression may use: `config` stands for all of its members, `page.after` for that one, `e` for anything.
type Names<'a> = &'a [&'a str];

/// Names inside a write call.
const CALL: Names<'static> = &[
    "key", "id", "version", "op_id", "remote", "known", "match", "customer", "ops", "keys",
];

/// Names on an answer.
const ANSWER: Names<'static> = &["body", "headers", "status"];

pub(super) struct Lint<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) problems: Vec<Problem>,
    used_settings: BTreeSet<String>,
}

impl<'a> Lint<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        Self {
            manifest,
            problems: Vec::new(),
            used_settings: BTreeSet::new(),
        }
    }

    pub(super) fn tell(&mut self, code: Code, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let place = self.manifest.places.of(path);
        self.problems.push(Problem::new(code, message).about(place).hint(hint));
    }

    /// The path of one of several: a single entry may stand without its list.
    pub(super) fn item(&self, path: &str, index: usize) -> String {
        let item = format!("{path}.{index}");
        if self.manifest.places.at.contains_key(&item) {
            item
        } else {
            path.to_owned()
        }
    }

    fn names(&mut self, path: &str, used: BTreeSet<String>, allowed: Names<'_>) {
        for name in used {
            let (first, rest) = name.split_once('.').unwrap_or((&name, ""));
            if first == "config" {
                self.setting(path, rest.split('.').next().unwrap_or_default());
                continue;
            }
            let is_known = allowed.iter().any(|known| match known.split_once('.') {
                None => *known == first,
                Some((parent, member)) => {
                    parent == first && (rest.is_empty() || rest.split('.').next() == Some(member))
                }
            });
            if !is_known {
                let hint = suggest(&name, &[allowed, &["config"]].concat());
                self.tell(
                    Code::ManifestExpression,
                    path,
                    format!("`{name}` is not known here"),
                    hint,
                );
            }
        }
    }

    fn setting(&mut self, path: &str, name: &str) {
        if name.is_empty() || self.manifest.config.contains_key(name) {
            self.used_settings.insert(name.to_owned());
            return;
        }
        let known: Vec<_> = self.manifest.config.keys().collect();
        let hint = suggest(name, &known);
        self.tell(
            Code::ManifestExpression,
            path,
            format!("setting `{name}` is not declared in `config`"),
            hint,
        );
    }

    fn unused_settings(&mut self) {
        let manifest = self.manifest;
        for name in manifest.config.keys() {
            if !self.used_settings.contains(name.as_str()) && !self.used_settings.contains("") {
                let message = format!("setting `{name}` is never used");
                self.tell(Code::ManifestSense, &format!("config.{name}"), message, "");
            }
        }
    }

    fn template(&mut self, path: &str, template: &Template, allowed: Names<'_>) {
        self.names(path, template.names(), allowed);
    }

    fn request(&mut self, path: &str, request: &Request, allowed: Names<'_>) {
        self.template(&format!("{path}.request"), &request.path, allowed);
    }

    fn body(&mut self, path: &str, body: &Body, allowed: Names<'_>) {
        match body {
            Body::Literal(_) => {}
            Body::Template(template) => self.template(path, template, allowed),
            Body::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.body(&format!("{path}.{index}"), item, allowed);
                }
            }
            Body::Map(pairs) => {
                for (name, value) in pairs {
                    self.body(&format!("{path}.{name}"), value, allowed);
                }
            }
        }
    }

    fn bodies<'b, N: std::fmt::Display + 'b>(
        &mut self,
        path: &str,
        bodies: impl IntoIterator<Item = (&'b N, &'b Body)>,
        allowed: Names<'_>,
    ) {
        for (name, body) in bodies {
            self.body(&format!("{path}.{name}"), body, allowed);
        }
    }

    fn cond(&mut self, path: &str, cond: Option<&Cond>, allowed: Names<'_>) {
        if let Some(cond) = cond {
            self.names(path, cond.names(), allowed);
        }
    }

    fn pick(&mut self, path: &str, pick: Option<&Pick>, allowed: Names<'_>) {
        if let Some(Pick::Template(template)) = pick {
            self.template(path, template, allowed);
        }
    }

    fn head(&mut self) {
        let manifest = self.manifest;
        if let Some(base) = &manifest.base {
            self.template("base", base, &[]);
        }
        if let Some(config) = manifest.guest.as_ref().and_then(|guest| guest.config.as_ref()) {
            self.body("guest.config", config, &[]);
        }
        for (name, value) in &manifest.headers {
            self.template(&format!("headers.{name}"), value, &[]);
        }
        for (place, template) in manifest.auth.iter().flat_map(Auth::templates) {
            self.template(&format!("auth.{place}"), template, &[]);
        }
        for (place, template) in manifest.oauth2.iter().flat_map(super::oauth::OAuth2::templates) {
            self.template(&format!("oauth2.{place}"), template, &[]);
        }
        if let Some(check) = &manifest.check {
            self.template("check", &check.path, &[]);
        }
        for (index, rule) in manifest.errors.iter().enumerate() {
            let path = format!("errors.{index}");
            let answer: Names<'_> = &["status", "body", "headers", "method"];
            self.cond(&format!("{path}.when"), rule.when.as_ref(), answer);
            self.pick(&format!("{path}.id"), rule.id.as_ref(), answer);
            self.pick(&format!("{path}.message"), rule.message.as_ref(), answer);
        }
    }

    fn object(&mut self, path: &str, object: &Object) {
        if let Some(guest) = &object.guest {
            self.cond(&format!("{path}.guest.deleted"), guest.deleted.as_ref(), &["record"]);
        }
        let has_parents = object.read.as_ref().is_some_and(|read| read.parents.is_some());
        let below: Names<'_> = if has_parents { &["parent"] } else { &[] };
        if let Some(read) = &object.read {
            self.read(&format!("{path}.read"), read);
        }
        if let Some(get) = &object.get {
            let path = format!("{path}.get");
            let allowed = [&["id", "ids", "fields.remote"], below].concat();
            let allowed = allowed.as_slice();
            self.request(&path, &get.request, allowed);
            self.bodies(&format!("{path}.headers"), &get.headers, allowed);
            self.bodies(&format!("{path}.query"), &get.query, allowed);
            self.bodies(&path, get.body.iter().map(|body| (&"body", body)), allowed);
        }
        for (member, attach) in &object.attach {
            let path = format!("{path}.attach.{member}");
            self.request(&path, &attach.request, &["asked"]);
            self.bodies(&format!("{path}.headers"), &attach.headers, &["asked"]);
            self.bodies(&format!("{path}.query"), &attach.query, &["asked"]);
            self.bodies(&path, attach.body.iter().map(|body| (&"body", body)), &["asked"]);
        }
        for (name, find) in &object.find {
            let path = format!("{path}.find.{name}");
            let allowed = [&["value", "fields.remote"], below].concat();
            let allowed = allowed.as_slice();
            self.request(&path, &find.request, allowed);
            self.bodies(&format!("{path}.headers"), &find.headers, allowed);
            self.bodies(&format!("{path}.query"), &find.query, allowed);
            self.bodies(&path, find.body.iter().map(|body| (&"body", body)), allowed);
        }
        if let Some(describe) = &object.describe {
            let path = format!("{path}.describe");
            self.request(&path, &describe.request, &[]);
            self.bodies(&format!("{path}.query"), &describe.query, &[]);
        }
        for (name, consent) in &object.consent {
            self.op(&format!("{path}.consent.{name}.deny"), &consent.deny);
        }
        for (word, notes) in [("notes", &object.notes), ("open", &object.open)] {
            let Some(notes) = notes else { continue };
            let path = format!("{path}.{word}");
            let allowed: Names<'_> = &["id", "text", "marker"];
            self.request(&path, &notes.create.request, allowed);
            self.bodies(&format!("{path}.create.headers"), &notes.create.headers, allowed);
            self.bodies(&path, [(&"body", &notes.create.body)], allowed);
            if let Some(find) = &notes.find {
                self.request(&path, &find.request, &["id", "marker"]);
                self.bodies(&format!("{path}.find.query"), &find.query, &["id", "marker"]);
            }
            if notes.find.is_some() == notes.unfindable {
                let message = "a note whose answer got lost must be found again before it is repeated";
                let hint = "write how (`find`), or `unfindable: true`: then it is never repeated";
                self.tell(Code::ManifestSense, &path, message, hint);
            }
        }
        if let Some(write) = &object.write {
            let id = write.result.one.as_ref().and_then(|one| one.id.as_ref());
            let used = id.map(FromAnswer::names).unwrap_or_default();
            self.names(&format!("{path}.write.result.one.id"), used, ANSWER);
            for (way, index, op) in write.ways() {
                let path = self.item(&format!("{path}.write.{way}"), index);
                self.op(&path, op);
            }
        }
        self.fields(&format!("{path}.fields"), object);
    }

    fn read(&mut self, path: &str, read: &Read) {
        let mut allowed = vec!["fields.remote"];
        if read.window.is_some() {
            allowed.extend(["window.since", "window.until"]);
        }
        let parts: Vec<_> = read.partition.keys().map(|name| format!("part.{name}")).collect();
        allowed.extend(parts.iter().map(String::as_str));
        if let Some(parents) = &read.parents {
            allowed.push("parent");
            self.parents(&format!("{path}.parents"), parents);
        }
        allowed.extend(page_name(read.page.as_ref()));
        self.request(path, &read.request, &allowed);
        self.bodies(&format!("{path}.headers"), &read.headers, &allowed);
        self.paging(path, read.page.as_ref());
        self.bodies(&format!("{path}.query"), &read.query, &allowed);
        self.bodies(path, read.body.iter().map(|body| (&"body", body)), &allowed);
        if let Some(cursor) = &read.cursor {
            let since: Names<'_> = if read.parents.is_some() {
                &["since", "parent"]
            } else {
                &["since"]
            };
            for start in cursor.start.values() {
                self.body(&format!("{path}.cursor.start"), start, since);
            }
        }
        self.cond(&format!("{path}.deleted"), read.deleted.as_ref(), &["record"]);
        if let Some(job) = &read.job {
            allowed.retain(|name| !name.starts_with("page"));
            self.job(&format!("{path}.job"), job, &allowed);
        }
        if let Some(deletes) = &read.deletes {
            let path = format!("{path}.deletes");
            let mut allowed = vec!["window.since", "window.until"];
            allowed.extend(page_name(deletes.page.as_ref()));
            self.request(&path, &deletes.request, &allowed);
            self.bodies(&format!("{path}.headers"), &deletes.headers, &allowed);
            self.bodies(&format!("{path}.query"), &deletes.query, &allowed);
            self.bodies(&path, deletes.body.iter().map(|body| (&"body", body)), &allowed);
        }
    }

    fn parents(&mut self, path: &str, parents: &Parents) {
        if let Some(named) = &parents.named {
            self.body(&format!("{path}.named"), named, &[]);
        }
        if let Some(list) = &parents.list {
            let path = format!("{path}.list");
            let allowed: Vec<_> = page_name(list.page.as_ref()).into_iter().collect();
            self.request(&path, &list.request, &allowed);
            self.bodies(&format!("{path}.headers"), &list.headers, &allowed);
            self.bodies(&format!("{path}.query"), &list.query, &allowed);
            self.paging(&path, list.page.as_ref());
        }
    }

    fn paging(&mut self, path: &str, page: Option<&Paging>) {
        let told = match page {
            Some(Paging::Offset { total, .. } | Paging::Page { total, .. }) => total.as_ref(),
            Some(Paging::Token { from, .. }) => Some(from),
            _ => None,
        };
        let used = told.map(FromAnswer::names).unwrap_or_default();
        self.names(&format!("{path}.page"), used, ANSWER);
    }

    fn job(&mut self, path: &str, job: &ListJob, allowed: Names<'_>) {
        self.request(path, &job.request, allowed);
        self.bodies(&format!("{path}.headers"), &job.headers, allowed);
        self.bodies(&format!("{path}.query"), &job.query, allowed);
        self.bodies(path, job.body.iter().map(|body| (&"body", body)), allowed);
        let begun: Names<'_> = &["job.id"];
        self.template(&format!("{path}.poll"), &job.poll.path, begun);
        if let Some(cancel) = &job.cancel {
            let path = format!("{path}.cancel");
            self.request(&path, &cancel.request, begun);
            self.bodies(&path, cancel.body.iter().map(|body| (&"body", body)), begun);
        }
        let path = format!("{path}.results");
        let mut allowed = vec!["job.id"];
        allowed.extend(page_name(job.results.page.as_ref()));
        self.request(&path, &job.results.request, &allowed);
        self.bodies(&format!("{path}.query"), &job.results.query, &allowed);
        self.paging(&path, job.results.page.as_ref());
        let counted = job.results.count.as_ref().map(FromAnswer::names);
        self.names(&format!("{path}.count"), counted.unwrap_or_default(), ANSWER);
    }

    fn op(&mut self, path: &str, op: &Op) {
        self.cond(&format!("{path}.if"), op.condition.as_ref(), &["ops"]);
        self.request(path, &op.request, CALL);
        self.bodies(&format!("{path}.query"), &op.query, CALL);
        self.bodies(&format!("{path}.headers"), &op.headers, CALL);
        let bodies = [("body", &op.body), ("item", &op.item)];
        for (name, body) in bodies {
            self.bodies(path, body.iter().map(|body| (&name, body)), CALL);
        }
        if let Some(each) = &op.each {
            let path = format!("{path}.each");
            self.request(&path, &each.request, CALL);
            self.bodies(&format!("{path}.query"), &each.query, CALL);
            self.bodies(&format!("{path}.headers"), &each.headers, CALL);
            self.bodies(&path, each.body.iter().map(|body| (&"body", body)), CALL);
        }
        if let Some(job) = &op.job {
            self.template(&format!("{path}.job.poll"), &job.poll.path, &["job.id"]);
        }
    }

    fn fields(&mut self, path: &str, object: &Object) {
        let mut allowed = vec!["value", "was", "customer"];
        allowed.extend(GOLDEN_NAMES);
        allowed.extend(object.fields.by_name.keys().map(super::super::model::FieldName::as_str));
        let known: Vec<_> = object
            .fields
            .by_name
            .keys()
            .map(|name| format!("known.{name}"))
            .collect();
        allowed.extend(known.iter().map(String::as_str));
        for (name, field) in &object.fields.by_name {
            let path = format!("{path}.{name}.write");
            match &field.write {
                WriteRule::Value(template) => self.template(&path, template, &allowed),
                WriteRule::Raw(raw) => self.template(&format!("{path}.value"), &raw.value, &allowed),
                WriteRule::Mode(_) | WriteRule::After => {}
            }
        }
    }

    fn webhook(&mut self, webhook: &Webhook) {
        for (index, handshake) in webhook.handshake.iter().enumerate() {
            let path = self.item("webhook.handshake", index);
            let asked: Names<'_> = &["query", "body", "headers"];
            self.cond(&format!("{path}.when"), handshake.when.as_ref(), asked);
            if let Some(echo) = &handshake.echo {
                self.template(&format!("{path}.echo"), echo, asked);
            }
        }
        for (index, verify) in webhook.verify.iter().enumerate() {
            let path = self.item("webhook.verify", index);
            self.cond(&format!("{path}.if"), verify.condition.as_ref(), &[]);
            let fixed = [&verify.header, &verify.query, &verify.body];
            let secrets = verify.key.iter().chain(&verify.path_secret);
            let basic = verify.basic.iter().flat_map(|basic| [&basic.user, &basic.password]);
            for secret in secrets.chain(basic).chain(fixed.into_iter().flat_map(BTreeMap::values)) {
                self.template(&path, secret, &[]);
            }
            if let Some(over) = &verify.over {
                let signed: Names<'_> = &["method", "url", "body", "headers", "sig", "params"];
                self.template(&format!("{path}.over"), over, signed);
            }
        }
        let event: Names<'_> = &["e", "headers"];
        let events = &webhook.events;
        self.template("webhook.events.object", &events.object, event);
        self.pick("webhook.events.key", events.key.as_ref(), &["e", "body", "headers"]);
        self.pick("webhook.events.id", events.id.as_ref(), event);
        if let Some(merge) = &events.merge {
            self.cond("webhook.events.merge.when", merge.when.as_ref(), event);
            self.pick("webhook.events.merge.winner", Some(&merge.winner), event);
            self.pick("webhook.events.merge.losers", Some(&merge.losers), event);
        }
        if let Some(subscriptions) = &webhook.subscriptions {
            self.subscriptions(subscriptions);
        }
    }

    fn subscriptions(&mut self, subscriptions: &Subscriptions) {
        let path = "webhook.subscriptions";
        let made: Names<'_> = &["url", "topic", "topics", "id"];
        self.template(&format!("{path}.list"), &subscriptions.list.path, &[]);
        self.template(&format!("{path}.delete"), &subscriptions.delete.path, &["id"]);
        self.pick(&format!("{path}.topics"), Some(&subscriptions.topics), &["row"]);
        self.cond(&format!("{path}.alive"), subscriptions.alive.as_ref(), &["row"]);
        let calls = [
            ("create", Some(&subscriptions.create)),
            ("renew", subscriptions.renew.as_ref()),
        ];
        for (name, call) in calls {
            let Some(call) = call else { continue };
            let path = format!("{path}.{name}");
            self.request(&path, &call.request, made);
            self.bodies(&path, call.body.iter().map(|body| (&"body", body)), made);
        }
    }
}

/// The name under which the state of paging is known to expressions.
pub(super) fn page_name(page: Option<&Paging>) -> Option<&'static str> {
    match page? {
        Paging::Token { .. } => Some("page.token"),
        Paging::Offset { .. } => Some("page.offset"),
        Paging::Page { .. } => Some("page.number"),
        Paging::Keyset { .. } => Some("page.after"),
        Paging::NextUrl { .. } | Paging::Link | Paging::Cursor { .. } => None,
    }
}

/// The word with which a request would have to ask for the next page, when neither it nor `to` does.
pub(super) fn unasked(page: Option<&Paging>, used: &BTreeSet<String>) -> Option<&'static str> {
    let goes_somewhere = match page? {
        Paging::Token { to, .. } | Paging::Offset { to, .. } | Paging::Page { to, .. } => to.is_some(),
        Paging::Keyset { .. } => false,
        Paging::NextUrl { .. } | Paging::Link | Paging::Cursor { .. } => true,
    };
    page_name(page).filter(|name| !goes_somewhere && !used.contains(*name))
}
