//! Names, phones and addresses that belong to nobody: reserved domains (RFC 2606, RFC 6761) and numbers kept for fiction.

/// Where a persona's name and phone come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Country {
    /// Finland.
    Fi,
    /// Germany.
    De,
    /// United States.
    Us,
    /// Great Britain.
    Gb,
}

impl Country {
    pub(super) const ALL: [Self; 4] = [Self::Fi, Self::De, Self::Us, Self::Gb];

    /// Given names, with the short form that some tools hold instead.
    fn given_names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Fi => &[
                ("Matti", "Masa"),
                ("Päivi", "Päivi"),
                ("Jyrki", "Jykä"),
                ("Katariina", "Kata"),
                ("Väinö", "Väiski"),
                ("Tuula", "Tuula"),
                ("Aleksi", "Ale"),
                ("Hilla", "Hilla"),
                ("Juhani", "Jussi"),
                ("Elisabet", "Elli"),
                ("Mikael", "Miku"),
                ("Sini", "Sini"),
            ],
            Self::De => &[
                ("Jürgen", "Jürgen"),
                ("Katharina", "Käthe"),
                ("Sebastian", "Basti"),
                ("Björn", "Björn"),
                ("Maximilian", "Max"),
                ("Ulrike", "Uli"),
                ("Günther", "Günni"),
                ("Elisabeth", "Sissi"),
                ("Friedrich", "Fritz"),
                ("Jörg", "Jörg"),
                ("Margarete", "Grete"),
                ("Thomas", "Tom"),
            ],
            Self::Us => &[
                ("William", "Bill"),
                ("Robert", "Bob"),
                ("Elizabeth", "Liz"),
                ("José", "Pepe"),
                ("Katherine", "Kate"),
                ("Michael", "Mike"),
                ("Jennifer", "Jen"),
                ("Christopher", "Chris"),
                ("Zoë", "Zoë"),
                ("Andrew", "Drew"),
                ("Samantha", "Sam"),
                ("Deborah", "Deb"),
            ],
            Self::Gb => &[
                ("Edward", "Ted"),
                ("Siobhán", "Siobhán"),
                ("Nicholas", "Nick"),
                ("Victoria", "Vicky"),
                ("Anthony", "Tony"),
                ("Margaret", "Peggy"),
                ("Alistair", "Al"),
                ("Imogen", "Immy"),
                ("Geoffrey", "Geoff"),
                ("Rhys", "Rhys"),
                ("Philippa", "Pippa"),
                ("Desmond", "Des"),
            ],
        }
    }

    pub(super) fn family(self) -> &'static [&'static str] {
        match self {
            Self::Fi => &[
                "Mäkinen",
                "Hämäläinen",
                "Korhonen",
                "Ylä-Anttila",
                "Järvinen",
                "Lehtonen",
                "Åberg",
                "Nieminen",
                "Sjöblom",
                "Rantanen",
            ],
            Self::De => &[
                "Müller",
                "Schäfer",
                "von der Heide",
                "Weiß",
                "Köhler",
                "Lüders",
                "Schmidt",
                "Großmann",
                "Böhm",
                "Krüger",
            ],
            Self::Us => &[
                "Johnson",
                "García",
                "O'Neill",
                "Washington",
                "Núñez",
                "Lopez-Smith",
                "Nguyen",
                "Miller",
                "Brown",
                "Kowalski",
            ],
            Self::Gb => &[
                "Smythe",
                "MacDonald",
                "Featherstone",
                "O'Brien",
                "Llewellyn",
                "Ashworth",
                "Patel",
                "Jones",
                "St. John",
                "Brontë",
            ],
        }
    }

    /// After how many phones the list begins anew.
    fn phones(self) -> usize {
        match self {
            Self::Us => 2_500,
            Self::Gb => 10_000,
            Self::De | Self::Fi => 2_000,
        }
    }

    /// The n-th given name: two people with one phone never have one given name, or nobody could tell them apart.
    pub(super) fn given(self, n: usize) -> (&'static str, &'static str) {
        let list = self.given_names();
        list[((n % self.phones()) * 7 + n / self.phones()) % list.len()]
    }

    /// The n-th phone.
    ///
    /// DE: Bundesnetzagentur's numbers for media; GB: Ofcom's numbers for drama; US: 555-0100 to 555-0199. For Finland no
    /// such range is known, so a Finnish persona has a German number of that kind.
    pub(super) fn phone(self, n: usize) -> Phone {
        match self {
            Self::Us => {
                const AREAS: [&str; 25] = [
                    "202", "212", "303", "305", "312", "404", "415", "503", "512", "602", "617", "702", "713", "801",
                    "808", "919", "206", "213", "214", "215", "216", "313", "314", "402", "505",
                ];
                let area = AREAS[(n / 100) % AREAS.len()];
                Phone {
                    country: "1",
                    area: area.to_owned(),
                    local: format!("55501{:02}", n % 100),
                    trunk: "",
                }
            }
            Self::Gb => {
                const AREAS: [&str; 10] = ["113", "114", "115", "116", "117", "118", "121", "131", "141", "151"];
                let area = AREAS[(n / 1_000) % AREAS.len()];
                Phone {
                    country: "44",
                    area: area.to_owned(),
                    local: format!("4960{:03}", n % 1_000),
                    trunk: "0",
                }
            }
            Self::De | Self::Fi => {
                const AREAS: [(&str, &str); 4] = [("30", "23125"), ("69", "90009"), ("40", "66969"), ("89", "99998")];
                let n = n * 2 + usize::from(self == Self::Fi);
                let (area, local) = AREAS[(n / 1_000) % AREAS.len()];
                Phone {
                    country: "49",
                    area: area.to_owned(),
                    local: format!("{local}{:03}", n % 1_000),
                    trunk: "0",
                }
            }
        }
    }
}

/// A phone in parts, so that it can be written in many ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phone {
    country: &'static str,
    area: String,
    local: String,
    trunk: &'static str,
}

impl Phone {
    pub(super) fn e164(&self) -> String {
        format!("+{}{}{}", self.country, self.area, self.local)
    }

    /// One of the ways people write it; every way names the country, so that no reader must guess.
    pub(super) fn written(&self, way: usize) -> String {
        let Self {
            country,
            area,
            local,
            trunk,
        } = self;
        let cut = local.len() / 2;
        let (head, tail) = local.split_at_checked(cut).unwrap_or((local, ""));
        match way % 6 {
            0 => self.e164(),
            1 => format!("+{country} {area} {local}"),
            2 => format!("00{country} {area} {head} {tail}"),
            3 if !trunk.is_empty() => format!("+{country} ({trunk}){area} {head}-{tail}"),
            3 => format!("+{country} ({area}) {head}-{tail}"),
            4 => format!("+{country}-{area}-{head}-{tail}"),
            _ => format!(" +{country} {area}/{local}"),
        }
    }
}

/// Companies with the domain that is theirs.
pub(super) const COMPANIES: &[(&str, &str)] = &[
    ("Näkki Oy", "nakki.example"),
    ("Bäcker & Söhne GmbH", "baecker.example"),
    ("Acme Inc.", "acme.example.com"),
    ("Harrow & Sons Ltd", "harrow.example.org"),
    ("Pohjola Paper", "pohjola.example"),
    ("Kranich Logistik", "kranich.example.net"),
    ("Blue Mesa LLC", "bluemesa.example.com"),
    ("Tyne Works", "tyne.example.org"),
    ("Saimaa Soft", "saimaa.test"),
    ("Elbe Energie", "elbe.test"),
];

/// Domains of people without a company.
pub(super) const PRIVATE: &[&str] = &[
    "mail.example",
    "post.example.com",
    "inbox.example.net",
    "letters.example.org",
];

/// Local parts that belong to a desk, not to a person.
pub(super) const ROLES: &[&str] = &["info", "sales", "support", "office"];

/// Phones people type when a form insists.
pub(in crate::sandbox) const PLACEHOLDERS: &[&str] = &["000", "n/a", "+10000000000", "123456789", "-"];

/// ASCII letters for an address: `Jürgen` becomes `jurgen`.
pub(super) fn ascii(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let plain = text.replace('ß', "ss").to_lowercase();
    plain.nfd().filter(|c| c.is_ascii_alphanumeric()).collect()
}
