//! Writing to tools that play every fault: nothing is doubled, everything is accounted for.

use super::*;

#[tokio::test]
async fn p16_writing_twice_makes_one_object() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let operations: Vec<_> = (0..120)
            .map(|number| create(number, &format!("n{number}@example.com")))
            .collect();
        let first = connection.write(stream(name), &operations).await;
        assert_eq!(first.iter().map(remote).collect::<BTreeSet<_>>().len(), 120, "{name}");
        scene.advance(Duration::from_secs(120));
        let second = connection.write(stream(name), &operations).await;
        assert_eq!(
            first.iter().map(remote).collect::<Vec<_>>(),
            second.iter().map(remote).collect::<Vec<_>>(),
            "{name}"
        );
        let doubled: Vec<_> = second
            .iter()
            .filter(|outcome| outcome.as_ref().is_ok_and(|done| done.created))
            .collect();
        assert!(doubled.is_empty(), "{name}: {} {:?}", doubled.len(), doubled[0]);
        assert_eq!(scene.tool(name).people().len(), 120, "{name}");
    }
}

#[tokio::test]
async fn p18_a_lost_answer_is_ambiguous_and_trying_again_doubles_nothing() {
    for fault in [
        Kind::BadGatewayAfter,
        Kind::ResetAfter,
        Kind::CutJson,
        Kind::ResetMidBody,
    ] {
        let scene = Scene::new().await;
        for name in ToolName::ALL {
            let connection = scene.connect(name);
            let operations: Vec<_> = (0..3)
                .map(|number| create(number, &format!("n{number}@example.com")))
                .collect();
            let post = Fault::once(fault).method("POST").path(write_path(name)).times(9);
            scene.tool(name).set_faults(vec![post]);
            let lost = connection.write(stream(name), &operations).await;
            for outcome in &lost {
                let failure = outcome.as_ref().unwrap_err();
                assert!(
                    failure.ambiguous && failure.class == Class::Transient,
                    "{name} {fault:?}: {failure:?}"
                );
            }
            scene.tool(name).set_faults(Vec::new());
            scene.advance(Duration::from_secs(120));
            let again = connection.write(stream(name), &operations).await;
            assert!(
                again.iter().all(|outcome| outcome.is_ok()),
                "{name} {fault:?}: {again:?}"
            );
            assert_eq!(scene.tool(name).people().len(), 3, "{name} {fault:?}");
        }
    }
}

/// The soak found it: an update that was answered with an error inside a 200 was taken for done.
#[tokio::test]
async fn p13_an_error_inside_a_200_is_no_success() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let tool = scene.tool(name);
        let body = json!({"name": "Ana Li", "firstname": "Ana", "email": "ana@example.com"});
        let id = tool.seed(&body, 1, 1);
        let connection = scene.connect(name);
        let operations = [update(1, &id, "phone", "+358401234567")];
        tool.set_faults(vec![
            Fault::once(Kind::ErrorIn200).path(write_path(name)).times(u32::MAX),
        ]);
        let outcomes = connection.write(stream(name), &operations).await;
        assert!(outcomes[0].is_err(), "{name}: {outcomes:?}");
        tool.set_faults(Vec::new());
        assert_eq!(tool.person(&id).unwrap().phone, None, "{name}");
        scene.advance(Duration::from_secs(120));
        let outcomes = connection.write(stream(name), &operations).await;
        assert!(outcomes[0].is_ok(), "{name}: {outcomes:?}");
        assert!(tool.person(&id).unwrap().phone.is_some(), "{name}");
    }
}

fn write_path(name: ToolName) -> &'static str {
    match name {
        ToolName::Hubspot => "/crm/v3/objects/contacts/batch",
        ToolName::Pipedrive => "/api/v2/persons",
        ToolName::Zendesk => "/api/v2/users",
        other => unreachable!("{other} is not asked here"),
    }
}

#[tokio::test]
async fn p13_one_bad_record_fails_alone() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let mut operations: Vec<_> = (0..10)
            .map(|number| create(number, &format!("n{number}@example.com")))
            .collect();
        operations[4] = create(4, "not an address");
        let outcomes = connection.write(stream(name), &operations).await;
        let failed: Vec<usize> = (0..10).filter(|at| outcomes[*at].is_err()).collect();
        // The tools that do not check addresses take it.
        let expected: &[usize] = if name == ToolName::Hubspot { &[4] } else { &[] };
        assert_eq!(failed, expected, "{name}: {outcomes:?}");
        for failure in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(failure.class, Class::Invalid);
        }
    }
}

#[tokio::test]
async fn updates_and_removals_reach_their_objects() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let made = connection
            .write(stream(name), &[create(1, "a@example.com"), create(2, "b@example.com")])
            .await;
        let (one, two) = (remote(&made[0]), remote(&made[1]));
        let field = if name == ToolName::Hubspot {
            "given_name"
        } else {
            "full_name"
        };
        let delete = Operation {
            action: WriteAction::Delete(two.clone()),
            ..create(2, "")
        };
        let operations = [
            update(1, &one, field, "Changed"),
            delete.clone(),
            update(3, "999999999", field, "Nobody"),
        ];
        let outcomes = connection.write(stream(name), &operations).await;
        assert_eq!(remote(&outcomes[0]), one, "{name}");
        assert_eq!(remote(&outcomes[1]), two, "{name}");
        let gone = outcomes[2].as_ref().unwrap_err();
        assert_eq!(gone.class, Class::Gone, "{name}: {gone}");
        let person = scene.tool(name).person(&one).unwrap();
        assert!(
            person.given.as_deref() == Some("Changed") || person.full_name.as_deref() == Some("Changed"),
            "{name}"
        );
        assert!(
            scene.tool(name).person(&two).is_none_or(|person| person.deleted),
            "{name}"
        );
        let again = connection.write(stream(name), &[delete]).await;
        assert!(again[0].is_ok(), "{name}: to remove what is gone is done: {again:?}");
    }
}

#[tokio::test]
async fn two_creates_of_one_person_in_one_call_make_one_object() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let operations = [
            create(1, "same@example.com"),
            create(2, "other@example.com"),
            create(3, "same@example.com"),
        ];
        let outcomes = scene.connect(name).write(stream(name), &operations).await;
        assert_eq!(remote(&outcomes[0]), remote(&outcomes[2]), "{name}");
        assert_eq!(scene.tool(name).people().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_unreachable_and_surely_nothing_was_sent() {
    let scene = Scene::new().await;
    let connection = scene.connect_with(ToolName::Hubspot, |settings| {
        settings.base = Some("http://127.0.0.1:1".to_owned());
    });
    let failure = connection.check().await.unwrap_err();
    assert_eq!(
        (failure.class, failure.problem.code),
        (Class::Transient, Code::Unreachable)
    );
    let outcomes = connection.write("contact", &[create(1, "a@example.com")]).await;
    assert!(!outcomes[0].as_ref().unwrap_err().ambiguous);
}

#[tokio::test]
async fn p21_an_object_that_was_never_read_is_not_overwritten_by_a_create() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let body = match name {
            ToolName::Hubspot => json!({"email": "ana@example.com", "firstname": "Other", "lastname": "Person"}),
            ToolName::Pipedrive => {
                json!({"name": "Other Person", "emails": [{"value": "ana@example.com", "primary": true}]})
            }
            ToolName::Zendesk => json!({"name": "Other Person", "email": "ana@example.com"}),
            other => unreachable!("{other} is not asked here"),
        };
        let id = scene.tool(name).seed(&body, 1, 1);
        let connection = scene.connect(name);
        let outcomes = connection
            .write(
                stream(name),
                &[create(1, "ana@example.com"), create(2, "b@example.com")],
            )
            .await;
        let failure = outcomes[0].as_ref().unwrap_err();
        assert_eq!(
            (failure.class, failure.remote.as_deref()),
            (Class::Exists, Some(id.as_str())),
            "{name}"
        );
        assert!(outcomes[1].as_ref().unwrap().created, "{name}: the other one is made");
        let person = scene
            .tool(name)
            .people()
            .into_iter()
            .find(|person| person.id == id)
            .unwrap();
        let said = person.full_name.or(person.given).unwrap();
        assert!(said.starts_with("Other"), "{name}: {said}");
    }
}
