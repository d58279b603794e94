//! From the merged tree to [`Config`]: every option, its default and its bounds stand here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use compact_str::CompactString;
use secrecy::SecretString;

use super::deletes::{self, DELETES, ON_DELETE};
use super::fields::{FIELD, fields};
use super::files::{COLUMN, EXPORT, FILES, SFTP, files};
use super::handoffs::{CALENDAR, HANDOFF, PRIORITY};
use super::identity::IDENTITY;
use super::layers::Merged;
use super::reader::{Entry, Reader, Section};
use super::substitute::secret_from_file;
use super::words::{duration, rate};
use super::{
    CacheConfig, Config, FILE_CONNECTOR, HttpConfig, INBOUND_CONNECTOR, LogConfig, LogFormat, Retention, SQL_CONNECTOR,
    StreamConfig, SystemConfig,
};
use crate::error::Problem;
use crate::manifest::{Limit, Pattern, Rate, RateLimit};
use crate::merge::{Brake, Create, Role};
use crate::model::FieldName;

const ROOT: &[&str] = &[
    "data_dir",
    "region",
    "connectors_dir",
    "token_key",
    "cache",
    "http",
    "webhooks",
    "log",
    "systems",
    "fields",
    "share",
    "deletes",
    "identity",
    "handoffs",
    "calendars",
    "priority",
    "retention",
    "alerts",
    "hooks",
];
const CACHE: &[&str] = &["url", "ttl"];
const HTTP: &[&str] = &["listen", "public_url"];
const WEBHOOKS: &[&str] = &["body_max", "rate", "waiting", "silence"];
const LOG: &[&str] = &["format", "level"];
const SYSTEM: &[&str] = &[
    "connector",
    "role",
    "every",
    "cron",
    "config",
    "base",
    "region",
    "create",
    "qualified_by",
    "write",
    "brake",
    "lag",
    "overlap",
    "full",
    "on_delete",
    "own",
    "allow",
    "streams",
    "limits",
    "use",
    "reserve",
    "webhook",
];
const STREAM: &[&str] = &["read", "create", "qualified_by", "write", "full", "on_delete"];
const LIMIT: &[&str] = &["rate", "parallel", "path"];
const SECRET_FILE: &[&str] = &["file"];
const RETENTION: &[&str] = &["changes", "runs", "inbox"];

/// Every option there is, by the place it stands in (`*` is a name the admin chose). `config/full.yaml` shows all of them.
pub const OPTIONS: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("cache", CACHE),
    ("http", HTTP),
    ("webhooks", WEBHOOKS),
    ("log", LOG),
    ("systems.*", SYSTEM),
    ("systems.*.streams.*", STREAM),
    ("systems.*.limits.*", LIMIT),
    ("systems.*.config", FILES),
    ("systems.*.config.columns.*", COLUMN),
    ("systems.*.config.sftp", SFTP),
    ("systems.*.config.export", EXPORT),
    ("systems.*.config", super::inbound::INBOUND),
    ("systems.*.config.fields.*", super::inbound::FIELD),
    ("systems.*.config", super::sql::SQL),
    ("systems.*.config.streams.*", super::sql::TABLE),
    ("systems.*.config.streams.*.columns.*", super::sql::COLUMN),
    ("systems.*.config.*", SECRET_FILE),
    ("fields.*", FIELD),
    ("deletes", DELETES),
    ("identity", IDENTITY),
    ("handoffs.*", HANDOFF),
    ("calendars.*", CALENDAR),
    ("priority", PRIORITY),
    ("retention", RETENTION),
    ("hooks.*", super::hooks::HOOK),
    ("alerts", super::alerts::ALERTS),
    ("alerts.to.*", super::alerts::TARGET),
    ("alerts.rules", super::alerts::RULES),
];

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Pulling more often than this asks for trouble with every vendor.
const EVERY_MIN: Duration = Duration::from_secs(1);

pub(super) const ROLES: &[(&str, Role)] = &[
    ("sales", Role::Sales),
    ("support", Role::Support),
    ("marketing", Role::Marketing),
    ("partner", Role::Partner),
    ("channel", Role::Channel),
];
const CREATE: &[(&str, Create)] = &[
    ("never", Create::Never),
    ("handoff", Create::Handoff),
    ("qualified", Create::Qualified),
    ("always", Create::Always),
];

pub(super) fn config(merged: Merged) -> Result<Config, Vec<Problem>> {
    let reader = Reader {
        places: &merged.places,
        problems: RefCell::new(merged.problems),
    };
    let root = reader.root(&merged.root, ROOT);
    let (fields, default_rule) = fields(&root);
    let config = Config {
        data_dir: path(&root, "data_dir").unwrap_or_else(|| PathBuf::from("data")),
        region: region(&root),
        connectors_dir: path(&root, "connectors_dir"),
        token_key: root
            .get("token_key")
            .and_then(|entry| secret(&entry))
            .map(SecretString::from),
        cache: cache(&root),
        http: http(&root),
        webhooks: super::webhooks::webhooks(&root.section("webhooks", WEBHOOKS)),
        log: log(&root),
        systems: systems(&root),
        fields,
        default_rule,
        share: super::share::share(&root),
        quarantine: deletes::quarantine(&root),
        identity: super::identity::identity(&root.section("identity", IDENTITY)),
        handoffs: super::handoffs::handoffs(&root),
        calendars: super::handoffs::calendars(&root),
        priority: super::handoffs::priority(&root),
        retention: retention(&root),
        hooks: super::hooks::hooks(&root),
        alerts: super::alerts::alerts(&root.section("alerts", super::alerts::ALERTS)),
        places: merged.places.clone(),
    };
    let mut problems = reader.problems.into_inner();
    sort(&mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Puts problems in the order in which the admin reads the files.
pub(super) fn sort(problems: &mut [Problem]) {
    problems.sort_by_cached_key(|problem| {
        let mut parts = problem.subject.rsplitn(3, ':');
        let column: Option<u64> = parts.next().and_then(|part| part.parse().ok());
        let line: Option<u64> = parts.next().and_then(|part| part.parse().ok());
        (parts.next().unwrap_or("").to_owned(), line, column)
    });
}

/// A path; relative ones count from the folder of the file they stand in, so that it does not matter where Nivel is started.
pub(super) fn path(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let text = section.text(key)?;
    Some(based(text, section.file(key)))
}

fn based(text: &str, file: Option<&str>) -> PathBuf {
    match file.and_then(|file| FilePath::new(file).parent()) {
        // Through its components: `dir/./data` reads as `dir/data`.
        Some(dir) => dir.join(text).components().collect(),
        None => PathBuf::from(text),
    }
}

fn region(section: &Section<'_>) -> Option<CompactString> {
    section.parse("region", "two letters such as FI", |text| {
        let is_region = text.len() == 2 && text.chars().all(|c| c.is_ascii_alphabetic());
        is_region.then(|| text.to_ascii_uppercase().into())
    })
}

pub(super) fn time(section: &Section<'_>, key: &str) -> Option<Duration> {
    section.parse(key, "a time such as 30s, 5m, 2h or 7d", duration)
}

fn cache(root: &Section<'_>) -> Option<CacheConfig> {
    if !root.has("cache") {
        return None;
    }
    let section = root.section("cache", CACHE);
    let ttl = time(&section, "ttl").unwrap_or(7 * DAY);
    let Some(entry) = section.get("url") else {
        section.missing("url", "write `url: redis://127.0.0.1:6379`, or leave `cache` out");
        return None;
    };
    let url = secret(&entry)?;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !["redis", "rediss"].contains(&scheme) {
        // The rest of the text may hold a password.
        entry.wrong("`url` must begin with redis:// or rediss://", "");
    }
    Some(CacheConfig { url: url.into(), ttl })
}

fn http(root: &Section<'_>) -> HttpConfig {
    let section = root.section("http", HTTP);
    let listen = section.parse("listen", "an address and port such as 127.0.0.1:8440", |text| {
        text.parse().ok()
    });
    HttpConfig {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8440))),
        public_url: super::webhooks::public_url(&section),
    }
}

fn log(root: &Section<'_>) -> LogConfig {
    let section = root.section("log", LOG);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = section.parse("level", "error, warn, info, debug, trace or directives", |text| {
        text.parse::<tracing_subscriber::filter::Targets>().ok()?;
        Some(text.to_owned())
    });
    LogConfig {
        format: section.word("format", &formats).unwrap_or_default(),
        level: level.unwrap_or_else(|| "info".to_owned()),
    }
}

fn retention(root: &Section<'_>) -> Retention {
    let section = root.section("retention", RETENTION);
    Retention {
        changes: time(&section, "changes").unwrap_or(400 * DAY),
        runs: time(&section, "runs").unwrap_or(90 * DAY),
        inbox: time(&section, "inbox").unwrap_or(14 * DAY),
    }
}

fn systems(root: &Section<'_>) -> BTreeMap<CompactString, SystemConfig> {
    let mut systems = BTreeMap::new();
    for (name, entry) in root.entries("systems") {
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
            && name.len() <= 64;
        if !is_name {
            let hint = "small letters, digits, - and _, beginning with a letter";
            entry.wrong(format!("`{name}` cannot be the name of a system"), hint);
        }
        if let Some(system) = system(&entry) {
            systems.insert(name.into(), system);
        }
    }
    systems
}

fn system(entry: &Entry<'_>) -> Option<SystemConfig> {
    let section = entry.section(SYSTEM);
    let connector = section.text("connector");
    if !section.has("connector") {
        section.missing("connector", "`nivel connector list` shows the choice");
    }
    let role = section.word("role", ROLES);
    if !section.has("role") {
        section.missing("role", "one of: sales, support, marketing, partner, channel");
    }
    let every = time(&section, "every").unwrap_or(Duration::from_secs(300));
    if every < EVERY_MIN {
        section.wrong("every", "`every` must be at least 1s", "");
    }
    let is_files = connector == Some(FILE_CONNECTOR);
    let is_sql = connector == Some(SQL_CONNECTOR);
    let is_inbound = connector == Some(INBOUND_CONNECTOR);
    let allowed = deletes::allowed(&section);
    let base = section.parse("base", "an address such as https://api.example.com", |text| {
        let url = url::Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    });
    let system = SystemConfig {
        connector: connector.unwrap_or_default().into(),
        role: role.unwrap_or(Role::Partner),
        every,
        cron: cron(&section),
        config: if is_files || is_sql || is_inbound {
            BTreeMap::new()
        } else {
            values(&section)
        },
        files: if is_files { files(&section) } else { None },
        sql: if is_sql { super::sql::sql(&section) } else { None },
        inbound: if is_inbound {
            super::inbound::inbound(&section)
        } else {
            None
        },
        base,
        region: region(&section),
        create: section.word("create", CREATE).unwrap_or_default(),
        qualified_by: field_names(&section, "qualified_by").unwrap_or_else(|| vec![FieldName::from("email")]),
        write: section.flag("write").unwrap_or(true),
        brake: section
            .parse("brake", "a part and a number, such as `10% or 500`", brake)
            .unwrap_or_default(),
        lag: time(&section, "lag"),
        overlap: time(&section, "overlap"),
        full: deletes::full(&section),
        on_delete: section.word("on_delete", ON_DELETE).unwrap_or_default(),
        own: section.flag("own").unwrap_or(false),
        allows_final_deletes: allowed.contains("delete"),
        allows_erasing: allowed.contains("erase"),
        allows_unsubscribing: allowed.contains("unsubscribe"),
        streams: section
            .entries("streams")
            .into_iter()
            .map(|(name, entry)| (name.into(), stream(&entry)))
            .collect(),
        limits: section.items("limits").iter().flat_map(limits).collect(),
        use_percent: percent(&section, "use", 1..=100).unwrap_or(100),
        reserve_percent: percent(&section, "reserve", 0..=90).unwrap_or(10),
        webhook: section.word("webhook", super::webhooks::MODES).unwrap_or_default(),
    };
    (connector.is_some() && role.is_some()).then_some(system)
}

/// `10% or 500`, `10%`, `500`: held is what is more than the part or more than the number.
fn brake(text: &str) -> Option<Brake> {
    let mut brake = Brake {
        percent: 100,
        count: u64::MAX,
        ..Brake::default()
    };
    for word in text.split(" or ").map(str::trim) {
        match word.strip_suffix('%') {
            Some(part) => brake.percent = part.trim_end().parse().ok().filter(|part| (1..=100).contains(part))?,
            None => brake.count = word.parse().ok().filter(|count| *count > 0)?,
        }
    }
    brake.at_least = brake.at_least.min(brake.count);
    Some(brake)
}

fn cron(section: &Section<'_>) -> Option<CompactString> {
    if section.has("cron") && section.has("every") {
        section.wrong("cron", "`cron` and `every` exclude each other", "");
    }
    const WANTED: &str = "a crontab with a time zone such as 0 2 * * * Europe/Helsinki";
    section.parse("cron", WANTED, |text| {
        cronexpr::parse_crontab(text).is_ok().then(|| text.into())
    })
}

fn percent(section: &Section<'_>, key: &str, bounds: std::ops::RangeInclusive<u8>) -> Option<u8> {
    let wanted = format!("a part from {}% to {}%", bounds.start(), bounds.end());
    section.parse(key, &wanted, |text| {
        let number = text.strip_suffix('%')?.trim_end().parse().ok()?;
        bounds.contains(&number).then_some(number)
    })
}

fn stream(entry: &Entry<'_>) -> StreamConfig {
    let section = entry.section(STREAM);
    StreamConfig {
        read: section.flag("read"),
        create: section.word("create", CREATE),
        qualified_by: field_names(&section, "qualified_by"),
        write: section.flag("write"),
        full: deletes::full(&section),
        on_delete: section.word("on_delete", ON_DELETE),
    }
}

/// One entry under `limits:`; it may state a rate and a number at once.
fn limits(entry: &Entry<'_>) -> Vec<Limit> {
    const RATE: &str = "a rate such as 190/10s";
    if let Some(text) = entry.text() {
        let found = rate(text);
        if found.is_none() {
            entry.wrong(format!("{} is not {RATE}", entry.shown()), "");
        }
        return found.map(|found| rate_limit(found, None)).into_iter().collect();
    }
    let section = entry.section(LIMIT);
    if !section.has("rate") && !section.has("parallel") {
        entry.wrong("a limit needs `rate` or `parallel`", "");
    } else if section.has("path") && !section.has("rate") {
        section.wrong("path", "`path` belongs to a `rate`", "");
    }
    let path = section.parse("path", "a regular expression", |text| regex::Regex::new(text).ok());
    let found = section.parse("rate", RATE, rate);
    let parallel = section.parse("parallel", "a number from 1 to 1000", |text| {
        text.parse().ok().filter(|n| (1..=1000).contains(n))
    });
    let rate = found.map(|found| rate_limit(found, path));
    rate.into_iter().chain(parallel.map(Limit::Parallel)).collect()
}

fn rate_limit((count, every): (u32, Duration), path: Option<regex::Regex>) -> Limit {
    let mut limit = RateLimit::new(Rate { count, every });
    limit.path = path.map(Pattern);
    Limit::Rate(limit)
}

/// What the connector asks for. Which keys it knows is checked later, against its manifest.
fn values(section: &Section<'_>) -> BTreeMap<CompactString, SecretString> {
    let mut values = BTreeMap::new();
    for (name, entry) in section.entries("config") {
        if let Some(value) = secret(&entry) {
            values.insert(name.into(), SecretString::from(value));
        }
    }
    values
}

/// A value, or `{file: path}` of a file that holds it.
pub(super) fn secret(entry: &Entry<'_>) -> Option<String> {
    if let Some(text) = entry.text() {
        if text.is_empty() {
            let problem = Problem::new(crate::error::Code::SecretMissing, "this value is empty");
            entry.tell(problem.hint("leave the line out, or fill it in"));
            return None;
        }
        return Some(text.to_owned());
    }
    if entry.is_nothing() {
        let problem = Problem::new(crate::error::Code::SecretMissing, "this value is empty");
        entry.tell(problem.hint("leave the line out, or fill it in"));
        return None;
    }
    let section = entry.section(SECRET_FILE);
    let Some(text) = section.text("file") else {
        if section.is_table() && !section.has("file") {
            section.missing("file", "write a value, or {file: path}");
        }
        return None;
    };
    match secret_from_file(&based(text, section.file("file"))) {
        Ok(text) => Some(text),
        Err(problem) => {
            entry.tell(problem);
            None
        }
    }
}

pub(super) fn field_names(section: &Section<'_>, key: &str) -> Option<Vec<FieldName>> {
    let names = section.names(key)?;
    Some(names.iter().map(|name| FieldName::from(name.as_str())).collect())
}
