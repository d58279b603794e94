//! Fakes in the place of what people and secrets left in a tool's answers: the same value always becomes the same fake, of the
//! same shape. Pure; the seed is handed in.
//!
//! Kept is only what says nothing about anybody: names of members, yes and no, nothing, numbers below ten, counts and sizes,
//! and the small words that stand in the manifest itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Map, Number, Value as Json};
use sha2::{Digest, Sha256};

/// Shorter texts prove nothing when they are found again.
const TELLING: usize = 4;
/// Members whose numbers are about the answer, not about anybody.
const COUNTS: [&str; 18] = [
    "total",
    "count",
    "page",
    "pages",
    "per_page",
    "perpage",
    "limit",
    "offset",
    "left",
    "size",
    "skip",
    "take",
    "start",
    "total_count",
    "page_size",
    "pagesize",
    "status",
    "code",
];

/// Makes fakes.
pub struct Mask {
    seed: u64,
    shift_days: i64,
    keep: BTreeSet<String>,
    fakes: BTreeMap<String, String>,
}

impl Mask {
    /// `manifest` is the text of the connector's manifest: its own words are kept.
    #[must_use]
    pub fn new(seed: u64, manifest: &str) -> Self {
        let lines = manifest.lines().filter(|line| !line.trim_start().starts_with('#'));
        let lines = lines.map(|line| line.split_once(" #").map_or(line, |(code, _)| code));
        let is_word = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let words = lines.flat_map(|line| {
            line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .collect::<Vec<_>>()
        });
        Self {
            seed,
            shift_days: -(100 + i64::try_from(seed % 900).unwrap_or(0)),
            keep: words.filter(is_word).map(str::to_owned).collect(),
            fakes: BTreeMap::new(),
        }
    }

    /// By how much every time is moved, in milliseconds.
    #[must_use]
    pub fn shift_ms(&self) -> i64 {
        self.shift_days * 86_400_000
    }

    /// A whole answer; links to `origin` (`https://api.example.com`) become paths, without `prefix`.
    pub fn json(&mut self, value: &Json, origin: &str, prefix: &str) -> Json {
        match value {
            Json::Object(members) => {
                let mask = |(name, value): (&String, &Json)| {
                    let value = match value {
                        Json::Number(number) if is_count(name, number) => value.clone(),
                        value => self.json(value, origin, prefix),
                    };
                    let name = if is_value(name) { self.text(name) } else { name.clone() };
                    (name, value)
                };
                Json::Object(members.iter().map(mask).collect::<Map<_, _>>())
            }
            Json::Array(items) => items.iter().map(|item| self.json(item, origin, prefix)).collect(),
            Json::String(text) => match text
                .strip_prefix(origin)
                .filter(|rest| !origin.is_empty() && rest.starts_with('/'))
            {
                Some(path) => Json::String(self.link(path.strip_prefix(prefix).unwrap_or(path))),
                None => Json::String(self.text(text)),
            },
            Json::Number(number) => self.number(number),
            Json::Bool(_) | Json::Null => value.clone(),
        }
    }

    /// A path with the values of its query masked.
    fn link(&mut self, path: &str) -> String {
        let Some((path, query)) = path.split_once('?') else {
            return path.to_owned();
        };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", self.text(value)),
            None => pair.to_owned(),
        });
        let pairs: Vec<String> = pairs.collect();
        format!("{path}?{}", pairs.join("&"))
    }

    fn number(&mut self, number: &Number) -> Json {
        let text = number.to_string();
        if number.as_i64().is_some_and(|number| (-9..=9).contains(&number)) {
            return Json::Number(number.clone());
        }
        if let Some(moment) = number.as_i64().and_then(|at| self.moment(at)) {
            self.fakes.insert(text, moment.to_string());
            return moment.into();
        }
        let fake = self.shaped(&text);
        serde_json::from_str(&fake).unwrap_or_else(|_| Json::from(0))
    }

    /// Seconds or milliseconds since 1970 within this century, moved.
    fn moment(&self, at: i64) -> Option<i64> {
        match at {
            946_684_800..=4_102_444_799 => Some(at + self.shift_days * 86_400),
            946_684_800_000..=4_102_444_799_000 => Some(at + self.shift_ms()),
            _ => None,
        }
    }

    /// The fake of a text.
    pub fn text(&mut self, text: &str) -> String {
        if text.trim().is_empty() || self.keep.contains(text) {
            return text.to_owned();
        }
        if let Some(moved) = self.moved(text) {
            self.fakes.insert(text.to_owned(), moved.clone());
            return moved;
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return format!("{scheme}://{}", self.text(rest));
        }
        if let Some((name, host)) = text.split_once('@').filter(|(_, host)| host.contains('.')) {
            let host = host.rsplit_once('.').map_or(host, |(host, _)| host);
            // `example` is nobody's (RFC 2606), and every made-up address ends in it.
            let host = match host {
                "example" => host.to_owned(),
                host => self.shaped(host),
            };
            let fake = format!("{}@{host}.example", self.shaped(name));
            self.fakes.insert(text.to_owned(), fake.clone());
            return fake;
        }
        self.shaped(text)
    }

    /// A text that begins with a date, with the date moved.
    fn moved(&self, text: &str) -> Option<String> {
        let date: Date = text.get(..10)?.parse().ok()?;
        let is_whole = text.get(10..)?.chars().next().is_none_or(|c| matches!(c, 'T' | ' '));
        let moved = date.checked_add(self.shift_days.days()).ok().filter(|_| is_whole)?;
        Some(format!("{moved}{}", text.get(10..)?))
    }

    /// Letters for letters, digits for digits; everything else stays.
    fn shaped(&mut self, text: &str) -> String {
        if let Some(fake) = self.fakes.get(text) {
            return fake.clone();
        }
        let mut stream = Stream::new(self.seed, &text.to_lowercase());
        let fake: String = text.chars().map(|c| stream.like(c)).collect();
        self.fakes.insert(text.to_owned(), fake.clone());
        fake
    }

    /// What must not be found again: everything telling that was replaced by something else.
    pub fn originals(&self) -> impl Iterator<Item = &str> {
        let telling = |(text, fake): &(&String, &String)| text.chars().count() >= TELLING && text != fake;
        self.fakes.iter().filter(telling).map(|(text, _)| text.as_str())
    }
}

fn is_count(name: &str, number: &Number) -> bool {
    number.as_u64().is_some_and(|number| number < 1_000_000_000) && COUNTS.contains(&name.to_ascii_lowercase().as_str())
}

/// True for a member's name that is a value itself: an address, an id.
fn is_value(name: &str) -> bool {
    let digits = name.chars().filter(char::is_ascii_digit).count();
    name.contains('@') || digits >= 4
}

/// Letters and digits that follow from seed and text.
struct Stream {
    seed: u64,
    text: String,
    block: Vec<u8>,
    number: u32,
}

impl Stream {
    fn new(seed: u64, text: &str) -> Self {
        Self {
            seed,
            text: text.to_owned(),
            block: Vec::new(),
            number: 0,
        }
    }

    fn next(&mut self) -> u8 {
        if self.block.is_empty() {
            let mut digest = Sha256::new();
            digest.update(self.seed.to_le_bytes());
            digest.update(self.number.to_le_bytes());
            digest.update(&self.text);
            self.block = digest.finalize().to_vec();
            self.number += 1;
        }
        self.block.pop().unwrap_or(0)
    }

    fn like(&mut self, c: char) -> char {
        let letter = |byte: u8, first: char| char::from(first as u8 + byte % 26);
        match c {
            // A zero in front would make another number of it.
            '1'..='9' => char::from(b'1' + self.next() % 9),
            c if c.is_uppercase() => letter(self.next(), 'A'),
            c if c.is_alphabetic() => letter(self.next(), 'a'),
            c => c,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MANIFEST: &str = "fields: {lifecycle: {to: stage, enum: {lead: lead, customer: won}}} # Anna knows\n";

    #[test]
    fn shapes_stay_and_nothing_else() {
        let mut mask = Mask::new(7, MANIFEST);
        let answer = json!({
            "total": 1234, "left": 0, "has_more": true,
            "next": "https://api.acme.test/v1/people?cursor=abcdef&limit=5",
            "people": [{
                "id": 4711, "name": "Anna Öberg", "mail": "anna.oberg@acme.fi", "phone": "+358 40 1234567", "stage": "lead",
                "changed": "2026-03-01T10:00:00Z", "born": "1980-05-06", "stamp": 1_767_000_000, "none": null, "vip": false,
                "by_mail": {"anna.oberg@acme.fi": "Anna Öberg"},
            }],
        });
        let masked = mask.json(&answer, "https://api.acme.test", "/v1");
        let person = &masked["people"][0];
        assert_eq!(
            (&masked["total"], &masked["left"], &person["stage"]),
            (&json!(1234), &json!(0), &json!("lead"))
        );
        let next = masked["next"].as_str().unwrap();
        assert!(
            next.starts_with("/people?cursor=") && !next.contains("abcdef"),
            "{next}"
        );
        let mail = person["mail"].as_str().unwrap();
        assert!(
            mail.ends_with(".example") && mail.contains('.') && !mail.contains("anna"),
            "{mail}"
        );
        assert_eq!(
            person["by_mail"].as_object().unwrap().keys().collect::<Vec<_>>(),
            [mail]
        );
        assert_eq!(
            person["by_mail"][mail], person["name"],
            "the same value is the same fake"
        );
        let phone = person["phone"].as_str().unwrap();
        assert!(
            phone.starts_with('+') && phone.len() == 15 && phone != "+358 40 1234567",
            "{phone}"
        );
        assert_eq!(person["id"].to_string().len(), 4);
        let text = masked.to_string().to_lowercase();
        let left: Vec<&str> = mask
            .originals()
            .filter(|original| text.contains(&original.to_lowercase()))
            .collect();
        assert_eq!(left, [""; 0], "{text}");
        assert!(mask.originals().count() > 8);
        let changed = person["changed"].as_str().unwrap();
        assert!(
            changed.ends_with("T10:00:00Z") && !changed.starts_with("2026-03"),
            "{changed}"
        );
        assert_eq!(
            person["stamp"].as_i64().unwrap(),
            1_767_000_000 + mask.shift_ms() / 1000
        );
    }

    #[test]
    fn words_of_comments_are_not_kept() {
        let mut mask = Mask::new(7, MANIFEST);
        assert_ne!(mask.text("knows"), "knows");
        assert_eq!(mask.text("won"), "won");
        assert_eq!(mask.text(""), "");
    }
}
