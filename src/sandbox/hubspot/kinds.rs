//! The kinds of objects this account has: contacts, companies, and what hangs on contacts (VENDORS.md A1.4, A1.11, and the vendor's guides of
//! calls and meetings).

use serde_json::{Map, Value, json};

use super::super::clock::rfc3339_ms;
use super::super::sides::Sides;
use super::super::store::Stamps;
use super::super::wire::Reply;

/// One kind of object.
pub(super) struct Kind {
    /// Its name in the sandbox.
    pub(super) name: &'static str,
    /// Its name in paths.
    pub(super) plural: &'static str,
    /// The properties an object has without being declared.
    standard: &'static [&'static str],
    /// Those of them that the tool alone sets.
    read_only: &'static [&'static str],
    /// Returned when no property is asked for.
    defaults: &'static [&'static str],
    /// When it was made, and last changed.
    pub(super) created: &'static str,
    pub(super) modified: &'static str,
}

pub(super) const CONTACT: Kind = Kind {
    name: "contact",
    plural: "contacts",
    standard: &[
        "email",
        "firstname",
        "lastname",
        "phone",
        "mobilephone",
        "company",
        "jobtitle",
        "website",
        "address",
        "city",
        "zip",
        "country",
        "lifecyclestage",
        "hs_lead_status",
        "hubspot_owner_id",
        "hs_language",
        "hs_legal_basis",
        "hs_marketable_status",
        "hs_additional_emails",
    ],
    read_only: &[
        "hs_object_id",
        "createdate",
        "lastmodifieddate",
        "hs_email_optout",
        "hs_merged_object_ids",
    ],
    defaults: &["email", "firstname", "lastname"],
    created: "createdate",
    modified: "lastmodifieddate",
};

const DEAL: Kind = Kind {
    name: "deal",
    plural: "deals",
    standard: &[
        "dealname",
        "dealstage",
        "pipeline",
        "amount",
        "deal_currency_code",
        "closedate",
        "hubspot_owner_id",
        "createdate",
    ],
    read_only: &[
        "hs_object_id",
        "hs_lastmodifieddate",
        "hs_is_closed",
        "hs_is_closed_won",
    ],
    defaults: &["dealname", "amount", "closedate", "pipeline", "dealstage"],
    created: "createdate",
    modified: "hs_lastmodifieddate",
};

const COMPANY: Kind = Kind {
    name: "company",
    plural: "companies",
    standard: &["name", "domain", "phone", "lifecyclestage", "hubspot_owner_id"],
    read_only: &[
        "hs_object_id",
        "createdate",
        "hs_lastmodifieddate",
        "hs_merged_object_ids",
    ],
    defaults: &["name", "domain"],
    created: "createdate",
    modified: "hs_lastmodifieddate",
};

const TICKET: Kind = Kind {
    name: "ticket",
    plural: "tickets",
    standard: &[
        "subject",
        "content",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_priority",
        "hubspot_owner_id",
    ],
    read_only: &["hs_object_id", "createdate", "hs_lastmodifieddate"],
    defaults: &[
        "subject",
        "content",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_priority",
    ],
    created: "createdate",
    modified: "hs_lastmodifieddate",
};

const CALL: Kind = Kind {
    name: "call",
    plural: "calls",
    standard: &[
        "hs_timestamp",
        "hs_call_title",
        "hs_call_body",
        "hs_call_direction",
        "hs_call_status",
        "hs_call_duration",
        "hubspot_owner_id",
    ],
    read_only: &["hs_object_id", "hs_createdate", "hs_lastmodifieddate"],
    defaults: &[],
    created: "hs_createdate",
    modified: "hs_lastmodifieddate",
};

const MEETING: Kind = Kind {
    name: "meeting",
    plural: "meetings",
    standard: &[
        "hs_timestamp",
        "hs_meeting_title",
        "hs_meeting_body",
        "hs_meeting_outcome",
        "hs_meeting_start_time",
        "hs_meeting_end_time",
        "hubspot_owner_id",
    ],
    read_only: &["hs_object_id", "hs_createdate", "hs_lastmodifieddate"],
    defaults: &[],
    created: "hs_createdate",
    modified: "hs_lastmodifieddate",
};

const KINDS: [&Kind; 6] = [&CONTACT, &COMPANY, &DEAL, &TICKET, &CALL, &MEETING];

/// The stages of `lifecyclestage` (A1.5).
const STAGES: &[&str] = &[
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
];

impl Kind {
    /// The kind of a path, and what follows its name there.
    pub(super) fn of_path(path: &str) -> Option<(&'static Self, &str)> {
        KINDS.into_iter().find_map(|kind| {
            let rest = path.strip_prefix(kind.plural)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((kind, rest))
        })
    }

    /// True for what the tool alone sets.
    pub(super) fn is_read_only(&self, name: &str) -> bool {
        self.read_only.contains(&name)
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.standard.contains(&name) || self.is_read_only(name)
    }

    pub(super) fn wanted(&self, asked: Option<Vec<String>>) -> Vec<String> {
        let mut names = asked
            .filter(|names| !names.is_empty())
            .unwrap_or_else(|| self.defaults.iter().map(|name| (*name).to_owned()).collect());
        for name in [self.created, self.modified, "hs_object_id"] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    pub(super) fn names_of(&self, properties: &Map<String, Value>) -> Vec<String> {
        self.wanted(Some(properties.keys().cloned().collect()))
    }

    /// An object as answers show it: the wanted properties, null where there is no value.
    pub(super) fn row(&self, body: &Value, deleted_ms: Option<i64>, wanted: &[String]) -> Value {
        let mut properties = Map::new();
        for name in wanted {
            properties.insert(name.clone(), body.get(name).cloned().unwrap_or_default());
        }
        let stamp = |name: &str| body.get(name).cloned().unwrap_or_default();
        let mut row = Map::new();
        row.insert("id".to_owned(), stamp("hs_object_id"));
        row.insert("properties".to_owned(), Value::Object(properties));
        row.insert("createdAt".to_owned(), stamp(self.created));
        row.insert("updatedAt".to_owned(), stamp(self.modified));
        row.insert("archived".to_owned(), Value::Bool(deleted_ms.is_some()));
        if let Some(ms) = deleted_ms {
            row.insert("archivedAt".to_owned(), Value::String(rfc3339_ms(ms)));
        }
        Value::Object(row)
    }

    /// `GET /crm/v3/properties/KIND`: every property with its type and its list (SDK surface, `crm/properties`).
    pub(super) fn properties(&self, custom: &[String]) -> Reply {
        let own = self.standard.iter().chain(self.read_only).map(|name| (*name, true));
        let custom = custom.iter().map(|name| (name.as_str(), false));
        let row = |(name, is_own): (&str, bool)| {
            let stages = if name == "lifecyclestage" { STAGES } else { &[] };
            let options: Vec<Value> = stages
                .iter()
                .map(|stage| json!({"value": stage, "label": stage, "hidden": false}))
                .collect();
            let kind = if options.is_empty() { "string" } else { "enumeration" };
            json!({"name": name, "label": name, "type": kind, "hubspotDefined": is_own, "options": options, "archived": false})
        };
        let rows: Vec<Value> = own.chain(custom).map(row).collect();
        Reply::json(200, json!({"results": rows}))
    }
}

/// Everything but contacts.
pub(super) fn sides() -> Sides {
    Sides::new(
        1,
        &[
            (DEAL.name, stamp_deal),
            (COMPANY.name, stamp_company),
            (TICKET.name, stamp_company),
            (CALL.name, stamp_engagement),
            (MEETING.name, stamp_engagement),
        ],
    )
}

/// An object before anything is typed in.
pub(super) fn blank(kind: &str) -> Value {
    match kind {
        "deal" => json!({"pipeline": "default", "dealstage": "appointmentscheduled"}),
        _ => json!({}),
    }
}

pub(super) fn stamp_contact(body: &mut Value, stamps: &Stamps) {
    stamp(body, stamps, &CONTACT);
}

fn stamp_company(body: &mut Value, stamps: &Stamps) {
    stamp(body, stamps, &COMPANY);
}

fn stamp_engagement(body: &mut Value, stamps: &Stamps) {
    stamp(body, stamps, &CALL);
}

fn stamp_deal(body: &mut Value, stamps: &Stamps) {
    stamp(body, stamps, &DEAL);
    let Some(map) = body.as_object_mut() else { return };
    let stage = map
        .get("dealstage")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let is = |one: &str| Value::String((stage == one).to_string());
    let is_closed = Value::String(stage.starts_with("closed").to_string());
    map.insert("hs_is_closed_won".to_owned(), is("closedwon"));
    map.insert("hs_is_closed".to_owned(), is_closed);
}

fn stamp(body: &mut Value, stamps: &Stamps, kind: &Kind) {
    let Some(map) = body.as_object_mut() else { return };
    map.insert("hs_object_id".to_owned(), Value::String(stamps.id.to_string()));
    map.insert(kind.created.to_owned(), Value::String(rfc3339_ms(stamps.created_ms)));
    map.insert(kind.modified.to_owned(), Value::String(rfc3339_ms(stamps.updated_ms)));
}
