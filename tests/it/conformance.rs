//! Every shipped connector passes its own tests and those that every connector must pass.

use nivel::connector::conformance::run;
use nivel::manifest::{Manifest, shipped, shipped_tests};

#[tokio::test]
async fn every_shipped_connector_passes() {
    let mut wrong = Vec::new();
    for (name, text) in shipped() {
        let manifest = Manifest::parse(name, text).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        let report = run(&manifest, name, shipped_tests()[name]).await;
        assert!(report.cases > 12, "{name}: own tests and the standard ones");
        wrong.extend(report.problems.iter().map(ToString::to_string));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
