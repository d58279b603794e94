//! Under which keys a record is found by others that may be the same. A key that too many records show says too little
//! to find by; it still counts.

use super::record::{Features, Part};
use super::strings::sound;
use super::table::hash;
use super::words::full_forms;

/// What a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Mailbox,
    Local,
    Phone,
    PhonePart,
    Id,
    IdPart,
    Name,
    Sound,
    Nickname,
    Postcode,
    PostcodeName,
    AreaName,
    Street,
    StreetName,
    Company,
    CompanyName,
    CityName,
    Birth,
    BirthName,
    YearName,
    DayName,
    Stems,
    Given,
    Family,
    Owner,
    FirmName,
    CityBoth,
    Full,
    CitySound,
    AreaStem,
}

/// How many records a key may have and still be searched by, in the order of [`Kind`].
const CAPS: [u16; 30] = [
    40, 30, 40, 60, 40, 60, 120, 60, 80, 40, 60, 60, 30, 60, 20, 60, 60, 40, 60, 60, 60, 60, 20, 30, 60, 60, 60, 60,
    60, 60,
];

/// A key: the hash of its kind and its values, with the kind in the low bits.
pub(super) type Key = u64;

/// How many records may show this key before it is no longer searched by.
pub(super) fn cap(key: Key) -> usize {
    CAPS.get((key & 31) as usize).copied().map_or(0, usize::from)
}

pub(super) fn key(kind: Kind, parts: &[&str]) -> Key {
    let mut state = [&[][..]; 5];
    for (place, part) in state.iter_mut().zip(parts) {
        *place = part.as_bytes();
    }
    let parts = state.get(..parts.len()).unwrap_or_default();
    (hash(kind as u64 + 1, parts) & !31) | kind as u64
}

/// All keys of a record, each once, in order.
pub(super) fn keys(record: &Features) -> Vec<Key> {
    let mut maker = Maker {
        record,
        keys: Vec::with_capacity(40),
    };
    maker.contacts();
    maker.names();
    maker.places();
    maker.register();
    let mut keys = maker.keys;
    keys.sort_unstable();
    keys.dedup();
    keys
}

struct Maker<'a> {
    record: &'a Features,
    keys: Vec<Key>,
}

impl Maker<'_> {
    fn add(&mut self, kind: Kind, parts: &[&str]) {
        if parts.iter().all(|part| !part.is_empty()) {
            self.keys.push(key(kind, parts));
        }
    }

    fn contacts(&mut self) {
        let record = self.record;
        let given = record.part(Part::Given);
        for mailbox in record.mailboxes() {
            self.add(Kind::Mailbox, &[mailbox.local, mailbox.domain]);
            if mailbox.local.len() > 4 && !mailbox.is_role {
                self.add(Kind::Local, &[mailbox.local]);
            }
        }
        for owner in [record.part(Part::Owner), record.part(Part::Owner2)] {
            if owner.len() > 4 {
                self.add(Kind::Owner, &[owner]);
            }
        }
        for phone in record.phones() {
            self.add(Kind::Phone, &[phone]);
            let initial = start(given, 1);
            self.add(Kind::PhonePart, &["a", start(phone, 7), initial]);
            self.add(Kind::PhonePart, &["z", end(phone, 7), initial]);
        }
    }

    fn names(&mut self) {
        let record = self.record;
        let (given, family) = (record.part(Part::Given), record.part(Part::Family));
        self.add(Kind::Given, &[given]);
        self.add(Kind::Family, &[family]);
        self.add(Kind::Full, &[record.part(Part::Full)]);
        if given.is_empty() || family.is_empty() {
            return;
        }
        let (a, b) = if given <= family {
            (given, family)
        } else {
            (family, given)
        };
        self.add(Kind::Name, &[a, b]);
        let (a, b) = (sound(a), sound(b));
        let (a, b) = (a.min(b), a.max(b));
        self.keys
            .push((hash(Kind::Sound as u64 + 1, &[&a, &b]) & !31) | Kind::Sound as u64);
        let first = given.split(' ').next().unwrap_or(given);
        for full in full_forms(first) {
            self.add(Kind::Nickname, &[full, family]);
        }
        self.add(Kind::Stems, &[start(given, 3), start(family, 4)]);
        if record.mailboxes().next().is_none() || record.mailboxes().any(|mailbox| mailbox.is_role) {
            // Found by others whose mailbox is this name.
            let joined = |a: &str, b: &str| format!("{a}{b}").replace(' ', "");
            self.add(Kind::Owner, &[&joined(given, family)]);
            self.add(Kind::Owner, &[&joined(start(given, 1), family)]);
        }
    }

    fn places(&mut self) {
        let record = self.record;
        let (given, family) = (record.part(Part::Given), record.part(Part::Family));
        let (street, number) = (record.part(Part::Street), record.part(Part::Number));
        let (postcode, city) = (record.part(Part::Postcode), record.part(Part::City));
        self.add(Kind::PostcodeName, &["g", postcode, given]);
        self.add(Kind::PostcodeName, &["f", postcode, family]);
        self.add(Kind::Street, &[street, number]);
        // Registers hold neither mailboxes nor numbers: people are found by where they live.
        let has_contact = record.mailboxes().next().is_some() || record.phones().next().is_some();
        if record.is_registered() || record.is_organization || !has_contact {
            self.add(Kind::Postcode, &[postcode]);
            self.add(Kind::PostcodeName, &["s", postcode, start(street, 8)]);
            self.add(Kind::AreaName, &["g", start(postcode, 3), given]);
            self.add(Kind::AreaName, &["f", start(postcode, 3), family]);
            self.add(Kind::StreetName, &["g", street, number, start(given, 2)]);
            self.add(Kind::StreetName, &["f", street, number, start(family, 2)]);
            self.add(Kind::CityName, &["g", city, given]);
            // Whichever of the two names it stands in, and however it is spelt.
            for word in [given, family].into_iter().flat_map(|name| name.split(' ')) {
                if !city.is_empty() && word.len() > 1 {
                    let sound = sound(word);
                    self.keys.push(
                        (hash(Kind::CitySound as u64 + 1, &[city.as_bytes(), &sound]) & !31) | Kind::CitySound as u64,
                    );
                }
                if word.len() > 1 {
                    self.add(Kind::AreaStem, &[start(postcode, 3), start(word, 3)]);
                }
            }
        }
        let company = record.part(Part::Company);
        self.add(Kind::Company, &[company]);
        self.add(Kind::CompanyName, &["f", company, start(family, 4)]);
        let firm = record.part(Part::Firm);
        let firm = if firm.is_empty() { company } else { firm };
        let firm: String = firm.chars().filter(|c| *c != ' ').take(10).collect();
        self.add(Kind::FirmName, &["g", &firm, start(given, 3)]);
        self.add(Kind::FirmName, &["f", &firm, start(family, 4)]);
        self.add(Kind::CityName, &["f", city, family]);
        self.add(Kind::CityBoth, &[city, given, family]);
    }

    fn register(&mut self) {
        let record = self.record;
        let (given, family) = (record.part(Part::Given), record.part(Part::Family));
        let id = record.part(Part::Id);
        if !id.is_empty() {
            self.add(Kind::Id, &[id]);
            self.add(Kind::IdPart, &["a", start(id, id.len() / 2)]);
            self.add(Kind::IdPart, &["z", end(id, id.len() / 2)]);
        }
        let birth = record.birth;
        if birth.year == 0 {
            return;
        }
        let year = birth.year.to_string();
        let day = format!("{}-{}", birth.month.min(birth.day), birth.month.max(birth.day));
        self.add(Kind::Birth, &[&year, &day]);
        self.add(Kind::BirthName, &["g", &year, &day, start(given, 2)]);
        self.add(Kind::BirthName, &["f", &year, &day, start(family, 2)]);
        self.add(Kind::YearName, &[&year, start(given, 3), start(family, 4)]);
        if birth.month != 0 {
            self.add(Kind::DayName, &[&day, start(given, 3), start(family, 2)]);
        }
    }
}

/// The first characters of a text.
pub(super) fn start(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// The last bytes of a text of digits.
fn end(text: &str, count: usize) -> &str {
    text.get(text.len().saturating_sub(count)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::record::{Field, UNKNOWN_SOURCE};
    use super::*;

    fn shared(a: &[(Field, &str)], b: &[(Field, &str)]) -> usize {
        let keys_of = |fields: &[(Field, &str)]| keys(&Features::new(fields, UNKNOWN_SOURCE, false));
        let (a, b) = (keys_of(a), keys_of(b));
        a.iter().filter(|key| b.contains(key)).count()
    }

    #[test]
    fn a_life_without_its_date_is_found_by_where_it_was_led() {
        let whole = [
            (Field::Given, "David"),
            (Field::Family, "Hogarth"),
            (Field::Birth, "1862-05-23"),
            (Field::City, "Barton"),
            (Field::Postcode, "DN18 5BT"),
        ];
        let by_place = [(Field::Given, "Wilhelm"), (Field::Postcode, "DN18 5BT")];
        assert_eq!(shared(&whole, &by_place), 1);
        // The one name that is left stands in the wrong field, and is misspelt.
        assert_eq!(
            shared(&whole, &[(Field::Given, "Hoggarth"), (Field::City, "Barton")]),
            1
        );
        assert_eq!(shared(&whole, &[(Field::Given, "Hoggarth"), (Field::City, "Leeds")]), 0);
        // Who can be reached is found by that.
        let reached = [
            (Field::Given, "Wilhelm"),
            (Field::Postcode, "DN18 5BT"),
            (Field::Phone, "+358 50 371 9284"),
        ];
        assert_eq!(shared(&whole, &reached), 0);
    }
}
