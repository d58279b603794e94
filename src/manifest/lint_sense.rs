//! Does a well-formed manifest make sense? Second half: what is said together must not lose, double or overwrite.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::suggest;
use super::field::{Field, FieldType, WriteRule};
use super::hook::Verify;
use super::lint::{Lint, unasked};
use super::oauth::GrantKind;
use super::object::{CursorTo, Object, Order, Read};
use super::paging::Paging;
use super::scalar::Method;
use super::types::{Limit, Manifest};
use super::write::{Answer, Before, Op, WriteOps};
use crate::error::{Class, Code};
use crate::model::WriteMode;

pub(super) fn check(lint: &mut Lint<'_>) {
    let manifest: &Manifest = lint.manifest;
    if manifest.objects.is_empty() {
        lint.sense("objects", "there is no object", "");
    }
    if manifest.guest.is_some() {
        for (name, object) in &manifest.objects {
            super::joined::check(lint, name, object);
            super::once::check(lint, name, object);
            super::activity::check(lint, name, object);
        }
        return;
    }
    if !manifest.errors.iter().any(|rule| rule.class == Class::Auth) {
        lint.sense(
            "errors",
            "no rule says which answer means that the credential is not accepted (class auth)",
            "",
        );
    }
    if manifest.check.is_none() {
        lint.sense(
            "check",
            "`check` is missing",
            "name a cheap request that proves address and credential",
        );
    }
    for (name, object) in &manifest.objects {
        super::joined::check(lint, name, object);
        super::once::check(lint, name, object);
        super::job::check(lint, name, object);
        super::parents::check(lint, name, object);
        super::activity::check(lint, name, object);
        super::consent::check(lint, name, object);
        super::attach::check(lint, name, object);
        Checked {
            lint: &mut *lint,
            path: format!("objects.{name}"),
            object,
        }
        .all();
    }
    webhook(lint);
    limits(lint);
    oauth2(lint);
}

fn limits(lint: &mut Lint<'_>) {
    let manifest: &Manifest = lint.manifest;
    for (index, limit) in manifest.limits.iter().enumerate() {
        let Limit::Rate(limit) = limit else { continue };
        let dearest = limit.cost.values().copied().max().unwrap_or(1);
        if dearest > 1 && u64::from(dearest) * 2 > u64::from(limit.rate.count) {
            let path = lint.item("limits", index);
            let message = format!(
                "one call costs {dearest} of {}: more than half of the window",
                limit.rate.count
            );
            lint.sense(&path, message, "");
        }
    }
}

fn oauth2(lint: &mut Lint<'_>) {
    let manifest: &Manifest = lint.manifest;
    let Some(oauth2) = &manifest.oauth2 else { return };
    let missing = match oauth2.grant {
        GrantKind::Code if oauth2.authorize.is_none() => "`grant: code` needs `authorize`",
        GrantKind::ClientCredentials if oauth2.client_secret.is_none() => {
            "`grant: client_credentials` needs `client_secret`"
        }
        GrantKind::JwtBearer if oauth2.assertion.is_none() => "`grant: jwt_bearer` needs `assertion`",
        _ => return,
    };
    lint.sense("oauth2", missing, "");
}

impl Lint<'_> {
    pub(super) fn sense(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.tell(Code::ManifestSense, path, message, hint);
    }
}

struct Checked<'a, 'l> {
    lint: &'a mut Lint<'l>,
    path: String,
    object: &'l Object,
}

impl Checked<'_, '_> {
    fn sense(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let path = format!("{}.{path}", self.path);
        self.lint.sense(&path, message, hint);
    }

    fn all(&mut self) {
        let object = self.object;
        let names: Vec<_> = object
            .fields
            .by_name
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        for name in object
            .match_by
            .iter()
            .filter(|name| !names.iter().any(|known| known == *name))
        {
            self.sense(
                "match",
                format!("`{name}` is not one of `fields`"),
                suggest(name, &names),
            );
        }
        for name in object
            .find
            .keys()
            .filter(|name| !names.iter().any(|known| known == *name))
        {
            self.sense(
                &format!("find.{name}"),
                format!("`{name}` is not one of `fields`"),
                suggest(name, &names),
            );
        }
        if let Some(read) = &object.read {
            self.read(read);
        }
        if let Some(get) = &object.get {
            let used = used_names(&[get.request.path.names(), body_names(get.body.as_ref(), &get.query)]);
            let wanted = if get.max > 1 { "ids" } else { "id" };
            if !used.contains(wanted) {
                self.sense(
                    "get",
                    format!("with `max: {}` the request must use `{wanted}`", get.max),
                    "",
                );
            }
        }
        if object.find.values().any(|find| find.then == super::object::Then::Get) && object.get.is_none() {
            self.sense("find", "`then: get` needs `get`", "");
        }
        if let Some(write) = &object.write {
            self.write(write);
        }
        self.fields();
    }

    fn read(&mut self, read: &Read) {
        match (&read.window, &read.cursor, &read.full) {
            (None, None, None) => self.sense(
                "read",
                "nothing says what the state of reading is",
                "`window`, `cursor` or `full: {every: 1d}`",
            ),
            (Some(_), Some(_), _) => self.sense("read", "`window` and `cursor` exclude each other", ""),
            _ => {}
        }
        let headers = read.headers.values().flat_map(super::body::Body::names).collect();
        let used = used_names(&[
            read.request.path.names(),
            body_names(read.body.as_ref(), &read.query),
            headers,
        ]);
        if let Some(window) = &read.window {
            if window.lag.0.is_zero() || window.overlap.0.is_zero() {
                let hint = "no tool's index is instant, and equal times straddle the edge of a window";
                self.sense("read.window", "`lag` and `overlap` must not be 0", hint);
            }
            match window.order {
                Order::Filter if !used.contains("window.since") => self.sense(
                    "read.window",
                    "the request does not use `window.since`",
                    "`order: newest` if the tool can only sort",
                ),
                Order::Newest if self.object.modified.is_none() => {
                    self.sense("read.window", "`order: newest` needs `modified`", "");
                }
                _ => {}
            }
        }
        if let Some(name) = unasked(read.page.as_ref(), &used) {
            self.sense(
                "read.page",
                "the next page is never asked for",
                format!("use `{name}` in the request, or `to`"),
            );
        }
        let is_delta = read.cursor.as_ref().is_some_and(|cursor| cursor.to == CursorTo::Url);
        if is_delta && !matches!(read.page, Some(Paging::NextUrl { .. })) {
            self.sense(
                "read.page",
                "`to: url` of a cursor and `page: {by: next_url}` belong together",
                "",
            );
        }
        if matches!(read.page, Some(Paging::Cursor { .. })) != (read.cursor.is_some() && !is_delta) {
            self.sense("read.page", "`page: {by: cursor}` and `cursor` belong together", "");
        }
        if read.cursor.is_none() && read.full.is_none() && read.deletes.is_none() && read.deleted.is_none() {
            let hint = "`deleted`, `deletes`, or `full: {every: 1d}` to notice what is absent";
            self.sense("read", "removed objects are never noticed", hint);
        }
    }

    fn write(&mut self, write: &WriteOps) {
        let object = self.object;
        let ways = [
            ("create", &write.create),
            ("update", &write.update),
            ("upsert", &write.upsert),
            ("delete", &write.delete),
        ];
        for (way, ops) in ways {
            for (index, op) in ops.iter().enumerate() {
                let path = self.lint.item(&format!("{}.write.{way}", self.path), index);
                self.op(&path, way, op, write);
            }
            let is_open = ops.last().is_some_and(|op| op.condition.is_some());
            if is_open {
                self.sense(&format!("write.{way}"), "the last way to write must have no `if`", "");
            }
        }
        self.before(write);
        let is_findable = object.match_by.iter().any(|name| object.find.contains_key(name));
        if !write.create.is_empty() && !is_findable {
            self.sense(
                "write.create",
                "an object whose creation got no answer could not be found again and would be doubled",
                "`find` for one of the fields of `match`",
            );
        }
    }

    /// A change must not overwrite one by somebody else that was never seen.
    fn before(&mut self, write: &WriteOps) {
        let object = self.object;
        let has_version = |op: &Op| {
            let used = used_names(&[op.request.path.names(), body_names(op.body.as_ref(), &op.query)]);
            let headers: BTreeSet<String> = op.headers.values().flat_map(super::body::Body::names).collect();
            used.contains("version") || headers.contains("version")
        };
        match write.before {
            Some(Before::Read) if object.get.is_none() => self.sense("write.before", "`before: read` needs `get`", ""),
            Some(Before::Version) if !write.update.iter().all(has_version) => {
                let hint = "`headers: {if-match: \"{{ version }}\"}`";
                self.sense("write.before", "`before: version` needs `version` in every way to update", hint);
            }
            Some(Before::Version) if object.version.is_none() => {
                self.sense("write.before", "nothing says where the `version` of an object is", "");
            }
            None if object.get.is_none() && !write.update.is_empty() => self.sense(
                "write",
                "nothing says how a change by somebody else is noticed before it is overwritten",
                "`get`, so that an object is read before it is changed; `before: version`; or `before: nothing` where the tool offers neither",
            ),
            _ => {}
        }
        if write.read_back && object.get.is_none() {
            self.sense("write.read_back", "`read_back` needs `get`", "");
        }
    }

    fn op(&mut self, path: &str, way: &str, op: &Op, write: &WriteOps) {
        let object = self.object;
        let result = &write.result;
        let is_mapped = match op.answer() {
            Answer::Rows => !result.ok.is_empty(),
            Answer::One => result.one.is_some(),
            Answer::Status => true,
        };
        if !is_mapped {
            let hint = "`result.ok` for rows, `result.one` for a single answer, or `answer: status`";
            self.lint
                .sense(path, "nothing says how the answer accounts for the operations", hint);
        }
        if op.list.is_some() != op.item.is_some() {
            self.lint.sense(path, "`list` and `item` belong together", "");
        }
        let used = used_names(&[op.request.path.names(), body_names(op.body.as_ref(), &op.query)]);
        if op.max > 1 && op.list.is_none() && op.each.is_none() && !used.contains("keys") {
            self.lint
                .sense(path, "several operations need a `list`, `each` or `keys`", "");
        }
        if op.each.is_some() && (op.list.is_some() || op.body.is_some() || op.job.is_some() || op.answer.is_some()) {
            let message = "`each` is the body and says how the answer is read: no `list`, `body`, `job` or `answer`";
            self.lint.sense(path, message, "");
        }
        let by_needed = way != "create";
        if by_needed && op.by.is_empty() {
            self.lint
                .sense(path, "`by` is missing: what addresses the object?", "`by: id`");
        }
        for name in op.by.iter().filter(|name| *name != "id") {
            if !object.fields.by_name.contains_key(name.as_str()) {
                let names: Vec<_> = object
                    .fields
                    .by_name
                    .keys()
                    .map(super::super::model::FieldName::as_str)
                    .collect();
                self.lint.sense(
                    path,
                    format!("`by: {name}` is not one of `fields`"),
                    suggest(name, &names),
                );
            }
        }
        for name in op.refuses.iter() {
            if way != "create" || !object.match_by.iter().any(|known| known == name) {
                let message = format!("`refuses: {name}` belongs to a create and names a field of `match`");
                self.lint.sense(path, message, "");
            }
        }
        if way == "upsert" && op.by.iter().any(|name| name == "id") {
            self.lint
                .sense(path, "an upsert is addressed by fields, not by `id`", "");
        }
    }

    fn fields(&mut self) {
        let object = self.object;
        let mut written: BTreeMap<String, &str> = BTreeMap::new();
        for (name, field) in &object.fields.by_name {
            let path = format!("fields.{name}");
            self.field(&path, field);
            let is_direct = matches!(field.write, WriteRule::Mode(_) | WriteRule::Value(_));
            let is_written = is_direct && field.write.mode() != WriteMode::Never;
            let other = is_written.then(|| written.insert(field.to.to_string(), name.as_str()));
            if let Some(other) = other.flatten() {
                let message = format!("`{other}` is written to `{}` as well", field.to);
                self.sense(&path, message, "`write: never`");
            }
        }
        if object
            .fields
            .by_name
            .values()
            .filter(|field| field.key.is_some())
            .count()
            > 1
        {
            self.sense("fields", "our customer key has one place, not several", "");
        }
    }

    fn field(&mut self, path: &str, field: &Field) {
        let has_lists = self
            .object
            .describe
            .as_ref()
            .is_some_and(|describe| describe.options.is_some());
        if field.picklist && !has_lists {
            self.sense(path, "`picklist` needs `describe` with `options`", "");
        }
        let kind = field.kind();
        if field.write.mode() == WriteMode::ForwardOnly && kind != FieldType::Enum {
            self.sense(
                path,
                "`forward_only` needs an `enum`: its order says what is forward",
                "",
            );
        }
        if kind == FieldType::Enum && field.values.0.is_empty() {
            self.sense(path, "`type: enum` needs `enum`", "");
        }
        if field.sep.is_some() && kind != FieldType::Set {
            self.sense(path, "`sep` belongs to `type: set`", "");
        }
        let is_direct = matches!(field.write, WriteRule::Mode(_) | WriteRule::Value(_));
        let is_written = is_direct && field.write.mode() != WriteMode::Never && kind != FieldType::Set;
        if is_written && !field.to.is_plain() && self.object.fields.keeper(field).is_none() {
            let around = field.to.names().join(".");
            let hint = format!("keep it: `_around: {{to: {around}, type: json, write: never}}`");
            self.sense(path, "writing it would overwrite what stands beside it", hint);
        }
    }
}

fn used_names(parts: &[BTreeSet<String>]) -> BTreeSet<String> {
    parts.iter().flatten().cloned().collect()
}

fn body_names<'a, N: Ord + 'a>(
    body: Option<&super::body::Body>,
    query: &'a BTreeMap<N, super::body::Body>,
) -> BTreeSet<String> {
    body.into_iter()
        .chain(query.values())
        .flat_map(super::body::Body::names)
        .collect()
}

fn webhook(lint: &mut Lint<'_>) {
    let Some(webhook) = &lint.manifest.webhook else {
        return;
    };
    for (index, verify) in webhook.verify.iter().enumerate() {
        let path = lint.item("webhook.verify", index);
        if let Some(problem) = verify_problem(verify) {
            lint.sense(&path, problem, "");
        }
    }
    if webhook.verify.is_empty() {
        lint.sense(
            "webhook.verify",
            "a webhook without `verify` refuses every delivery",
            "",
        );
    }
    let events = &webhook.events;
    for (index, handshake) in webhook.handshake.iter().enumerate() {
        if !matches!(handshake.method, Method::Get | Method::Post) {
            let path = lint.item("webhook.handshake", index);
            lint.sense(&path, "a handshake is GET or POST", "");
        }
    }
    if webhook
        .subscriptions
        .as_ref()
        .is_some_and(|subscriptions| subscriptions.want.is_empty())
    {
        lint.sense("webhook.subscriptions.want", "nothing is wanted", "");
    }
    if events.id.is_none() && events.match_by.is_empty() {
        lint.sense(
            "webhook.events",
            "nothing says which object an event is about",
            "`id` or `match`",
        );
    }
    if let Some(name) = events
        .object
        .literal()
        .filter(|name| !lint.manifest.objects.contains_key(*name))
    {
        let known: Vec<_> = lint.manifest.objects.keys().collect();
        let (message, hint) = (format!("there is no object `{name}`"), suggest(name, &known));
        lint.sense("webhook.events.object", message, hint);
    }
}

fn verify_problem(verify: &Verify) -> Option<&'static str> {
    let ways = [
        verify.hmac.is_some(),
        verify.hash.is_some(),
        verify.jwt.is_some(),
        verify.path_secret.is_some(),
        verify.basic.is_some(),
        !verify.header.is_empty(),
        !verify.query.is_empty(),
        !verify.body.is_empty(),
    ];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        return Some("it is exactly one of `hmac`, `hash`, `jwt`, `path_secret`, `basic`, `header`, `query`, `body`");
    }
    let has_text = verify.over.is_some() && verify.equals.is_some();
    if verify.hmac.is_some() && (verify.key.is_empty() || !has_text) {
        return Some("`hmac` needs `key`, `over` and `equals`");
    }
    if verify.hash.is_some() && !has_text {
        return Some("`hash` needs `over`, with the secret in it, and `equals`");
    }
    (verify.jwt.is_some() && verify.key.is_empty()).then_some("`jwt` needs `key`")
}
