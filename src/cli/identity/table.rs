//! Records from a CSV file: which column says what.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::Failed;
use crate::error::{Code, Problem};
use crate::identity::matcher::{Features, Field, UNKNOWN_SOURCE, generate::Made};

/// Names of columns that are known without being told, by what they hold. Lower case.
#[rustfmt::skip]
const COLUMNS: &[(Field, &str, &[&str])] = &[
    (Field::Given, "given_name", &["first_name", "firstname", "given", "forename", "fname", "fname_c1", "fname_c2", "primary_name_first"]),
    (Field::Family, "family_name", &["last_name", "lastname", "surname", "family", "lname", "lname_c1", "lname_c2", "primary_name_last"]),
    (Field::Full, "full_name", &["primary_name_full", "contact_name", "person_name"]),
    (Field::Middle, "middle_name", &["middle", "middle_initial", "primary_name_middle"]),
    (Field::Email, "email", &["e_mail", "mail", "email_address", "email2"]),
    (Field::Phone, "phone", &["phone_number", "telephone", "tel", "mobile", "fax", "phone2"]),
    (Field::Company, "company", &["organization", "organisation", "employer", "name", "site_name", "company_name", "primary_name_org"]),
    (Field::Address, "address", &["street", "street_number", "house_number", "street_name", "address_1", "address1", "addr", "addr_line1", "addr_full"]),
    (Field::Postcode, "postcode", &["zip", "zipcode", "zip_code", "postal_code", "postcode_fake", "addr_postal_code"]),
    (Field::City, "city", &["town", "suburb", "birth_place", "birthplace", "addr_city"]),
    (Field::State, "state", &["region", "addr_state"]),
    (Field::Country, "country", &["country_code", "addr_country", "person_coc"]),
    (Field::Birth, "birth_date", &["dob", "date_of_birth", "birthdate", "birthday"]),
    (Field::Id, "national_id", &["ssn", "soc_sec_id", "social_security_number", "ssn_number", "tax_id", "passport_number"]),
    (Field::Sex, "sex", &["gender"]),
    (Field::Occupation, "occupation", &["job", "profession", "type"]),
    (Field::Site, "website", &["site", "domain", "url"]),
];

/// Year, month and day of birth, each in a column.
const BIRTH_PARTS: [&[&str]; 3] = [&["by", "birth_year"], &["bm", "birth_month"], &["bd", "birth_day"]];

/// The field with a name, as `--map` writes it.
fn field(name: &str) -> Option<Field> {
    let named = COLUMNS
        .iter()
        .find(|(_, own, others)| *own == name || others.contains(&name));
    named.map(|(field, ..)| *field)
}

/// The name of a field in files that Nivel writes.
pub(super) fn column(field: Field) -> &'static str {
    COLUMNS
        .iter()
        .find(|(of, ..)| *of == field)
        .map_or("", |(_, name, _)| *name)
}

/// A record as a file holds it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) fields: Vec<(Field, String)>,
    source: u16,
    pub(super) entity: u32,
}

/// All records of a set.
pub(super) struct Set {
    pub(super) rows: Vec<Row>,
    /// None of them is a person.
    is_organizations: bool,
}

impl Set {
    pub(super) fn features(&self, row: &Row) -> Features {
        let fields: Vec<(Field, &str)> = row.fields.iter().map(|(field, text)| (*field, text.as_str())).collect();
        Features::new(&fields, row.source, self.is_organizations)
    }

    pub(super) fn made(made: Vec<Made>) -> Self {
        let mut sources = Numbers::default();
        let is_organizations = made
            .iter()
            .flat_map(|made| &made.fields)
            .all(|(field, _)| !is_name(*field));
        let row = |made: Made| Row {
            source: sources.source(made.source),
            id: made.id,
            fields: made.fields,
            entity: made.entity,
        };
        let rows = made.into_iter().map(row).collect();
        Self { rows, is_organizations }.with_sources(sources.0.len())
    }

    /// Where all records come from one system, that says nothing about any two of them.
    fn with_sources(mut self, sources: usize) -> Self {
        if sources < 2 {
            for row in &mut self.rows {
                row.source = UNKNOWN_SOURCE;
            }
        }
        self
    }

    /// Reads records and the truth about them. `maps` are `field=column`.
    pub(super) fn read(records: &Path, truth: &Path, maps: &[String]) -> Result<Self, Failed> {
        let entities = truths(truth)?;
        let mut reader = open(records)?;
        let head = header(&mut reader, records)?;
        let columns = mapped(&head, maps)?;
        let at = |name: &str| head.iter().position(|column| column == name);
        let (id_at, source_at) = (at("record_id").unwrap_or(0), at("source"));
        let births = BIRTH_PARTS.map(|names| head.iter().position(|column| names.contains(&column.as_str())));
        let mut sources = Numbers::default();
        let mut rows = Vec::new();
        for line in reader.records() {
            let line = line.map_err(|error| unreadable(records, &error))?;
            let cell = |at: usize| line.get(at).unwrap_or_default().trim();
            let id = cell(id_at).to_owned();
            let Some(entity) = entities.get(&id).copied() else {
                continue;
            };
            let mut fields: Vec<(Field, String)> = Vec::new();
            for (at, field) in &columns {
                if !cell(*at).is_empty() {
                    fields.push((*field, cell(*at).to_owned()));
                }
            }
            if let [Some(year), Some(month), Some(day)] = births {
                fields.push((
                    Field::Birth,
                    format!("{:0>4}-{:0>2}-{:0>2}", cell(year), cell(month), cell(day)),
                ));
            }
            let source = source_at.map_or(0, |at| sources.source(cell(at)));
            rows.push(Row {
                id,
                fields,
                source,
                entity,
            });
        }
        let is_organizations = columns.iter().all(|(_, field)| !is_name(*field));
        Ok(Self { rows, is_organizations }.with_sources(sources.0.len()))
    }
}

fn is_name(field: Field) -> bool {
    matches!(field, Field::Given | Field::Family | Field::Full)
}

/// Texts, numbered as they come.
#[derive(Default)]
struct Numbers(BTreeMap<String, u32>);

impl Numbers {
    /// As [`Numbers::of`], for systems, of which there are few.
    fn source(&mut self, text: &str) -> u16 {
        u16::try_from(self.of(text)).unwrap_or(UNKNOWN_SOURCE)
    }

    fn of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(text.to_owned(), number);
        number
    }
}

/// Column and field, for the columns that are known or mapped.
fn mapped(head: &[String], maps: &[String]) -> Result<Vec<(usize, Field)>, Failed> {
    let mut columns = Vec::new();
    for map in maps {
        let pair = map.split_once('=').and_then(|(name, column)| {
            let at = head.iter().position(|head| head == &column.to_lowercase())?;
            Some((at, field(name)?))
        });
        let Some(pair) = pair else {
            let names: Vec<&str> = COLUMNS.iter().map(|(_, name, _)| *name).collect();
            let problem = Problem::new(Code::NotFound, "no such field, or no such column").about(map);
            return Err(problem
                .hint(format!("write FIELD=COLUMN; fields are {}", names.join(", ")))
                .into());
        };
        columns.push(pair);
    }
    for (at, name) in head.iter().enumerate() {
        if let Some(field) = field(name).filter(|_| columns.iter().all(|(taken, _)| *taken != at)) {
            columns.push((at, field));
        }
    }
    columns.sort_by_key(|(at, _)| *at);
    Ok(columns)
}

fn truths(path: &Path) -> Result<BTreeMap<String, u32>, Failed> {
    let mut reader = open(path)?;
    let head = header(&mut reader, path)?;
    let at = |name: &str, or: usize| head.iter().position(|column| column == name).unwrap_or(or);
    let (id_at, entity_at) = (at("record_id", 0), at("entity_id", 1));
    let mut numbers = Numbers::default();
    let mut entities = BTreeMap::new();
    for line in reader.records() {
        let line = line.map_err(|error| unreadable(path, &error))?;
        let cell = |at: usize| line.get(at).unwrap_or_default().trim();
        entities.insert(cell(id_at).to_owned(), numbers.of(cell(entity_at)));
    }
    Ok(entities)
}

/// Pairs that somebody has looked at: two ids, and whether they are one (`1`, `true`, `yes`, `same`).
pub(super) fn labels(path: &Path) -> Result<Vec<(String, String, bool)>, Failed> {
    let mut labels = Vec::new();
    for line in open(path)?.records() {
        let line = line.map_err(|error| unreadable(path, &error))?;
        let cell = |at: usize| line.get(at).unwrap_or_default().trim();
        let is_same = matches!(cell(2).to_lowercase().as_str(), "1" | "true" | "yes" | "same");
        labels.push((cell(0).to_owned(), cell(1).to_owned(), is_same));
    }
    Ok(labels)
}

fn open(path: &Path) -> Result<csv::Reader<std::fs::File>, Failed> {
    let reader = csv::ReaderBuilder::new().flexible(true).from_path(path);
    reader.map_err(|error| unreadable(path, &error))
}

fn header(reader: &mut csv::Reader<std::fs::File>, path: &Path) -> Result<Vec<String>, Failed> {
    let head = reader.headers().map_err(|error| unreadable(path, &error))?;
    let name = |column: &str| column.trim_start_matches('\u{feff}').trim().to_lowercase();
    Ok(head.iter().map(name).collect())
}

fn unreadable(path: &Path, error: &csv::Error) -> Failed {
    let problem = Problem::new(Code::FileUnreadable, format!("cannot be read: {error}")).about(path.display());
    problem.hint("give a CSV file with a header line, in UTF-8").into()
}
