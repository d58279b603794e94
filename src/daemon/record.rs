//! Records a live account for tests.

use std::sync::Arc;

use compact_str::CompactString;

use super::build::{self, Backing};
use crate::config::Config;
use crate::connector::conformance::{self, Live, Recording};
use crate::connector::{self, Tape};
use crate::error::Problem;
use crate::model::Clock;

/// A recording, and what the tests that every connector must pass say of it.
pub struct Recorded {
    /// The connector it is for.
    pub connector: CompactString,
    /// The recording.
    pub recording: Recording,
    /// What was not as it should be; empty when all is well.
    pub problems: Vec<Problem>,
}

/// Records a few exchanges of a system, masked. Writes nothing to it.
///
/// # Errors
/// When the system is not there, refuses, or an original value would be left.
pub async fn record(config: &Config, system: &str, clock: &Arc<dyn Clock>) -> Result<Recorded, Vec<Problem>> {
    let backing = Backing::new(clock);
    let (manifest, mut settings) = build::settings_of(config, system, &backing)?;
    build::give_stored_tokens(config, clock, &backing).await?;
    let text =
        build::manifest_text(config.connectors_dir.as_deref(), &manifest.connector).map_err(|problem| vec![problem])?;
    let tape = Arc::new(Tape::default());
    settings.tape = Some(Arc::clone(&tape));
    let values = settings.config.clone();
    let connection = connector::build(manifest.clone(), settings)?;
    let live = Live {
        connection: connection.as_ref(),
        tape: &tape,
        manifest: &manifest,
        text: &text,
        config: &values,
    };
    let recording = conformance::record(&live, rand::random(), clock.now())
        .await
        .map_err(|problem| vec![problem])?;
    let report = conformance::run(&manifest, "recording", &recording.text).await;
    Ok(Recorded {
        connector: manifest.connector.clone(),
        recording,
        problems: report.problems,
    })
}
