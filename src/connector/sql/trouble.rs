//! What the errors of databases mean: which class, and what a person reads. No value of a row is ever repeated. Pure.

use crate::error::{Class, Code, Failure, Problem};

/// What went wrong, whatever the database calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A row with the same value in a unique column is there already.
    Twice,
    /// A rule of the table refuses the row.
    Rule,
    /// A value does not fit its column.
    Value,
    /// The credential is not accepted.
    Credential,
    /// The credential may not do this.
    Forbidden,
    /// There is no such table or column.
    NoSuchName,
    /// There is no such database.
    NoSuchDatabase,
    /// A query of the admin is wrong, or means something that cannot be done.
    Statement,
    /// It took longer than it may.
    TooSlow,
    /// It may go well another time.
    Passing,
}

/// The failure of that kind. `message` is repeated only where it speaks of the schema and not of a row.
pub(super) fn failure(kind: Kind, code: &str, message: Option<&str>) -> Failure {
    let told = message.unwrap_or_default();
    let (class, number, text) = match kind {
        Kind::Twice => (
            Class::Exists,
            Code::WriteRefused,
            "a row with this value is there already".to_owned(),
        ),
        Kind::Rule => (
            Class::Invalid,
            Code::WriteRefused,
            format!("a rule of the table refuses the row: {told}"),
        ),
        Kind::Value => (
            Class::Invalid,
            Code::WriteRefused,
            "a value does not fit its column".to_owned(),
        ),
        Kind::Credential => (
            Class::Auth,
            Code::CredentialRefused,
            "the database does not accept the user".to_owned(),
        ),
        Kind::Forbidden => (
            Class::Forbidden,
            Code::NotAllowed,
            format!("the user may not do this: {told}"),
        ),
        Kind::NoSuchName => (Class::Forbidden, Code::SqlNoSuchName, told.to_owned()),
        Kind::NoSuchDatabase => (
            Class::Forbidden,
            Code::SqlNoSuchName,
            "there is no such database".to_owned(),
        ),
        Kind::Statement => (
            Class::Forbidden,
            Code::SqlStatement,
            format!("the database does not take the statement: {told}"),
        ),
        Kind::TooSlow => (
            Class::Transient,
            Code::ToolError,
            "a statement took longer than `timeout` and was broken off".to_owned(),
        ),
        Kind::Passing => (
            Class::Transient,
            Code::ToolError,
            "the database could not do it now".to_owned(),
        ),
    };
    Failure::new(class, Problem::new(number, format!("{text} ({code})")))
}

/// The nearest of the names there are, as a hint.
pub(super) fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let plain = wrong.to_lowercase();
    let near = |name: &&str| strsim::jaro_winkler(&plain, &name.to_lowercase());
    let best = names.into_iter().map(|name| (near(&name), name));
    match best.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, name)) if score > 0.7 => format!("did you mean `{name}`?"),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_row_is_never_repeated() {
        for kind in [Kind::Twice, Kind::Value, Kind::Credential, Kind::Passing] {
            let failure = failure(kind, "22P02", Some("invalid input: \"anna@example.com\""));
            assert!(!failure.to_string().contains("anna"), "{failure}");
        }
    }

    #[test]
    fn the_nearest_name_is_told() {
        let names = ["id", "e_mail", "updated_at"];
        assert_eq!(did_you_mean("email", names), "did you mean `e_mail`?");
        assert_eq!(did_you_mean("Updated", names), "did you mean `updated_at`?");
        assert_eq!(did_you_mean("xyz", names), "");
    }
}
