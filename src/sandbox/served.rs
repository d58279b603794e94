//! A seeded sandbox, ready for the command line.

use std::collections::BTreeMap;

use serde::Serialize;

use super::people::{self, People, Truth};
use super::{Error, Options, Sandbox, ToolName};

/// What [`serve`] put up.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Name, base address and number of objects of each tool.
    pub tools: Vec<ToolSummary>,
    /// How many people stand behind the objects.
    pub people: usize,
    /// The seed that makes them again.
    pub seed: u64,
}

/// One line of a [`Summary`].
#[derive(Debug, Clone, Serialize)]
pub struct ToolSummary {
    /// Which tool.
    pub name: ToolName,
    /// `http://127.0.0.1:port`
    pub base_url: String,
    /// What stands in a system's `base`.
    pub api_base: String,
    /// What stands in its `config`.
    pub config: BTreeMap<&'static str, String>,
    /// Live objects.
    pub objects: usize,
}

/// A seeded sandbox, ready for the command line.
pub struct Served {
    /// The running tools; dropping them stops the servers.
    pub sandbox: Sandbox,
    /// What a caller may print.
    pub summary: Summary,
    /// The people behind the objects.
    pub people: People,
    /// Which object belongs to whom.
    pub truth: Truth,
}

/// Starts the tools and fills those of `of` with `count` people made from `seed`. Prints nothing.
///
/// # Errors
/// When a port is taken.
pub async fn serve(options: Options, of: &[ToolName], seed: u64, count: usize) -> Result<Served, Error> {
    let sandbox = Sandbox::start(options.clone()).await?;
    let mut people = people::generate(seed, count);
    if of.contains(&ToolName::Mailchimp) {
        let others = people::generate_in(seed, count, ToolName::OTHERS);
        people.objects.extend(others.objects);
    }
    let truth = sandbox.seed(&people);
    let tools = of
        .iter()
        .map(|name| {
            let tool = sandbox.tool(*name);
            ToolSummary {
                name: *name,
                base_url: tool.base_url.clone(),
                api_base: tool.api_base(),
                config: tool.config(&options),
                objects: tool.people().len(),
            }
        })
        .collect();
    let summary = Summary {
        tools,
        people: people.personas.len(),
        seed,
    };
    Ok(Served {
        sandbox,
        summary,
        people,
        truth,
    })
}
