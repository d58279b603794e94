//! Every shipped connector passes its own tests and those that every connector must pass.

use nivel::connector::conformance::{Report, run};
use nivel::identity::phone;
use nivel::manifest::tests::Suite;
use nivel::manifest::{Manifest, shipped, shipped_tests};

async fn report(name: &str) -> Report {
    let manifest = Manifest::parse(name, shipped()[name]).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
    let suite = Suite::parse(name, shipped_tests()[name]).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
    run(&manifest, &suite, phone::normalise).await
}

#[tokio::test]
async fn every_shipped_connector_passes() {
    let mut wrong = Vec::new();
    for name in shipped().keys() {
        for case in report(name).await.cases {
            wrong.extend(
                case.problems
                    .iter()
                    .map(|problem| format!("{name}: {}: {problem}", case.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
