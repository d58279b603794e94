//! Path text into steps.

use serde_json::Value as Json;

use super::Step;

pub(super) fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    let mut name_wanted = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let inner_and_rest = split_once_outside(after, ']').ok_or("`[` is not closed")?;
            steps.push(parse_selector(inner_and_rest.0.trim())?);
            rest = inner_and_rest.1;
            name_wanted = false;
        } else if let Some(after) = rest.strip_prefix('.') {
            if name_wanted {
                return Err("a name is missing before `.`".to_owned());
            }
            rest = after;
            name_wanted = true;
        } else if name_wanted {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            steps.push(match name.trim() {
                "" => return Err("a name is missing".to_owned()),
                "$json" => Step::Embedded,
                name if name.contains(char::is_whitespace) => return Err(format!("`{name}` contains a space")),
                name => Step::Name(name.into()),
            });
            rest = after;
            name_wanted = false;
        } else {
            return Err("a `.` is missing".to_owned());
        }
    }
    if name_wanted {
        return Err("it ends with nothing".to_owned());
    }
    Ok(steps)
}

fn parse_selector(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::Every);
    }
    if let Ok(index) = inner.parse() {
        return Ok(Step::At(index));
    }
    if let Some(name) = quoted(inner) {
        return Ok(Step::Name(name.into()));
    }
    let Some(filter) = inner.strip_prefix('?') else {
        return if inner.is_empty() {
            Err("nothing stands between `[` and `]`".to_owned())
        } else {
            Ok(Step::Key(inner.into()))
        };
    };
    for (sign, wanted) in [("==", true), ("!=", false)] {
        if let Some((name, value)) = filter.split_once(sign) {
            let value = value.trim();
            let value = match quoted(value) {
                Some(text) => Json::String(text.to_owned()),
                None => serde_json::from_str(value)
                    .map_err(|why| format!("`{value}` is not a value, text needs quotes: {why}"))?,
            };
            return Ok(Step::Equals {
                name: name.trim().into(),
                value,
                wanted,
            });
        }
    }
    Ok(match filter.strip_prefix('!') {
        Some(name) => Step::Flag {
            name: name.trim().into(),
            wanted: false,
        },
        None => Step::Flag {
            name: filter.trim().into(),
            wanted: true,
        },
    })
}

/// The text between a pair of quotes.
fn quoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Splits at the first `stop` that does not stand between quotes.
fn split_once_outside(text: &str, stop: char) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if letter == stop => return Some((text.get(..at)?, text.get(at + letter.len_utf8()..)?)),
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            None => {}
        }
    }
    None
}

pub(super) fn split_outside(text: &str, stop: char) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = split_once_outside(rest, stop) {
        out.push(head);
        rest = tail;
    }
    out.push(rest);
    out
}
