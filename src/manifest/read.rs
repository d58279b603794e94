//! From the text of a file to a manifest or a test suite, with every mistake at once; and a system's settings.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Map, Value as Json};

use super::tests::Suite;
use super::types::{FORMAT, Manifest, Setting, SettingType};
use super::{decode, yaml};
use crate::error::{Code, Problem};

impl Manifest {
    /// Reads a manifest; `file` names it in messages.
    ///
    /// # Errors
    /// Every mistake of the file, with line and column and, for a wrong name, the nearest right one.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let (mut manifest, places): (Self, _) = yaml::read(file, text)?;
        if manifest.format != FORMAT {
            let message = format!("format {} is not known", manifest.format);
            let problem = Problem::new(Code::ManifestInvalid, message).about(places.of("format"));
            return Err(vec![problem.hint(format!("this version reads format {FORMAT}"))]);
        }
        manifest.places = places;
        let problems = super::guest::check(&manifest);
        if !problems.is_empty() {
            return Err(problems);
        }
        manifest.objects.values_mut().for_each(super::activity::map_holders);
        Ok(manifest)
    }

    /// Checks what the admin has set for a system of this kind, and fills in what was left out: the value of `config` in
    /// expressions. It holds secrets in clear.
    ///
    /// # Errors
    /// Every setting that is missing, unknown or not what it should be. Messages never hold a value.
    pub fn settings(&self, given: &BTreeMap<CompactString, Json>) -> Result<Json, Vec<Problem>> {
        let mut problems = Vec::new();
        for name in given.keys().filter(|name| !self.config.contains_key(*name)) {
            let known: Vec<_> = self.config.keys().collect();
            let problem = Problem::new(Code::ConfigInvalid, format!("unknown setting `{name}`"));
            problems.push(problem.hint(decode::suggest(name, &known)));
        }
        let mut settings = Map::new();
        for (name, setting) in &self.config {
            let given = given.get(name);
            let is_missing_secret = setting.secret && given.is_none_or(Json::is_null);
            let code = if is_missing_secret {
                Code::SecretMissing
            } else {
                Code::ConfigInvalid
            };
            let problem = |why| Problem::new(code, format!("setting `{name}` {why}")).hint(setting.doc.clone());
            match setting.check(given) {
                Ok(value) => drop(settings.insert(name.to_string(), value)),
                Err(why) => problems.push(problem(why)),
            }
        }
        if problems.is_empty() {
            Ok(Json::Object(settings))
        } else {
            Err(problems)
        }
    }
}

impl Setting {
    fn check(&self, given: Option<&Json>) -> Result<Json, String> {
        let Some(given) = given.filter(|value| !value.is_null()).or(self.default.as_ref()) else {
            return if self.optional {
                Ok(Json::Null)
            } else {
                Err("is missing".to_owned())
            };
        };
        match self.kind {
            SettingType::Bool => match (given, given.as_str()) {
                (Json::Bool(flag), _) => Ok(Json::Bool(*flag)),
                (_, Some("true")) => Ok(Json::Bool(true)),
                (_, Some("false")) => Ok(Json::Bool(false)),
                _ => Err("must be true or false".to_owned()),
            },
            SettingType::Int => {
                let number = given.as_i64().or_else(|| given.as_str()?.parse().ok());
                number
                    .map(Json::from)
                    .ok_or_else(|| "must be a whole number".to_owned())
            }
            SettingType::Text => self.check_text(given),
            SettingType::Url => match self.check_text(given)? {
                Json::String(text) if text.starts_with("http://") || text.starts_with("https://") => {
                    Ok(Json::String(text.trim_end_matches('/').to_owned()))
                }
                _ => Err("must begin with http:// or https://".to_owned()),
            },
        }
    }

    fn check_text(&self, given: &Json) -> Result<Json, String> {
        let text = match given {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            _ => return Err("must be text".to_owned()),
        };
        if text.is_empty() {
            return if self.optional {
                Ok(Json::Null)
            } else {
                Err("is empty".to_owned())
            };
        }
        match &self.pattern {
            Some(pattern) if !pattern.0.is_match(&text) => Err(format!("does not match `{}`", pattern.0)),
            _ => Ok(Json::String(text)),
        }
    }
}

impl Suite {
    /// Reads a `tests.yaml`; `file` names it in messages.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let (suite, places): (Self, _) = yaml::read(file, text)?;
        let problems: Vec<_> = suite
            .tests
            .iter()
            .enumerate()
            .filter(|(_, case)| {
                let acts = [
                    case.check,
                    case.read.is_some(),
                    case.get.is_some(),
                    case.find.is_some(),
                    case.write.is_some(),
                    case.webhook.is_some(),
                ];
                acts.into_iter().filter(|act| *act).count() != 1
            })
            .map(|(index, case)| {
                let message = format!(
                    "`{}` must do exactly one of check, read, get, find, write, webhook",
                    case.name
                );
                Problem::new(Code::ManifestSense, message).about(places.of(&format!("tests.{index}")))
            })
            .collect();
        if problems.is_empty() { Ok(suite) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SMALL: &str = "
connector: small
format: 1
base: https://api.example.com
auth: {bearer: '{{ config.token }}'}
config: {token: {secret: true}, region: {default: eu, pattern: '^(eu|us)$'}}
objects:
  contact:
    id: id
    read: {full: {every: 1d}, request: GET /contacts, records: '.'}
    fields: {email: {to: email, type: email}, name: full}
";

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        let told: Vec<_> = match Manifest::parse("m.yaml", yaml) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_small_manifest() {
        check(SMALL, &[]);
        let manifest = Manifest::parse("m.yaml", SMALL).unwrap();
        assert_eq!(manifest.places.of("objects.contact.read.request"), "m.yaml:10:40");
        assert_eq!(manifest.places.of("objects.contact.write"), "m.yaml:8:3");
    }

    #[test]
    fn every_mistake_at_once_with_its_place_and_the_nearest_name() {
        let yaml = SMALL
            .replace("format: 1", "format: 1\nsuport: drafted")
            .replace("bearer:", "baerer:")
            .replace("every: 1d", "every: 1 day")
            .replace("GET /contacts", "GET contacts")
            .replace("type: email", "type: emial")
            .replace("name: full", "name: 'full['");
        check(
            &yaml,
            &[
                "MAN001 m.yaml:4:1: unknown name `suport` (hint: did you mean `support`?)",
                "MAN001 m.yaml:6:7: unknown word `baerer` (hint: did you mean `bearer`?)",
                "MAN001 m.yaml:11:26: `1 day` is not a span of time such as 500ms, 60s, 5m, 12h, 30d",
                "MAN001 m.yaml:11:43: `GET contacts` is not a request such as GET /users (the path begins with `/`)",
                "MAN001 m.yaml:12:39: unknown word `emial` (hint: did you mean `email`?)",
                "MAN001 m.yaml:12:53: `full[` is not a path: `[` is not closed",
            ],
        );
    }

    #[test]
    fn what_is_missing_and_what_is_not_yaml() {
        check(
            "connector: x\nformat: 1\n",
            &["MAN001 m.yaml:1:1: `objects` is missing"],
        );
        check(
            &SMALL.replace("format: 1", "format: 2"),
            &["MAN001 m.yaml:3:9: format 2 is not known (hint: this version reads format 1)"],
        );
        check(
            &SMALL.replace("{{ config.token }}", "{{ config.token"),
            &["MAN002 m.yaml:5:16: `{{ config.token`: `{{` is not closed"],
        );
        let torn = Manifest::parse("m.yaml", "a: [1").unwrap_err();
        assert!(torn[0].subject.starts_with("m.yaml:"), "{torn:?}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            yaml += &format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10));
        }
        assert!(Manifest::parse("m.yaml", &yaml).is_err());
    }

    #[track_caller]
    fn check_settings(given: Json, expected: Result<Json, &[&str]>) {
        let manifest = Manifest::parse("m.yaml", SMALL).unwrap();
        let given = serde_json::from_value(given).unwrap();
        let told = manifest.settings(&given);
        let told = told.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            told,
            expected.map_err(|lines| lines.iter().map(ToString::to_string).collect())
        );
    }

    #[test]
    fn settings_are_checked_against_what_is_declared() {
        check_settings(json!({"token": "t"}), Ok(json!({"region": "eu", "token": "t"})));
        check_settings(
            json!({"tokn": "secret", "region": "mars"}),
            Err(&[
                "CFG002: unknown setting `tokn` (hint: did you mean `token`?)",
                "CFG002: setting `region` does not match `^(eu|us)$`",
                "CFG004: setting `token` is missing",
            ]),
        );
    }
}
