//! From one page of a list to the next. Pure: an answer in, the next position out.

use serde_json::{Value as Json, json};

use super::place::Position;
use crate::connector::classify::text_of;
use crate::connector::from_answer::told;
use crate::connector::link::Good;
use crate::manifest::{Cond, CursorRead, Paging, Param, Path};

/// What a page tells about the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    pub(super) body: &'a Json,
    /// The number of all rows.
    pub(super) total: Option<u64>,
    /// The token of the next page.
    pub(super) token: Option<&'a str>,
    /// The `rel=next` address of the `Link` header.
    pub(super) link: Option<&'a str>,
    pub(super) rows: u64,
    /// Rows of the query so far, these among them.
    pub(super) read: u64,
    /// The last row.
    pub(super) last: Option<&'a Json>,
}

/// The next position of a list; `None` at its end.
///
/// # Errors
/// What the answer lacks for it to be told.
pub(super) fn next(
    paging: Option<&Paging>,
    cursor: Option<&CursorRead>,
    now: &Position,
    leaf: Leaf<'_>,
) -> Result<Option<Position>, &'static str> {
    let Some(paging) = paging else {
        return match cursor {
            Some(cursor) => Ok(text_at(&cursor.opaque, leaf.body).map(Position::Token)),
            None => Ok(None),
        };
    };
    Ok(match paging {
        Paging::Token { until, end, .. } => {
            let is_last = until.as_ref().is_some_and(|until| until.holds_on(leaf.body));
            match (leaf.token, end) {
                (None, Some(_)) if !is_last => return Err("has neither a token nor an end"),
                (Some(token), Some(end)) if token == end.as_str() => None,
                (token, _) => token
                    .filter(|_| !is_last)
                    .map(|token| Position::Token(token.to_owned())),
            }
        }
        Paging::NextUrl { from } => text_at(from, leaf.body).map(Position::Url),
        Paging::Link => leaf.link.map(|link| Position::Url(link.to_owned())),
        Paging::Offset {
            step,
            total,
            until,
            size,
            ..
        } => {
            let offset = if let Position::Offset(offset) = now { *offset } else { 0 };
            // A page with nothing in it is not the end while the tool says that there is more: rows may be hidden.
            let reach = offset + if leaf.rows == 0 { *step } else { leaf.rows };
            let is_end = is_end(leaf, total.is_some(), until.as_ref(), *size, reach)?;
            (!is_end).then_some(Position::Offset(reach))
        }
        Paging::Page {
            start,
            total,
            until,
            size,
            ..
        } => {
            let number = if let Position::Number(number) = now {
                *number
            } else {
                *start
            };
            // Pages have no step to go on by, so an empty one is the end whatever the total says.
            let is_end = is_end(leaf, total.is_some(), until.as_ref(), *size, leaf.read)? || leaf.rows == 0;
            (!is_end).then_some(Position::Number(number + 1))
        }
        Paging::Keyset { key, size, until, .. } => match leaf.last {
            None if until.as_ref().is_some_and(|until| !until.holds_on(leaf.body)) => {
                return Err("is empty although it says that there is more");
            }
            None => None,
            Some(_) if until.as_ref().is_some_and(|until| until.holds_on(leaf.body)) => None,
            Some(_) if size.is_some_and(|size| leaf.rows < size) => None,
            Some(last) => Some(Position::After(
                text_at(key, last).ok_or("has a row without the key of the list")?,
            )),
        },
        Paging::Cursor { until } => {
            let token = cursor.and_then(|cursor| text_at(&cursor.opaque, leaf.body));
            match (until.holds_on(leaf.body), token) {
                (true, _) => None,
                (false, Some(token)) => Some(Position::Token(token)),
                (false, None) => return Err("has neither a cursor nor an end"),
            }
        }
    })
}

/// Whether a counted list is at its end: by a condition, by the number of all rows, or by a short page.
fn is_end(
    leaf: Leaf<'_>,
    is_counted: bool,
    until: Option<&Cond>,
    size: Option<u64>,
    reach: u64,
) -> Result<bool, &'static str> {
    if until.is_some_and(|until| until.holds_on(leaf.body)) {
        return Ok(true);
    }
    if is_counted {
        let total = leaf.total.ok_or("does not tell the number of all rows")?;
        return Ok(reach >= total);
    }
    let is_short = size.is_some_and(|size| leaf.rows < size) || leaf.rows == 0;
    Ok(until.is_none() && is_short)
}

/// The token of the next page, as far as the answer tells it.
pub(super) fn token(paging: Option<&Paging>, good: &Good) -> Option<String> {
    match paging {
        Some(Paging::Token { from, .. }) => told(from, &good.answer, &good.body),
        _ => None,
    }
}

/// The number of all rows, as far as the answer tells it.
pub(super) fn total(paging: Option<&Paging>, good: &Good) -> Option<u64> {
    match paging {
        Some(Paging::Offset { total: Some(total), .. } | Paging::Page { total: Some(total), .. }) => {
            told(total, &good.answer, &good.body)?.trim().parse().ok()
        }
        _ => None,
    }
}

/// The number of all rows, where it must not change while the list is read.
pub(super) fn guarded_total(paging: Option<&Paging>, good: &Good) -> Option<u64> {
    match paging {
        Some(Paging::Offset { guard: Some(_), .. } | Paging::Page { guard: Some(_), .. }) => total(paging, good),
        _ => None,
    }
}

/// The position as `page` in expressions.
pub(super) fn names(paging: Option<&Paging>, now: &Position) -> Json {
    let (mut token, mut offset, mut number, mut after) = (Json::Null, 0, 1, Json::Null);
    match paging {
        Some(Paging::Page { start, .. }) => number = *start,
        Some(Paging::Keyset { start, .. }) => after = Json::from(start.as_str()),
        _ => {}
    }
    match now {
        Position::Token(text) => token = Json::from(text.as_str()),
        Position::Offset(rows) => offset = *rows,
        Position::Number(page) => number = *page,
        Position::After(key) => after = Json::from(key.as_str()),
        Position::First | Position::Url(_) => {}
    }
    json!({"token": token, "offset": offset, "number": number, "after": after})
}

/// Where the position goes in the request, and the value.
pub(super) fn parameter<'a>(paging: Option<&'a Paging>, now: &Position) -> Option<(&'a Param, Json)> {
    match (paging?, now) {
        (Paging::Token { to, .. }, Position::Token(token)) => Some((to.as_ref()?, Json::from(token.as_str()))),
        (Paging::Offset { to, .. }, Position::Offset(offset)) => Some((to.as_ref()?, Json::from(*offset))),
        (Paging::Offset { to, .. }, Position::First) => Some((to.as_ref()?, Json::from(0))),
        (Paging::Page { to, .. }, Position::Number(number)) => Some((to.as_ref()?, Json::from(*number))),
        (Paging::Page { to, start, .. }, Position::First) => Some((to.as_ref()?, Json::from(*start))),
        _ => None,
    }
}

/// The text at a path; nothing for null and empty text.
pub(super) fn text_at(path: &Path, from: &Json) -> Option<String> {
    let value = path.find(from).value()?;
    Some(text_of(&value)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::connector::http::Answer;

    #[test]
    fn the_number_of_all_rows_may_stand_in_a_header() {
        let row = [json!({})];
        let counted = "{by: offset, to: query.o, step: 100, total: \"header:X-Total-Count\"}";
        check(
            counted,
            &Position::First,
            &json!({}),
            &row,
            Ok(Some(Position::Offset(1))),
        );
        check(counted, &Position::Offset(149), &json!({}), &row, Ok(None));
        let other = counted.replace("X-Total-Count", "X-Other");
        check(
            &other,
            &Position::First,
            &json!({}),
            &row,
            Err("does not tell the number of all rows"),
        );
        let said = counted.replace("header:X-Total-Count", "{{ headers['x-total-count'] | find('15') }}");
        check(&said, &Position::Offset(14), &json!({}), &row, Ok(None));
    }

    #[track_caller]
    fn check(paging: &str, now: &Position, body: &Json, rows: &[Json], expected: Result<Option<Position>, &str>) {
        let paging: Paging = serde_saphyr::from_str(paging).unwrap();
        let good = Good {
            answer: Answer {
                status: 200,
                headers: HeaderMap::from_iter([(
                    HeaderName::from_static("x-total-count"),
                    HeaderValue::from_static("150"),
                )]),
                body: Vec::new(),
                asked_at: crate::model::UnixMillis(0),
            },
            body: body.clone(),
        };
        let token = token(Some(&paging), &good);
        let leaf = Leaf {
            body,
            token: token.as_deref(),
            total: total(Some(&paging), &good),
            link: Some("https://h/next"),
            rows: rows.len() as u64,
            read: if let Position::Number(number) = now { *number } else { 1 },
            last: rows.last(),
        };
        assert_eq!(next(Some(&paging), None, now, leaf), expected);
    }

    #[test]
    fn an_empty_page_with_a_token_goes_on() {
        let token = "{by: token, from: paging.after, to: query.after}";
        check(
            token,
            &Position::First,
            &json!({"paging": {"after": 7}}),
            &[],
            Ok(Some(Position::Token("7".into()))),
        );
        check(token, &Position::First, &json!({"paging": {}}), &[json!({})], Ok(None));
        check(
            token,
            &Position::First,
            &json!({"paging": {"after": null}}),
            &[json!({})],
            Ok(None),
        );
        let until = "{by: token, from: after, until: not has_more}";
        check(
            until,
            &Position::First,
            &json!({"after": "x", "has_more": false}),
            &[],
            Ok(None),
        );
    }

    #[test]
    fn a_token_may_stand_in_a_header_and_the_end_may_be_a_word() {
        let token = "{by: token, from: header:x-total-count, to: query.locator, end: 'null'}";
        check(
            token,
            &Position::First,
            &json!([]),
            &[],
            Ok(Some(Position::Token("150".into()))),
        );
        check(
            &token.replace("'null'", "'150'"),
            &Position::First,
            &json!([]),
            &[],
            Ok(None),
        );
        check(
            &token.replace("x-total-count", "x-locator"),
            &Position::First,
            &json!([]),
            &[],
            Err("has neither a token nor an end"),
        );
    }

    #[test]
    fn offsets_grow_by_the_rows_received() {
        let total = "{by: offset, to: query.o, step: 100, total: total}";
        let row = [json!({}), json!({})];
        check(
            total,
            &Position::Offset(4),
            &json!({"total": "9"}),
            &row,
            Ok(Some(Position::Offset(6))),
        );
        check(total, &Position::Offset(7), &json!({"total": 9}), &row, Ok(None));
        check(
            total,
            &Position::Offset(0),
            &json!({"total": 150}),
            &[],
            Ok(Some(Position::Offset(100))),
        );
        check(
            total,
            &Position::First,
            &json!({}),
            &row,
            Err("does not tell the number of all rows"),
        );
        let size = "{by: offset, step: 2, size: 2}";
        check(size, &Position::First, &json!({}), &row, Ok(Some(Position::Offset(2))));
        check(size, &Position::Offset(2), &json!({}), &row[..1], Ok(None));
        check(
            "{by: offset, step: 2}",
            &Position::First,
            &json!({}),
            &row[..1],
            Ok(Some(Position::Offset(1))),
        );
    }

    #[test]
    fn pages_are_counted() {
        // One row a page, so that as many rows were read as pages.
        let row = [json!({})];
        let total = "{by: page, to: query.page, total: total}";
        check(
            total,
            &Position::First,
            &json!({"total": 3}),
            &row,
            Ok(Some(Position::Number(2))),
        );
        check(total, &Position::Number(3), &json!({"total": 3}), &row, Ok(None));
        check(total, &Position::Number(2), &json!({"total": 3}), &[], Ok(None));
        let open = "{by: page, start: \"0\"}";
        check(open, &Position::First, &json!({}), &row, Ok(Some(Position::Number(1))));
        check(open, &Position::Number(6), &json!({}), &[], Ok(None));
        let until = "{by: page, until: not next}";
        check(
            until,
            &Position::Number(1),
            &json!({"next": "x"}),
            &row,
            Ok(Some(Position::Number(2))),
        );
        check(until, &Position::Number(2), &json!({}), &row, Ok(None));
    }

    #[test]
    fn keys_go_on_beyond_the_last_row() {
        let keyset = "{by: keyset, key: id, start: \"0\"}";
        check(
            keyset,
            &Position::First,
            &json!({}),
            &[json!({"id": 4}), json!({"id": 9})],
            Ok(Some(Position::After("9".into()))),
        );
        check(keyset, &Position::After("9".into()), &json!({}), &[], Ok(None));
        let until = "{by: keyset, key: id, start: \"0\", until: not more}";
        check(until, &Position::First, &json!({}), &[json!({"id": 4})], Ok(None));
        check(
            until,
            &Position::First,
            &json!({"more": 1}),
            &[],
            Err("is empty although it says that there is more"),
        );
        check(
            keyset,
            &Position::First,
            &json!({}),
            &[json!({})],
            Err("has a row without the key of the list"),
        );
    }

    #[test]
    fn addresses_are_taken_as_they_are() {
        let url = Ok(Some(Position::Url("https://h/2".into())));
        check(
            "{by: next_url, from: links.next}",
            &Position::First,
            &json!({"links": {"next": "https://h/2"}}),
            &[],
            url,
        );
        check(
            "{by: next_url, from: links.next}",
            &Position::First,
            &json!({"links": {}}),
            &[],
            Ok(None),
        );
        check(
            "{by: link}",
            &Position::First,
            &json!({}),
            &[],
            Ok(Some(Position::Url("https://h/next".into()))),
        );
    }
}
