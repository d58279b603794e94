//! The connectors that come with the program, by folder name.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};

static CONNECTORS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/connectors");

/// Name → text of its `manifest.yaml`.
#[must_use]
pub fn shipped() -> BTreeMap<&'static str, &'static str> {
    files("manifest.yaml")
}

/// Name → text of its `tests.yaml`.
#[must_use]
pub fn shipped_tests() -> BTreeMap<&'static str, &'static str> {
    files("tests.yaml")
}

fn files(file: &str) -> BTreeMap<&'static str, &'static str> {
    CONNECTORS
        .dirs()
        .filter_map(|folder| {
            let name = folder.path().file_name()?.to_str()?;
            let text = folder.get_file(folder.path().join(file))?.contents_utf8()?;
            Some((name, text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, lint, tests::Suite};
    use super::*;

    #[test]
    fn every_shipped_manifest_is_in_order() {
        assert!(shipped().len() >= 6);
        for (name, text) in shipped() {
            let manifest = Manifest::parse(&format!("{name}/manifest.yaml"), text);
            let manifest = manifest.unwrap_or_else(|problems| panic!("{problems:#?}"));
            assert_eq!(manifest.connector, name);
            assert_eq!(lint(&manifest), [], "{name}");
        }
    }

    #[test]
    fn every_shipped_connector_has_tests() {
        let tests = shipped_tests();
        for name in shipped().keys() {
            let text = tests.get(name).unwrap_or_else(|| panic!("{name} has no tests.yaml"));
            let suite = Suite::parse(&format!("{name}/tests.yaml"), text);
            let suite = suite.unwrap_or_else(|problems| panic!("{problems:#?}"));
            assert!(suite.tests.len() >= 4, "{name} has few tests");
        }
    }
}
