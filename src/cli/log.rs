//! Where log lines go: always to standard error, for people or for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Verbs that end by themselves are quiet unless asked.
pub(super) fn for_verb(verbose: u8) {
    start(filter(verbose, "error"), LogFormat::Text);
}

/// The daemon logs as the config says; `-v` may only add.
pub(super) fn for_daemon(log: &LogConfig, verbose: u8) {
    start(filter(verbose, &log.level), log.format);
}

fn filter(verbose: u8, level: &str) -> EnvFilter {
    let level = match verbose {
        0 => level,
        1 => "info",
        2 => "info,nivel=debug",
        _ => "info,nivel=trace",
    };
    EnvFilter::new(level)
}

fn start(filter: EnvFilter, format: LogFormat) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr);
    let started = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(builder.with_target(false).finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = std::io::Stderr;

    fn make_writer(&'a self) -> Self::Writer {
        std::io::stderr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_adds() {
        assert_eq!(filter(0, "warn").to_string(), "warn");
        assert_eq!(filter(1, "error").to_string(), "info");
        assert!(filter(2, "error").to_string().contains("nivel=debug"));
    }
}
