//! One connection for each system of the config: a file drop, a database, an inbound hook, or what a manifest describes,
//! a program of its own among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use super::build::{Backing, settings};
use crate::config::{Config, FILE_CONNECTOR, InboundConfig, SqlConfig, SystemConfig};
use crate::connector::file::FileDrop;
use crate::connector::inbound::{self, Inbound};
use crate::connector::sql::{Around, Sqls};
use crate::connector::{self, Connection};
use crate::error::{Code, Problem};
use crate::manifest::Manifest;

/// One system, ready to be spoken to.
///
/// # Errors
/// Everything that is wrong with its settings.
pub(super) fn connection(
    config: &Config,
    name: &str,
    system: &SystemConfig,
    manifests: &BTreeMap<CompactString, Manifest>,
    backing: &Backing,
) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    if system.connector == FILE_CONNECTOR {
        let (options, secrets) = system
            .files
            .as_ref()
            .map_or_else(Default::default, |files| (files.options.clone(), files.secrets.clone()));
        let options = serde_json::from_value(options).map_err(|error| {
            vec![Problem::new(Code::ConfigInvalid, error.to_string()).about(format!("systems.{name}.config"))]
        })?;
        let drop = FileDrop::new(name, options, &secrets, Arc::clone(&backing.clock))?;
        return Ok(Arc::new(drop));
    }
    if let Some(sql) = &system.sql {
        return database(config, name, sql, backing);
    }
    if let Some(inbound) = &system.inbound {
        return door(config, name, inbound, backing);
    }
    let Some(manifest) = manifests.get(&system.connector) else {
        let problem = Problem::new(
            Code::ConfigDangling,
            format!("there is no connector `{}`", system.connector),
        );
        return Err(vec![problem.about(format!("systems.{name}.connector"))]);
    };
    if manifest.guest.as_ref().is_some_and(|guest| !guest.returns.is_empty()) {
        backing.keeps_settings.get_or_init(|| ());
    }
    let mut manifest = manifest.clone();
    let is_read = |stream: &CompactString| system.streams.get(stream).is_none_or(|own| own.read != Some(false));
    manifest.objects.retain(|stream, _| is_read(stream));
    let settings = settings(config, name, system, &manifest, backing);
    connector::build(manifest, settings)
}

/// A door for records that come by themselves.
fn door(
    config: &Config,
    name: &str,
    posted: &InboundConfig,
    backing: &Backing,
) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    let place = || format!("systems.{name}.config");
    let options = serde_json::from_value(posted.options.clone())
        .map_err(|error| vec![Problem::new(Code::ConfigInvalid, error.to_string()).about(place())])?;
    let around = inbound::Around {
        region: config.region_of(name).map(CompactString::from),
        phone: crate::identity::phone::normalise,
        clock: Arc::clone(&backing.clock),
    };
    match Inbound::new(&options, &posted.secrets, around) {
        Ok(made) => Ok(Arc::new(made)),
        Err(problems) => Err(problems.into_iter().map(|problem| problem.about(place())).collect()),
    }
}

/// A database, ready to be spoken to.
fn database(
    config: &Config,
    name: &str,
    sql: &SqlConfig,
    backing: &Backing,
) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    let options = serde_json::from_value(sql.options.clone()).map_err(|error| {
        vec![Problem::new(Code::ConfigInvalid, error.to_string()).about(format!("systems.{name}.config"))]
    })?;
    let around = Around {
        system: name.into(),
        region: config.region_of(name).map(CompactString::from),
        phone: crate::identity::phone::normalise,
        clock: Arc::clone(&backing.clock),
    };
    Ok(Arc::new(Sqls::new(options, &sql.url, around)?))
}
