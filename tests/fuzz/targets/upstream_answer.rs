//! For any response of an upstream, the caller of the built-in client gets items or an error code that blames the
//! upstream, and the flight leaves nothing behind.
//!
//! The input is the response, from its status line on. The byte 0xff, which does not occur in JSON, separates parts
//! that arrive separately. As the last byte it keeps the connection open.

#![no_main]

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oneflight::{Limits, Settings};
use oneflight_tests::{FAILSAFE, Subject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

/// The error codes that blame the upstream, and neither the host nor the guest.
const UPSTREAM_CODES: [&str; 7] = [
    "not-found",
    "rate-limited",
    "upstream-malformed",
    "upstream-response-too-large",
    "upstream-status",
    "upstream-timeout",
    "upstream-unavailable",
];

const SEPARATOR: u8 = 0xff;

/// What all inputs share.
struct Stage {
    runtime: Runtime,
    listener: TcpListener,
    subject: Subject,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    // One thread runs both sides in turns, so parts that are sent separately arrive separately.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (listener, subject) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let limits = Limits {
            max_executions: 1,
            // Short, because an input may keep its connection open until this timeout.
            request_timeout: Duration::from_millis(50),
            // A guest that does not end is reported by the failsafe.
            max_cpu_time: FAILSAFE * 2,
            flight_timeout: FAILSAFE * 2,
            ..Limits::default()
        };
        let settings = Settings::new("fuzz").allow(&origin).expect("an origin");
        let subject = Subject::builtin(&origin, Settings { limits, ..settings }).await;
        (listener, subject)
    });
    Stage {
        runtime,
        listener,
        subject,
    }
});

fuzz_target!(|answer: &[u8]| {
    let Stage {
        runtime,
        listener,
        subject,
    } = &*STAGE;
    runtime.block_on(async {
        let outcome = tokio::select! {
            outcome = subject.ask("x") => outcome,
            never = upstream(listener, answer) => match never {},
        };
        match outcome {
            Ok(items) => assert!(items.starts_with('[') && items.ends_with(']'), "{items}"),
            Err(code) => assert!(UPSTREAM_CODES.contains(&code), "{code}"),
        }
        subject.settled().await;
        subject.connected(0).await;
        assert_eq!(subject.client.control().callers(), 0);
    });
});

/// Sends this response to every request, until it is dropped.
async fn upstream(listener: &TcpListener, answer: &[u8]) -> Infallible {
    let mut open = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // The peer may have closed the connection already.
        if converse(&mut stream, answer).await.is_ok() && answer.ends_with(&[SEPARATOR]) {
            open.push(stream);
        }
    }
}

async fn converse(stream: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    for part in answer.split(|byte| *byte == SEPARATOR) {
        stream.write_all(part).await?;
        // Two turns: the peer is woken, and reads this part.
        for _ in 0..2 {
            yield_now().await;
        }
    }
    Ok(())
}
