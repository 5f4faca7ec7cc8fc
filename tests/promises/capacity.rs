//! What a configuration allows the process to take is printed, and a warning says where that is more than there is.

use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, run};

const RESOURCES: [&str; 4] = [
    "memory: at most ",
    "descriptors: at most ",
    "address space: at most ",
    "threads: at most ",
];

/// Four clients with the default limits.
fn four_clients() -> String {
    let client = |name| format!("[clients.{name}]\nbase_url = 'http://localhost/'\n");
    ["a", "b", "c", "d"].map(client).concat()
}

// fault 104
#[tokio::test]
async fn config_check_prints_what_the_limits_allow_and_warns_where_that_is_more_than_there_is() {
    let folder = Folder::new();
    for (more, warning) in [
        ("", None),
        (
            "[clients.e]\nbase_url = 'http://localhost/'\nlimits.max_memory_bytes = '3 GiB'\n\
             limits.max_total_memory_bytes = '4000 GiB'\nlimits.max_executions = 1000\n",
            Some("most of it instances (3073837 MiB); lower max_total_memory_bytes"),
        ),
    ] {
        let file = folder.write("a.toml", (four_clients() + more).as_bytes());
        let checked = run(&["config", "check", &file]).await;
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success(), "{printed}");
        for resource in RESOURCES {
            assert_eq!(printed.matches(resource).count(), 1, "{printed}");
        }
        match warning {
            None => assert!(!printed.contains("expected at most"), "{printed}"),
            Some(part) => assert!(printed.contains(part), "{printed}"),
        }
    }
}

// fault 104
#[tokio::test]
async fn a_service_logs_what_its_limits_allow_when_its_clients_are_loaded() {
    let folder = Folder::new();
    let file = folder.write("a.toml", four_clients().as_bytes());
    let service = Service::start(&["--config", &file]).await;
    for resource in RESOURCES {
        service.logged(resource).await;
    }
}
