use std::collections::BTreeMap;

use serde_json::json;

use super::super::checker::{Expectation, Field, Finding, Rule, Target, check};
use super::super::people::{People, Truth, generate};
use super::super::{Sandbox, ToolName};
use super::{delete, patch, post, sandbox};

struct Case {
    sandbox: Sandbox,
    people: People,
    truth: Truth,
}

impl Case {
    /// Persona 0 of the generator, put by hand into HubSpot alone.
    async fn new() -> Self {
        let sandbox = sandbox().await;
        let mut people = generate(1, 40);
        people
            .personas
            .retain(|persona| persona.link == super::super::people::Link::Email);
        people.personas.truncate(1);
        people.personas[0].id = 0;
        let persona = &people.personas[0];
        let body = json!({"email": persona.email, "firstname": "Ana", "lastname": "Brown", "phone": persona.phone});
        let id = sandbox.hubspot.seed(&body, 0, super::NOW_MS - 1_000_000);
        let mut truth = Truth::default();
        truth.insert(ToolName::Hubspot, id, 0);
        Self { sandbox, people, truth }
    }

    fn email(&self) -> &str {
        &self.people.personas[0].email
    }

    fn check(&self, expectation: &Expectation) -> Vec<Finding> {
        check(&self.sandbox, &self.people, &self.truth, expectation)
    }

    async fn push(&self) -> u16 {
        let phone = format!("00{}", self.people.personas[0].phone.trim_start_matches('+'));
        let body = json!({"name": "Ana Brown", "emails": [{"value": self.email().to_uppercase()}], "phones": [{"value": phone}]});
        post(&self.sandbox.pipedrive, "/api/v2/persons", body).await.0
    }
}

fn everywhere() -> Expectation {
    let fields = vec![Field::Email, Field::Phone, Field::FullName];
    let target = |tool| Target {
        tool,
        create: true,
        fields: fields.clone(),
    };
    Expectation {
        targets: vec![target(ToolName::Hubspot), target(ToolName::Pipedrive)],
        ..Expectation::default()
    }
}

#[tokio::test]
async fn a_good_run_leaves_no_findings() {
    let case = Case::new().await;
    case.push().await;
    assert_eq!(case.check(&everywhere()), []);
}

#[tokio::test]
async fn who_never_arrived_is_missing() {
    let case = Case::new().await;
    assert_eq!(
        case.check(&everywhere()),
        [Finding::Missing {
            tool: ToolName::Pipedrive,
            persona: 0
        }]
    );
}

#[tokio::test]
async fn a_value_that_did_not_arrive_is_lost() {
    let case = Case::new().await;
    post(
        &case.sandbox.pipedrive,
        "/api/v2/persons",
        json!({"name": "Ana Brown", "emails": [{"value": case.email()}]}),
    )
    .await;
    let findings = case.check(&everywhere());
    assert!(
        matches!(
            findings.as_slice(),
            [Finding::Lost {
                field: Field::Phone,
                got: None,
                ..
            }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_second_object_is_a_double() {
    let case = Case::new().await;
    case.push().await;
    case.push().await;
    let findings = case.check(&everywhere());
    assert!(
        matches!(
            findings.as_slice(),
            [Finding::Doubled { .. }, Finding::Surplus { live: 2, made: 0, .. }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_stranger_and_a_deletion_are_noticed() {
    let case = Case::new().await;
    post(&case.sandbox.pipedrive, "/api/v2/persons", json!({"name": "No Body"})).await;
    delete(&case.sandbox.hubspot, "/crm/v3/objects/contacts/1001").await;
    let findings = case.check(&Expectation::default());
    assert!(
        matches!(findings.as_slice(), [Finding::Stranger { .. }, Finding::Deleted { .. }]),
        "{findings:?}"
    );
}

#[tokio::test]
async fn writing_again_and_again_is_a_loop_and_idle() {
    let case = Case::new().await;
    for n in 0..4 {
        patch(
            &case.sandbox.hubspot,
            "/crm/v3/objects/contacts/1001",
            json!({"properties": {"city": format!("{}", n % 3)}}),
        )
        .await;
    }
    let path = "/crm/v3/objects/contacts/1001";
    patch(&case.sandbox.hubspot, path, json!({"properties": {"city": "0"}})).await;
    let findings = case.check(&Expectation::default());
    assert!(
        matches!(
            findings.as_slice(),
            [Finding::Loop { updates: 5, .. }, Finding::Idle { writes: 1, .. }]
        ),
        "{findings:?}"
    );
    assert_eq!(
        case.check(&Expectation {
            updates_max: 5,
            idle_max: 1,
            ..Expectation::default()
        }),
        []
    );
}

#[tokio::test]
async fn an_edit_excuses_the_writes_that_follow_it() {
    let case = Case::new().await;
    let path = "/crm/v3/objects/contacts/1001";
    for n in 0..6 {
        if n % 2 == 0 {
            case.sandbox.hubspot.clock.advance(1_000);
            case.sandbox
                .hubspot
                .edit("1001", &json!({"zip": n.to_string()}))
                .unwrap();
        }
        patch(
            &case.sandbox.hubspot,
            path,
            json!({"properties": {"city": n.to_string()}}),
        )
        .await;
    }
    assert_eq!(case.check(&Expectation::default()), []);
}

#[tokio::test]
async fn an_older_value_over_a_newer_edit_is_found() {
    let case = Case::new().await;
    case.sandbox.hubspot.clock.advance(1_000);
    case.sandbox
        .hubspot
        .edit("1001", &json!({"lastname": "Brown-Lee"}))
        .unwrap();
    let path = "/crm/v3/objects/contacts/1001";
    patch(
        &case.sandbox.hubspot,
        path,
        json!({"properties": {"lastname": "Brown"}}),
    )
    .await;
    let overwritten = |findings: &[Finding]| {
        findings.iter().any(|f| {
            matches!(
                f,
                Finding::Overwritten {
                    field: Field::FamilyName,
                    ..
                }
            )
        })
    };
    assert!(overwritten(&case.check(&Expectation::default())));
}

#[tokio::test]
async fn a_newer_edit_elsewhere_and_the_owner_may_overwrite() {
    let case = Case::new().await;
    case.push().await;
    let path = "/crm/v3/objects/contacts/1001";
    case.sandbox.hubspot.clock.advance(1_000);
    case.sandbox
        .hubspot
        .edit("1001", &json!({"phone": "+12025550101"}))
        .unwrap();
    case.sandbox.pipedrive.clock.advance(2_000);
    case.sandbox
        .pipedrive
        .edit("1", &json!({"phones": [{"value": "+12025550102"}]}))
        .unwrap();
    patch(
        &case.sandbox.hubspot,
        path,
        json!({"properties": {"phone": "+1 202 555 0102"}}),
    )
    .await;
    let newest = Expectation {
        rules: BTreeMap::from([(Field::Phone, Rule::Newest)]),
        ..everywhere()
    };
    assert_eq!(case.check(&newest), []);
    let owner = Rule::Own(vec![ToolName::Pipedrive, ToolName::Hubspot]);
    assert_eq!(
        case.check(&Expectation {
            rules: BTreeMap::from([(Field::Phone, owner)]),
            ..everywhere()
        }),
        []
    );
    let other = Rule::Own(vec![ToolName::Hubspot]);
    let findings = case.check(&Expectation {
        rules: BTreeMap::from([(Field::Phone, other)]),
        ..everywhere()
    });
    assert!(
        findings.iter().all(|f| matches!(
            f,
            Finding::Lost {
                field: Field::Phone,
                ..
            }
        )) && findings.len() == 2,
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_a_user_enters_is_a_new_persona() {
    let case = Case::new().await;
    case.push().await;
    case.sandbox
        .hubspot
        .create(&json!({"email": "new@mail.example", "firstname": "New", "lastname": "Comer"}));
    assert_eq!(
        case.check(&everywhere()),
        [Finding::Missing {
            tool: ToolName::Pipedrive,
            persona: 1
        }]
    );
    post(
        &case.sandbox.pipedrive,
        "/api/v2/persons",
        json!({"name": "New Comer", "emails": [{"value": "new@mail.example"}]}),
    )
    .await;
    assert_eq!(case.check(&everywhere()), []);
}

#[tokio::test]
async fn a_seeded_sandbox_is_content_with_itself() {
    let sandbox = sandbox().await;
    let people = generate(11, 500);
    let truth = sandbox.seed(&people);
    let target = |tool| Target {
        tool,
        create: false,
        fields: Vec::new(),
    };
    let expectation = Expectation {
        targets: ToolName::ALL.map(target).to_vec(),
        ..Expectation::default()
    };
    assert_eq!(check(&sandbox, &people, &truth, &expectation), []);
}
