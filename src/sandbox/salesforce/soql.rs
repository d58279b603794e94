//! As much SOQL as connectors speak: `SELECT fields FROM object WHERE … AND … ORDER BY field LIMIT n`.

use std::cmp::Ordering;

use serde_json::Value;

use super::super::clock::parse_ms;

/// What is asked.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) fields: Vec<String>,
    pub(super) object: String,
    conditions: Vec<Condition>,
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, PartialEq)]
struct Condition {
    field: String,
    operator: String,
    values: Vec<Literal>,
}

#[derive(Debug, PartialEq)]
enum Literal {
    Text(String),
    /// A number, a time, `true`, `null`: without quotes.
    Bare(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

/// Why a query is refused.
pub(super) type Malformed = String;

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut tokens = Tokens {
            rest: split(text)?.into_iter().peekable(),
        };
        tokens.keyword("SELECT")?;
        let fields = tokens.list(Tokens::name)?;
        tokens.keyword("FROM")?;
        let object = tokens.name()?;
        let mut conditions = Vec::new();
        if tokens.follows("WHERE") {
            conditions.push(tokens.condition()?);
            while tokens.follows("AND") {
                conditions.push(tokens.condition()?);
            }
        }
        let order = if tokens.follows("ORDER") {
            tokens.keyword("BY")?;
            tokens.list(Tokens::direction)?
        } else {
            Vec::new()
        };
        let limit = if tokens.follows("LIMIT") {
            Some(tokens.name()?.parse().map_err(|error| format!("LIMIT: {error}"))?)
        } else {
            None
        };
        match tokens.rest.next() {
            None => Ok(Self {
                fields,
                object,
                conditions,
                order,
                limit,
            }),
            Some(token) => Err(format!("unexpected token: {token:?}")),
        }
    }

    /// Every field it speaks of.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let conditions = self.conditions.iter().map(|condition| condition.field.as_str());
        let order = self.order.iter().map(|(field, _)| field.as_str());
        self.fields.iter().map(String::as_str).chain(conditions).chain(order)
    }

    pub(super) fn holds(&self, row: &Value) -> bool {
        self.conditions.iter().all(|condition| condition.holds(row))
    }

    pub(super) fn compare(&self, one: &Value, other: &Value) -> Ordering {
        let by = |(field, down): &(String, bool)| {
            let order = sort_key(one.get(field)).cmp(&sort_key(other.get(field)));
            if *down { order.reverse() } else { order }
        };
        self.order
            .iter()
            .map(by)
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

fn sort_key(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Condition {
    fn holds(&self, row: &Value) -> bool {
        let own = row.get(&self.field).unwrap_or(&Value::Null);
        match self.operator.as_str() {
            "IN" => self
                .values
                .iter()
                .any(|value| value.compare(own) == Some(Ordering::Equal)),
            operator => {
                let order = self.values.first().and_then(|value| value.compare(own));
                match operator {
                    "=" => order == Some(Ordering::Equal),
                    "!=" => order != Some(Ordering::Equal),
                    "<" => order == Some(Ordering::Less),
                    "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                    ">" => order == Some(Ordering::Greater),
                    ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                    _ => false,
                }
            }
        }
    }
}

impl Literal {
    /// How a row's value stands to this one; equal texts are equal without regard to case.
    fn compare(&self, own: &Value) -> Option<Ordering> {
        match self {
            Self::Text(text) => {
                let own = own.as_str()?;
                if own.to_lowercase() == text.to_lowercase() && !is_id(own) {
                    return Some(Ordering::Equal);
                }
                Some(own.cmp(text.as_str()))
            }
            Self::Bare(word) if word == "null" => own.is_null().then_some(Ordering::Equal),
            Self::Bare(word) if word == "true" || word == "false" => Some(own.as_bool()?.cmp(&(word == "true"))),
            Self::Bare(word) => match own {
                Value::String(text) => Some(parse_ms(&text.replace("+0000", "Z"))?.cmp(&parse_ms(word)?)),
                _ => own.as_f64()?.partial_cmp(&word.parse().ok()?),
            },
        }
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 15 | 18) && text.starts_with("00")
}

struct Tokens {
    rest: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Tokens {
    fn follows(&mut self, keyword: &str) -> bool {
        let is_it = |token: &Token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.rest.next_if(is_it).is_some()
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Malformed> {
        if self.follows(keyword) {
            return Ok(());
        }
        Err(format!("unexpected token: {:?}, expecting {keyword}", self.rest.peek()))
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.rest.next_if_eq(&Token::Sign(sign.to_owned())).is_some()
    }

    fn name(&mut self) -> Result<String, Malformed> {
        match self.rest.next() {
            Some(Token::Word(word)) => Ok(word),
            token => Err(format!("unexpected token: {token:?}")),
        }
    }

    fn direction(&mut self) -> Result<(String, bool), Malformed> {
        let field = self.name()?;
        let down = self.follows("DESC");
        if !down {
            self.follows("ASC");
        }
        Ok((field, down))
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let mut items = vec![one(self)?];
        while self.sign(",") {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn literal(&mut self) -> Result<Literal, Malformed> {
        match self.rest.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) => Ok(Literal::Bare(word)),
            token => Err(format!("unexpected token: {token:?}")),
        }
    }

    fn condition(&mut self) -> Result<Condition, Malformed> {
        let field = self.name()?;
        if self.follows("IN") {
            if !self.sign("(") {
                return Err("expecting (".to_owned());
            }
            let values = self.list(Self::literal)?;
            if !self.sign(")") {
                return Err("expecting )".to_owned());
            }
            return Ok(Condition {
                field,
                operator: "IN".to_owned(),
                values,
            });
        }
        match self.rest.next() {
            Some(Token::Sign(operator)) => Ok(Condition {
                field,
                operator,
                values: vec![self.literal()?],
            }),
            token => Err(format!("unexpected token: {token:?}")),
        }
    }
}

fn split(text: &str) -> Result<Vec<Token>, Malformed> {
    let mut letters = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '\'' => tokens.push(Token::Text(quoted(&mut letters)?)),
            '(' | ')' | ',' => tokens.push(Token::Sign(letter.to_string())),
            '=' | '<' | '>' | '!' => {
                let mut sign = letter.to_string();
                sign.extend(letters.next_if_eq(&'='));
                tokens.push(Token::Sign(sign));
            }
            _ => {
                let mut word = letter.to_string();
                while let Some(letter) = letters.next_if(|letter| letter.is_alphanumeric() || "_.:+-".contains(*letter))
                {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn quoted(letters: &mut impl Iterator<Item = char>) -> Result<String, Malformed> {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => return Ok(text),
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    Err("a text without its end".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(condition: &str, row: Value, expected: bool) {
        let query = Query::parse(&format!("SELECT Id FROM Contact WHERE {condition} ORDER BY Id LIMIT 5")).unwrap();
        assert_eq!(query.holds(&row), expected, "{condition} {row}");
    }

    #[test]
    fn conditions_hold_as_the_vendor_means_them() {
        check("Email = 'o\\'NEIL@x.y'", json!({"Email": "O'Neil@x.y"}), true);
        check(
            "Email = 'a' AND IsConverted = false",
            json!({"Email": "a", "IsConverted": true}),
            false,
        );
        check("Id IN ('a', 'b')", json!({"Id": "b"}), true);
        check("Id > '003a'", json!({"Id": "003b"}), true);
        check(
            "At >= 2026-01-01T00:00:00Z",
            json!({"At": "2026-01-01T00:00:00.000+0000"}),
            true,
        );
        check(
            "At < 2026-01-01T00:00:00Z",
            json!({"At": "2026-01-01T00:00:00.000+0000"}),
            false,
        );
        check("Email = null", json!({"Email": null}), true);
        check("Email != null", json!({"Email": "a"}), true);
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in [
            "",
            "SELECT",
            "SELECT Id",
            "SELECT Id FROM",
            "SELECT Id FROM X WHERE",
            "SELECT Id FROM X WHERE A = 'b",
            "SELECT Id FROM X LIMIT many",
            "SELECT Id FROM X nonsense more",
        ] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
