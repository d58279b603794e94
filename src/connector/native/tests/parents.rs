//! Lists below other objects: a position for each, new ones, gone ones, and when a sweep proves absence.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Below each parent, objects with the second of their last change.
type World = BTreeMap<String, Vec<(u64, u64)>>;

const WINDOWS: &str = "{window: {start: \"1970-01-01T00:00:00Z\", lag: 1s, overlap: 1s, max: 400s}, full: {every: 1d}, parents: {list: {request: GET /desks, records: desks, id: id, page: {by: offset, to: query.offset, step: 2, size: 2}}}, request: \"GET /desks/{{ parent }}/things\", query: {since: \"{{ window.since | s }}\", until: \"{{ window.until | s }}\"}, records: rows, page: {by: offset, to: query.offset, step: 2, size: 2}}";
const FULL: &str = "{full: {every: 1d}, parents: {list: {request: GET /desks, records: desks, id: id}}, request: \"GET /desks/{{ parent }}/things\", records: rows, page: {by: offset, to: query.offset, step: 2, size: 2}}";

/// A tool with a list of desks, and a list of things for each; a page of either has two rows.
fn desks(world: &Arc<Mutex<World>>) -> impl Fn(&str, &Query) -> Reply + Send + Sync + 'static {
    let world = Arc::clone(world);
    move |path, query| {
        let world = world.lock().unwrap();
        let skip = usize::try_from(number(query, "offset")).unwrap();
        let Some(desk) = path
            .strip_prefix("/desks/")
            .and_then(|rest| rest.strip_suffix("/things"))
        else {
            let page = if query.contains_key("offset") { 2 } else { usize::MAX };
            let desks: Vec<_> = world.keys().skip(skip).take(page).map(|id| json!({"id": id})).collect();
            return (200, json!({"desks": desks}));
        };
        let Some(things) = world.get(desk) else {
            return (404, json!({"message": "no such desk"}));
        };
        let until = query.get("until").map_or(u64::MAX, |_| number(query, "until"));
        let rows = things
            .iter()
            .filter(|(_, at)| (number(query, "since")..until).contains(at));
        let rows: Vec<_> = rows.skip(skip).take(2).map(|(id, at)| row(*id, *at)).collect();
        (200, json!({"rows": rows}))
    }
}

fn world(desks: &[(&str, &[(u64, u64)])]) -> Arc<Mutex<World>> {
    let desks = desks.iter().map(|(desk, things)| ((*desk).to_owned(), things.to_vec()));
    Arc::new(Mutex::new(desks.collect()))
}

#[tokio::test]
async fn each_list_has_its_own_position_and_a_new_one_begins_at_the_beginning() {
    let world = world(&[("a", &[(1, 10), (2, 600), (3, 700)]), ("b", &[(4, 20)]), ("c", &[])]);
    let mut scene = Scene::new(WINDOWS, desks(&world)).await;
    assert_eq!(scene.ids().await, BTreeSet::from([1, 2, 3, 4]));
    scene.advance(60);
    assert!(scene.ids().await.is_empty());
    world.lock().unwrap().get_mut("b").unwrap().push((5, 1065));
    world.lock().unwrap().insert("aa".to_owned(), vec![(6, 30), (7, 1050)]);
    world.lock().unwrap().remove("c");
    scene.advance(10);
    assert_eq!(scene.ids().await, BTreeSet::from([5, 6, 7]));
    let cursor = scene.cursor.clone().unwrap().0;
    assert!(cursor.contains("\"aa\"") && !cursor.contains("\"c\""), "{cursor}");
}

/// Reading goes on below the parent where it stopped, whoever does: all that is known stands in the cursor.
#[tokio::test]
async fn what_was_read_below_a_parent_is_not_read_again_after_a_restart() {
    let world = world(&[("a", &[(1, 10), (2, 20), (3, 30)]), ("b", &[(4, 20), (5, 25)])]);
    let mut scene = Scene::new(WINDOWS, desks(&world)).await;
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
        // The answer got lost once for every page: nothing of it counts, and it is asked for again.
        let again = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
        assert_eq!(page.records, again.records);
        seen.extend(page.records.iter().map(|record| record.remote.parse::<u64>().unwrap()));
        scene.cursor = Some(page.next);
        pages += 1;
        if page.is_caught_up {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    // Three windows each; that of `a` has two pages, as has that of `b`, whose second is empty.
    assert_eq!(pages, 8);
}

#[tokio::test]
async fn only_a_sweep_over_all_parents_proves_absence() {
    let world = world(&[("a", &[(1, 1), (2, 1), (3, 1)]), ("b", &[(4, 1)]), ("c", &[(5, 1)])]);
    for read in [FULL, WINDOWS] {
        let mut scene = Scene::new(read, desks(&world)).await;
        if read == WINDOWS {
            scene.ids().await;
            scene.advance(2 * 86_400);
        }
        let mut swept = BTreeSet::new();
        loop {
            let page = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
            scene.cursor = Some(page.next);
            let Some(sweep) = page.sweep else { continue };
            swept.extend(page.records.iter().map(|record| record.remote.clone()));
            if sweep.is_over {
                break;
            }
            assert!(!page.is_caught_up);
        }
        assert_eq!(swept.len(), 5, "{read}");
    }
}

#[tokio::test]
async fn a_parent_that_vanishes_is_left_out_and_one_that_is_forbidden_is_told() {
    for read in [FULL, WINDOWS] {
        let there = world(&[("a", &[(1, 1)]), ("b", &[(2, 1)]), ("c", &[(3, 1)])]);
        let mut scene = Scene::new(read, desks(&there)).await;
        let first = scene.connection.pull("thing", None).await.unwrap();
        scene.cursor = Some(first.next);
        there.lock().unwrap().remove("b");
        let (records, _) = scene.read().await.unwrap();
        let ids: BTreeSet<&str> = records.iter().map(|record| record.remote.as_str()).collect();
        assert!(ids.contains("3") && !ids.contains("2"), "{read} {ids:?}");
    }
    // Listed, and still not there for us: nothing may be concluded from that.
    let mut scene = Scene::new(FULL, |path, _| match path {
        "/desks" => (200, json!({"desks": [{"id": "a"}]})),
        _ => (404, json!({"message": "not for you"})),
    })
    .await;
    assert_eq!(scene.read().await.unwrap_err().class, Class::Gone);
}

/// When none is left, nothing was swept: an account that lists nothing any more does not prove that everybody is gone.
#[tokio::test]
async fn without_any_parent_nothing_is_absent() {
    let there = world(&[("a", &[(1, 1)])]);
    let mut scene = Scene::new(FULL, desks(&there)).await;
    assert_eq!(scene.ids().await, BTreeSet::from([1]));
    there.lock().unwrap().clear();
    scene.advance(2 * 86_400);
    let (records, has_swept) = scene.read().await.unwrap();
    assert!(records.is_empty() && !has_swept);
}

#[tokio::test]
async fn each_list_has_its_own_token() {
    let read = "{cursor: {opaque: next, to: query.token}, parents: {named: \"b,a\"}, request: \"GET /desks/{{ parent }}/things\", records: rows, page: {by: cursor, until: end}, deleted: record.gone}";
    let forgets = Arc::new(Mutex::new(false));
    let forgetting = Arc::clone(&forgets);
    let mut scene = Scene::new(read, move |path, query| {
        let (base, desk) = if path.contains("/a/") { (0, "a") } else { (100, "b") };
        let from = query
            .get("token")
            .map(|token| token.strip_prefix(desk).unwrap().parse::<u64>().unwrap());
        if desk == "b" && from.is_some() && std::mem::take(&mut *forgetting.lock().unwrap()) {
            return (404, json!({}));
        }
        let from = from.unwrap_or(0);
        let rows: Vec<_> = (from..2).map(|at| row(base + at, 1)).collect();
        (
            200,
            json!({"rows": rows, "next": format!("{desk}{}", from + rows.len() as u64), "end": true}),
        )
    })
    .await;
    assert_eq!(scene.ids().await, BTreeSet::from([0, 1, 100, 101]));
    scene.advance(60);
    assert!(scene.ids().await.is_empty());
    // What the tool has forgotten is read anew below that parent alone.
    *forgets.lock().unwrap() = true;
    scene.advance(60);
    assert_eq!(scene.ids().await, BTreeSet::from([100, 101]));
}

#[tokio::test]
async fn a_list_of_parents_that_is_not_understood_or_too_long_is_told() {
    let desks = |body: Json| move |_: &str, _: &Query| (200, body.clone());
    let many: Vec<_> = (0..1001).map(|id| json!({"id": id})).collect();
    for (body, code) in [
        (json!({"error": "no"}), Code::NotTheAnswer),
        (json!({"desks": [{"id": "a"}, {"name": "b"}]}), Code::NotTheAnswer),
        (json!({"desks": many}), Code::TooManyLists),
    ] {
        assert_eq!(Scene::new(FULL, desks(body)).await.code().await, code);
    }
}

/// Something happens below the desks: one goes or comes with everything that it ever had, things change. What was new.
fn happen(random: &mut ChaCha8Rng, world: &mut World, next_id: &mut u64, now: u64) -> BTreeSet<u64> {
    let mut new = BTreeSet::new();
    let mut id = || {
        *next_id += 1;
        new.insert(*next_id);
        *next_id
    };
    let desk = random.random_range(0..5_u8).to_string();
    if world.remove(&desk).is_none() {
        let count = random.random_range(0..5);
        let things = (0..count).map(|_| (id(), random.random_range(0..now - 2)));
        let things: Vec<_> = things.collect();
        world.insert(desk, things);
    }
    for things in world.values_mut().filter(|_| random.random_bool(0.5)) {
        things.push((id(), now - 2));
    }
    new
}

/// Whatever comes and goes below whichever parents: what changed below a parent that is there was read when a round ends.
#[tokio::test]
async fn nothing_below_any_parent_is_missed() {
    for seed in 0..12_u64 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let there = world(&[]);
        let mut scene = Scene::new(WINDOWS, desks(&there)).await;
        let (mut next_id, mut now) = (0, NOW.0.cast_unsigned() / 1000);
        for round in 0..6 {
            let expected = happen(&mut random, &mut there.lock().unwrap(), &mut next_id, now);
            let found = scene.ids().await;
            assert!(
                expected.is_subset(&found),
                "seed {seed} round {round}: {expected:?} {found:?}"
            );
            let step = random.random_range(3..500);
            scene.advance(step);
            now += step;
        }
    }
}
