//! What names of fields and parameters usually mean.

use super::DraftField;

/// Spellings without case, `_` and `-`, and what they mean.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "email",
        "email",
        &["email", "emailaddress", "mail", "primaryemail", "workemail"],
    ),
    (
        "phone",
        "phone",
        &[
            "phone",
            "phonenumber",
            "telephone",
            "tel",
            "mobile",
            "mobilephone",
            "primaryphone",
            "workphone",
        ],
    ),
    ("given_name", "", &["firstname", "givenname", "fname", "forename"]),
    ("family_name", "", &["lastname", "familyname", "surname", "lname"]),
    ("full_name", "", &["name", "fullname", "displayname", "realname"]),
    (
        "company",
        "",
        &[
            "company",
            "companyname",
            "organization",
            "organisation",
            "org",
            "firm",
            "account",
        ],
    ),
    ("job_title", "", &["jobtitle", "title", "position", "role"]),
    (
        "external_id",
        "",
        &["externalid", "externalreference", "reference", "foreignid"],
    ),
    ("city", "", &["city", "town"]),
    ("country", "", &["country", "countrycode"]),
    ("postal_code", "", &["zip", "zipcode", "postalcode", "postcode"]),
    ("lifecycle", "", &["lifecycle", "lifecyclestage", "stage"]),
    ("tags", "set", &["tags", "labels"]),
    ("notes", "", &["note", "notes", "comment", "comments"]),
];

/// Letters and digits alone, in small letters.
pub(super) fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// What a field of the tool is to Nivel; `hint` is its type in the tool's own words (`email`, `bool`, `set`, `time`).
pub(super) fn field(to: &str, hint: &str) -> Option<DraftField> {
    let last = to.rsplit_once('.').map_or(to, |(_, last)| last);
    let spelled = plain(last.trim_end_matches("[0]"));
    let found = FIELDS.iter().find(|(_, _, names)| names.contains(&spelled.as_str()));
    let (name, kind) = match found {
        Some((name, kind, _)) => (*name, *kind),
        None if hint == "email" => ("email", "email"),
        None => return None,
    };
    let kind = match (kind, hint) {
        // A list of labels is a set; one text is not.
        ("set", hint) if hint != "set" => return None,
        ("", "set") => "set",
        (kind, _) => kind,
    };
    Some(DraftField {
        name: name.to_owned(),
        to: to.to_owned(),
        kind: kind.to_owned(),
    })
}

/// True for a parameter that asks for what changed since.
pub(super) fn is_since(name: &str) -> bool {
    let name = plain(name);
    let change = ["updated", "modified", "changed", "lastmod"]
        .iter()
        .any(|word| name.contains(word));
    let from = ["since", "after", "from", "gte", "min", "start"]
        .iter()
        .any(|word| name.contains(word));
    name == "since" || (change && from)
}

/// How well a field's name says that it holds the time of the last change; nothing when it does not.
pub(super) fn is_modified(name: &str) -> bool {
    let name = plain(name);
    [
        "updatedat",
        "updated",
        "modifiedat",
        "modified",
        "lastmodified",
        "lastmodifiedat",
        "updatedon",
        "changedat",
        "updatetime",
        "modifieddate",
    ]
    .contains(&name.as_str())
}

/// What a parameter of a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Number,
    Skip,
    Token,
    Size,
}

/// What a parameter of a list is for, by its name.
pub(super) fn usage(name: &str) -> Option<Use> {
    Some(match plain(name).as_str() {
        "page" | "pagenumber" | "pageno" => Use::Number,
        "offset" | "skip" | "start" | "startat" => Use::Skip,
        "cursor" | "after" | "pagetoken" | "startingafter" | "nexttoken" | "continuation" | "continuationtoken" => {
            Use::Token
        }
        "limit" | "perpage" | "pagesize" | "size" | "take" | "count" | "maxresults" => Use::Size,
        _ => return None,
    })
}

/// True for a member of an answer that holds the token of the next page.
pub(super) fn is_next_token(name: &str) -> bool {
    [
        "nextcursor",
        "cursor",
        "nextpagetoken",
        "nexttoken",
        "endcursor",
        "after",
        "next",
    ]
    .contains(&plain(name).as_str())
}

/// `people` is a list of `person`, `contacts` one of `contact`.
pub(super) fn singular(word: &str) -> String {
    let word = word.to_ascii_lowercase().replace('-', "_");
    match word.as_str() {
        "people" => "person".to_owned(),
        _ => match word.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => word.strip_suffix('s').map_or_else(|| word.clone(), str::to_owned),
        },
    }
}
