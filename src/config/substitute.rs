//! `${VAR}` and `${VAR:-default}` inside values, and secrets that stand in files.

use std::collections::BTreeMap;
use std::path::Path;

use super::layers::cannot_read;
use crate::error::{Code, Problem};

/// A secret is a token or a key, not a document.
const SECRET_SIZE_MAX: u64 = 64 << 10;

/// Puts variables into text. A variable that is not set is looked for in the file that `VAR_FILE` names.
pub(super) struct Substitute<'a> {
    pub(super) env: &'a BTreeMap<String, String>,
}

impl Substitute<'_> {
    /// The text with every `${…}` replaced; `$${` stays as `${`.
    pub(super) fn apply(&self, text: &str) -> Result<String, Problem> {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                done.push_str(before);
                done.push_str("${");
                rest = after;
                continue;
            }
            let Some((inside, after)) = after.split_once('}') else {
                return Err(Problem::new(Code::ConfigInvalid, "`${` without `}`").hint("write $${ for the text ${"));
            };
            done.push_str(before);
            done.push_str(&self.variable(inside)?);
            rest = after;
        }
        done.push_str(rest);
        Ok(done)
    }

    fn variable(&self, inside: &str) -> Result<String, Problem> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(Problem::new(
                Code::ConfigInvalid,
                format!("`{name}` is not the name of an environment variable"),
            )
            .hint("write ${NAME} or ${NAME:-default}, and $${ for the text ${"));
        }
        if let Some(value) = self.env.get(name).filter(|value| !value.is_empty()) {
            return Ok(value.clone());
        }
        if let Some(file) = self.env.get(&format!("{name}_FILE")).filter(|file| !file.is_empty()) {
            return secret_from_file(Path::new(file));
        }
        if let Some(default) = default {
            return Ok(default.to_owned());
        }
        let state = if self.env.contains_key(name) {
            "is empty"
        } else {
            "is not set"
        };
        Err(
            Problem::new(Code::SecretMissing, format!("environment variable {name} {state}")).hint(format!(
                "set {name}, or {name}_FILE to the path of a file that holds the value, or write ${{{name}:-default}}"
            )),
        )
    }
}

/// The secret that a file holds, without the line end most editors add.
pub(super) fn secret_from_file(path: &Path) -> Result<String, Problem> {
    let problem = |why: String| Problem::new(Code::SecretMissing, format!("secret file `{}`: {why}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|error| problem(cannot_read(&error)))?
        .len();
    if size > SECRET_SIZE_MAX {
        return Err(problem(format!(
            "larger than a secret may be ({size} bytes, at most {SECRET_SIZE_MAX})"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| problem(cannot_read(&error)))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(problem("it is empty".to_owned()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: Result<&str, &str>) {
        let env = [("TOKEN", "s3cret"), ("EMPTY", ""), ("GONE_FILE", "no/such/file")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = Substitute { env: &env }.apply(text).map_err(|problem| problem.message);
        assert_eq!(found.as_deref().map_err(String::as_str), wanted, "{text}");
    }

    #[test]
    fn variables_are_put_in() {
        check("plain", Ok("plain"));
        check("${TOKEN}", Ok("s3cret"));
        check("a-${TOKEN}-${TOKEN}-z", Ok("a-s3cret-s3cret-z"));
        check("${NOT_SET:-x y}", Ok("x y"));
        check("${EMPTY:-x}", Ok("x"));
        check("${NOT_SET:-}", Ok(""));
        check("$${TOKEN}", Ok("${TOKEN}"));
        check("cost $5", Ok("cost $5"));
        check("${NOT_SET}", Err("environment variable NOT_SET is not set"));
        check("${EMPTY}", Err("environment variable EMPTY is empty"));
        check("${TOKEN", Err("`${` without `}`"));
        check("${a b}", Err("`a b` is not the name of an environment variable"));
        check("${GONE}", Err("secret file `no/such/file`: there is no such file"));
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "from file\n").unwrap();
        let env = BTreeMap::from([("TOKEN_FILE".to_owned(), file.display().to_string())]);
        assert_eq!(Substitute { env: &env }.apply("${TOKEN}").unwrap(), "from file");
        std::fs::write(&file, "\n").unwrap();
        assert!(Substitute { env: &env }.apply("${TOKEN}").is_err());
    }
}
