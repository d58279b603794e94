//! Real guests on loopback: two Singer taps, and two Airbyte declarative sources through their own package, read the
//! sandbox and a real Postgres. `make test-guests` installs them and sets the variables; without, nothing is done.

use std::path::Path;
use std::process::Command;

use nivel::sandbox::{Options, Sandbox, people};

use super::{Stage, count, problems};

const SYSTEMS: &str = "  hub: {connector: hub, role: marketing, config: {url: 'HUB', token: pat-eu1-sandbox}}
  desk: {connector: desk, role: support, config: {url: 'DESK/api/v2', email: agent@example.com, token: zendesk-sandbox}}
  crm: {connector: crm, role: sales, config: {url: 'CRM/api/v2', token: pipedrive-sandbox}}
  shop: {connector: shop, role: partner, config: {host: 127.0.0.1, port: PORT, password: unused}}
";
const ALL: [&str; 4] = ["hub", "desk", "crm", "shop"];

fn psql(program: &std::ffi::OsStr, port: &str, statement: &str) {
    let mut command = Command::new(program);
    command.args([
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-U",
        "nivel",
        "shop",
        "-c",
        statement,
    ]);
    assert!(command.status().unwrap().success(), "{statement}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_taps_and_two_declarative_sources_are_read_and_go_on_from_their_state() {
    let (Some(port), Some(program)) = (
        std::env::var_os("NIVEL_GUESTS_PORT"),
        std::env::var_os("NIVEL_GUESTS_PSQL"),
    ) else {
        return;
    };
    let port = port.to_str().unwrap();
    // The tap's first bookmark is that of the last row it was given, whatever its time.
    psql(
        &program,
        port,
        "CREATE TABLE customers (id int PRIMARY KEY, mail text, name text, updated_at timestamptz NOT NULL);
         INSERT INTO customers SELECT n, 'c' || n || '@shop.example', 'Customer ' || n, now() - (51 - n) * interval '1 minute' FROM generate_series(1, 50) n",
    );
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    sandbox.seed(&people::generate(3, 80));
    let stage = Stage::new();
    for name in ALL {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/guests/real")
            .join(name);
        let to = stage.path("connectors").join(name);
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let systems = SYSTEMS
        .replace("HUB", &sandbox.hubspot.api_base())
        .replace("DESK", &sandbox.zendesk.api_base().replace("/api/v2", ""))
        .replace("CRM", &sandbox.pipedrive.api_base().replace("/api/v2", ""))
        .replace("PORT", port);
    let engine = stage.engine(&systems).await;
    let first = engine.sync(None).await.unwrap();
    for system in ALL {
        assert_eq!(problems(&first, system), [""; 0], "{:?}", first.systems[system]);
    }
    let there = [
        sandbox.hubspot.people().len(),
        sandbox.zendesk.people().len(),
        sandbox.pipedrive.people().len(),
        50,
    ];
    for (system, there) in ALL.into_iter().zip(there) {
        assert_eq!(count(&engine, system).await, there as u64, "{system}");
    }
    assert!(first.customers > 100, "{}", first.customers);

    stage.later(3600);
    psql(
        &program,
        port,
        "UPDATE customers SET name = 'Somebody else', updated_at = now() WHERE id = 7",
    );
    let second = engine.sync(None).await.unwrap();
    for system in ALL {
        let (before, now) = (&first.systems[system], &second.systems[system]);
        println!("{system}: {} read at first, {} the second time", before.read, now.read);
        assert_eq!(problems(&second, system), [""; 0]);
        assert!(now.read * 4 < before.read, "{system} went on from its state");
        assert_eq!(now.changed, u64::from(system == "shop"), "{system}");
    }
    sandbox.shutdown().await;
}
