//! How the three tools spell a contact, a page and an answer: the shapes that the shipped manifests read and write.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::people::Row;

/// The three tools, by what they are for. The numbers are their places in every list of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Marketing = 0,
    Sales = 1,
    Support = 2,
}

pub(crate) const TOOLS: [Tool; 3] = [Tool::Marketing, Tool::Sales, Tool::Support];

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        ["marketing", "sales", "support"][self as usize]
    }

    /// Rows of one page: the most each vendor gives.
    pub(crate) fn page_rows(self) -> usize {
        [200, 500, 1000][self as usize]
    }

    pub(crate) fn first_id(self) -> u64 {
        [10_001, 1, 370_001][self as usize]
    }

    /// Writes a contact as the tool lists it.
    pub(crate) fn spell(self, row: &Row, to: &mut String) {
        let done = match self {
            Self::Marketing => marketing(row, to),
            Self::Sales => sales(row, to),
            Self::Support => support(row, to),
        };
        debug_assert!(done.is_ok(), "text takes everything");
    }

    /// A page of contacts; `next` is the number of the page behind it.
    pub(crate) fn page(self, rows: &[Row], total: usize, next: Option<usize>) -> String {
        let mut to = String::with_capacity(rows.len() * 700 + 200);
        to.push_str(match self {
            Self::Marketing => "{\"results\":[",
            Self::Sales => "{\"success\":true,\"data\":[",
            Self::Support => "{\"users\":[",
        });
        for (place, row) in rows.iter().enumerate() {
            if place > 0 {
                to.push(',');
            }
            self.spell(row, &mut to);
        }
        to.push_str("],");
        to.push_str(&match (self, next) {
            (Self::Marketing, None) => format!("\"total\":{total}}}"),
            (Self::Marketing, Some(next)) => {
                let after = next * self.page_rows();
                format!(
                    "\"total\":{total},\"paging\":{{\"next\":{{\"after\":\"{after}\",\"link\":\"?after={after}\"}}}}}}"
                )
            }
            (Self::Sales, None) => "\"additional_data\":{\"next_cursor\":null}}".to_owned(),
            (Self::Sales, Some(next)) => format!("\"additional_data\":{{\"next_cursor\":\"p{next}\"}}}}"),
            (Self::Support, next) => {
                let cursor = next.map_or_else(|| "end".to_owned(), |next| format!("p{next}"));
                let url = format!("/api/v2/incremental/users/cursor.json?cursor={cursor}");
                let is_end = next.is_none();
                format!(
                    "\"after_url\":\"{url}\",\"after_cursor\":\"{cursor}\",\"before_url\":null,\"before_cursor\":null,\
                     \"end_of_stream\":{is_end}}}"
                )
            }
        });
        to
    }

    /// Where the objects of a write request stand in its body.
    pub(crate) fn written(self, body: &Value) -> Vec<&Value> {
        let (list, one) = match self {
            Self::Marketing => ("inputs", "properties"),
            Self::Sales => ("", ""),
            Self::Support => ("users", "user"),
        };
        let part = |row| {
            if self == Self::Marketing {
                Value::get(row, one).unwrap_or(row)
            } else {
                row
            }
        };
        match body.get(list).and_then(Value::as_array) {
            Some(rows) => rows.iter().map(part).collect(),
            None => vec![body.get(one).unwrap_or(body)],
        }
    }

    /// Lays what was written over a contact.
    pub(crate) fn lay(self, row: &mut Row, written: &Value) {
        for (name, value) in written.as_object().into_iter().flatten() {
            let text = || value.as_str().unwrap_or_default().to_owned();
            match (self, name.as_str()) {
                (Self::Marketing | Self::Support, "email") => row.email = text(),
                (Self::Marketing, "firstname") => row.given = text(),
                (Self::Marketing, "lastname") => row.family = text(),
                (Self::Marketing | Self::Support, "phone") => row.phone = text(),
                (Self::Marketing, "company") => row.company = text(),
                (Self::Sales | Self::Support, "name") => {
                    let full = text();
                    let (given, family) = full.split_once(' ').unwrap_or((&full, ""));
                    (row.given, row.family) = (given.to_owned(), family.to_owned());
                }
                (Self::Sales, "emails") => row.email = first(value),
                (Self::Sales, "phones") => row.phone = first(value),
                (Self::Sales, "custom_fields") => custom(row, value),
                (Self::Support, "id") => {}
                _ => {
                    row.more.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

/// Custom fields are laid over one by one.
fn custom(row: &mut Row, new: &Value) {
    let fields = row
        .more
        .entry("custom_fields")
        .or_insert_with(|| Value::Object(Map::new()));
    if let (Some(fields), Some(new)) = (fields.as_object_mut(), new.as_object()) {
        fields.extend(new.clone());
    }
}

fn first(list: &Value) -> String {
    list.pointer("/0/value")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// `2025-01-02T03:04:05Z`
pub(crate) fn rfc3339(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| String::new(), |at| at.to_string())
}

/// A JSON text; null when there is none.
fn text(value: &str) -> String {
    if value.is_empty() {
        "null".to_owned()
    } else {
        Value::from(value).to_string()
    }
}

fn marketing(row: &Row, to: &mut String) -> std::fmt::Result {
    let (id, at) = (row.id, rfc3339(row.updated_at).replace('Z', ".000Z"));
    write!(to, "{{\"id\":\"{id}\",\"properties\":{{")?;
    let known = [
        ("email", &row.email),
        ("firstname", &row.given),
        ("lastname", &row.family),
    ];
    for (name, value) in known
        .into_iter()
        .chain([("phone", &row.phone), ("company", &row.company)])
    {
        write!(to, "\"{name}\":{},", text(value))?;
    }
    let rest = [
        ("hs_language", "\"en-US\""),
        ("lifecyclestage", "null"),
        ("hs_email_optout", "null"),
    ];
    for (name, value) in rest.into_iter().chain([("hubspot_owner_id", "null")]) {
        if !row.more.contains_key(name) {
            write!(to, "\"{name}\":{value},")?;
        }
    }
    for (name, value) in &row.more {
        write!(to, "\"{name}\":{value},")?;
    }
    write!(
        to,
        "\"createdate\":\"{at}\",\"lastmodifieddate\":\"{at}\",\"hs_object_id\":\"{id}\"}},"
    )?;
    write!(to, "\"createdAt\":\"{at}\",\"updatedAt\":\"{at}\",\"archived\":false}}")
}

fn sales(row: &Row, to: &mut String) -> std::fmt::Result {
    let (id, at) = (row.id, rfc3339(row.updated_at));
    let listed = |value: &str| match text(value).as_str() {
        "null" => "[]".to_owned(),
        value => format!("[{{\"value\":{value},\"primary\":true,\"label\":\"work\"}}]"),
    };
    let full = format!("{} {}", row.given, row.family);
    write!(
        to,
        "{{\"id\":{id},\"name\":{},\"first_name\":{},",
        text(full.trim()),
        text(&row.given)
    )?;
    write!(
        to,
        "\"last_name\":{},\"owner_id\":1,\"org_id\":null,",
        text(&row.family)
    )?;
    write!(
        to,
        "\"add_time\":\"{at}\",\"update_time\":\"{at}\",\"emails\":{},",
        listed(&row.email)
    )?;
    write!(
        to,
        "\"phones\":{},\"is_deleted\":false,\"visible_to\":3,\"label_ids\":[],",
        listed(&row.phone)
    )?;
    if !row.more.contains_key("custom_fields") {
        to.push_str("\"custom_fields\":{},");
    }
    for (name, value) in &row.more {
        write!(to, "\"{name}\":{value},")?;
    }
    to.push_str("\"picture_id\":null}");
    Ok(())
}

fn support(row: &Row, to: &mut String) -> std::fmt::Result {
    let (id, at) = (row.id, rfc3339(row.updated_at));
    let full = format!("{} {}", row.given, row.family);
    write!(
        to,
        "{{\"id\":{id},\"url\":\"/api/v2/users/{id}.json\",\"name\":{},",
        text(full.trim())
    )?;
    write!(
        to,
        "\"email\":{},\"created_at\":\"{at}\",\"updated_at\":\"{at}\",",
        text(&row.email)
    )?;
    write!(
        to,
        "\"phone\":{},\"verified\":false,\"active\":true,\"suspended\":false,",
        text(&row.phone)
    )?;
    let rest = [
        ("time_zone", "\"UTC\""),
        ("locale", "\"en-US\""),
        ("role", "\"end-user\""),
        ("tags", "[]"),
    ];
    let empty = ["organization_id", "external_id", "alias", "notes", "details"].map(|name| (name, "null"));
    for (name, value) in rest
        .into_iter()
        .chain(empty)
        .filter(|(name, _)| !row.more.contains_key(*name))
    {
        write!(to, "\"{name}\":{value},")?;
    }
    for (name, value) in row.more.iter().filter(|(name, _)| *name != "user_fields") {
        write!(to, "\"{name}\":{value},")?;
    }
    let fields = row
        .more
        .get("user_fields")
        .map_or_else(|| "{}".to_owned(), Value::to_string);
    write!(to, "\"user_fields\":{fields}}}")
}
