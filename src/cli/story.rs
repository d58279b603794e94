//! The second half of `nivel demo`: one customer walks from marketing to sales to support, another one is lost on the way because
//! the sales tool is down, is found in the late list, and arrives when it is back.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::Failed;
use super::app::Context;
use super::demo::prepare;
use super::handoffs::late_line;
use crate::error::{Code, Problem};
use crate::handoff::{Passage, State};
use crate::ledger::PassagesOf;
use crate::model::StreamId;
use crate::sandbox::faults::{Fault, Kind};
use crate::sandbox::{Options, Sandbox};
use crate::sync::{Engine, Silent};

/// The deadline of the story: short enough to be watched.
const RULES: &str = "
handoffs:
  lead-to-sales: {from: marketing, when: \"lifecycle == 'qualified'\", to: sales, carry: [email, full_name], within: 2s, create: true}
  deal-to-support: {from: sales, when: \"deal.status == 'won'\", to: support, carry: [email], within: 1h, create: true}
";

/// One line of the story: what happens, and where the customer stands then.
#[derive(Serialize)]
pub(super) struct Step {
    what: String,
    then: String,
}

impl Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<58} {}", self.what, self.then)
    }
}

struct Story {
    sandbox: Sandbox,
    engine: Engine,
    steps: Vec<Step>,
}

/// Plays the story in three empty tools of its own.
pub(super) async fn play(context: &Context, dir: &Path) -> Result<Vec<Step>, Failed> {
    let options = Options::default();
    let trouble = |error: crate::sandbox::Error| Problem::new(Code::PortTaken, error.to_string());
    let sandbox = Sandbox::start(options.clone()).await.map_err(trouble)?;
    let settings = sandbox.settings(&options, Path::new("."));
    let (head, tail) = settings.split_once("  sales:").unwrap_or((&settings, ""));
    // Customers come into sales and support by a handoff alone.
    let tail = tail.replace("create: always", "create: handoff");
    let config = prepare(dir, &format!("{head}  sales:{tail}{RULES}"))?;
    let engine = crate::daemon::open(&config, Arc::clone(&context.clock), Arc::new(Silent))
        .await
        .map_err(Failed::from_all)?;
    let mut story = Story {
        sandbox,
        engine,
        steps: Vec::new(),
    };
    story.engine.sync(Some("demo")).await?;
    story.walk().await?;
    story.lose_and_find(context).await?;
    drop(story.engine);
    story.sandbox.shutdown().await;
    Ok(story.steps)
}

fn contact(email: &str, name: &str) -> Value {
    json!({"email": email, "firstname": name, "lastname": "Laine", "lifecyclestage": "salesqualifiedlead"})
}

impl Story {
    fn tell(&mut self, what: &str, then: impl Into<String>) {
        self.steps.push(Step {
            what: what.to_owned(),
            then: then.into(),
        });
    }

    /// One sync, a moment later: a tool that tells time in whole seconds lists nothing of the present one.
    async fn pass(&self) -> Result<(), Failed> {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        self.engine.sync(None).await?;
        Ok(())
    }

    /// The latest passage of a rule.
    async fn latest(&self, rule: &str) -> Result<Option<Passage>, Failed> {
        let of = PassagesOf {
            rule: Some(rule.into()),
            ..PassagesOf::default()
        };
        let found = self.engine.ledger().passages(&of, None, 100).await?;
        Ok(found.into_iter().max_by_key(|passage| passage.opened_at))
    }

    async fn told(&mut self, what: &str, rule: &str) -> Result<(), Failed> {
        let then = self
            .latest(rule)
            .await?
            .map_or_else(|| "nothing".to_owned(), |passage| shown(&passage));
        self.tell(what, then);
        Ok(())
    }

    async fn walk(&mut self) -> Result<(), Failed> {
        self.sandbox.marketing().create(&contact("lia@example.com", "Lia"));
        self.pass().await?;
        self.told("marketing qualifies Lia", "lead-to-sales").await?;
        let person = self
            .sandbox
            .sales()
            .people()
            .first()
            .and_then(|person| person.id.parse::<u64>().ok());
        let deal = json!({"title": "Lia's first order", "person_id": person, "status": "won"});
        self.sandbox.sales().add_activity("deal", &deal);
        self.pass().await?;
        self.told("sales wins a deal with her", "deal-to-support").await?;
        let user = self
            .sandbox
            .support()
            .people()
            .first()
            .and_then(|person| person.id.parse::<u64>().ok());
        let ticket = json!({"subject": "How do I begin?", "requester_id": user, "assignee_id": 12});
        self.sandbox.support().add_activity("ticket", &ticket);
        self.pass().await?;
        self.told("she asks, and an agent takes the ticket", "deal-to-support")
            .await
    }

    async fn lose_and_find(&mut self, context: &Context) -> Result<(), Failed> {
        let down = Fault::once(Kind::ServerError)
            .method("POST")
            .path("/api/v2/persons")
            .times(u32::MAX);
        self.sandbox.sales().set_faults(vec![down]);
        self.sandbox.marketing().create(&contact("max@example.com", "Max"));
        self.engine.pull_system("marketing").await?;
        self.engine.push_due(&StreamId::new("sales", "person")).await?;
        let Some(lost) = self.latest("lead-to-sales").await? else {
            return Ok(());
        };
        let wait = lost.due_at.since(context.clock.now()) + Duration::from_millis(10);
        tokio::time::sleep(wait).await;
        self.engine.tend_handoffs().await?;
        let now = context.clock.now();
        let late = self.latest("lead-to-sales").await?.filter(|lost| lost.is_late(now));
        let then = late.map_or_else(
            || "not late".to_owned(),
            |lost| format!("`nivel handoffs --late`: {}", late_line(&lost, "max@example.com", now)),
        );
        self.tell("the sales tool is down, marketing qualifies Max", then);
        self.sandbox.sales().set_faults(Vec::new());
        self.pass().await?;
        self.told("the sales tool is back", "lead-to-sales").await
    }
}

fn shown(passage: &Passage) -> String {
    let proof = passage.proof.as_ref().map(|proof| {
        let fields: Vec<&str> = proof.fields.keys().map(|field| field.as_str()).collect();
        format!("{} holds {}, as read back", proof.record, fields.join(" and "))
    });
    let late = if passage.was_late() { "late but " } else { "" };
    match (passage.state, proof, &passage.accepted) {
        (State::Accepted, _, Some(accepted)) => format!("taken on by agent {} ({})", accepted.owner, accepted.record),
        (_, Some(proof), _) => format!("{late}arrived: {proof}"),
        (state, None, _) => state.as_str().to_owned(),
    }
}
