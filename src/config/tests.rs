//! Whole configs: what loads, and what each mistake is answered with.

use std::path::Path;

use secrecy::ExposeSecret;

use super::*;
use crate::error::Code;
use crate::merge::{OnClear, Pick};
use crate::model::{FieldSpec, StreamSpec};

const SMALL: &str = "systems:\n  crm: {connector: acme, role: sales}\n";

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load_in(dir: &Path, text: &str, pairs: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let file = dir.join("nivel.yaml");
    std::fs::write(&file, text).unwrap();
    Config::load(&[file], &env(pairs))
}

fn load(text: &str, pairs: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    load_in(tempfile::tempdir().unwrap().path(), text, pairs)
}

/// Problems as `line:column: message (hint)`.
fn lines(problems: &[Problem]) -> Vec<String> {
    let line = |problem: &Problem| {
        let place = problem
            .subject
            .split_once("nivel.yaml:")
            .map_or(problem.subject.as_str(), |(_, place)| place);
        format!("{} {place}: {} ({})", problem.code, problem.message, problem.hint)
    };
    problems.iter().map(line).collect()
}

#[track_caller]
fn check_wrong(text: &str, wanted: &[&str]) {
    assert_eq!(lines(&load(text, &[]).unwrap_err()), wanted, "{text}");
}

#[test]
fn defaults_stand_for_what_is_not_written() {
    let config = load(SMALL, &[]).unwrap();
    let system = &config.systems["crm"];
    assert_eq!(system.every, Duration::from_secs(300));
    assert_eq!(system.create, Create::Qualified);
    assert_eq!(system.qualified_by, [FieldName::from("email")]);
    assert!(system.write);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8440");
    assert!(config.http.listen.ip().is_loopback());
    assert!(config.cache.is_none());
    assert_eq!(config.retention.changes, Duration::from_secs(400 * 24 * 3600));
}

#[test]
fn an_empty_file_is_a_config_without_systems() {
    assert!(load("# nothing yet\n", &[]).unwrap().systems.is_empty());
}

#[test]
fn all_mistakes_are_told_at_once_with_place_and_nearest_name() {
    check_wrong(
        "regoin: FI\nhttp: {listen: here}\nsystems:\n  crm:\n    conector: acme\n    role: seller\n    every: 5\n  \
         Help: {connector: acme, role: support}\n",
        &[
            "CFG002 1:1: unknown option `regoin` (did you mean `region`?)",
            "CFG002 2:16: `listen` is `here`, expected an address and port such as 127.0.0.1:8440 ()",
            "CFG002 4:3: `systems.crm` has no `connector` (`nivel connector list` shows the choice)",
            "CFG002 5:5: unknown option `conector` in `systems.crm` (did you mean `connector`?)",
            "CFG002 6:11: `role` cannot be `seller` (one of: sales, support, marketing, partner, channel)",
            "CFG002 7:12: `every` is `5`, expected a time such as 30s, 5m, 2h or 7d ()",
            "CFG002 8:9: `Help` cannot be the name of a system (small letters, digits, - and _, beginning with a letter)",
        ],
    );
}

#[test]
fn field_rules_have_short_forms() {
    let config = load(
        "fields:\n  a: union\n  b: newest\n  c: {own: crm}\n  d: {newest: [], on_clear: propagate}\n  e: {longest: true}\n  \
         '*': {own: [x, y]}\n",
        &[],
    )
    .unwrap();
    let pick = |field: &str| config.fields[field].pick.clone();
    assert_eq!(pick("a"), Pick::Union);
    assert_eq!(pick("b"), Pick::Newest(vec![]));
    assert_eq!(pick("c"), Pick::Own(vec!["crm".into()]));
    assert_eq!(config.fields["d"].on_clear, OnClear::Propagate);
    assert_eq!(pick("e"), Pick::Longest);
    assert_eq!(
        config.default_rule.unwrap().pick,
        Pick::Own(vec!["x".into(), "y".into()])
    );
    check_wrong(
        "fields: {a: unoin, b: {own: x, newest: y}, c: own, d: {own: []}}\n",
        &[
            "CFG002 1:13: `unoin` is not a rule (did you mean `union`?)",
            "CFG002 1:23: a field needs exactly one of own, newest, union, longest ()",
            "CFG002 1:47: `own` is not a rule (write {own: [system, …]}, the first that has a value wins)",
            "CFG002 1:61: `own` names no system (write {own: [system, …]}, the first that has a value wins)",
        ],
    );
}

#[test]
fn secrets_come_from_variables_and_files_and_are_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pass"), "canary-file\n").unwrap();
    let text = "cache: {url: \"redis://:${PASS}@localhost\"}\nsystems:\n  crm:\n    connector: acme\n    role: sales\n    \
                config:\n      token: ${TOKEN}\n      pin: 0012\n      key: {file: pass}\n";
    let config = load_in(dir.path(), text, &[("TOKEN", "canary-env"), ("PASS", "canary-pass")]).unwrap();
    let value = |key: &str| config.systems["crm"].config[key].expose_secret().to_owned();
    assert_eq!(value("token"), "canary-env");
    assert_eq!(value("pin"), "0012");
    assert_eq!(value("key"), "canary-file");
    assert!(!format!("{config:?}").contains("canary"));
    let problems = load_in(
        dir.path(),
        &format!("{text}bad: ${{TOKEN}}\nregion: ${{TOKEN}}\n"),
        &[("PASS", "x")],
    );
    let problems = lines(&problems.unwrap_err());
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(
        problems[0].contains("CFG004 7:14: environment variable TOKEN is not set"),
        "{problems:?}"
    );
}

#[test]
fn later_files_and_variables_win() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = [
        file(
            "a.yaml",
            "region: FI\nsystems:\n  the-crm: {connector: acme, role: sales, every: 1m, config: {t: x}}\n",
        ),
        file("b.yaml", "systems:\n  the-crm: {every: 2m}\n"),
    ];
    let config = Config::load(&files, &env(&[])).unwrap();
    assert_eq!(config.systems["the-crm"].every, Duration::from_secs(120));
    assert_eq!(config.systems["the-crm"].role, Role::Sales);
    let secret = file("secret", "from-file");
    let pairs = [
        ("NIVEL__SYSTEMS__THE_CRM__EVERY", "3m"),
        ("NIVEL__DATA_DIR", "/data"),
        ("NIVEL__HTTP__LISTEN", "0.0.0.0:80"),
        ("NIVEL__SYSTEMS__THE_CRM__CONFIG__T_FILE", secret.to_str().unwrap()),
        ("NIVEL__SYSTEMS__THE_CRM__QUALIFIED_BY", "email, phone"),
        ("NIVEL_CONFIG", "not ours"),
    ];
    let config = Config::load(&files, &env(&pairs)).unwrap();
    let system = &config.systems["the-crm"];
    assert_eq!(system.every, Duration::from_secs(180));
    assert_eq!(system.config["t"].expose_secret(), "from-file");
    assert_eq!(
        system.qualified_by,
        [FieldName::from("email"), FieldName::from("phone")]
    );
    assert_eq!(config.data_dir, Path::new("/data"));
    assert_eq!(config.http.listen.port(), 80);
    let problems = Config::load(&files, &env(&[("NIVEL__REGOIN", "FI")])).unwrap_err();
    assert_eq!(
        lines(&problems),
        ["CFG002 environment variable NIVEL__REGOIN: unknown option `regoin` (did you mean `region`?)"]
    );
}

#[test]
fn relative_paths_count_from_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "data_dir: ./state\nsystems:\n  drop:\n    connector: csv\n    role: partner\n    config: {folder: in, id: No, \
                delimiter: ;, settle: 5s, columns: {email: E-mail, tags: {column: Tags, type: set}}}\n";
    let config = load_in(dir.path(), text, &[]).unwrap();
    assert_eq!(config.data_dir, dir.path().join("state"));
    let files = config.systems["drop"].files.as_ref().unwrap();
    assert_eq!(files.folder, Some(dir.path().join("in")));
    assert_eq!(files.fields, ["email".into(), "tags".into()].into());
    let folder = dir.path().join("in").display().to_string();
    let columns = serde_json::json!({"email": "E-mail", "tags": {"column": "Tags", "type": "set"}});
    let options =
        serde_json::json!({"id": "No", "delimiter": ";", "settle_seconds": 5, "columns": columns, "folder": folder});
    assert_eq!(files.options, options);
    check_wrong(
        "systems:\n  drop: {connector: csv, role: partner, config: {fodler: in, kind: cat, columns: {tags: {type: x}}}}\n",
        &[
            "CFG002 2:41: `systems.drop.config` has no `id` (name the column that identifies a row, or the fields under \
             `identify:`)",
            "CFG002 2:41: `systems.drop.config` has no `folder` (the folder in which files are dropped; or `sftp:`)",
            "CFG002 2:50: unknown option `fodler` in `systems.drop.config` (did you mean `folder`?)",
            "CFG002 2:68: `kind` cannot be `cat` (one of: person, organization, activity)",
            "CFG002 2:83: `systems.drop.config.columns.tags` has no `column` (write {column: Name, type: set})",
        ],
    );
}

#[test]
fn a_folder_behind_sftp_and_export_files_are_read_strictly() {
    let key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text = format!(
        "systems:\n  p:\n    connector: csv\n    role: partner\n    config:\n      id: No\n      columns: {{email: E-mail}}\n      \
         sftp: {{host: h, user: u, host_key: \"{key}\", folder: in, port: 2022, password: secret word}}\n      \
         export: {{folder: out, every: 1h, rows: all, columns: {{email: Mail}}}}\n"
    );
    let config = load(&text, &[]).unwrap();
    let files = config.systems["p"].files.as_ref().unwrap();
    assert_eq!(files.exported, ["email".into()].into());
    assert_eq!(files.secrets.keys().collect::<Vec<_>>(), ["password"]);
    assert!(!format!("{config:?}").contains("secret word"));
    let sftp = serde_json::json!({"host": "h", "user": "u", "host_key": key, "folder": "in", "port": 2022});
    assert_eq!(files.options["sftp"], sftp);
    let export = &files.options["export"];
    assert!(export["folder"].as_str().unwrap().ends_with("/out"));
    assert_eq!(
        (&export["rows"], &export["every_seconds"]),
        (&"all".into(), &3600.into())
    );
    assert_eq!(export["columns"], serde_json::json!({"email": "Mail"}));
    check_wrong(
        "systems:\n  p: {connector: csv, role: partner, write: false, config: {sftp: {host: h, host_key: none}, export: {name: a/b}}}\n",
        &[
            "CFG002 2:52: `systems.p.config` has no `columns` (canonical field: column, for example {email: E-mail})",
            "CFG002 2:52: `systems.p.config` has no `id` (name the column that identifies a row, or the fields under \
             `identify:`)",
            "CFG002 2:61: `systems.p.config.sftp` has no `user` (the name to log in with)",
            "CFG002 2:61: `systems.p.config.sftp` has no `folder` (the folder on the server)",
            "CFG002 2:61: `systems.p.config.sftp` has no `key` (one of `password` and `key` proves who Nivel is)",
            "CFG002 2:87: `host_key` is `none`, expected SHA256: and 43 letters ()",
            "CFG002 2:94: `systems.p.config.export` has no `folder` (the folder into which the files go; or `sftp:`)",
            "CFG002 2:94: `systems.p.config.export` has no `columns` (canonical field: column, for example {email: E-mail})",
            "CFG002 2:102: an export is written, and `write: false` stands beside it ()",
            "CFG002 2:109: `name` is `a/b`, expected letters, digits and dashes ()",
        ],
    );
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let problems = Config::load(&["no/such.yaml".into()], &env(&[])).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, Code::ConfigUnreadable);
    assert_eq!(problems[0].message, "there is no such file");
    let problems = load("systems:\n  crm: {config: {t: ${TOKEN}}}\n", &[]).unwrap_err();
    assert_eq!(problems[0].code, Code::ConfigUnreadable, "{problems:?}");
    assert_eq!(problems[0].hint, "put \"${…}\" in quotes", "{problems:?}");
    check_wrong("- a\n", &["CFG001 1:1: this is not a table of options ()"]);
}

#[test]
fn limits_have_a_short_form() {
    let text = "systems:\n  crm: {connector: a, role: sales, limits: [190/10s, {rate: 4/1s, path: /search$}, {parallel: 3}]}\n";
    let config = load(text, &[]).unwrap();
    let said: Vec<String> = config.systems["crm"]
        .limits
        .iter()
        .map(|limit| match limit {
            Limit::Rate(limit) => {
                let path = limit.path.as_ref().map(|path| path.0.as_str());
                format!("{} in {:?} {path:?}", limit.rate.count, limit.rate.every)
            }
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["190 in 10s None", "4 in 1s Some(\"/search$\")", "Parallel(3)"]);
    check_wrong(
        "systems:\n  crm: {connector: a, role: sales, limits: [{path: x}, {rate: fast}, {parallel: 0}]}\n",
        &[
            "CFG002 2:45: a limit needs `rate` or `parallel` ()",
            "CFG002 2:63: `rate` is `fast`, expected a rate such as 190/10s ()",
            "CFG002 2:81: `parallel` is `0`, expected a number from 1 to 1000 ()",
        ],
    );
}

fn catalog() -> Catalog {
    let fields = |names: &[&str]| names.iter().map(|&name| FieldName::from(name)).collect();
    let acme = ConnectorFacts {
        config: [("token".into(), Need::Required), ("region".into(), Need::Optional)].into(),
        streams: [("contact".into(), fields(&["email", "phone", "customer_number"]))].into(),
        customers: ["contact".into()].into(),
        removals: BTreeMap::new(),
    };
    [("acme".into(), acme)].into()
}

#[test]
fn names_that_lead_nowhere_are_told() {
    let text = "systems:\n  crm:\n    connector: acme\n    role: sales\n    config: {tokn: x}\n    streams: {contacts: {}}\n    \
                qualified_by: [e-mail]\n  other: {connector: acne, role: support}\nfields:\n  phone: {own: [cmr]}\n  \
                fone: union\nidentity: {external_ids: [number]}\n";
    let config = load(text, &[]).unwrap();
    assert_eq!(
        lines(&super::check(&config, &catalog())),
        [
            "CFG004 5:13: connector `acme` needs `token` (write `config: {token: \"${CRM_TOKEN}\"}`, or {file: path})",
            "CFG003 5:14: connector `acme` knows no `tokn` (did you mean `token`?)",
            "CFG003 6:25: connector `acme` has no stream `contacts` (did you mean `contact`?)",
            "CFG003 8:22: there is no connector `acne` (did you mean `acme`?)",
            "CFG003 10:16: there is no system `cmr` (did you mean `crm`?)",
        ]
    );
    let text = text.replace("acne", "acme");
    let config = load(&text, &[]).unwrap();
    let problems = lines(&super::check(&config, &catalog()));
    assert!(
        problems.contains(&"CFG003 7:19: no system has a field `e-mail` (did you mean `email`?)".to_owned()),
        "{problems:?}"
    );
    assert!(
        problems.contains(&"CFG003 11:9: no system has a field `fone` (did you mean `phone`?)".to_owned()),
        "{problems:?}"
    );
}

#[test]
fn rules_join_wishes_and_abilities() {
    let text = "systems:\n  crm: {connector: acme, role: sales, create: always, streams: {contact: {create: never}}}\n  \
                help: {connector: acme, role: support, write: false, streams: {contact: {write: true}}}\n\
                identity: {external_ids: customer_number}\nfields: {tags: union}\n";
    let config = load(text, &[]).unwrap();
    let spec = StreamSpec {
        fields: [(FieldName::from("email"), FieldSpec::default())].into(),
        ..StreamSpec::default()
    };
    let streams: BTreeMap<CompactString, StreamSpec> = [
        ("contact".into(), spec.clone()),
        ("company".into(), StreamSpec::default()),
    ]
    .into();
    let specs: Specs = [("crm".into(), streams.clone()), ("help".into(), streams)].into();
    let rules = super::rules(&config, &specs);
    assert_eq!(rules.stream("crm", "contact").unwrap().create, Create::Never);
    assert_eq!(rules.stream("crm", "company").unwrap().create, Create::Always);
    assert_eq!(rules.stream("crm", "contact").unwrap().spec, spec);
    assert!(rules.stream("crm", "contact").unwrap().write);
    assert!(
        !rules.stream("help", "contact").unwrap().write,
        "a stream cannot widen what its system forbids"
    );
    assert_eq!(rules.external_ids, [FieldName::from("customer_number")]);
    assert_eq!(rules.by_trust(), ["crm", "help"]);
    assert_eq!(rules.fields["tags"].pick, Pick::Union);
}

#[test]
fn what_support_writes_needs_a_line_before_marketing_gets_it() {
    let told = |share: &str| {
        let systems = "systems:\n  desk: {connector: acme, role: support}\n  hub: {connector: acme, role: marketing}\n";
        let config = load(&format!("{systems}{share}"), &[]).unwrap();
        let names = ["email", "internal_remark", "notes"];
        let spec = StreamSpec {
            fields: names.map(|name| (FieldName::from(name), FieldSpec::default())).into(),
            ..StreamSpec::default()
        };
        let streams: BTreeMap<CompactString, StreamSpec> = [("person".into(), spec)].into();
        let specs: Specs = [("desk".into(), streams.clone()), ("hub".into(), streams)].into();
        let problems = share_problems(&config, &specs);
        problems.iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(
        told(""),
        [Code::ShareUnsaid],
        "`notes` is kept away by itself, the remark is not"
    );
    assert!(told("share: {internal_remark: [sales, support]}\n").is_empty());
    assert!(told("share: {internal_remark: [marketing]}\n").is_empty());
    let misspelled = told("share: {internal_remark: [support], emial: [sales]}\n");
    assert_eq!(misspelled, [Code::ConfigDangling]);
}

/// True when `path` (with `*` for any name) leads to something in the tree.
fn leads_somewhere(tree: &layers::Tree, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match tree {
        layers::Tree::Table(table) => table
            .iter()
            .any(|(key, child)| (*first == "*" || key == first) && leads_somewhere(child, rest)),
        layers::Tree::List(items) => *first == "*" && items.iter().any(|item| leads_somewhere(item, rest)),
        layers::Tree::Scalar(_) | layers::Tree::Nothing => false,
    }
}

#[test]
fn the_example_files_load_and_show_every_option() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/sales-token"), "x").unwrap();
    for secret in ["token-key", "mail-password", "partner-key", "partner-password"] {
        std::fs::write(dir.path().join("secrets").join(secret), "x").unwrap();
    }
    std::fs::write(dir.path().join("secrets/shop-url"), "sqlite:shop.db").unwrap();
    std::fs::write(
        dir.path().join("secrets/forms-secret"),
        "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
    )
    .unwrap();
    std::fs::write(dir.path().join("secrets/slack-url"), "https://alerts.example.com/x").unwrap();
    std::fs::write(
        dir.path().join("secrets/alert-secret"),
        "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
    )
    .unwrap();
    let variable = regex::Regex::new(r"\$\{([A-Z_]+_TOKEN)\}").unwrap();
    for name in ["nivel.yaml", "full.yaml"] {
        let file = dir.path().join(name);
        std::fs::copy(root.join(name), &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let variables = variable
            .captures_iter(&text)
            .map(|found| (found[1].to_owned(), "x".to_owned()))
            .collect();
        let problems = Config::load(std::slice::from_ref(&file), &variables)
            .err()
            .unwrap_or_default();
        assert_eq!(lines(&problems), [""; 0], "{name}");
        if name == "full.yaml" {
            let merged = layers::merge(&[file], &variables);
            let missing: Vec<String> = OPTIONS
                .iter()
                .flat_map(|(place, keys)| keys.iter().map(move |key| format!("{place}.{key}")))
                .map(|path| path.trim_start_matches('.').to_owned())
                .filter(|path| !leads_somewhere(&merged.root, &path.split('.').collect::<Vec<_>>()))
                .collect();
            assert_eq!(missing, [""; 0], "options that full.yaml does not show");
        }
    }
}
