//! The config under which the shipped manifests speak to the sandbox: `base` differs from a real one, and the rates, since
//! nobody else uses a tool on loopback.

use std::fmt::Write as _;
use std::path::Path;

use super::{Options, Sandbox};

impl Sandbox {
    /// A complete `nivel.yaml` for these three tools, with the ledger in `data_dir`.
    #[must_use]
    pub fn settings(&self, options: &Options, data_dir: &Path) -> String {
        let mut text = String::new();
        let data_dir = serde_json::Value::from(data_dir.display().to_string());
        // Writing to a String cannot fail.
        let written = write!(
            text,
            "# Written for the sandbox.
data_dir: {data_dir}
region: FI
http: {{listen: \"127.0.0.1:0\"}}
systems:
  marketing:
    connector: hubspot
    role: marketing
    base: {hubspot}
    limits: [1000/1s, {{parallel: 6}}]
    every: 5s
    lag: 0s
    create: always
    config: {{token: {hubspot_token}}}
  sales:
    connector: pipedrive
    role: sales
    base: {pipedrive}
    limits: [1000/1s, {{parallel: 6}}]
    every: 5s
    lag: 0s
    create: always
    config: {{token: {pipedrive_token}}}
  support:
    connector: zendesk
    role: support
    base: {zendesk}
    limits: [1000/1s, {{parallel: 6}}]
    every: 5s
    lag: 0s
    create: always
    config: {{subdomain: sandbox, email: {zendesk_email}, token: {zendesk_token}}}
fields:
  phone: {{newest: []}}
",
            hubspot = self.hubspot.api_base(),
            hubspot_token = options.hubspot_token,
            pipedrive = self.pipedrive.api_base(),
            pipedrive_token = options.pipedrive_token,
            zendesk = self.zendesk.api_base(),
            zendesk_email = options.zendesk_email,
            zendesk_token = options.zendesk_token,
        );
        debug_assert!(written.is_ok());
        text
    }
}
