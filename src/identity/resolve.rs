//! Which records are one customer: groups by shared identifiers and operators' decisions, and the key of each group.
//!
//! Without cannot-links a group is what hangs together: by an operator's word, by the customer the records already have,
//! by a shared identifier. That is a function of the set of records, so neither their order nor their paging matters.
//!
//! Where a cannot-link falls *inside* such a group (it is *contested*), the group is put together anew, strongest
//! evidence first, and no step may bring together what must stay apart, however long the chain. So a record stays where
//! the stronger identifier is; among equally strong ones where it is already; then where the older key is.
//!
//! *Followers* (records that are gone, or say nothing of their own) bring nobody together: they go along with the one
//! group that is nearest. Groups that the scored match found are taken as they are ([`regroup`]); only keys are given.

use std::collections::{BTreeMap, BTreeSet};

use super::sets::Sets;
use crate::model::{CustomerKey, Identifier, IdentifierKind, Kind, RecordId};

/// A record as the resolution sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which record.
    pub record: RecordId,
    /// What it asserts, now and formerly: an address it once had still tells whose record it is.
    pub identifiers: BTreeSet<Identifier>,
    /// Whose record it is at present (never an alias).
    pub customer: Option<CustomerKey>,
    /// What it is about. Persons and organizations never join.
    pub kind: Kind,
}

/// What is known when a page is resolved.
///
/// The members must be closed: the page's records, every holder of one of their identifiers, *all* records of every
/// customer touched, and the partners of must-links. When [`Input::cannot`] is not empty the same holds for the
/// identifiers of all these, because a record that is parted from its customer may belong elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The records, in any order. When one comes twice, what is said about it is added up.
    pub members: Vec<Member>,
    /// Live customers without any record that a [`IdentifierKind::Key`] may name.
    pub customers: BTreeSet<CustomerKey>,
    /// Pairs an operator declared to be one customer.
    pub must: BTreeSet<(RecordId, RecordId)>,
    /// Pairs an operator declared to be two customers. Outranks everything, must-links as well.
    pub cannot: BTreeSet<(RecordId, RecordId)>,
    /// Records that join nobody to anybody.
    pub followers: BTreeSet<RecordId>,
}

/// Records that are one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose records they are from now on; `None` asks for a new key.
    pub customer: Option<CustomerKey>,
    /// What the customer is.
    pub kind: Kind,
    /// The records, all of them.
    pub records: BTreeSet<RecordId>,
    /// Customers that live on as aliases of this one.
    pub absorbed: BTreeSet<CustomerKey>,
}

/// Who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Every member is in exactly one group; ordered by the groups' smallest records.
    pub groups: Vec<Group>,
}

/// Puts the members into groups and gives each group its key: the oldest of those it may keep.
///
/// A key whose records part (an operator's cannot-link) stays with the part that holds most of them, then with the one
/// that holds the smallest record id.
#[must_use]
pub fn resolve(mut input: Input) -> Resolution {
    let members = added_up(std::mem::take(&mut input.members));
    let evidence = Evidence::of(&members, &input);
    let mut sets = Sets::new(members.len());
    for links in evidence.ranks.iter().flatten() {
        for other in links.iter().skip(1) {
            sets.join(links[0], *other);
        }
    }
    let contested: BTreeSet<usize> = evidence
        .apart
        .iter()
        .filter(|(a, b)| sets.root(*a) == sets.root(*b))
        .map(|(a, _)| sets.root(*a))
        .collect();
    if !contested.is_empty() {
        let is_free = (0..members.len()).map(|member| !contested.contains(&sets.root(member)));
        sets = part(&members, &evidence, &is_free.collect::<Vec<_>>());
    }
    if !input.followers.is_empty() {
        follow(&members, &mut sets, &evidence.apart, |member| {
            input.followers.contains(&member.record)
        });
    }
    Resolution {
        groups: keyed(&members, &mut sets, &input.customers),
    }
}

/// Gives keys to groups that were found elsewhere; who is in none of them follows the others. A record that had a key of
/// its own before it came to another customer (`former`) speaks for that one, so that a group that parts has its former
/// key again. Operators' words (`decided`) were heard when the groups were found; here they count for the followers.
#[must_use]
pub fn regroup(
    members: Vec<Member>,
    found: &[Vec<RecordId>],
    former: &BTreeMap<RecordId, CustomerKey>,
    decided: &[(RecordId, RecordId, bool)],
) -> Resolution {
    let mut members = added_up(members);
    let mut sets = Sets::new(members.len());
    let mut is_grouped = BTreeSet::new();
    let decided: Vec<(usize, usize, bool)> = decided
        .iter()
        .filter_map(|(left, right, same)| Some((position(&members, left)?, position(&members, right)?, *same)))
        .collect();
    for group in found {
        let places: Vec<usize> = group.iter().filter_map(|record| position(&members, record)).collect();
        places.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
        is_grouped.extend(group);
    }
    let follows = |member: &Member| !is_grouped.contains(&member.record);
    let apart: Vec<(usize, usize)> = decided
        .iter()
        .filter(|said| !said.2)
        .map(|said| (said.0, said.1))
        .collect();
    for (left, right, _) in decided.iter().filter(|said| said.2) {
        if follows(&members[*left]) || follows(&members[*right]) {
            join_where_allowed(&mut sets, &[*left, *right], &apart);
        }
    }
    follow(&members, &mut sets, &apart, follows);
    let own = |member: &Member| {
        let own = former.get(&member.record).filter(|key| key.kind == member.kind);
        own.copied().or(member.customer)
    };
    // Who goes along with others has no say in which key they have.
    let leaders = members.iter().filter(|member| !follows(member));
    let claimed: BTreeSet<CustomerKey> = leaders.filter_map(own).collect();
    for member in &mut members {
        let key = own(member);
        member.customer = key.filter(|key| !follows(member) || !claimed.contains(key));
    }
    Resolution {
        groups: keyed(&members, &mut sets, &BTreeSet::new()),
    }
}

fn position(members: &[Member], record: &RecordId) -> Option<usize> {
    members.binary_search_by(|member| member.record.cmp(record)).ok()
}

/// Puts each follower to the group with which it shares its strongest identifier, else to the one that most records of
/// its present customer are in.
fn follow(members: &[Member], sets: &mut Sets, apart: &[(usize, usize)], follows: impl Fn(&Member) -> bool) {
    let (followers, leaders): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(|at| follows(&members[*at]));
    let mut holders: BTreeMap<(Kind, &Identifier), Vec<usize>> = BTreeMap::new();
    let mut customers: BTreeMap<CustomerKey, Vec<usize>> = BTreeMap::new();
    for at in &leaders {
        let member = &members[*at];
        for identifier in &member.identifiers {
            holders.entry((member.kind, identifier)).or_default().push(*at);
        }
        if let Some(customer) = member.customer {
            customers.entry(customer).or_default().push(*at);
        }
    }
    let mut alone: BTreeMap<CustomerKey, Vec<usize>> = BTreeMap::new();
    for at in followers {
        let member = &members[at];
        if leaders.iter().any(|leader| sets.root(*leader) == sets.root(at)) {
            continue;
        }
        let mut shared: Vec<&Identifier> = member.identifiers.iter().collect();
        shared.sort_by_key(|identifier| IdentifierKind::ALL.iter().position(|kind| *kind == identifier.kind));
        let by_identifier = shared
            .into_iter()
            .find_map(|identifier| holders.get(&(member.kind, identifier)));
        let of_customer = member.customer.and_then(|customer| customers.get(&customer));
        match by_identifier.or(of_customer) {
            Some(near) => {
                let near = most_of(sets, near, |leader| members[leader].customer == member.customer);
                join_where_allowed(sets, &[near, at], apart);
            }
            None => {
                if let Some(customer) = member.customer {
                    alone.entry(customer).or_default().push(at);
                }
            }
        }
    }
    for together in alone.into_values() {
        join_where_allowed(sets, &together, apart);
    }
}

/// Of records in several sets, the first one of the set that has most of them; those `preferred` count first.
fn most_of(sets: &Sets, of: &[usize], preferred: impl Fn(usize) -> bool) -> usize {
    let mut counts: BTreeMap<usize, (usize, usize, std::cmp::Reverse<usize>)> = BTreeMap::new();
    for at in of {
        let count = counts.entry(sets.root(*at)).or_insert((0, 0, std::cmp::Reverse(*at)));
        count.0 += usize::from(preferred(*at));
        count.1 += 1;
    }
    counts.into_values().max().map_or(0, |(_, _, first)| first.0)
}

/// Members by record. A customer of another kind than the record is none: the stream's kind was changed in the config.
fn added_up(mut members: Vec<Member>) -> Vec<Member> {
    for member in &mut members {
        member.customer = member.customer.filter(|customer| customer.kind == member.kind);
    }
    members.sort_by(|a, b| a.record.cmp(&b.record));
    members.dedup_by(|again, first| {
        if again.record != first.record {
            return false;
        }
        first.identifiers.append(&mut again.identifiers);
        first.customer = first.customer.into_iter().chain(again.customer).min();
        true
    });
    members
}

/// Everything that joins or parts, by position of the members.
struct Evidence {
    /// Sets of members that belong together, strongest rank first: must-links, the kinds of identifiers, present keys.
    ranks: Vec<Vec<Vec<usize>>>,
    /// Pairs that must not come together.
    apart: Vec<(usize, usize)>,
}

impl Evidence {
    fn of(members: &[Member], input: &Input) -> Self {
        let mut customers: BTreeMap<CustomerKey, Vec<usize>> = BTreeMap::new();
        let mut holders: BTreeMap<(Kind, &Identifier), Vec<usize>> = BTreeMap::new();
        let speaking = members
            .iter()
            .enumerate()
            .filter(|(_, member)| !input.followers.contains(&member.record));
        for (at, member) in speaking {
            if let Some(customer) = member.customer {
                customers.entry(customer).or_default().push(at);
            }
            for identifier in &member.identifiers {
                holders.entry((member.kind, identifier)).or_default().push(at);
            }
        }
        let must = pairs(members, &input.must);
        let must = must.filter(|(a, b)| members[*a].kind == members[*b].kind);
        let older_first = |at: &usize| (members[*at].customer.is_none(), members[*at].customer, *at);
        let must = must.map(|(a, b)| {
            let mut links = vec![a, b];
            links.sort_by_key(older_first);
            links
        });
        let mut ranks = vec![must.collect()];
        for kind in IdentifierKind::ALL {
            let of_kind = holders.iter().filter(|((_, identifier), _)| identifier.kind == kind);
            let with_named = of_kind.map(|((holder, identifier), holders)| {
                let mut links = holders.clone();
                // Our own key names the customer's records, whether they show it or not.
                let named = (kind == IdentifierKind::Key).then(|| identifier.value.parse::<CustomerKey>().ok());
                let named = named.flatten().filter(|key| key.kind == *holder);
                links.extend(named.and_then(|key| customers.get(&key)).into_iter().flatten());
                // Within a rank: the older keys first, records without one last. Members are in the order of their ids.
                links.sort_by_key(older_first);
                links.dedup();
                links
            });
            ranks.push(with_named.filter(|links| links.len() > 1).collect());
        }
        ranks.push(customers.into_values().collect());
        let apart = pairs(members, &input.cannot).filter(|(a, b)| a != b).collect();
        Self { ranks, apart }
    }
}

/// The positions of pairs both of whose records are members.
fn pairs<'a>(
    members: &'a [Member],
    pairs: &'a BTreeSet<(RecordId, RecordId)>,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let position = |record: &RecordId| members.binary_search_by(|member| member.record.cmp(record)).ok();
    pairs
        .iter()
        .filter_map(move |(left, right)| Some((position(left)?, position(right)?)))
}

/// Puts contested groups together anew; the links of `is_free` members are taken as they are.
fn part(members: &[Member], evidence: &Evidence, is_free: &[bool]) -> Sets {
    let mut sets = Sets::new(members.len());
    for rank in &evidence.ranks {
        for links in rank.iter().filter(|links| is_free[links[0]]) {
            for other in links.iter().skip(1) {
                sets.join(links[0], *other);
            }
        }
        let mut links: Vec<&Vec<usize>> = rank.iter().filter(|links| !is_free[links[0]]).collect();
        links.sort_by_key(|links| {
            let first = &members[links[0]];
            (first.customer.is_none(), first.customer)
        });
        // What is already one customer goes first among equally strong links.
        for links in &links {
            let known = links.partition_point(|at| members[*at].customer.is_some());
            for same in links[..known].chunk_by(|a, b| members[*a].customer == members[*b].customer) {
                join_where_allowed(&mut sets, same, &evidence.apart);
            }
        }
        for links in links {
            join_where_allowed(&mut sets, links, &evidence.apart);
        }
    }
    sets
}

fn join_where_allowed(sets: &mut Sets, links: &[usize], apart: &[(usize, usize)]) {
    // The sets the links have come to so far: each further one joins every one of them that it may.
    let mut fronts: Vec<usize> = Vec::new();
    for link in links {
        for front in &fronts {
            let (a, b) = (sets.root(*front), sets.root(*link));
            let is_apart = |(left, right): &(usize, usize)| {
                let roots = (sets.root(*left), sets.root(*right));
                roots == (a, b) || roots == (b, a)
            };
            if a != b && !apart.iter().any(is_apart) {
                sets.join(a, b);
            }
        }
        let root = sets.root(*link);
        if fronts.iter().all(|front| sets.root(*front) != root) {
            fronts.push(*link);
        }
    }
}

/// The groups with their keys.
fn keyed(members: &[Member], sets: &mut Sets, unheld: &BTreeSet<CustomerKey>) -> Vec<Group> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    // How many records of a customer each group has; groups are named by their smallest member.
    let mut claims: BTreeMap<CustomerKey, BTreeMap<usize, usize>> = BTreeMap::new();
    let held: BTreeSet<CustomerKey> = members.iter().filter_map(|member| member.customer).collect();
    for (at, member) in members.iter().enumerate() {
        let root = sets.root(at);
        groups.entry(root).or_default().push(at);
        let named = member
            .identifiers
            .iter()
            .filter(|identifier| identifier.kind == IdentifierKind::Key);
        let unheld = named
            .filter_map(|identifier| identifier.value.parse::<CustomerKey>().ok())
            .filter(|key| key.kind == member.kind && unheld.contains(key) && !held.contains(key));
        for key in member.customer.into_iter().chain(unheld) {
            *claims.entry(key).or_default().entry(root).or_default() += 1;
        }
    }
    let mut keys: BTreeMap<usize, BTreeSet<CustomerKey>> = BTreeMap::new();
    for (key, claims) in claims {
        let heir = claims
            .iter()
            .max_by_key(|(root, count)| (**count, std::cmp::Reverse(groups[*root][0])));
        if let Some((root, _)) = heir {
            keys.entry(*root).or_default().insert(key);
        }
    }
    let mut groups: Vec<(usize, Vec<usize>)> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(_, of_group)| of_group[0]);
    let group = |(root, of_group): (usize, Vec<usize>)| {
        let mut absorbed = keys.remove(&root).unwrap_or_default();
        Group {
            customer: absorbed.pop_first(),
            kind: members[of_group[0]].kind,
            records: of_group.iter().map(|at| members[*at].record.clone()).collect(),
            absorbed,
        }
    };
    groups.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests;
