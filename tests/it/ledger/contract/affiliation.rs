//! How people find the organization they belong to.

use std::collections::BTreeSet;

use nivel::identity::affiliation::Sign;
use nivel::ledger::Ledger;
use nivel::model::{Customer, CustomerKey, Fields, Kind, Record, RecordId, Value};

use super::{at, commit, crm, customer, desk, key, record};

fn organization(number: u128) -> CustomerKey {
    CustomerKey {
        kind: Kind::Organization,
        ..key(number)
    }
}

fn firm(id: &RecordId, name: &str, domain: &str) -> Record {
    let mut record = Record::new(id.clone(), at(10));
    record.fields = Fields::from([
        ("company", Value::Text(name.into())),
        ("domain", Value::Text(domain.into())),
    ]);
    record
}

async fn put(ledger: &dyn Ledger, number: u128, record: Record) {
    let mut commit = commit();
    if ledger.customer(&organization(number)).await.unwrap().is_none() {
        commit.customers.push(Customer {
            key: organization(number),
            ..customer(number, 0)
        });
    }
    commit.records.push((record, organization(number)));
    ledger.apply(commit).await.unwrap();
}

pub(super) async fn people_find_their_organization(ledger: &dyn Ledger) {
    let domain = |text: &str| Sign::Domain(text.into());
    let name = |text: &str| Sign::Name(text.into());
    let object = |system: &str, id: &str| Sign::Object {
        system: system.into(),
        id: id.into(),
    };
    let check = async |sign: Sign, expected: &[u128]| {
        let found = ledger.organizations(std::slice::from_ref(&sign)).await.unwrap();
        let expected: BTreeSet<CustomerKey> = expected.iter().map(|number| organization(*number)).collect();
        assert_eq!(found, [expected], "{sign}");
    };
    let (acme, other) = (crm().record("77"), desk().record("9"));
    put(ledger, 1, firm(&acme, "ACME Oy", "www.acme.com")).await;
    put(ledger, 2, firm(&other, "Acme GmbH", "acme.de")).await;
    // A person with the same words is no organization.
    let ana = crm().record("1");
    let mut person = commit();
    person.customers.push(customer(7, 0));
    person.records.push((record(&ana, "ana@acme.com"), key(7)));
    ledger.apply(person).await.unwrap();
    check(domain("acme.com"), &[1]).await;
    check(name("acme"), &[1, 2]).await;
    check(object("crm", "77"), &[1]).await;
    check(object("crm", "1"), &[]).await;
    check(object("desk", "77"), &[]).await;
    // And the other way: whose records say so.
    let people = async |signs: &[Sign]| ledger.people(signs).await.unwrap();
    assert_eq!(people(&[domain("acme.com"), name("bolt")]).await, [key(7)].into());
    assert_eq!(people(&[domain("acme.de"), name("acme")]).await, [].into());
    assert_eq!(people(&[]).await, [].into());
    // What a record says no more, nobody finds it by; and who is gone is not found at all.
    put(ledger, 1, firm(&acme, "Bolt Ltd", "bolt.com")).await;
    check(domain("acme.com"), &[]).await;
    check(name("acme"), &[2]).await;
    check(name("bolt"), &[1]).await;
    let mut gone = firm(&acme, "Bolt Ltd", "bolt.com");
    gone.deleted_at = Some(at(20));
    put(ledger, 1, gone).await;
    check(domain("bolt.com"), &[]).await;
    check(object("crm", "77"), &[]).await;
    assert_eq!(ledger.organizations(&[]).await.unwrap(), []);
}
