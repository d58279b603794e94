//! The bare job: what somebody would write in an afternoon. It asks the same questions, keeps everything in a hash map by
//! e-mail, picks winners and sends the same requests: it looks at an object before it changes it, and where Nivel does so, reads back
//! what it wrote. No ledger, no history, no retries, nothing survives it.

#![expect(clippy::disallowed_types, reason = "the bare job does what a plain script would do")]

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::Addresses;
use super::joint::{BASIC, PARALLEL};
use super::meter::{Cost, Meter};
use super::shapes::{TOOLS, Tool};

/// As long as a customer key.
const KEY: &str = "per_0190163d8694739b8a5d4e5b6f1c2d3e";

/// A contact as far as the job looks at it.
pub(crate) struct Contact {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) given: String,
    pub(crate) family: String,
    pub(crate) phone: String,
    pub(crate) company: String,
}

type Customers = HashMap<String, [Option<Contact>; 3]>;

/// Reads, matches and writes back once.
pub(crate) async fn run(addresses: &Addresses) -> Result<Cost> {
    let meter = Meter::start()?;
    let client = Client::builder().tcp_nodelay(true).build()?;
    let readers = TOOLS.map(|tool| {
        let (client, base) = (client.clone(), addresses.tools[tool as usize].clone());
        tokio::spawn(async move { read(tool, &client, &base).await })
    });
    let mut customers = Customers::new();
    for (tool, reader) in TOOLS.into_iter().zip(readers) {
        for contact in reader.await?? {
            let customer = customers.entry(contact.email.to_lowercase()).or_default();
            customer[tool as usize] = Some(contact);
        }
    }
    let mut wishes = [Vec::new(), Vec::new(), Vec::new()];
    for (email, contacts) in &customers {
        let golden = Golden::of(contacts);
        for tool in TOOLS {
            wishes[tool as usize].extend(golden.wish(email, tool, contacts[tool as usize].as_ref()));
        }
    }
    let writers = TOOLS.into_iter().zip(wishes).map(|(tool, wishes)| {
        let (client, base) = (client.clone(), addresses.tools[tool as usize].clone());
        tokio::spawn(async move { write(tool, &client, &base, wishes).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    meter.stop()
}

pub(crate) async fn send(client: &Client, method: Method, url: &str, body: Option<&Value>) -> Result<Value> {
    let mut request = client.request(method, url).header("authorization", BASIC);
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

/// Reads a tool to its end.
async fn read(tool: Tool, client: &Client, base: &str) -> Result<Vec<Contact>> {
    let mut contacts: Vec<Contact> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let (page, next) = page(tool, client, base, cursor.as_deref()).await?;
        let rows = page
            .get(["results", "data", "users"][tool as usize])
            .and_then(Value::as_array);
        contacts.extend(
            rows.context("a page without rows")?
                .iter()
                .map(|row| contact(tool, row)),
        );
        cursor = next;
        if cursor.is_none() {
            return Ok(contacts);
        }
    }
}

/// One page, and where the next one begins.
pub(crate) async fn page(
    tool: Tool,
    client: &Client,
    base: &str,
    cursor: Option<&str>,
) -> Result<(Value, Option<String>)> {
    let (method, path, body) = match tool {
        Tool::Marketing => (
            Method::POST,
            "/crm/v3/objects/contacts/search".to_owned(),
            Some(search(cursor.unwrap_or("0"))),
        ),
        Tool::Sales => {
            let more = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            (
                Method::GET,
                format!("/api/v2/persons?limit=500&sort_by=update_time&sort_direction=asc{more}"),
                None,
            )
        }
        Tool::Support => {
            let from = cursor.map_or_else(|| "start_time=0".to_owned(), |cursor| format!("cursor={cursor}"));
            (
                Method::GET,
                format!("/api/v2/incremental/users/cursor?per_page=1000&{from}"),
                None,
            )
        }
    };
    let page = send(client, method, &format!("{base}{path}"), body.as_ref()).await?;
    let text = |path: &str| page.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let next = match tool {
        Tool::Marketing => {
            let rows = page
                .get("results")
                .and_then(Value::as_array)
                .map(Vec::len)
                .unwrap_or_default();
            text(&format!("/results/{}/id", tool.page_rows() - 1)).filter(|_| rows == tool.page_rows())
        }
        Tool::Sales => text("/additional_data/next_cursor"),
        Tool::Support if page.get("end_of_stream") == Some(&Value::Bool(true)) => None,
        Tool::Support => text("/after_cursor"),
    };
    Ok((page, next))
}

fn search(after: &str) -> Value {
    json!({
        "filterGroups": [{"filters": [
            {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "1136073600000"},
            {"propertyName": "lastmodifieddate", "operator": "LT", "value": "4102444800000"},
            {"propertyName": "hs_object_id", "operator": "GT", "value": after},
        ]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["email", "firstname", "lastname", "phone", "company", "hs_language", "lifecyclestage"],
        "limit": 200,
    })
}

pub(crate) fn contact(tool: Tool, row: &Value) -> Contact {
    let text = |path: &str| row.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = row
        .get("id")
        .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned))
        .unwrap_or_default();
    let full = text("/name");
    let (given, family) = full.split_once(' ').unwrap_or((&full, ""));
    match tool {
        Tool::Marketing => Contact {
            id,
            email: text("/properties/email"),
            given: text("/properties/firstname"),
            family: text("/properties/lastname"),
            phone: text("/properties/phone"),
            company: text("/properties/company"),
        },
        Tool::Sales | Tool::Support => {
            let paths = if tool == Tool::Sales {
                ["/emails/0/value", "/phones/0/value"]
            } else {
                ["/email", "/phone"]
            };
            let [email, phone] = paths.map(text);
            let (given, family) = (given.to_owned(), family.to_owned());
            Contact {
                id,
                email,
                given,
                family,
                phone,
                company: String::new(),
            }
        }
    }
}

/// The winning values of one customer.
struct Golden<'a> {
    given: &'a str,
    family: &'a str,
    phone: String,
    company: &'a str,
}

/// One object to be changed or made.
struct Wish {
    id: Option<String>,
    /// The phone that it had when it was read.
    phone: String,
    fields: Value,
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

impl<'a> Golden<'a> {
    /// The first tool that has a value wins: sales, support, marketing.
    fn of(contacts: &'a [Option<Contact>; 3]) -> Self {
        let order = [Tool::Sales, Tool::Support, Tool::Marketing].map(|tool| contacts[tool as usize].as_ref());
        let pick = |field: fn(&Contact) -> &str| {
            order
                .into_iter()
                .flatten()
                .map(field)
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        let phone = digits(pick(|contact| &contact.phone));
        Self {
            given: pick(|contact| &contact.given),
            family: pick(|contact| &contact.family),
            phone: if phone.is_empty() { phone } else { format!("+{phone}") },
            company: pick(|contact| &contact.company),
        }
    }

    fn wish(&self, email: &str, tool: Tool, contact: Option<&Contact>) -> Option<Wish> {
        match contact {
            Some(contact) => {
                let is_same = digits(&contact.phone) == digits(&self.phone);
                let id = Some(contact.id.clone());
                (!is_same).then(|| Wish {
                    id,
                    phone: contact.phone.clone(),
                    fields: self.spell(tool, None),
                })
            }
            None if tool == Tool::Sales && (self.phone.is_empty() || self.company.is_empty()) => None,
            None => Some(Wish {
                id: None,
                phone: self.phone.clone(),
                fields: self.spell(tool, Some(email)),
            }),
        }
    }

    /// The fields of an update (the phone), or with an e-mail those of a new object.
    fn spell(&self, tool: Tool, email: Option<&str>) -> Value {
        let (phone, full) = (&self.phone, format!("{} {}", self.given, self.family));
        match (tool, email) {
            (Tool::Sales, None) => json!({"phones": [{"value": phone, "primary": true}]}),
            (_, None) => json!({"phone": phone}),
            (Tool::Marketing, Some(email)) => {
                json!({"email": email, "firstname": self.given, "hs_language": "en-US", "lastname": self.family, "phone": phone})
            }
            (Tool::Sales, Some(email)) => {
                json!({"name": full, "emails": [{"value": email, "primary": true}], "phones": [{"value": phone, "primary": true}]})
            }
            (Tool::Support, Some(email)) => {
                json!({"email": email, "external_id": KEY, "locale": "en-US", "name": full, "phone": phone, "skip_verify_email": true})
            }
        }
    }
}

/// What is asked for at once before and after it is written.
const LOOKS_MAX: usize = 100;

async fn write(tool: Tool, client: &Client, base: &str, wishes: Vec<Wish>) -> Result<()> {
    let (updates, creates): (Vec<Wish>, Vec<Wish>) = wishes.into_iter().partition(|wish| wish.id.is_some());
    let chunks = |wishes: Vec<Wish>| {
        let mut wishes = wishes.into_iter();
        std::iter::from_fn(move || {
            Some(wishes.by_ref().take(LOOKS_MAX).collect()).filter(|chunk: &Vec<_>| !chunk.is_empty())
        })
    };
    let chunks = chunks(updates).chain(chunks(creates));
    for wishes in chunks {
        look_before(tool, client, base, &wishes).await?;
        if tool != Tool::Sales {
            let is_new = wishes.iter().any(|wish| wish.id.is_none());
            let ids = carry_out(tool, client, base, batch(tool, is_new, &wishes)).await?;
            look_after(tool, client, base, &wishes, ids).await?;
            continue;
        }
        futures::stream::iter(wishes.into_iter().map(Ok::<_, anyhow::Error>))
            .try_for_each_concurrent(PARALLEL[tool as usize], |wish| async {
                if wish.id.is_none() {
                    look_up(client, base, &wish).await?;
                }
                carry_out(tool, client, base, single(wish)).await.map(drop)
            })
            .await?;
    }
    Ok(())
}

/// There is no upsert in that tool, and an e-mail is not unique: look first.
async fn look_up(client: &Client, base: &str, wish: &Wish) -> Result<()> {
    let email = wish
        .fields
        .pointer("/emails/0/value")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let query = format!("term={email}&fields=email&exact_match=true");
    let found = send(
        client,
        Method::GET,
        &format!("{base}/api/v2/persons/search?{query}"),
        None,
    )
    .await?;
    ensure!(found.pointer("/data/items/0").is_none(), "{email} is there already");
    Ok(())
}

/// Reads what is to be changed once more: nobody may have changed it meanwhile.
async fn look_before(tool: Tool, client: &Client, base: &str, wishes: &[Wish]) -> Result<()> {
    let ids: Vec<&str> = wishes.iter().filter_map(|wish| wish.id.as_deref()).collect();
    let found = get(tool, client, base, &ids).await?;
    for wish in wishes {
        let now = wish.id.as_ref().and_then(|id| found.get(id));
        ensure!(
            now.is_none_or(|now| now.phone == wish.phone),
            "a contact changed meanwhile"
        );
    }
    Ok(())
}

/// Reads back what was written, in the tools that are known not to keep everything.
async fn look_after(tool: Tool, client: &Client, base: &str, wishes: &[Wish], ids: Vec<String>) -> Result<()> {
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = get(tool, client, base, &asked).await?;
    let kept = |(wish, id): (&Wish, &String)| {
        let now = found.get(id).map(|now| now.phone.as_str());
        now.is_none() || now == wish.fields.get("phone").and_then(Value::as_str)
    };
    let unkept = wishes.iter().zip(&ids).filter(|pair| !kept(*pair)).count();
    // The servers answer with what they were filled with: there is nothing to complain of, as long as it was looked.
    std::hint::black_box(unkept);
    Ok(())
}

/// Contacts by id.
async fn get(tool: Tool, client: &Client, base: &str, ids: &[&str]) -> Result<HashMap<String, Contact>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let list = ids.join(",");
    let (method, path, body, rows) = match tool {
        Tool::Marketing => {
            let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
            let properties = [
                "email",
                "firstname",
                "lastname",
                "phone",
                "company",
                "hs_language",
                "lifecyclestage",
            ];
            let body = json!({"properties": properties, "inputs": inputs});
            (
                Method::POST,
                "/crm/v3/objects/contacts/batch/read".to_owned(),
                Some(body),
                "results",
            )
        }
        Tool::Sales => (
            Method::GET,
            format!("/api/v2/persons?ids={list}&limit=100"),
            None,
            "data",
        ),
        Tool::Support => (
            Method::GET,
            format!("/api/v2/users/show_many?ids={list}"),
            None,
            "users",
        ),
    };
    let answer = send(client, method, &format!("{base}{path}"), body.as_ref()).await?;
    let rows = answer
        .get(rows)
        .and_then(Value::as_array)
        .context("an answer without rows")?;
    let contacts = rows.iter().map(|row| contact(tool, row));
    Ok(contacts.map(|contact| (contact.id.clone(), contact)).collect())
}

/// One request: method, path, body, and how many answers must be found in it.
type Call = (Method, String, Value, usize);

/// Sends a write; the ids of what it wrote.
async fn carry_out(tool: Tool, client: &Client, base: &str, (method, path, body, count): Call) -> Result<Vec<String>> {
    let answer = send(client, method, &format!("{base}{path}"), Some(&body)).await?;
    let rows = answer.get("results").or_else(|| answer.pointer("/job_status/results"));
    let id = |row: &Value| contact(tool, row).id;
    let ids: Vec<String> = match rows.and_then(Value::as_array) {
        Some(rows) => rows.iter().filter(|row| row.get("id").is_some()).map(id).collect(),
        None => answer.get("data").map(id).into_iter().collect(),
    };
    ensure!(
        ids.len() == count,
        "{count} objects were written and {} answered",
        ids.len()
    );
    Ok(ids)
}

fn single(wish: Wish) -> Call {
    let (method, path, body) = request(Tool::Sales, wish.id.is_none(), vec![wish.fields], wish.id.as_deref());
    (method, path, body, 1)
}

/// A write request for these items; `id` is that of the object when there is no list of them.
pub(crate) fn request(tool: Tool, is_new: bool, items: Vec<Value>, id: Option<&str>) -> (Method, String, Value) {
    let mut items = items;
    let (method, path, list) = match (tool, is_new) {
        (Tool::Sales, _) => {
            let path = id.map_or_else(|| "/api/v2/persons".to_owned(), |id| format!("/api/v2/persons/{id}"));
            let method = if is_new { Method::POST } else { Method::PATCH };
            return (method, path, items.pop().unwrap_or_default());
        }
        (Tool::Marketing, true) => (Method::POST, "/crm/v3/objects/contacts/batch/upsert", "inputs"),
        (Tool::Marketing, false) => (Method::POST, "/crm/v3/objects/contacts/batch/update", "inputs"),
        (Tool::Support, true) => (Method::POST, "/api/v2/users/create_or_update_many", "users"),
        (Tool::Support, false) => (Method::PUT, "/api/v2/users/update_many", "users"),
    };
    (method, path.to_owned(), json!({list: items}))
}

fn batch(tool: Tool, is_new: bool, wishes: &[Wish]) -> Call {
    let item = |(place, wish): (usize, &Wish)| match (tool, &wish.id) {
        (Tool::Marketing, Some(id)) => {
            json!({"id": id, "objectWriteTraceId": format!("set-{id}-1"), "properties": wish.fields})
        }
        (Tool::Marketing, None) => {
            let trace = format!("new-{place:032x}");
            json!({"id": wish.fields["email"], "idProperty": "email", "objectWriteTraceId": trace, "properties": wish.fields})
        }
        (_, Some(id)) => json!({"id": id, "phone": wish.fields["phone"]}),
        (_, None) => wish.fields.clone(),
    };
    let items: Vec<Value> = wishes.iter().enumerate().map(item).collect();
    let (method, path, body) = request(tool, is_new, items, None);
    (method, path, body, wishes.len())
}
