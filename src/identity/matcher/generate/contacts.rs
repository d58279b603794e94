//! Contacts in a sales tool, a shop and a support desk.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number below a length, from chance between 0 and 1"
)]

mod name;
mod tools;

use std::collections::BTreeMap;

use self::name::name;
use self::tools::{by_tool, slug};

use super::Made;
use super::dirt::{Dice, digit_typo, title, typo};
use super::people::{Number, Numbers, Town, family, given, list, marked, postcode, street, towns, written};
use crate::identity::matcher::Field;

struct Firm {
    name: String,
    domain: String,
    town: usize,
    street: String,
    postcode: String,
    switchboard: Number,
    style: usize,
}

#[derive(Clone)]
struct Home {
    town: usize,
    street: String,
    postcode: String,
    landline: Option<Number>,
    family: String,
}

struct Person {
    number: u32,
    given: String,
    family: String,
    former_family: Option<String>,
    home: Home,
    former_home: Option<Home>,
    mobile: Number,
    former_mobile: Option<Number>,
    firm: Option<usize>,
    former_firm: Option<usize>,
    mailbox: String,
    former_mailbox: Option<String>,
    work_mailbox: Option<String>,
}

/// The world the people live in.
struct World {
    towns: Vec<Town>,
    firms: Vec<Firm>,
    numbers: Numbers,
    mailboxes: BTreeMap<String, usize>,
    given_back: Vec<Number>,
    people: u32,
}

pub(super) fn contacts(dice: &mut Dice, rows: usize) -> Vec<Made> {
    let mut world = World {
        towns: towns(dice, 2500),
        firms: Vec::new(),
        numbers: Numbers::default(),
        mailboxes: BTreeMap::new(),
        given_back: Vec::new(),
        people: 0,
    };
    let mut made = Vec::with_capacity(rows + 64);
    while made.len() < rows {
        let household = world.household(dice);
        for at in 0..household.len() {
            let person = &household[at];
            let with_job = person.firm.is_some();
            let mut tools: Vec<&'static str> = [
                ("crm", if with_job { 0.62 } else { 0.35 }),
                ("shop", 0.62),
                ("support", 0.38),
            ]
            .into_iter()
            .filter(|(_, chance)| dice.hits(*chance))
            .map(|(tool, _)| tool)
            .collect();
            if tools.is_empty() {
                tools.push(["crm", "shop", "support"][dice.below(3)]);
            }
            for tool in tools {
                let copies = 1 + usize::from(dice.hits(0.14)) + usize::from(dice.hits(0.04));
                for _ in 0..copies {
                    made.push(world.record(dice, &household, at, tool));
                }
            }
        }
    }
    made
}

impl World {
    fn town(&self, dice: &mut Dice) -> usize {
        dice.rank(self.towns.len(), 8.0)
    }

    fn home(&mut self, dice: &mut Dice, town: usize, family: &str) -> Home {
        let landline = dice
            .hits(0.6)
            .then(|| self.numbers.fresh(dice, self.towns[town].prefix, false));
        Home {
            town,
            street: street(dice),
            postcode: postcode(dice, &self.towns[town]),
            landline,
            family: family.to_owned(),
        }
    }

    fn household(&mut self, dice: &mut Dice) -> Vec<Person> {
        let size = match dice.unit() {
            x if x < 0.62 => 1,
            x if x < 0.85 => 2,
            x if x < 0.925 => 3,
            _ => 4,
        };
        let mut people: Vec<Person> = Vec::new();
        for at in 0..size {
            let home = people.first().map(|first| first.home.clone());
            let mut person = self.person(dice, home);
            if at > 0 && dice.hits(0.03) {
                // Father and son.
                person.given.clone_from(&people[0].given);
                person.family.clone_from(&people[0].family);
            }
            people.push(person);
        }
        people
    }

    fn person(&mut self, dice: &mut Dice, home: Option<Home>) -> Person {
        self.people += 1;
        let (mut first, mut last) = (title(&given(dice)), title(&family(dice)));
        if dice.hits(0.08) {
            (first, last) = marked(dice);
        }
        if let Some(home) = &home
            && dice.hits(0.85)
        {
            last.clone_from(&home.family);
        }
        let home = home.unwrap_or_else(|| {
            let town = self.town(dice);
            self.home(dice, town, &last)
        });
        let prefix = self.towns[home.town].prefix;
        let firm = dice.hits(0.6).then(|| self.firm(dice));
        let moved = dice
            .hits(0.1)
            .then(|| if dice.hits(0.5) { self.town(dice) } else { home.town });
        let mut person = Person {
            number: self.people,
            former_family: dice.hits(0.02).then(|| title(&family(dice))),
            former_home: moved.map(|town| self.home(dice, town, &last)),
            mobile: self.numbers.fresh(dice, prefix, true),
            former_mobile: dice.hits(0.1).then(|| self.numbers.fresh(dice, prefix, true)),
            former_firm: (firm.is_some() && dice.hits(0.06)).then(|| self.firm(dice)),
            mailbox: self.mailbox(dice, &first, &last),
            former_mailbox: dice.hits(0.12).then(|| self.mailbox(dice, &first, &last)),
            work_mailbox: firm.map(|firm| self.work_mailbox(firm, &first, &last)),
            firm,
            given: first,
            family: last,
            home,
        };
        if dice.hits(0.03) && !self.given_back.is_empty() {
            person.mobile = self.given_back[dice.below(self.given_back.len())].clone();
        } else if dice.hits(0.05) {
            self.given_back
                .push(person.former_mobile.clone().unwrap_or_else(|| person.mobile.clone()));
        }
        person
    }

    /// Most people work at few firms.
    fn firm(&mut self, dice: &mut Dice) -> usize {
        if !self.firms.is_empty() && dice.hits(0.72) {
            let at = dice.unit();
            return (self.firms.len() as f64 * at * at) as usize;
        }
        let town = self.town(dice);
        let trade = title(dice.pick(list("trades")));
        let name = match dice.below(4) {
            0 => format!("{} {trade}", title(&family(dice))),
            1 => format!("{} & {}", title(&family(dice)), title(&family(dice))),
            2 => format!("{} {trade}", self.towns[town].name),
            _ => format!(
                "{}{}",
                title(&given(dice)),
                dice.pick(&["ly", "io", "ify", "hub", "tec"])
            ),
        };
        let mut domain: String = slug(&name).chars().take(18).collect();
        if dice.hits(0.35) {
            domain.push_str(&(self.firms.len() % 97).to_string());
        }
        let ending = match self.towns[town].country {
            "GB" => "co.uk",
            "AU" => "com.au",
            "US" => "com",
            _ => "de",
        };
        let form = dice.pick(&[
            "Ltd",
            "Limited",
            "Inc",
            "GmbH",
            "LLC",
            "Group",
            "Pty Ltd",
            "& Co",
            "Solutions",
            "Partners",
            "",
        ]);
        self.firms.push(Firm {
            name: format!("{name} {form}").trim().to_owned(),
            domain: format!("{domain}.{ending}"),
            street: street(dice),
            postcode: postcode(dice, &self.towns[town]),
            switchboard: self.numbers.fresh(dice, self.towns[town].prefix, false),
            style: dice.below(4),
            town,
        });
        self.firms.len() - 1
    }

    fn only(&mut self, local: &str, domain: &str) -> String {
        let count = self
            .mailboxes
            .entry(format!("{}@{domain}", local.replace('.', "")))
            .or_default();
        *count += 1;
        if *count == 1 {
            format!("{local}@{domain}")
        } else {
            format!("{local}{}@{domain}", *count - 1)
        }
    }

    fn mailbox(&mut self, dice: &mut Dice, first: &str, last: &str) -> String {
        const PROVIDERS: [(&str, f64); 9] = [
            ("gmail.com", 0.46),
            ("outlook.com", 0.10),
            ("hotmail.com", 0.12),
            ("yahoo.com", 0.11),
            ("icloud.com", 0.08),
            ("live.com", 0.03),
            ("gmx.de", 0.04),
            ("web.de", 0.03),
            ("aol.com", 0.03),
        ];
        let (a, b) = (slug(first), slug(last));
        let start = a.get(..1).unwrap_or_default().to_owned();
        let local = match dice.below(8) {
            0 => format!("{a}.{b}"),
            1 => format!("{a}{b}"),
            2 => format!("{start}{b}"),
            3 => format!("{a}{b}{}", dice.range(1, 99)),
            4 => format!("{a}.{b}{}", dice.range(50, 99)),
            5 => format!("{b}.{a}"),
            6 => format!("{a}{}", dice.range(10, 999)),
            _ => format!("{a}_{b}"),
        };
        let mut at = dice.unit();
        let provider = PROVIDERS.iter().find(|(_, share)| {
            at -= share;
            at < 0.0
        });
        self.only(&local, provider.map_or("gmail.com", |(domain, _)| domain))
    }

    fn work_mailbox(&mut self, firm: usize, first: &str, last: &str) -> String {
        let (local, domain) = self.work_name(firm, first, last);
        self.only(&local, &domain)
    }

    fn work_name(&self, firm: usize, first: &str, last: &str) -> (String, String) {
        let (a, b) = (slug(first), slug(last));
        let firm = &self.firms[firm];
        let local = match firm.style {
            0 => format!("{a}.{b}"),
            1 => format!("{}{b}", a.get(..1).unwrap_or_default()),
            2 => a,
            _ => format!("{a}_{b}"),
        };
        (local, firm.domain.clone())
    }

    fn record(&self, dice: &mut Dice, household: &[Person], at: usize, tool: &'static str) -> Made {
        let person = &household[at];
        let is_old = dice.hits(0.5);
        let mut fields = Vec::with_capacity(9);
        name(dice, person, tool, is_old, &mut fields);
        let firm = if is_old {
            person.former_firm.or(person.firm)
        } else {
            person.firm
        };
        let email = self.email(dice, household, at, tool, is_old, firm);
        let phone = self.phone(dice, person, tool, is_old, firm);
        if email.is_empty() && phone.is_empty() && fields.iter().filter(|(_, text)| !text.is_empty()).count() < 2 {
            fields.push((Field::Email, person.mailbox.clone()));
        }
        fields.push((Field::Email, email));
        fields.push((Field::Phone, phone));
        if let Some(firm) = firm
            && dice.hits(by_tool(tool, [0.85, 0.12, 0.35]))
        {
            fields.push((Field::Company, self.company(dice, firm)));
        }
        if dice.hits(by_tool(tool, [0.55, 0.93, 0.12])) {
            self.address(dice, person, tool, is_old, firm, &mut fields);
        }
        Made {
            id: String::new(),
            source: tool,
            entity: person.number,
            fields,
        }
    }

    fn email(
        &self,
        dice: &mut Dice,
        household: &[Person],
        at: usize,
        tool: &str,
        is_old: bool,
        firm: Option<usize>,
    ) -> String {
        const STAND_INS: [&str; 5] = [
            "noemail@example.com",
            "none@none.com",
            "test@test.com",
            "na@na.com",
            "customer@shop.invalid",
        ];
        let person = &household[at];
        let mut address = person
            .former_mailbox
            .clone()
            .filter(|_| is_old)
            .unwrap_or_else(|| person.mailbox.clone());
        if let (Some(work), Some(firm)) = (&person.work_mailbox, firm)
            && dice.hits(by_tool(tool, [0.75, 0.08, 0.45]))
        {
            address.clone_from(work);
            if Some(firm) != person.firm {
                let (local, domain) = self.work_name(firm, &person.given, &person.family);
                address = format!("{local}@{domain}");
            }
        }
        let is_shared = firm.is_some() && dice.hits(by_tool(tool, [0.05, 0.01, 0.05]));
        if let (true, Some(firm)) = (is_shared, firm) {
            let role = dice.pick(&["info", "sales", "office", "contact", "accounts"]);
            address = format!("{role}@{}", self.firms[firm].domain);
        }
        if tool != "crm" && household.len() > 1 && dice.hits(0.04) {
            let other = (at + 1 + dice.below(household.len() - 1)) % household.len();
            address.clone_from(&household[other].mailbox);
        }
        let (mut local, mut domain) = address
            .split_once('@')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap_or_default();
        if domain == "gmail.com" {
            if dice.hits(0.1) && local.len() > 2 {
                local.insert(1 + dice.below(local.len() - 2), '.');
            }
            if dice.hits(0.05) {
                domain = "googlemail.com".to_owned();
            }
        }
        if dice.hits(0.03) && !is_shared {
            local = format!("{local}+{}", dice.pick(&["shop", "news", "work", "spam"]));
        }
        if dice.hits(0.015) {
            if dice.hits(0.6) {
                local = typo(dice, &local);
            } else {
                domain = typo(dice, &domain).replace(' ', "");
            }
        }
        let address = format!("{local}@{domain}");
        match dice.unit() {
            x if x < by_tool(tool, [0.10, 0.02, 0.06]) => String::new(),
            x if x > 0.994 => dice.pick(&STAND_INS).to_owned(),
            _ if dice.hits(0.015) => address.to_uppercase(),
            _ => address,
        }
    }

    fn phone(&self, dice: &mut Dice, person: &Person, tool: &str, is_old: bool, firm: Option<usize>) -> String {
        let mut number = person
            .former_mobile
            .as_ref()
            .filter(|_| is_old)
            .unwrap_or(&person.mobile);
        let mut extension = String::new();
        if let (true, Some(firm)) = (tool == "crm", firm)
            && dice.hits(0.25)
        {
            number = &self.firms[firm].switchboard;
            if dice.hits(0.15) {
                extension = format!(" ext {}", dice.range(10, 999));
            }
        } else if let (true, Some(landline)) = (tool != "crm", &person.home.landline)
            && dice.hits(0.25)
        {
            number = landline;
        }
        let mut text = written(dice, number);
        if dice.hits(0.015) {
            text = digit_typo(dice, &text);
        }
        match dice.unit() {
            x if x < by_tool(tool, [0.25, 0.30, 0.55]) => String::new(),
            x if x > 0.994 => dice
                .pick(&["0000000000", "1234567890", "+440000000000", "9999999999"])
                .to_owned(),
            _ => text + &extension,
        }
    }

    fn company(&self, dice: &mut Dice, firm: usize) -> String {
        let mut name = self.firms[firm].name.clone();
        if dice.hits(0.15) {
            for form in [" Ltd", " Limited", " Inc", " GmbH", " LLC", " Pty Ltd"] {
                if let Some(bare) = name.strip_suffix(form) {
                    name = bare.to_owned();
                }
            }
        }
        if dice.hits(0.03) {
            name = typo(dice, &name);
        }
        if dice.hits(0.05) { name.to_uppercase() } else { name }
    }

    fn address(
        &self,
        dice: &mut Dice,
        person: &Person,
        tool: &str,
        is_old: bool,
        firm: Option<usize>,
        fields: &mut Vec<(Field, String)>,
    ) {
        let home = person.former_home.as_ref().filter(|_| is_old).unwrap_or(&person.home);
        let (mut street, mut code, mut town) = (home.street.clone(), home.postcode.clone(), home.town);
        if let (true, Some(firm)) = (tool == "crm", firm)
            && dice.hits(0.7)
        {
            let firm = &self.firms[firm];
            (street, code, town) = (firm.street.clone(), firm.postcode.clone(), firm.town);
        }
        if dice.hits(0.2) {
            street = street
                .replace("Street", "St")
                .replace("Road", "Rd")
                .replace("Avenue", "Ave")
                .replace("Drive", "Dr");
        }
        if dice.hits(0.03) {
            street = typo(dice, &street);
        }
        if dice.hits(0.01) {
            code = digit_typo(dice, &code);
        }
        if dice.hits(0.1) {
            code = code.replace(' ', "");
        }
        let mut city = self.towns[town].name.clone();
        if dice.hits(0.02) {
            city = typo(dice, &city);
        }
        if !dice.hits(0.05) {
            fields.push((Field::Address, street));
        }
        fields.push((Field::Postcode, code));
        fields.push((Field::City, city));
        fields.push((Field::Country, self.towns[town].country.to_owned()));
    }
}
