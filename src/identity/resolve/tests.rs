//! Cases by hand, and properties on random worlds.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::StreamId;

fn record(id: &str) -> RecordId {
    StreamId::new("crm", "contact").record(id)
}

fn key(age: u128) -> CustomerKey {
    CustomerKey {
        id: Uuid::from_u128(age),
        kind: Kind::Person,
    }
}

fn identifier(text: &str) -> Identifier {
    let (kind, value) = text.split_once(':').unwrap();
    Identifier::new(IdentifierKind::from_name(kind).unwrap(), value)
}

/// `a=1 email:x phone_name:y`: record `a` of customer 1 with two identifiers.
fn member(text: &str) -> Member {
    let mut words = text.split(' ');
    let head = words.next().unwrap();
    let (id, customer) = head.split_once('=').map_or((head, None), |(id, age)| (id, Some(age)));
    Member {
        record: record(id),
        identifiers: words.map(identifier).collect(),
        customer: customer.map(|age| key(age.parse().unwrap())),
        kind: Kind::Person,
    }
}

fn input(members: &[&str], must: &[(&str, &str)], cannot: &[(&str, &str)]) -> Input {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (record(a), record(b))).collect();
    Input {
        members: members.iter().map(|text| member(text)).collect(),
        customers: BTreeSet::new(),
        must: pairs(must),
        cannot: pairs(cannot),
        followers: BTreeSet::new(),
    }
}

/// `1<2: a b` is customer 1, who took in 2, with records a and b; `new: c` is a new one.
fn shown(resolution: &Resolution) -> Vec<String> {
    let show = |group: &Group| {
        let key = group
            .customer
            .map_or_else(|| "new".to_owned(), |key| key.id.as_u128().to_string());
        let absorbed: String = group
            .absorbed
            .iter()
            .map(|key| format!("<{}", key.id.as_u128()))
            .collect();
        let records: String = group
            .records
            .iter()
            .map(|record| format!(" {}", record.remote))
            .collect();
        format!("{key}{absorbed}:{records}")
    };
    resolution.groups.iter().map(show).collect()
}

#[track_caller]
fn check(members: &[&str], must: &[(&str, &str)], cannot: &[(&str, &str)], expected: &[&str]) {
    let mut input = input(members, must, cannot);
    assert_eq!(shown(&resolve(input.clone())), expected);
    input.members.reverse();
    assert_eq!(shown(&resolve(input.clone())), expected, "in reverse order");
}

#[test]
fn a_shared_identifier_joins() {
    check(
        &["a email:x", "b email:x", "c email:y"],
        &[],
        &[],
        &["new: a b", "new: c"],
    );
    check(&["a=1 email:x", "b email:x"], &[], &[], &["1: a b"]);
    check(
        &["a email:x phone_name:p", "b phone_name:p email:y", "c email:y"],
        &[],
        &[],
        &["new: a b c"],
    );
    check(&["a", "b"], &[], &[], &["new: a", "new: b"]);
    check(&[], &[], &[], &[]);
}

#[test]
fn the_oldest_key_survives_a_merge() {
    check(
        &["a=2 email:x", "b=1 email:x", "c=3 email:x"],
        &[],
        &[],
        &["1<2<3: a b c"],
    );
}

#[test]
fn a_changed_address_makes_no_new_person() {
    check(&["a=1 email:new", "b=1 email:old"], &[], &[], &["1: a b"]);
    check(&["a=1 email:new email:old", "b email:old"], &[], &[], &["1: a b"]);
}

#[test]
fn operators_outrank_identifiers() {
    check(&["a=1 email:x", "b=2 email:x"], &[], &[("a", "b")], &["1: a", "2: b"]);
    check(&["a=1 email:x", "b=2 email:y"], &[("b", "a")], &[], &["1<2: a b"]);
    check(&["a=1", "b=1"], &[], &[("b", "a")], &["1: a", "new: b"]);
    check(&["a=1", "b=1", "c=1"], &[], &[("a", "b")], &["1: a c", "new: b"]);
    check(&["a", "b"], &[("a", "b")], &[("a", "b")], &["new: a", "new: b"]);
    check(&["a email:x", "b email:x"], &[], &[("a", "elsewhere")], &["new: a b"]);
    check(&["a"], &[], &[("a", "a")], &["new: a"]);
}

#[test]
fn what_must_stay_apart_stays_apart_over_any_chain() {
    let chain = ["a=1 email:x", "b email:x phone_name:p", "c=2 phone_name:p"];
    check(&chain, &[], &[("a", "c")], &["1: a b", "2: c"]);
    check(
        &["a=1", "b email:x", "c=2 email:x"],
        &[("a", "b")],
        &[("a", "c")],
        &["1: a b", "2: c"],
    );
}

#[test]
fn torn_between_two_a_record_goes_with_the_stronger_identifier() {
    let torn = ["a=1 phone_name:p", "b phone_name:p email:x", "c=2 email:x"];
    check(&torn, &[], &[("a", "c")], &["1: a", "2: b c"]);
}

#[test]
fn among_equal_ones_it_stays_where_it_is_and_else_goes_to_the_older_key() {
    let known = ["a=1 email:x", "b=2 email:x email:y", "c=2 email:y"];
    check(&known, &[], &[("a", "c")], &["1: a", "2: b c"]);
    let fresh = ["a=2 email:x", "b email:x email:y", "c=1 email:y"];
    check(&fresh, &[], &[("a", "c")], &["2: a", "1: b c"]);
}

#[test]
fn our_own_key_finds_its_customer() {
    let own = format!("b key:{}", key(1));
    check(&["a=1 email:x", &own], &[], &[], &["1: a b"]);
    // Nobody has that key: it joins those who show it, but is not taken over.
    check(&["a", &own], &[], &[], &["new: a", "new: b"]);
    let mut input = input(&[&own], &[], &[]);
    input.customers.insert(key(1));
    assert_eq!(
        shown(&resolve(input.clone())),
        ["1: b"],
        "a live customer without records"
    );
}

#[test]
fn a_clone_that_was_parted_does_not_come_back_with_its_old_key() {
    let clone = format!("b=2 key:{}", key(1));
    check(&["a=1", "c=1", &clone], &[], &[("a", "b")], &["1: a c", "2: b"]);
}

#[test]
fn persons_and_organizations_never_join() {
    let mut input = input(&["a tax_id:t", "b tax_id:t"], &[("a", "b")], &[]);
    input.members[1].kind = Kind::Organization;
    assert_eq!(shown(&resolve(input.clone())), ["new: a", "new: b"]);
    // The stream's kind was changed in the config: the key of a person is not kept for an organization.
    input.members[1].customer = Some(key(1));
    assert_eq!(shown(&resolve(input.clone())), ["new: a", "new: b"]);
}

#[test]
fn a_key_whose_records_part_stays_with_the_larger_part() {
    let parted = ["a=1 email:x", "b=1 email:y", "c=1 email:y"];
    check(&parted, &[], &[("a", "b"), ("a", "c")], &["new: a", "1: b c"]);
}

#[test]
fn a_record_given_twice_is_one() {
    check(
        &["a=1 email:x", "a email:y", "b email:x", "c email:y"],
        &[],
        &[],
        &["1: a b c"],
    );
}

/// A record of a random world: its identifiers, of three kinds with few values.
fn world() -> impl Strategy<Value = Vec<BTreeSet<Identifier>>> {
    let one = (0..3_usize, 0..8_u8).prop_map(|(kind, value)| {
        let kind = [
            IdentifierKind::ExternalId,
            IdentifierKind::Email,
            IdentifierKind::PhoneName,
        ][kind];
        Identifier::new(kind, value.to_string())
    });
    prop::collection::vec(prop::collection::btree_set(one, 0..3), 1..14)
}

fn some_pairs(most: usize) -> impl Strategy<Value = BTreeSet<(RecordId, RecordId)>> {
    let pair = (0..14_usize, 0..14_usize).prop_filter("two records", |(a, b)| a != b);
    let pair = pair.prop_map(|(a, b)| (record(&format!("{a:02}")), record(&format!("{b:02}"))));
    prop::collection::btree_set(pair, 0..=most)
}

fn members_of(world: &[BTreeSet<Identifier>]) -> Vec<Member> {
    let member = |(at, identifiers): (usize, &BTreeSet<Identifier>)| Member {
        record: record(&format!("{at:02}")),
        identifiers: identifiers.clone(),
        customer: None,
        kind: Kind::Person,
    };
    world.iter().enumerate().map(member).collect()
}

/// The smallest ledger that will do: everything ever seen, and who is whose.
#[derive(Default)]
struct Ledger {
    members: BTreeMap<RecordId, Member>,
    keys_made: u128,
    aliases: BTreeMap<CustomerKey, CustomerKey>,
}

impl Ledger {
    /// Folds a page: asks for what the page touches, closed as [`Input`] wants it, resolves, commits.
    fn fold(
        &mut self,
        page: &[Member],
        must: &BTreeSet<(RecordId, RecordId)>,
        cannot: &BTreeSet<(RecordId, RecordId)>,
    ) {
        for member in page {
            let customer = self.members.get(&member.record).and_then(|known| known.customer);
            self.members.insert(
                member.record.clone(),
                Member {
                    customer,
                    ..member.clone()
                },
            );
        }
        let mut touched: BTreeSet<RecordId> = page.iter().map(|member| member.record.clone()).collect();
        loop {
            let of_touched: Vec<&Member> = touched.iter().map(|record| &self.members[record]).collect();
            let asked: BTreeSet<&Identifier> = of_touched
                .iter()
                .filter(|member| !cannot.is_empty() || page.iter().any(|paged| paged.record == member.record))
                .flat_map(|member| &member.identifiers)
                .collect();
            let customers: BTreeSet<CustomerKey> = of_touched.iter().filter_map(|member| member.customer).collect();
            let is_partner = |record: &RecordId| {
                must.iter()
                    .any(|(a, b)| (a == record && touched.contains(b)) || (b == record && touched.contains(a)))
            };
            let more: BTreeSet<RecordId> = self
                .members
                .values()
                .filter(|member| {
                    member.customer.is_some_and(|customer| customers.contains(&customer))
                        || member.identifiers.iter().any(|identifier| asked.contains(identifier))
                        || is_partner(&member.record)
                })
                .map(|member| member.record.clone())
                .collect();
            if more.is_subset(&touched) {
                break;
            }
            touched.extend(more);
        }
        let input = Input {
            members: touched.iter().map(|record| self.members[record].clone()).collect(),
            customers: BTreeSet::new(),
            must: must.clone(),
            cannot: cannot.clone(),
            followers: BTreeSet::new(),
        };
        for group in resolve(input.clone()).groups {
            let customer = group.customer.unwrap_or_else(|| {
                self.keys_made += 1;
                key(self.keys_made)
            });
            self.aliases
                .extend(group.absorbed.iter().map(|absorbed| (*absorbed, customer)));
            for record in group.records {
                self.members.get_mut(&record).unwrap().customer = Some(customer);
            }
        }
    }

    fn groups(&self) -> BTreeSet<BTreeSet<RecordId>> {
        let mut groups: BTreeMap<CustomerKey, BTreeSet<RecordId>> = BTreeMap::new();
        for member in self.members.values() {
            groups
                .entry(member.customer.unwrap())
                .or_default()
                .insert(member.record.clone());
        }
        groups.into_values().collect()
    }
}

fn groups_of(resolution: &Resolution) -> BTreeSet<BTreeSet<RecordId>> {
    resolution.groups.iter().map(|group| group.records.clone()).collect()
}

fn is_kept(groups: &BTreeSet<BTreeSet<RecordId>>, cannot: &BTreeSet<(RecordId, RecordId)>) -> bool {
    let together = |(a, b): &(RecordId, RecordId)| groups.iter().any(|group| group.contains(a) && group.contains(b));
    !cannot.iter().any(together)
}

/// The world with customers that some earlier pages made.
fn with_history(world: &[BTreeSet<Identifier>], history: &[u8]) -> Vec<Member> {
    let mut members = members_of(world);
    for (member, age) in members.iter_mut().zip(history) {
        member.customer = (*age > 0).then(|| key((*age).into()));
    }
    members
}

proptest! {
    #[test]
    fn the_order_of_the_members_does_not_matter(
        (members, shuffled) in (world(), prop::collection::vec(0..6_u8, 14))
            .prop_map(|(world, history)| with_history(&world, &history))
            .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
        must in some_pairs(2),
        cannot in some_pairs(3),
    ) {
        let input = |members| Input { members, customers: BTreeSet::new(), must: must.clone(), cannot: cannot.clone(), followers: BTreeSet::new() };
        prop_assert_eq!(resolve(input(members)), resolve(input(shuffled)));
    }

    #[test]
    fn any_pages_in_any_order_come_to_the_same_groups(
        shuffled in world().prop_map(|world| members_of(&world)).prop_shuffle(),
        must in some_pairs(2),
        page in 1..5_usize,
    ) {
        let none = BTreeSet::new();
        let mut ledger = Ledger::default();
        for page in shuffled.chunks(page) {
            ledger.fold(page, &must, &none);
        }
        let whole = Input { members: shuffled, customers: BTreeSet::new(), must, cannot: none, followers: BTreeSet::new() };
        prop_assert_eq!(ledger.groups(), groups_of(&resolve(whole.clone())));
    }

    #[test]
    fn a_second_time_changes_nothing(
        world in world(),
        history in prop::collection::vec(0..6_u8, 14),
        must in some_pairs(2),
        cannot in some_pairs(3),
    ) {
        let members = with_history(&world, &history);
        let mut input = Input { members, customers: BTreeSet::new(), must, cannot, followers: BTreeSet::new() };
        let first = resolve(input.clone());
        for (at, group) in first.groups.iter().enumerate() {
            let customer = group.customer.unwrap_or_else(|| key(100 + at as u128));
            for member in &mut input.members {
                if group.records.contains(&member.record) {
                    member.customer = Some(customer);
                }
            }
        }
        let second = resolve(input.clone());
        prop_assert_eq!(groups_of(&second), groups_of(&first));
        prop_assert!(second.groups.iter().all(|group| group.customer.is_some() && group.absorbed.is_empty()));
    }

    #[test]
    fn what_an_operator_parted_stays_apart_on_every_page(
        shuffled in world().prop_map(|world| members_of(&world)).prop_shuffle(),
        must in some_pairs(2),
        cannot in some_pairs(4),
        page in 1..5_usize,
    ) {
        let mut ledger = Ledger::default();
        for page in shuffled.chunks(page) {
            ledger.fold(page, &must, &cannot);
            prop_assert!(is_kept(&ledger.groups(), &cannot));
        }
    }

    #[test]
    fn a_key_once_given_leads_to_its_record_for_ever(
        shuffled in world().prop_map(|world| members_of(&world)).prop_shuffle(),
        page in 1..5_usize,
    ) {
        let none = BTreeSet::new();
        let mut ledger = Ledger::default();
        let mut given: Vec<(RecordId, CustomerKey)> = Vec::new();
        for page in shuffled.chunks(page) {
            ledger.fold(page, &none, &none);
            given.extend(ledger.members.values().map(|member| (member.record.clone(), member.customer.unwrap())));
        }
        for (record, mut customer) in given {
            while let Some(alias) = ledger.aliases.get(&customer) {
                prop_assert!(alias < &customer, "the older key survives");
                customer = *alias;
            }
            prop_assert_eq!(ledger.members[&record].customer, Some(customer));
        }
    }

    #[test]
    fn every_key_is_in_one_group_only(
        world in world(),
        history in prop::collection::vec(0..6_u8, 14),
        cannot in some_pairs(4),
    ) {
        let members = with_history(&world, &history);
        let before: BTreeSet<_> = members.iter().filter_map(|member| member.customer).collect();
        let input = Input { members, customers: BTreeSet::new(), must: BTreeSet::new(), cannot, followers: BTreeSet::new() };
        let resolution = resolve(input.clone());
        prop_assert!(is_kept(&groups_of(&resolution), &input.cannot));
        let after: Vec<_> = resolution
            .groups
            .iter()
            .flat_map(|group| group.customer.into_iter().chain(group.absorbed.iter().copied()))
            .collect();
        prop_assert_eq!(after.len(), before.len());
        prop_assert_eq!(after.into_iter().collect::<BTreeSet<_>>(), before);
    }
}

#[test]
fn a_follower_goes_along_and_brings_nobody_together() {
    let mut input = input(&["a=1 email:x", "b=3 email:y", "t=2 email:x email:y", "z=4"], &[], &[]);
    assert_eq!(shown(&resolve(input.clone())), ["1<2<3: a b t", "4: z"]);
    input.followers = [record("t"), record("z")].into();
    assert_eq!(shown(&resolve(input.clone())), ["1<2: a t", "3: b", "4: z"]);
    // The one who is left of its customer is nearer than nobody.
    input.members.push(member("c=4"));
    assert_eq!(shown(&resolve(input)), ["1<2: a t", "3: b", "4: c z"]);
}

#[test]
fn a_group_that_parts_has_its_former_key_again() {
    let members = || ["a=1", "b=1", "c=1", "t=1"].map(member).to_vec();
    let former = BTreeMap::from([(record("b"), key(2)), (record("c"), key(2))]);
    let groups = |groups: &[&[&str]]| -> Vec<Vec<RecordId>> {
        groups
            .iter()
            .map(|group| group.iter().map(|id| record(id)).collect())
            .collect()
    };
    let of = |found: &[&[&str]]| shown(&regroup(members(), &groups(found), &former, &[]));
    assert_eq!(of(&[&["a"], &["b", "c"]]), ["1: a", "2: b c t"]);
    assert_eq!(of(&[&["a", "b", "c"]]), ["1<2: a b c t"]);
    assert_eq!(of(&[&["a"], &["b"], &["c"]]), ["1: a t", "2: b", "new: c"]);
    // A word about a follower takes it elsewhere.
    let parted = [(record("t"), record("a"), false)];
    let alone = regroup(members(), &groups(&[&["a", "b", "c"]]), &former, &parted);
    assert_eq!(shown(&alone), ["1<2: a b c", "new: t"]);
    let joined = [(record("t"), record("c"), true)];
    let joined = regroup(members(), &groups(&[&["a"], &["b"], &["c"]]), &former, &joined);
    assert_eq!(shown(&joined), ["1: a", "2: b", "new: c t"]);
}
