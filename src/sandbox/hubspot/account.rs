//! What HubSpot's account knows beside its objects: who works there, and who wants no mail (VENDORS.md A1.5, A1.11).

use serde_json::{Value, json};

use super::super::By;
use super::super::clock::rfc3339_ms;
use super::super::store::{Act, Store};
use super::super::tool::{Vendor as _, Wrong};
use super::super::wire::{Ask, Reply};
use super::body::is_address;
use super::{Hubspot, Reject};

impl Hubspot {
    /// `POST statuses/ADDRESS/unsubscribe-all`: out of every kind of mail at once, also when nobody was in (A1.11).
    pub(super) fn unsubscribe(&self, store: &mut Store, ask: &Ask, rest: &str) -> Reply {
        let address = match (ask.method.as_str(), rest.strip_suffix("/unsubscribe-all")) {
            ("POST", Some(address)) if is_address(address) => address,
            _ => return self.wrong(Wrong::NotFound),
        };
        if ask.get("channel") != Some("EMAIL") {
            return Reject::invalid("channel must be EMAIL".to_owned()).reply();
        }
        let found = store.with_key(address).and_then(|id| store.live(id));
        if let Some((id, body)) = found.map(|object| (object.id, Value::clone(&object.body))) {
            let act = Act {
                by: By::Api,
                now_ms: ask.now_ms,
            };
            let body = self.amend(&body, &json!({"hs_email_optout": "true"}));
            store.revise(act, id, body, false);
        }
        let status = json!({"subscriberIdString": address, "channel": "EMAIL", "status": "UNSUBSCRIBED"});
        Reply::json(200, json!({"status": "COMPLETE", "results": [status]}))
    }
}

/// One owner, so that `hubspot_owner_id` can be resolved (A1.5).
pub(super) fn owners() -> Reply {
    let stamp = rfc3339_ms(1_704_067_200_000);
    let owner = json!({
        "id": "101", "email": "owner@example.com", "firstName": "Olli", "lastName": "Owner", "userId": 1,
        "createdAt": stamp, "updatedAt": stamp, "archived": false,
    });
    Reply::json(200, json!({"results": [owner]}))
}
