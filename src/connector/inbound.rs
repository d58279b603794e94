//! Records that come by themselves: partners, forms and message channels post them, signed as Standard Webhooks says. What
//! is posted is the record itself and no hint. There is nothing to ask and nothing to write to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use compact_str::CompactString;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::sql::SqlColumn;
use super::{Connection, Hook};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{
    Context, FieldMap, Manifest, Many, Mapper, Modified, Object, ObjectKind, Path, PhoneNormaliser, Template,
    TimeFormat,
};
use crate::model::{
    Clock, Cursor, FieldName, FieldSpec, HolderBy, HolderSpec, Incoming, Operation, Outcome, Page, StreamSpec, Value,
    WriteMode,
};

/// The field in which an activity says on whom it hangs.
const HOLDER: &str = "_of_email";

/// What is posted, and how it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboundConfig {
    /// The name of the stream the records make up.
    pub stream: CompactString,
    /// What a record is about.
    #[serde(default)]
    pub kind: ObjectKind,
    /// For activities: where the address of the person it hangs on is.
    #[serde(default)]
    pub of: Option<SqlColumn>,
    /// `json` or `form`.
    pub decode: CompactString,
    /// Where the records are in a body.
    pub rows: CompactString,
    /// What identifies a record: an expression over `e`, the record.
    pub id: String,
    /// Where the time of its last change is, and how that is written.
    #[serde(default)]
    pub at: Option<CompactString>,
    /// How that time is written.
    #[serde(default)]
    pub at_format: TimeFormat,
    /// Canonical field → path in the record (in `column`), and what stands there.
    pub fields: BTreeMap<FieldName, SqlColumn>,
}

/// A door for records that come by themselves.
pub struct Inbound {
    stream: CompactString,
    id: Template,
    mapper: Mapper,
    hook: Hook,
    specs: BTreeMap<CompactString, StreamSpec>,
    clock: Arc<dyn Clock>,
}

/// What the config says elsewhere and a door needs, too.
pub struct Around {
    /// The country whose phone numbers may lack a prefix.
    pub region: Option<CompactString>,
    /// How phone numbers are put into one form.
    pub phone: PhoneNormaliser,
    /// The present.
    pub clock: Arc<dyn Clock>,
}

impl Inbound {
    /// The door that the config describes. `secrets` are keys in base64; any of them proves a delivery.
    ///
    /// # Errors
    /// Everything that is wrong with the config.
    pub fn new(config: &InboundConfig, secrets: &[SecretString], around: Around) -> Result<Self, Vec<Problem>> {
        let bad = |what: String| vec![Problem::new(Code::ConfigInvalid, what)];
        let id = Template::compile(&config.id).map_err(|why| bad(format!("`id`: {}", why.why)))?;
        let object = object(config).map_err(|why| bad(why.to_string()))?;
        Ok(Self {
            stream: config.stream.clone(),
            id,
            mapper: Mapper::new(&object, around.region, around.phone),
            hook: hook(config, secrets)?,
            specs: BTreeMap::from([(config.stream.clone(), spec(config))]),
            clock: around.clock,
        })
    }
}

/// The record stands in `e`, its id beside it.
fn object(config: &InboundConfig) -> Result<Object, crate::manifest::BadPath> {
    let around = Path::parse("e")?;
    let mut by_name = BTreeMap::new();
    let holder = config.of.iter().map(|of| (FieldName::from(HOLDER), of.clone()));
    let fields = config
        .fields
        .iter()
        .map(|(name, column)| (name.clone(), column.clone()));
    for (name, column) in fields.chain(holder) {
        let to = Path::parse(&format!("e.{}", column.column.name))?;
        by_name.insert(name, column.field(to));
    }
    let modified = match &config.at {
        Some(at) => Some(Modified {
            at: Many(vec![Path::parse(&format!("e.{at}"))?]),
            format: config.at_format.clone(),
        }),
        None => None,
    };
    let fields = FieldMap {
        at: Some(around),
        by_name,
    };
    Ok(Object {
        modified,
        ..Object::of_fields(config.kind, Path::parse("id")?, fields)
    })
}

/// What is proven and how a body is taken apart, in the words of manifests.
fn hook(config: &InboundConfig, secrets: &[SecretString]) -> Result<Hook, Vec<Problem>> {
    let mut keys = Vec::new();
    let mut values = Map::new();
    for (number, secret) in secrets.iter().enumerate() {
        let name = format!("secret{number}");
        keys.push(format!("{{{{ config.{name} }}}}"));
        values.insert(name, secret.expose_secret().into());
    }
    let settings: Map<String, Json> = values
        .keys()
        .map(|name| (name.clone(), json!({"secret": true})))
        .collect();
    let mut text = "connector: inbound\nformat: 1\nbase: http://localhost\nobjects: {}\n".to_owned();
    let webhook = json!({
        "verify": {
            "hmac": "sha256",
            "key": keys,
            "key_encoding": "base64",
            "over": "{{ headers['webhook-id'] }}.{{ headers['webhook-timestamp'] }}.{{ body }}",
            "equals": "sig.v1",
            "as": "base64",
            "sig": {"from": "header:webhook-signature", "split": [" ", ","]},
            "time": {"from": "header:webhook-timestamp", "format": "s"},
        },
        "events": {
            "decode": config.decode,
            "rows": config.rows,
            "delivery": "header:webhook-id",
            "object": config.stream,
            "id": config.id,
            "record": ".",
        },
    });
    // Writing to a String cannot fail.
    let written = write!(text, "config: {}\nwebhook: {webhook}\n", Json::Object(settings));
    debug_assert!(written.is_ok());
    let manifest = Manifest::parse("inbound", &text)?;
    let nothing = || vec![Problem::new(Code::Bug, "a door without a webhook")];
    Ok(Hook::new(manifest.webhook.ok_or_else(nothing)?, &Json::Object(values)))
}

fn spec(config: &InboundConfig) -> StreamSpec {
    let read_only = || FieldSpec {
        write: WriteMode::Never,
        ..FieldSpec::default()
    };
    StreamSpec {
        kind: config.kind.of_customer(),
        fields: config.fields.keys().map(|name| (name.clone(), read_only())).collect(),
        holders: config.of.iter().map(|_| by_address()).collect(),
        ..StreamSpec::default()
    }
}

fn by_address() -> HolderSpec {
    HolderSpec {
        field: FieldName::from(HOLDER),
        by: HolderBy::Field(FieldName::from("email")),
    }
}

#[async_trait]
impl Connection for Inbound {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.specs
    }

    async fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn pull(&self, _stream: &str, _cursor: Option<&Cursor>) -> Result<Page, Failure> {
        Ok(Page {
            records: Vec::new(),
            next: Cursor("\"inbound\"".to_owned()),
            is_caught_up: true,
            asked_at: self.clock.now(),
            sweep: None,
        })
    }

    async fn get(&self, _stream: &str, _remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Err(only_inbound())
    }

    async fn find(&self, _stream: &str, _by: &FieldName, _value: &Value) -> Result<Option<Incoming>, Failure> {
        Err(only_inbound())
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        operations.iter().map(|_| Err(only_inbound())).collect()
    }

    fn hook(&self) -> Option<&Hook> {
        Some(&self.hook)
    }

    fn read(&self, stream: &str, object: &Json) -> Option<Incoming> {
        if stream != self.stream {
            return None;
        }
        let id = self.id.render_text(&Context::new().with("e", object)).ok()?;
        let record = self.mapper.record_in(&json!({"id": id, "e": object}));
        (!record.remote.is_empty()).then_some(record)
    }
}

fn only_inbound() -> Failure {
    let problem = Problem::new(
        Code::NotAllowed,
        "records come here by themselves; nothing can be asked or written",
    );
    Failure::new(Class::Forbidden, problem)
}
