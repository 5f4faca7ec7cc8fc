//! After each fault the service holds what it held before: flights, stores, pool slots, connections,
//! descriptors, tasks, threads, child processes and memory. With the real binary, in a process that does nothing
//! else, row by row of `FAULTS.md`.
//!
//! These rows cannot be brought about from outside the process:
//!
//! - 12, a panic in the host: no request causes one. See
//!   `bounds::a_panic_in_the_host_under_a_guest_hurts_no_other_flight`.
//! - 23, 24 and 26 for names, and 27, a name whose answer flips: a test cannot choose what the system's
//!   resolver answers. See `upstreams::an_upstream_whose_name_does_not_resolve_is_unavailable`,
//!   `a_lookup_that_hangs_ends_at_the_connect_timeout_or_the_flights_deadline`, `a_name_that_resolves_to_no_public_address_is_denied` and
//!   `a_name_whose_answer_flips_is_dialled_where_it_was_checked`.

mod levels;
mod scene;

use std::sync::LazyLock;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use oneflight_tests::unreading::Unreading;
use oneflight_tests::{artifacts, bomb, failsafe, memory};

use levels::Observer;
use scene::Scene;

/// A row of `FAULTS.md`, or a part of one.
struct Row {
    name: &'static str,
    /// How many faults run at once, and how often that is repeated.
    at_once: usize,
    times: usize,
    /// Brings the fault about; each call gets another number.
    go: for<'a> fn(&'a Scene, usize) -> BoxFuture<'a, ()>,
}

const fn row(name: &'static str, go: for<'a> fn(&'a Scene, usize) -> BoxFuture<'a, ()>) -> Row {
    Row {
        name,
        at_once: 8,
        times: 5,
        go,
    }
}

const ROWS: &[Row] = &[
    row("4, a trap", |scene, n| {
        scene.ends("guest", format!("trap:{n}"), "guest-trap")
    }),
    row("4, a trap of an instance that is kept", |scene, n| {
        let answers = scene.answers("reused", format!("echo:{n}"), "body");
        let traps = scene.ends("reused", format!("trap:{n}"), "guest-trap");
        answers.then(|()| traps).boxed()
    }),
    row("4, a panic", |scene, n| {
        scene.ends("guest", format!("panic:{n}"), "guest-trap")
    }),
    row("4, an exit", |scene, n| {
        scene.ends("guest", format!("exit:{}", n + 1), "guest-trap")
    }),
    Row {
        at_once: 64,
        times: 2,
        ..row("5, guests that spin", |scene, n| {
            scene.ends("spinner", format!("spin:{n}"), "guest-deadline")
        })
    },
    Row {
        times: 3,
        ..row("6, a guest whose upstream hangs", |scene, n| {
            let key = format!("patient:{}/{n}", scene.upstreams.hangs.origin());
            scene.answers("short-timeouts", key, "error")
        })
    },
    row("6, one whose caller leaves it", |scene, n| {
        let (hangs, before) = (&scene.upstreams.hangs, scene.upstreams.hangs.requests());
        let key = format!("need:{}/left-{n}", hangs.origin());
        async move {
            let requested = hangs.requested(before + 1);
            tokio::select! {
                answer = scene.ask("guest", &key) => panic!("{answer:?}"),
                () = requested => {}
            }
        }
        .boxed()
    }),
    row("7, a guest that grows", |scene, n| {
        let key = format!("grow:{}", 1_000_000_000 + n);
        scene.answers("guest", key, "67043328")
    }),
    row("8, endless recursion", |scene, n| {
        scene.ends("guest", format!("recurse:{n}"), "guest-trap")
    }),
    row("9, a result that is too large", |scene, n| {
        let key = format!("huge:{}", 9_000_000 + n);
        scene.ends("guest", key, "result-too-large")
    }),
    row("10, too many items", |scene, n| {
        let key = format!("many:{}", 10_001 + n);
        scene.ends("guest", key, "result-too-large")
    }),
    row("11, entries that alias one string", |scene, n| {
        let key = format!("alias:5000:{}", 1_000_000 + n);
        scene.ends("guest", key, "result-too-large")
    }),
    row("90, requests that are not sent", |scene, n| {
        let key = format!("lines:{}:60000:both", 600 + n % 100);
        scene.ends("guest", key, "guest-trap")
    }),
    row("111, a fetch that is not valid", |scene, n| {
        let key = format!("fetch:{}/../{n}", scene.upstreams.healthy.origin());
        scene.answers("guest", key, "invalid-request")
    }),
    row("112, a fetch that is denied", |scene, n| {
        let key = format!("fetch-need:http://denied.example/{n}");
        scene.ends("guest", key, "upstream-denied")
    }),
    row("113, a fetch whose response breaks off", |scene, n| {
        let key = format!("fetch-need:{}/{n}", scene.upstreams.breaks_off.origin());
        scene.ends("guest", key, "upstream-unavailable")
    }),
    row("113, one of an instance that is kept", |scene, n| {
        let answers = scene.answers("reused", format!("echo:fetch-{n}"), "body");
        let key = format!("fetch-need:{}/{n}", scene.upstreams.resets.origin());
        let ends = scene.ends("reused", key, "upstream-unavailable");
        answers.then(|()| ends).boxed()
    }),
    Row {
        times: 3,
        ..row("113, a fetch that times out", |scene, n| {
            let key = format!("fetch:{}/{n}", scene.upstreams.hangs.origin());
            scene.answers("short-timeouts", key, "timeout")
        })
    },
    row("113, a fetch whose response has no end", |scene, n| {
        let key = format!("fetch-need:{}/{n}", scene.upstreams.endless_body.origin());
        scene.ends("guest", key, "upstream-response-too-large")
    }),
    row("115, a fetch whose caller leaves it", |scene, n| {
        let (stalls, before) = (
            &scene.upstreams.stalls_in_body,
            scene.upstreams.stalls_in_body.requests(),
        );
        let key = format!("fetch:{}/left-{n}", stalls.origin());
        async move {
            let requested = stalls.requested(before + 1);
            tokio::select! {
                answer = scene.ask("guest", &key) => panic!("{answer:?}"),
                () = requested => {}
            }
        }
        .boxed()
    }),
    row("117, fetches one after another", |scene, n| {
        let key = format!("fetches:50:{}/{n}", scene.upstreams.healthy.origin());
        scene.answers("reused", key, "status")
    }),
    row("91, an id that is longer than a key", |scene, n| {
        let key = format!("control-id:{}", 5_000 + n);
        scene.ends("guest", key, "result-too-large")
    }),
    Row {
        at_once: 1,
        ..row("20, no permit comes free", |scene, n| {
            let hangs = &scene.upstreams.hangs;
            let key = move |i| format!("patient:{}/{n}-{i}", hangs.origin());
            let holding = [0, 1].map(|i| scene.answers("narrow", key(i), "error"));
            let before = hangs.requests();
            async move {
                let refused = async {
                    hangs.requested(before + 2).await;
                    scene.ends("narrow", key(2), "overloaded").await;
                    hangs.hang_up();
                };
                tokio::join!(join_all(holding), refused);
            }
            .boxed()
        })
    },
    row("23, an upstream that refuses", |scene, n| {
        let key = format!("need:{}/{n}", scene.upstreams.refuses);
        scene.ends("guest", key, "upstream-unavailable")
    }),
    row("23, one that hangs up", |scene, n| {
        let key = format!("need:{}/{n}", scene.upstreams.hangs_up.origin());
        scene.ends("guest", key, "upstream-unavailable")
    }),
    row(
        "60, one that closes a connection as it is reused",
        |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.closes_as_reused.origin());
            scene.answers("guest", key, "200")
        },
    ),
    row("23, one that resets", |scene, n| {
        let key = format!("need:{}/{n}", scene.upstreams.resets.origin());
        scene.ends("guest", key, "upstream-unavailable")
    }),
    Row {
        times: 3,
        ..row("24, one that does not accept", |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.never_accepts.origin);
            scene.ends("short-timeouts", key, "upstream-timeout")
        })
    },
    Row {
        times: 3,
        ..row("24, one that stalls in TLS", |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.in_tls());
            scene.ends("short-timeouts", key, "upstream-timeout")
        })
    },
    Row {
        times: 3,
        ..row("24, one that stalls before its head", |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.hangs.origin());
            scene.ends("short-timeouts", key, "upstream-timeout")
        })
    },
    Row {
        times: 3,
        ..row("24, one that stalls in its body", |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.stalls_in_body.origin());
            scene.ends("short-timeouts", key, "upstream-timeout")
        })
    },
    Row {
        times: 2,
        ..row("25, a body without end", |scene, n| {
            let key = format!("need:{}/{n}", scene.upstreams.endless_body.origin());
            scene.ends("guest", key, "upstream-response-too-large")
        })
    },
    row("25, a head without end", |scene, n| {
        let key = format!("need:{}/{n}", scene.upstreams.endless_head.origin());
        scene.ends("guest", key, "upstream-response-too-large")
    }),
    row("25, an answer that is no HTTP", |scene, n| {
        let key = format!("need:{}/{n}", scene.upstreams.babbles.origin());
        scene.ends("guest", key, "upstream-malformed")
    }),
    row("26, an address off the list", |scene, n| {
        let key = format!("need:http://127.0.0.1:1/{n}");
        scene.ends("guest", key, "upstream-denied")
    }),
    row("26, one of a private network", |scene, n| {
        let key = format!("need:http://10.1.2.3/{n}");
        scene.ends("guest", key, "upstream-denied")
    }),
    row("26, one that tells metadata", |scene, n| {
        let key = format!("need:http://169.254.169.254/{n}");
        scene.ends("guest", key, "upstream-denied")
    }),
    row("28, a redirect off the list", |scene, n| {
        let key = format!("chase:{}/{n}", scene.upstreams.redirects.origin());
        scene.ends("guest", key, "upstream-denied")
    }),
    row("29, a header that is not a guest's to send", |scene, n| {
        let key = format!("header:host=x:{}/{n}", scene.upstreams.healthy.origin());
        scene.answers("guest", key, "error")
    }),
    row("29, a tunnel", |scene, n| {
        let key = format!("method:CONNECT:{}/{n}", scene.upstreams.healthy.origin());
        scene.answers("guest", key, "HttpRequestDenied")
    }),
    row("29, a body of another length", |scene, n| {
        let key = format!("post:9:5:{}/{n}", scene.upstreams.records.origin());
        scene.answers("guest", key, "error")
    }),
    row("29, a body that is dropped", |scene, n| {
        let key = format!("abandon:9:5:{}/{n}", scene.upstreams.records.origin());
        scene.answers("guest", key, "error")
    }),
    row("30, a flooded log", |scene, n| {
        scene.answers("guest", format!("log:{}", 200_000 + n), "log")
    }),
    Row {
        at_once: 1,
        times: 12,
        ..row("31, a file that cannot be run", |scene, n| {
            let read = |path| std::fs::read(path).unwrap();
            let component = match n % 6 {
                0 => b"not a component".to_vec(),
                1 => vec![],
                2 => b"\0asm\x01\0\0\0".to_vec(),
                3 => read(artifacts::NO_ITEMS),
                4 => read(artifacts::OTHER_TYPES),
                _ => PRECOMPILED.clone(),
            };
            scene.refuses(format!("file-{n}"), component, "", "expected ")
        })
    },
    Row {
        at_once: 1,
        times: 5,
        ..row("32, one that takes gigabytes to compile", |scene, n| {
            let (limits, message) = (
                "max_memory_bytes = '256 MiB'",
                "expected a component that compiles within its budget, got a component that takes more than 256 MiB",
            );
            scene.refuses(format!("large-{n}"), bomb::of_memory(), limits, message)
        })
    },
    Row {
        at_once: 1,
        times: 2,
        ..row("32, one that takes minutes", |scene, n| {
            let (limits, message) = (
                "max_cpu_time = '1s'\ncompile_timeout = '1h'",
                "expected a component that compiles within its budget, got a component that takes more than 1 s",
            );
            scene.refuses(format!("slow-{n}"), bomb::of_time(), limits, message)
        })
    },
    row("36, an upstream that dies in its body", |scene, n| {
        scene.ends("builtin", n.to_string(), "upstream-unavailable")
    }),
    row("37, an item that is no JSON", |scene, n| {
        scene.ends("guest", format!("bad-json:{n}"), "guest-malformed")
    }),
    row("37, an id twice", |scene, n| {
        scene.ends("guest", format!("same-id:{n}"), "guest-malformed")
    }),
    Row {
        at_once: 1,
        ..row("38, an upstream that hangs under load", |scene, n| {
            let hangs = &scene.upstreams.hangs;
            let key = move |i| format!("need:{}/{n}-{i}", hangs.origin());
            let holding = [0, 1].map(|i| scene.ends("narrow", key(i), "upstream-unavailable"));
            let before = hangs.requests();
            async move {
                let refused = async {
                    hangs.requested(before + 2).await;
                    let past = (2..12).map(|i| scene.ends("narrow", key(i), "overloaded"));
                    join_all(past).await;
                    hangs.hang_up();
                };
                tokio::join!(join_all(holding), refused);
            }
            .boxed()
        })
    },
    row("67, a parameter that is not known", |scene, n| {
        scene.ends("guest", format!("echo:{n}&page=2"), "bad-request")
    }),
    row("68, an upstream that limits the rate", |scene, n| {
        let origin = scene.upstreams.limits_the_rate.origin();
        scene.ends(
            "guest",
            format!("blame:rate-limited:{origin}/{n}"),
            "rate-limited",
        )
    }),
    row("71, an answer that the guest cannot parse", |scene, n| {
        let origin = scene.upstreams.healthy.origin();
        let key = format!("blame:upstream-malformed:{origin}/{n}");
        scene.ends("guest", key, "upstream-malformed")
    }),
    row("101, an answer that is not read", |scene, n| {
        let path = format!("/v1/guest/items?x=huge:{}", 1_000_000 + n);
        async move {
            let mut caller = Unreading::to(scene.service.address, 0).await;
            // Both the stream and the connection end with this future.
            let unread = caller.request(&path).await;
            assert_eq!(unread.status(), 200);
        }
        .boxed()
    }),
];

/// The built-in client, compiled by another engine.
static PRECOMPILED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let engine = wasmtime::Engine::default();
    engine.precompile_component(oneflight::BUILTIN).unwrap()
});

/// By how much a fault may let resident memory grow, in bytes: less than a leaked store of a flight, or
/// anything that is limited in bytes.
const GROWTH: usize = 4 << 10;

/// How often a row is repeated at most until memory stops growing. Memory that is used once and kept does not
/// grow again: pages of each of the pool's hundred slots, which a row uses one after the other, arenas of the
/// allocator, buffers. A leak grows each time.
const REPEATS: usize = 20;

// fault 4, 5, 6, 7, 8, 9, 10, 11, 20, 23, 24, 25, 26, 28, 29, 30, 31, 32, 36, 37, 38, 67, 68, 71, 101
#[tokio::test]
async fn after_each_fault_every_level_is_what_it_was_before() {
    let scene = Scene::set().await;
    let service = &scene.service;
    let observer = Observer::of(service).await;
    let mut numbers = 0..;
    for row in ROWS {
        go_through(&scene, row, &mut numbers).await;
    }
    let before = failsafe("the service to be at rest", observer.at_rest(service)).await;
    let threads = service.threads().len();
    for row in ROWS {
        let mut grown = Vec::new();
        while grown.len() < REPEATS {
            let resident = memory::resident(&service.id().to_string());
            for _ in 0..row.times {
                go_through(&scene, row, &mut numbers).await;
            }
            observer.back(service, &before, row.name).await;
            let more = memory::resident(&service.id().to_string()).saturating_sub(resident);
            grown.push(more);
            if more <= GROWTH * row.at_once * row.times {
                break;
            }
        }
        assert!(grown.len() < REPEATS, "{}: {grown:?} bytes more", row.name);
    }
    // The runtime ends its idle threads after a while.
    failsafe("threads to end", async {
        while service.threads().len() > threads {
            tokio::task::yield_now().await;
        }
    })
    .await;
    scene.service.terminate();
    let (exit, log) = scene.service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
}

/// Brings about the faults of a row at once, while another client is called and answers.
async fn go_through(scene: &Scene, row: &Row, numbers: &mut impl Iterator<Item = usize>) {
    let faults = numbers.take(row.at_once).map(|n| (row.go)(scene, n));
    tokio::join!(join_all(faults), scene.unharmed());
    scene.unharmed().await;
}
