//! Tools to try things on: in-process HTTP servers that speak the shapes of six vendors.
//!
//! The demo, the crash sweep and a user's own rehearsal run against these instead of real accounts. They hold invented
//! people, keep a history of every write, and play every fault of the nemesis list on demand. What they know about the
//! vendors stands in VENDORS.md (parts A1, A2, B1, B2, C1, C3, G, H1); where the sheet is silent the doc comment says what was chosen.
//!
//! This module never reads Nivel's ledger: the checker judges by what the tools saw.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub mod checker;
pub mod clock;
mod control;
pub mod faults;
pub mod history;
pub mod hooks;
mod hubspot;
mod intercom;
mod mailchimp;
pub mod oauth;
pub mod people;
mod pipedrive;
mod play;
pub mod practice;
mod salesforce;
mod serve;
mod served;
mod settings;
mod sides;
mod store;
#[cfg(test)]
mod tests;
mod tool;
mod wire;
mod zendesk;

pub use clock::Clock;
pub use faults::{Fault, Kind, Retry, When};
pub use history::{By, Event, Op, RequestLog};
pub use hooks::{Delivered, HookFault};
pub use served::{Served, Summary, ToolSummary, serve};
pub use tool::{Person, Tool};

/// Which vendor's shape a tool speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolName {
    /// Marketing.
    Hubspot,
    /// Sales.
    Pipedrive,
    /// Support.
    Zendesk,
    /// Marketing, another one.
    Mailchimp,
    /// Sales, another one.
    Salesforce,
    /// Support, another one.
    Intercom,
}

impl ToolName {
    /// The three of the demo, in the order of the customer's way.
    pub const ALL: [Self; 3] = [Self::Hubspot, Self::Pipedrive, Self::Zendesk];
    /// Three others, in the same order: without webhooks, and less deep.
    pub const OTHERS: [Self; 3] = [Self::Mailchimp, Self::Salesforce, Self::Intercom];
    /// Every tool of the sandbox.
    pub const EVERY: [Self; 6] = [
        Self::Hubspot,
        Self::Pipedrive,
        Self::Zendesk,
        Self::Mailchimp,
        Self::Salesforce,
        Self::Intercom,
    ];
}

impl fmt::Display for ToolName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hubspot => "HubSpot",
            Self::Pipedrive => "Pipedrive",
            Self::Zendesk => "Zendesk",
            Self::Mailchimp => "Mailchimp",
            Self::Salesforce => "Salesforce",
            Self::Intercom => "Intercom",
        })
    }
}

/// What can go wrong with the sandbox itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port could not be taken.
    #[error("{tool} sandbox cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// Which tool.
        tool: ToolName,
        /// The wanted port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// An id that is not there.
    #[error("{tool} sandbox has no live object {id}")]
    Missing {
        /// Which tool.
        tool: ToolName,
        /// The id asked for.
        id: String,
    },
}

/// How the tools behave. [`Options::default`] is a friendly account.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the HubSpot shape; 0 takes a free one.
    pub hubspot_port: u16,
    /// Port of the Pipedrive shape.
    pub pipedrive_port: u16,
    /// Port of the Zendesk shape.
    pub zendesk_port: u16,
    /// Bearer token of the HubSpot shape.
    pub hubspot_token: String,
    /// `x-api-token` of the Pipedrive shape.
    pub pipedrive_token: String,
    /// Agent the Zendesk token belongs to.
    pub zendesk_email: String,
    /// API token of the Zendesk shape; sent as Basic `email/token:token`.
    pub zendesk_token: String,
    /// HubSpot: a write that changes nothing moves `lastmodifieddate` all the same.
    pub echo_touch: bool,
    /// HubSpot: how late the search index is (VENDORS.md A1.4).
    pub index_lag_ms: i64,
    /// HubSpot: names of custom properties the account has beside the standard ones.
    pub hubspot_properties: Vec<String>,
    /// Pipedrive: whether the list of persons shows deleted ones with `is_deleted` (the sheet does not say; default no).
    pub pipedrive_list_deleted: bool,
    /// Zendesk: Support has enabled bulk imports; without it `create_or_update_many` is 403 (VENDORS.md C1.6).
    pub zendesk_bulk_import: bool,
    /// API key of the Mailchimp shape; it ends with a data centre.
    pub mailchimp_key: String,
    /// The one audience of the Mailchimp shape.
    pub mailchimp_list: String,
    /// Consumer key of the Salesforce shape.
    pub salesforce_client_id: String,
    /// Its secret.
    pub salesforce_client_secret: String,
    /// Bearer token of the Intercom shape.
    pub intercom_token: String,
    /// How many requests each tool remembers.
    pub log_rows_max: usize,
    /// Where the tools' clocks start; `None` follows real time. Each tool has a clock of its own.
    pub clock_ms: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hubspot_port: 0,
            pipedrive_port: 0,
            zendesk_port: 0,
            hubspot_token: "pat-eu1-sandbox".to_owned(),
            pipedrive_token: "pipedrive-sandbox".to_owned(),
            zendesk_email: "agent@example.com".to_owned(),
            zendesk_token: "zendesk-sandbox".to_owned(),
            echo_touch: true,
            index_lag_ms: 0,
            hubspot_properties: vec!["nivel_key".to_owned()],
            pipedrive_list_deleted: false,
            zendesk_bulk_import: false,
            mailchimp_key: "sandboxsandboxsandbox-us19".to_owned(),
            mailchimp_list: "a6b5da1054".to_owned(),
            salesforce_client_id: "3MVG9sandbox".to_owned(),
            salesforce_client_secret: "salesforce-sandbox".to_owned(),
            intercom_token: "intercom-sandbox".to_owned(),
            log_rows_max: 10_000,
            clock_ms: None,
        }
    }
}

impl Options {
    /// An account with everything switched on that the vendors switch on by request.
    #[must_use]
    pub fn generous() -> Self {
        Self {
            zendesk_bulk_import: true,
            ..Self::default()
        }
    }
}

/// The running tools.
pub struct Sandbox {
    /// Marketing.
    pub hubspot: Tool,
    /// Sales.
    pub pipedrive: Tool,
    /// Support.
    pub zendesk: Tool,
    /// Marketing, another one.
    pub mailchimp: Tool,
    /// Sales, another one.
    pub salesforce: Tool,
    /// Support, another one.
    pub intercom: Tool,
}

impl Sandbox {
    /// Starts the servers on 127.0.0.1.
    ///
    /// # Errors
    /// When a port is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let clock = || Arc::new(options.clock_ms.map_or_else(Clock::real, Clock::fixed));
        let service =
            |vendor: Box<dyn tool::Vendor>, lag_ms| tool::Service::new(vendor, clock(), options.log_rows_max, lag_ms);
        let hubspot = service(Box::new(hubspot::Hubspot::new(&options)), options.index_lag_ms);
        let pipedrive = service(Box::new(pipedrive::Pipedrive::new(&options)), 0);
        let zendesk = service(Box::new(zendesk::Zendesk::new(&options)), 0);
        let mailchimp = service(Box::new(mailchimp::Mailchimp::new(&options)), 0);
        let salesforce = service(Box::new(salesforce::Salesforce::new(&options)), 0);
        let intercom = service(Box::new(intercom::Intercom::new(&options)), 0);
        Ok(Self {
            hubspot: Tool::start(hubspot, options.hubspot_port).await?,
            pipedrive: Tool::start(pipedrive, options.pipedrive_port).await?,
            zendesk: Tool::start(zendesk, options.zendesk_port).await?,
            mailchimp: Tool::start(mailchimp, 0).await?,
            salesforce: Tool::start(salesforce, 0).await?,
            intercom: Tool::start(intercom, 0).await?,
        })
    }

    /// The tool of this name.
    #[must_use]
    pub fn tool(&self, name: ToolName) -> &Tool {
        match name {
            ToolName::Hubspot => &self.hubspot,
            ToolName::Pipedrive => &self.pipedrive,
            ToolName::Zendesk => &self.zendesk,
            ToolName::Mailchimp => &self.mailchimp,
            ToolName::Salesforce => &self.salesforce,
            ToolName::Intercom => &self.intercom,
        }
    }

    /// Moves all clocks by `ms`.
    pub fn advance(&self, ms: i64) {
        for name in ToolName::EVERY {
            self.tool(name).clock.advance(ms);
        }
    }

    /// Fills the tools with generated people; their ages are counted back from each tool's clock.
    pub fn seed(&self, people: &people::People) -> people::Truth {
        let mut truth = people::Truth::default();
        for object in &people.objects {
            let tool = self.tool(object.tool);
            let now_ms = tool.clock.now_ms();
            let id = tool.seed(
                &object.body,
                now_ms - object.created_ago_ms,
                now_ms - object.updated_ago_ms,
            );
            truth.insert(object.tool, id, object.persona);
        }
        truth
    }

    /// Stops all servers and waits for them.
    pub async fn shutdown(self) {
        self.hubspot.shutdown().await;
        self.pipedrive.shutdown().await;
        self.zendesk.shutdown().await;
        self.mailchimp.shutdown().await;
        self.salesforce.shutdown().await;
        self.intercom.shutdown().await;
    }
}
