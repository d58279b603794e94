//! `handoffs:` and `calendars:`: how customers pass from one team to the next, and by when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;

use super::Config;
use super::read::{field_names, time};
use super::reader::{Entry, Section};
use super::rules::Specs;
use super::words::{duration, suggestion};
use crate::error::{Code, Problem};
use crate::handoff::{Calendar, NoteKind, Rule, When, Within, Words};
use crate::merge::{Create, Priority, may_flow};
use crate::model::{FieldName, StreamId, StreamSpec, WriteMode};

/// The options of one handoff.
pub(super) const HANDOFF: &[&str] = &[
    "from", "in", "when", "to", "carry", "within", "calendar", "create", "note", "open", "alert",
];
/// The options of one calendar.
pub(super) const CALENDAR: &[&str] = &["zone", "hours", "holidays"];

/// The options of `priority:`.
pub(super) const PRIORITY: &[&str] = &["field", "head_start"];

const NOTES: &[(&str, NoteKind)] = &[("timeline", NoteKind::Timeline), ("open-items", NoteKind::OpenItems)];

/// What the admin says about one handoff; which names lead somewhere is told by [`rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffConfig {
    /// The system whose customers it is about.
    pub from: Option<CompactString>,
    /// When it begins.
    pub when: String,
    /// Where the customer has to arrive: a system, or a stream of it (`crm/person`).
    pub to: CompactString,
    /// What has to arrive.
    pub carry: Vec<FieldName>,
    /// How long it may take.
    pub within: Duration,
    /// In whose working time that is.
    pub calendar: Option<CompactString>,
    /// Whether it lets Nivel make the customer there.
    pub create: bool,
    /// The note that the next person finds.
    pub note: Option<NoteKind>,
    /// The kind of activity that is opened for her there.
    pub open: Option<CompactString>,
    /// Who is told when it is late.
    pub alert: Option<CompactString>,
}

/// Reads `handoffs:`.
pub(super) fn handoffs(root: &Section<'_>) -> BTreeMap<CompactString, HandoffConfig> {
    let entries = root.entries("handoffs").into_iter();
    entries
        .filter_map(|(name, entry)| Some((name.into(), handoff(&entry)?)))
        .collect()
}

fn handoff(entry: &Entry<'_>) -> Option<HandoffConfig> {
    let section = entry.section(HANDOFF);
    if section.has("from") && section.has("in") {
        section.wrong(
            "in",
            "`in` and `from` exclude each other",
            "`in` is for what happens within one system",
        );
    }
    let inside = section.text("in");
    let from = section.text("from").or(inside);
    let to = section.text("to").or(inside);
    let when = section.text("when");
    if !section.has("when") {
        section.missing("when", "write a condition such as `when: \"lifecycle == 'qualified'\"`");
    }
    if to.is_none() && !section.has("to") {
        section.missing("to", "name the system where the customer has to arrive");
    }
    let within = time(&section, "within");
    if !section.has("within") {
        section.missing("within", "say how long it may take, such as `within: 15m`");
    }
    Some(HandoffConfig {
        from: from.map(CompactString::from),
        carry: field_names(&section, "carry").unwrap_or_default(),
        calendar: section.text("calendar").map(CompactString::from),
        create: section.flag("create").unwrap_or(false),
        note: section.word("note", NOTES),
        open: section.text("open").map(CompactString::from),
        alert: section.text("alert").map(CompactString::from),
        when: when?.to_owned(),
        to: to?.into(),
        within: within?,
    })
}

/// Reads `calendars:`.
pub(super) fn calendars(root: &Section<'_>) -> BTreeMap<CompactString, Calendar> {
    let mut calendars = BTreeMap::new();
    for (name, entry) in root.entries("calendars") {
        let section = entry.section(CALENDAR);
        let hours: Vec<(&str, &str)> = section
            .entries("hours")
            .into_iter()
            .filter_map(|(days, entry)| Some((days, entry.text()?)))
            .collect();
        let holidays = section.names("holidays").unwrap_or_default();
        let zone = section.text("zone").unwrap_or("UTC");
        match Calendar::read(zone, hours, holidays.iter().map(String::as_str)) {
            Ok(calendar) => drop(calendars.insert(name.into(), calendar)),
            Err(error) => entry.wrong(error.to_string(), ""),
        }
    }
    calendars
}

/// Reads `priority:`.
pub(super) fn priority(root: &Section<'_>) -> Option<Priority> {
    if !root.has("priority") {
        return None;
    }
    let section = root.section("priority", PRIORITY);
    let mut head_start = BTreeMap::new();
    for (tier, entry) in section.entries("head_start") {
        match entry.text().and_then(duration) {
            Some(time) => drop(head_start.insert(tier.into(), time)),
            None => entry.wrong(format!("`{tier}` needs a time such as 15m"), ""),
        }
    }
    let field = section.text("field").unwrap_or("tier");
    Some(Priority {
        field: FieldName::from(field),
        head_start,
    })
}

/// The rules of all handoffs, and everything in them that leads nowhere.
#[must_use]
pub fn handoff_rules(config: &Config, specs: &Specs) -> (Vec<Rule>, Vec<Problem>) {
    let mut read = Read {
        config,
        specs,
        problems: Vec::new(),
    };
    let rules = config
        .handoffs
        .iter()
        .filter_map(|(name, handoff)| read.rule(name, handoff))
        .collect();
    (rules, read.problems)
}

struct Read<'a> {
    config: &'a Config,
    specs: &'a Specs,
    problems: Vec<Problem>,
}

impl Read<'_> {
    fn tell(&mut self, name: &str, key: &str, message: String, hint: String) {
        let path = ["handoffs", name, key].map(str::to_owned);
        let place = self.config.places.value(&path);
        self.problems
            .push(Problem::new(Code::HandoffRule, message).about(place).hint(hint));
    }

    fn rule(&mut self, name: &CompactString, handoff: &HandoffConfig) -> Option<Rule> {
        let systems = || self.specs.keys().map(CompactString::as_str);
        if let Some(from) = handoff.from.as_ref().filter(|from| !self.specs.contains_key(*from)) {
            let hint = suggestion(from, systems());
            self.tell(name, "from", format!("there is no system `{from}`"), hint);
            return None;
        }
        let to = self.target(name, &handoff.to)?;
        let words = self.words(handoff.from.as_deref());
        let when = match When::read(&handoff.when, &words) {
            Ok(when) => when,
            Err(bad) => {
                let hint = bad
                    .unknown
                    .map(|(name, known)| suggestion(&name, known.iter().map(String::as_str)));
                self.tell(name, "when", bad.message, hint.unwrap_or_default());
                return None;
            }
        };
        let calendar = match &handoff.calendar {
            None => None,
            Some(calendar) => match self.config.calendars.get(calendar) {
                Some(found) => Some(found.clone()),
                None => {
                    let hint = suggestion(calendar, self.config.calendars.keys().map(CompactString::as_str));
                    self.tell(name, "calendar", format!("there is no calendar `{calendar}`"), hint);
                    return None;
                }
            },
        };
        let spec = self.specs.get(&to.system)?.get(&to.stream)?;
        self.carried(name, handoff, &to, spec);
        let targets = &self.config.alerts.targets;
        if let Some(alert) = handoff.alert.as_ref().filter(|alert| !targets.contains_key(*alert)) {
            let hint = suggestion(alert, targets.keys().map(CompactString::as_str));
            self.tell(name, "alert", format!("`alerts.to` has no `{alert}`"), hint);
        }
        Some(Rule {
            name: name.clone(),
            from: handoff.from.clone(),
            kind: spec.kind,
            to: to.clone(),
            when,
            carry: handoff.carry.clone(),
            within: Within {
                time: handoff.within,
                calendar,
            },
            create: handoff.create,
            // What is opened tells why, whether the admin asked for a note or not.
            note: handoff
                .note
                .or_else(|| handoff.open.as_ref().map(|_| NoteKind::Timeline)),
            opens: handoff
                .open
                .as_ref()
                .map(|open| StreamId::new(to.system.clone(), open.clone())),
            alert: handoff.alert.clone(),
        })
    }

    /// The stream that `to` means: the one that is named, or the system's first of customers, persons before organizations.
    fn target(&mut self, name: &str, to: &str) -> Option<StreamId> {
        let (system, stream) = to
            .split_once('/')
            .map_or((to, None), |(system, stream)| (system, Some(stream)));
        let Some(streams) = self.specs.get(system) else {
            let hint = suggestion(system, self.specs.keys().map(CompactString::as_str));
            self.tell(name, "to", format!("there is no system `{system}`"), hint);
            return None;
        };
        let customers = || streams.iter().filter(|(_, spec)| !spec.is_activity());
        let found = match stream {
            Some(stream) => customers().find(|(name, _)| *name == stream),
            None => customers().min_by_key(|(_, spec)| (spec.kind, !spec.can_create)),
        };
        let Some((found, _)) = found else {
            let hint = suggestion(stream.unwrap_or_default(), customers().map(|(name, _)| name.as_str()));
            self.tell(name, "to", format!("`{to}` keeps no customers"), hint);
            return None;
        };
        Some(StreamId::new(system, found.clone()))
    }

    fn words(&self, from: Option<&str>) -> Words {
        let mut words = Words::default();
        for (system, streams) in self.specs {
            for (stream, spec) in streams {
                let fields: BTreeSet<FieldName> = spec
                    .fields
                    .keys()
                    .filter(|field| !field.as_str().starts_with('_'))
                    .cloned()
                    .collect();
                if !spec.is_activity() {
                    words.fields.extend(fields.iter().cloned());
                    words.systems.entry(system.clone()).or_default().extend(fields);
                } else if from.is_none_or(|from| from == system) {
                    words.activities.entry(stream.clone()).or_default().extend(fields);
                }
            }
        }
        words
    }

    /// What is to be carried must have a place there that Nivel may write to.
    fn carried(&mut self, name: &str, handoff: &HandoffConfig, to: &StreamId, spec: &StreamSpec) {
        let writable = |field: &FieldName| {
            spec.fields
                .get(field)
                .is_some_and(|field| field.write != WriteMode::Never)
        };
        for field in handoff.carry.iter().filter(|field| !writable(field)) {
            let known = spec.fields.iter().filter(|(_, field)| field.write != WriteMode::Never);
            let hint = suggestion(field.as_str(), known.map(|(name, _)| name.as_str()));
            let message = match spec.fields.contains_key(field) {
                true => format!("`{field}` is read in {to}, never written: it cannot be carried there"),
                false => format!("{to} has no field `{field}`"),
            };
            self.tell(name, "carry", message, hint);
        }
        let role = self.config.systems.get(&to.system).map(|system| system.role);
        let may = |field: &&FieldName| role.is_none_or(|role| may_flow(&self.config.share, field.as_str(), role));
        let hidden: Vec<&FieldName> = handoff.carry.iter().filter(|field| !may(field)).collect();
        for field in hidden {
            let message = format!("`{field}` may not flow to {to}, so it could never arrive there");
            self.tell(
                name,
                "carry",
                message,
                format!("name its role under `share: {field}`, or leave it out"),
            );
        }
        if !spec.can_get {
            let message = format!("{to} cannot be read by id, so nothing could be proven to have arrived there");
            self.tell(name, "to", message, String::new());
        }
        let system = self.config.systems.get(&to.system);
        let own = system.and_then(|system| system.streams.get(&to.stream)?.create);
        let create = own.or_else(|| system.map(|system| system.create));
        if handoff.create && create == Some(Create::Never) {
            let message = format!("`create: true`, but Nivel may make nothing in {to}");
            let hint = format!(
                "write `create: handoff` under `systems.{}`, or leave it out here",
                to.system
            );
            self.tell(name, "create", message, hint);
        }
        if let Some(open) = &handoff.open {
            self.opened(name, open, to);
        } else if handoff.note.is_some() && !spec.takes_notes {
            let message = format!("no note can be written in {to}");
            self.tell(
                name,
                "note",
                message,
                "leave it out, or name a system whose connector has `notes`".to_owned(),
            );
        }
        if handoff.carry.is_empty() && handoff.note.is_none() && handoff.open.is_none() && !handoff.create {
            let message = "nothing is handed over".to_owned();
            self.tell(name, "carry", message, "name fields to `carry`, or a `note`".to_owned());
        }
    }

    /// What is to be opened must be a kind of activity there that can be.
    fn opened(&mut self, name: &str, open: &str, to: &StreamId) {
        let streams = self.specs.get(&to.system);
        let can = |spec: &StreamSpec| spec.is_activity() && spec.takes_notes;
        if streams.and_then(|streams| streams.get(open)).is_some_and(can) {
            return;
        }
        let known = streams.into_iter().flatten().filter(|(_, spec)| can(spec));
        let hint = suggestion(open, known.map(|(name, _)| name.as_str()));
        let message = format!("no `{open}` can be opened in {}", to.system);
        self.tell(name, "open", message, hint);
    }
}
