//! An answer that is a table (CSV) as a list of objects. Pure.

use serde_json::{Map, Value as Json};

use super::render::member;

/// The rows as objects: texts, and null for what is empty. A name with dots is a path.
///
/// # Errors
/// What is wrong with it, in words without any of its content.
pub(super) fn rows(body: &[u8]) -> Result<Json, &'static str> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut reader = csv::ReaderBuilder::new().from_reader(body);
    let bad = |_error| "answered with a table that is damaged";
    let names = reader.headers().map_err(bad)?.clone();
    if names.iter().all(str::is_empty) {
        return Err("answered with a table without names");
    }
    if !body.ends_with(b"\n") {
        return Err("answered with a table that is cut off");
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let mut row = Json::Object(Map::new());
        for (name, value) in names.iter().zip(&record) {
            let place = name.split('.').fold(&mut row, member);
            *place = if value.is_empty() {
                Json::Null
            } else {
                Json::from(value)
            };
        }
        rows.push(row);
    }
    Ok(Json::Array(rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Json, &str>) {
        assert_eq!(rows(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn a_table_is_a_list_of_objects() {
        let row = json!({"Id": "1", "Name": "O\"Neil, Ana\nline", "Account": {"Name": "Globex"}, "Phone": null});
        check(
            "\u{FEFF}\"Id\",\"Name\",\"Account.Name\",\"Phone\"\n\"1\",\"O\"\"Neil, Ana\nline\",\"Globex\",\"\"\n",
            Ok(json!([row])),
        );
        check(
            "Id,Email\r\n1,a@b.c\r\n2,\r\n",
            Ok(json!([{"Id": "1", "Email": "a@b.c"}, {"Id": "2", "Email": null}])),
        );
        check("Id,Email\n", Ok(json!([])));
    }

    #[test]
    fn what_is_no_table_is_never_an_empty_one() {
        check("", Err("answered with a table without names"));
        check("Id,Email\n1,a@b.c\n2,b@", Err("answered with a table that is cut off"));
        check("Id,Email\n1\n", Err("answered with a table that is damaged"));
        check("Id,Email\n1,2,3\n", Err("answered with a table that is damaged"));
        assert!(rows(b"Id\n\xFF\xFE\n").is_err());
    }
}
