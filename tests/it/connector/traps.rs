//! Traps that the vendors are known to set (part H1 of the vendor sheet), played by the sandbox. The list is in `traps.rs`.

use super::*;

#[tokio::test]
async fn h1_1_a_search_that_is_asked_too_fast_says_no_more_than_that() {
    let scene = Scene::seeded(20).await;
    let tool = scene.tool(ToolName::Hubspot);
    let search = "/crm/v3/objects/contacts/search";
    tool.set_faults(vec![Fault::once(Kind::Throttle(Retry::Absent)).path(search).times(2)]);
    let mut reader = Reader::new(&scene, ToolName::Hubspot);
    assert_eq!(ids(&reader.catch_up().await), scene.ids(ToolName::Hubspot));
    assert!(reader.failures.is_empty(), "{:?}", reader.failures);
    let refused = tool.requests();
    assert_eq!(refused.iter().filter(|request| request.status == 429).count(), 2);
    let waits = scene.timer.waits();
    assert!(
        waits.iter().filter(|wait| **wait >= Duration::from_secs(1)).count() >= 2,
        "asked again without a wait: {waits:?}"
    );
}

#[tokio::test]
async fn h1_1_rows_of_a_batch_in_another_order_reach_their_operations() {
    let scene = Scene::new().await;
    let connection = scene.connect(ToolName::Hubspot);
    let mut operations: Vec<_> = (0..6)
        .map(|number| create(number, &format!("n{number}@example.com")))
        .collect();
    operations[1] = create(1, "not an address");
    operations[4] = create(4, "neither this");
    // The sandbox answers 207 with rows and errors back to front.
    let outcomes = connection.write("contact", &operations).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        if [1, 4].contains(&number) {
            assert_eq!(outcome.as_ref().unwrap_err().class, Class::Invalid, "{number}");
            continue;
        }
        let person = scene.tool(ToolName::Hubspot).person(&remote(outcome)).unwrap();
        assert_eq!(person.email, Some(format!("n{number}@example.com")));
    }
}

#[tokio::test]
async fn h1_5_a_page_that_blocks_is_waited_out() {
    let scene = Scene::seeded(20).await;
    let tool = scene.tool(ToolName::Pipedrive);
    tool.set_faults(vec![Fault::once(Kind::BlockPage)]);
    let mut reader = Reader::new(&scene, ToolName::Pipedrive);
    assert_eq!(ids(&reader.catch_up().await), scene.ids(ToolName::Pipedrive));
    tool.set_faults(vec![Fault::once(Kind::BlockPage).times(u32::MAX)]);
    let failure = scene
        .connect(ToolName::Pipedrive)
        .pull("person", None)
        .await
        .unwrap_err();
    assert_eq!(failure.class, Class::Throttle, "no missing right: {failure}");
}

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

/// A connection whose manifest maps one more field, as an admin writes it into a copy of the shipped one.
fn connect_mapped(scene: &Scene, name: ToolName, field: &str) -> Arc<dyn Connection> {
    let before = match name {
        ToolName::Hubspot => "      company: ",
        ToolName::Pipedrive => "      job_title: {",
        ToolName::Zendesk => "      suspended: {",
        other => unreachable!("{other} has a way of its own for own fields"),
    };
    let shipped = shipped()[connector(name)];
    let mapped = shipped.replace(before, &format!("      {field}\n{before}"));
    assert_ne!(mapped, shipped, "the manifest is spelled in another way now");
    scene.connect_by(name, &mapped)
}

#[tokio::test]
async fn h1_5_a_list_is_emptied_with_null() {
    let scene = Scene::new().await;
    let tool = scene.tool(ToolName::Pipedrive);
    let id = tool.seed(&json!({"name": "Ana Li", "custom_fields": {HASH: ["12", "13"]}}), 1, 1);
    let field = format!("interests: {{to: custom_fields.{HASH}, type: set}}");
    let connection = connect_mapped(&scene, ToolName::Pipedrive, &field);
    for empty in [None, Some(Value::Set(BTreeSet::new()))] {
        let filled = Some(Value::Set(["14".into()].into()));
        for wanted in [filled, empty] {
            let outcomes = connection
                .write("person", &[change(&id, "interests", wanted.clone())])
                .await;
            assert!(outcomes[0].is_ok(), "{wanted:?}: {outcomes:?}");
        }
        let left = &tool.person(&id).unwrap().raw["custom_fields"][HASH];
        assert!(left.is_null(), "{left}");
    }
}

fn change(id: &str, field: &str, value: Option<Value>) -> Operation {
    Operation {
        fields: BTreeMap::from([(FieldName::from(field), value)]),
        ..update(1, id, field, "")
    }
}

#[tokio::test]
async fn p49_a_choice_that_a_custom_field_does_not_have_is_refused_before_the_call() {
    let scene = Scene::new().await;
    let interests = format!("choice: {{to: custom_fields.{HASH}, type: set, picklist: true}}");
    let set = |items: &[&str]| Some(Value::Set(items.iter().map(|item| (*item).into()).collect()));
    let cases = [
        (
            ToolName::Pipedrive,
            interests.as_str(),
            set(&["12", "14"]),
            set(&["12", "99"]),
        ),
        (
            ToolName::Zendesk,
            "choice: {to: user_fields.tier, picklist: true}",
            Some(text("gold")),
            Some(text("brass")),
        ),
    ];
    for (name, field, listed, unlisted) in cases {
        let tool = scene.tool(name);
        let id = tool.seed(&json!({"name": "Ana Li"}), 1, 1);
        let connection = connect_mapped(&scene, name, field);
        let good = connection.write(stream(name), &[change(&id, "choice", listed)]).await;
        assert!(good[0].is_ok(), "{name}: {good:?}");
        let before = tool.history().len();
        let bad = connection.write(stream(name), &[change(&id, "choice", unlisted)]).await;
        let failure = bad[0].as_ref().unwrap_err();
        assert_eq!(
            (failure.class, failure.problem.code),
            (Class::Invalid, Code::NotInList),
            "{name}"
        );
        assert_eq!(tool.history().len(), before, "{name}: nothing was sent");
    }
}

#[tokio::test]
async fn h1_8_a_row_that_is_older_than_the_cursor_is_read() {
    let scene = Scene::seeded(20).await;
    let tool = scene.tool(ToolName::Zendesk);
    let mut reader = Reader::new(&scene, ToolName::Zendesk);
    let first = ids(&reader.catch_up().await).first().unwrap().clone();
    scene.advance(Duration::from_secs(3600));
    tool.system_update(&first).unwrap();
    scene.advance(Duration::from_secs(120));
    assert_eq!(ids(&reader.catch_up().await), [first].into());
}

#[tokio::test]
async fn h1_8_a_job_that_stays_queued_leaves_its_writes_open_and_doubles_nothing() {
    let scene = Scene::with(Options {
        zendesk_bulk_import: true,
        ..Options::default()
    })
    .await;
    let tool = scene.tool(ToolName::Zendesk);
    let id = tool.seed(&json!({"name": "Ana Li", "email": "ana@example.com"}), 1, 1);
    let connection = scene.connect_with(ToolName::Zendesk, |settings| {
        settings
            .config
            .insert("bulk_import".into(), nivel::connector::ConfigValue::Plain(true.into()));
    });
    let operations = [create(1, "new@example.com"), update(2, &id, "full_name", "Ana Silva")];
    tool.set_faults(vec![
        Fault::once(Kind::StuckJob).path("/api/v2/job_statuses").times(u32::MAX),
    ]);
    let outcomes = connection.write("user", &operations).await;
    for outcome in &outcomes {
        let failure = outcome.as_ref().unwrap_err();
        assert!(failure.ambiguous && failure.class == Class::Transient, "{failure:?}");
    }
    tool.set_faults(Vec::new());
    scene.advance(Duration::from_secs(600));
    let again = connection.write("user", &operations).await;
    assert!(again.iter().all(|outcome| !remote(outcome).is_empty()), "{again:?}");
    assert_eq!(tool.people().len(), 2);
    assert_eq!(tool.person(&id).unwrap().full_name.as_deref(), Some("Ana Silva"));
}

#[tokio::test]
async fn h1_8_too_many_jobs_means_later() {
    let scene = Scene::new().await;
    let tool = scene.tool(ToolName::Zendesk);
    let id = tool.seed(&json!({"name": "Ana Li", "email": "ana@example.com"}), 1, 1);
    let connection = scene.connect(ToolName::Zendesk);
    let operations = [update(2, &id, "full_name", "Ana Silva")];
    let jobs = || Fault::once(Kind::TooManyJobs).path("/api/v2/users/update_many");
    tool.set_faults(vec![jobs().times(u32::MAX)]);
    let outcomes = connection.write("user", &operations).await;
    let failure = outcomes[0].as_ref().unwrap_err();
    assert_eq!(
        (failure.class, failure.ambiguous),
        (Class::Throttle, false),
        "{failure:?}"
    );
    tool.set_faults(vec![jobs()]);
    let outcomes = connection.write("user", &operations).await;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
}

#[tokio::test]
async fn h1_8_a_second_address_belongs_to_the_user_who_has_it() {
    let scene = Scene::new().await;
    let tool = scene.tool(ToolName::Zendesk);
    let body = json!({"name": "Anna S", "email": "main@example.com", "_identities": ["ana@example.com"]});
    let id = tool.seed(&body, 1, 1);
    let outcomes = scene
        .connect(ToolName::Zendesk)
        .write("user", &[create(1, "ana@example.com")])
        .await;
    let failure = outcomes[0].as_ref().unwrap_err();
    assert_eq!(
        (failure.class, failure.remote.as_deref()),
        (Class::Exists, Some(id.as_str()))
    );
    assert_eq!(tool.people().len(), 1);
    assert_eq!(tool.person(&id).unwrap().email.as_deref(), Some("main@example.com"));
}

#[tokio::test]
async fn h1_19_a_redirect_to_a_login_page_is_no_answer() {
    let scene = Scene::seeded(20).await;
    for name in ToolName::ALL {
        let tool = scene.tool(name);
        let before = tool.people().len();
        tool.set_faults(vec![Fault::once(Kind::Redirect).times(u32::MAX)]);
        let connection = scene.connect(name);
        let failure = connection.pull(stream(name), None).await.unwrap_err();
        assert_eq!(failure.problem.code, Code::NotTheAnswer, "{name}: {failure}");
        let outcomes = connection.write(stream(name), &[create(1, "new@example.com")]).await;
        assert!(outcomes[0].is_err(), "{name}: {outcomes:?}");
        tool.set_faults(Vec::new());
        assert_eq!(tool.people().len(), before, "{name}");
        scene.advance(Duration::from_secs(120));
        let again = connection.write(stream(name), &[create(1, "new@example.com")]).await;
        assert!(again[0].is_ok(), "{name}: {again:?}");
        assert_eq!(tool.people().len(), before + 1, "{name}");
    }
}
