//! The config under which the shipped manifests speak to the sandbox: `base` differs from a real one, and the rates, since
//! nobody else uses a tool on loopback.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Options, Sandbox, Tool, ToolName};

impl ToolName {
    /// The shipped connector that speaks to it.
    #[must_use]
    pub fn connector(self) -> &'static str {
        match self {
            Self::Hubspot => "hubspot",
            Self::Pipedrive => "pipedrive",
            Self::Zendesk => "zendesk",
            Self::Mailchimp => "mailchimp",
            Self::Salesforce => "salesforce",
            Self::Intercom => "intercom",
        }
    }
}

impl Tool {
    /// What the `config` of a system says, so that the shipped manifest may speak to this tool.
    #[must_use]
    pub fn config(&self, options: &Options) -> BTreeMap<&'static str, String> {
        let pairs: &[(&str, &str)] = match self.name {
            ToolName::Hubspot => &[("token", &options.hubspot_token)],
            ToolName::Pipedrive => &[("token", &options.pipedrive_token)],
            ToolName::Zendesk => &[
                ("subdomain", "sandbox"),
                ("email", &options.zendesk_email),
                ("token", &options.zendesk_token),
            ],
            ToolName::Mailchimp => &[("key", &options.mailchimp_key), ("list", &options.mailchimp_list)],
            ToolName::Salesforce => &[
                ("url", &self.base_url),
                ("client_id", &options.salesforce_client_id),
                ("client_secret", &options.salesforce_client_secret),
            ],
            ToolName::Intercom => &[("token", &options.intercom_token)],
        };
        pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
    }
}

impl Sandbox {
    /// A complete `nivel.yaml` for the three tools of the demo, with the ledger in `data_dir`.
    #[must_use]
    pub fn settings(&self, options: &Options, data_dir: &Path) -> String {
        self.settings_of(ToolName::ALL, options, data_dir)
    }

    /// The same for three tools: marketing, sales, support.
    #[must_use]
    pub fn settings_of(&self, roles: [ToolName; 3], options: &Options, data_dir: &Path) -> String {
        let data_dir = serde_json::Value::from(data_dir.display().to_string());
        let mut text = format!(
            "# Written for the sandbox.
data_dir: {data_dir}
region: FI
http: {{listen: \"127.0.0.1:0\"}}
systems:
"
        );
        for (role, name) in ["marketing", "sales", "support"].into_iter().zip(roles) {
            let tool = self.tool(name);
            let config: Vec<String> = tool.config(options).into_iter().map(entry).collect();
            let config = config.join(", ");
            // Writing to a String cannot fail.
            let written = write!(
                text,
                "  {role}:
    connector: {connector}
    role: {role}
    base: {base}
    limits: [1000/1s, {{parallel: 6}}]
    every: 5s
    lag: 0s
    create: always
    config: {{{config}}}
",
                connector = name.connector(),
                base = tool.api_base(),
            );
            debug_assert!(written.is_ok());
            if name == ToolName::Salesforce {
                text.push_str("    streams: {account: {create: never}}\n");
            }
        }
        text + "fields:\n  phone: {newest: []}\n"
    }
}

/// `key: value` as a person would write it.
fn entry((key, value): (&str, String)) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "@._-:/".contains(letter);
    let is_plain = value.chars().all(is_plain) && value.contains(|letter: char| letter.is_ascii_alphabetic());
    let value = if is_plain {
        value
    } else {
        serde_json::Value::from(value).to_string()
    };
    format!("{key}: {value}")
}
