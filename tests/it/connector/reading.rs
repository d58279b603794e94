//! Reading from tools that play every fault: nothing is lost.

use super::*;

#[tokio::test]
async fn every_tool_is_read_whole_and_nothing_comes_again() {
    let scene = Scene::seeded(600).await;
    for name in ToolName::ALL {
        let mut reader = Reader::new(&scene, name);
        reader.connection.check().await.unwrap();
        assert_eq!(ids(&reader.catch_up().await), scene.ids(name), "{name}");
        assert!(reader.failures.is_empty());
        scene.advance(Duration::from_secs(3600));
        assert!(reader.catch_up().await.is_empty(), "{name}: nothing changed");
    }
}

#[tokio::test]
async fn no_fault_loses_a_record() {
    let faults = [
        Kind::Throttle(Retry::Seconds(7)),
        Kind::Throttle(Retry::Date(7)),
        Kind::Throttle(Retry::Absent),
        Kind::ServerError,
        Kind::ResetBefore,
        Kind::CutJson,
        Kind::ResetMidBody,
        Kind::ErrorIn200,
        Kind::LoginPage,
        Kind::Unauthorized,
        Kind::DuplicatePage,
        Kind::RepeatedCursor,
        Kind::EmptyPage,
        Kind::EqualEdge,
        Kind::ClockSkew { ms: -300_000 },
        Kind::ClockSkew { ms: 300_000 },
        Kind::TypeChange,
        Kind::SlowDrip {
            bytes: 4096,
            pause_ms: 1,
        },
        Kind::HugeBody { bytes: 6 << 20 },
    ];
    let people = people::generate(7, 250);
    for fault in faults {
        for nth in [1, 2] {
            let scene = Scene::new().await;
            scene.sandbox.seed(&people);
            for name in ToolName::ALL {
                scene.tool(name).set_faults(vec![Fault::once(fault).nth(nth)]);
                let mut reader = Reader::new(&scene, name);
                let records = reader.catch_up().await;
                scene.tool(name).set_faults(Vec::new());
                scene.advance(Duration::from_secs(600));
                let later = reader.catch_up().await;
                let found = ids(&[records, later].concat());
                assert_eq!(found.len(), scene.ids(name).len(), "{name}: {fault:?} at request {nth}");
                assert_eq!(found, scene.ids(name), "{name}: {fault:?} at request {nth}");
            }
        }
    }
}

#[tokio::test]
async fn p33_a_throttle_answer_is_waited_for_as_told() {
    let scene = Scene::seeded(20).await;
    for retry in [Retry::Seconds(7), Retry::Date(7)] {
        scene
            .tool(ToolName::Hubspot)
            .set_faults(vec![Fault::once(Kind::Throttle(retry))]);
        let mut reader = Reader::new(&scene, ToolName::Hubspot);
        reader.catch_up().await;
        assert!(reader.failures.is_empty());
        let waits = scene.timer.waits();
        assert!(waits.last().unwrap() >= &Duration::from_secs(6), "{retry:?}: {waits:?}");
    }
    scene
        .tool(ToolName::Hubspot)
        .set_faults(vec![Fault::once(Kind::Throttle(Retry::Seconds(7))).times(50)]);
    let failure = scene
        .connect(ToolName::Hubspot)
        .pull("contact", None)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.wait),
        (Class::Throttle, Some(Duration::from_secs(7)))
    );
}

#[tokio::test]
async fn p04_same_second_rows_and_p11_edits_during_the_read() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let tool = scene.tool(name);
        for number in 0..300 {
            tool.create(&json!({"email": format!("p{number}@example.com"), "name": format!("P {number}")}));
        }
        scene.advance(Duration::from_secs(1));
        let mut reader = Reader::new(&scene, name);
        let first = reader.connection.pull(reader.stream, None).await.unwrap();
        reader.cursor = Some(first.next);
        // While the list is read, an object of its first page changes.
        let edited = first.records[0].remote.clone();
        let patch = if name == ToolName::Hubspot {
            json!({"company": "New"})
        } else {
            json!({"name": "New"})
        };
        tool.edit(&edited, &patch).unwrap();
        let mut records = reader.catch_up().await;
        scene.advance(Duration::from_secs(60));
        records.extend(reader.catch_up().await);
        assert!(
            records.iter().any(|record| record.remote == edited),
            "{name}: the edit is seen"
        );
        assert_eq!(ids(&[first.records, records].concat()), scene.ids(name), "{name}");
    }
}

#[tokio::test]
async fn p50_deletions_arrive() {
    let scene = Scene::seeded(60).await;
    for name in ToolName::ALL {
        let mut reader = Reader::new(&scene, name);
        let before = ids(&reader.catch_up().await);
        let gone = before.first().unwrap().clone();
        scene.advance(Duration::from_secs(60));
        scene.tool(name).delete(&gone).unwrap();
        // A day later even the tool without a list of removed objects is swept.
        scene.advance(Duration::from_secs(25 * 3600));
        let mut seen = BTreeSet::new();
        let mut is_told = false;
        let mut sweep_ended = false;
        for _ in 0..50 {
            let page = reader
                .connection
                .pull(reader.stream, reader.cursor.as_ref())
                .await
                .unwrap();
            is_told |= page
                .records
                .iter()
                .any(|record| record.deleted && record.remote == gone.as_str());
            seen.extend(ids(&page.records));
            sweep_ended |= page.sweep.is_some_and(|sweep| sweep.is_over && !sweep.is_flawed);
            reader.cursor = Some(page.next);
            if page.is_caught_up {
                break;
            }
        }
        let is_absent = sweep_ended && !seen.contains(&gone) && seen.len() == before.len() - 1;
        assert!(
            is_told || is_absent,
            "{name}: told {is_told}, sweep {sweep_ended}, seen {}",
            seen.len()
        );
    }
}

#[tokio::test]
async fn objects_are_read_by_id_and_found_by_field() {
    let scene = Scene::seeded(150).await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let mut wanted: Vec<CompactString> = scene.ids(name).iter().map(Into::into).collect();
        wanted.push("999999999".into());
        let got = connection.get(stream(name), &wanted).await.unwrap();
        assert_eq!(ids(&got), scene.ids(name), "{name}: the missing one is left out");
        let person = scene
            .tool(name)
            .people()
            .into_iter()
            .find(|person| person.email.is_some())
            .unwrap();
        let email = text(&person.email.unwrap().to_lowercase());
        let found = connection
            .find(stream(name), &FieldName::from("email"), &email)
            .await
            .unwrap();
        assert_eq!(found.unwrap().fields.value("email"), Some(&email), "{name}");
        let nobody = connection
            .find(stream(name), &FieldName::from("email"), &text("nobody@nowhere.example"))
            .await;
        assert_eq!(nobody.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_told_without_the_secret() {
    let scene = Scene::seeded(5).await;
    for name in ToolName::ALL {
        let connection = scene.connect_with(name, |settings| {
            settings.config.insert(
                "token".into(),
                nivel::connector::ConfigValue::Secret(CANARY.to_owned().into()),
            );
        });
        let before = scene.tool(name).requests_total();
        let failure = connection.check().await.unwrap_err();
        assert_eq!(
            (failure.class, failure.problem.code),
            (Class::Auth, Code::CredentialRefused),
            "{name}"
        );
        assert_eq!(
            scene.tool(name).requests_total() - before,
            2,
            "{name}: tried once more, then told"
        );
        assert!(!format!("{failure:?} {failure}").contains(CANARY));
    }
}
