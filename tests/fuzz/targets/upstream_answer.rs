//! Whatever an upstream answers to the built-in client, its caller gets items or the name of what the
//! upstream did wrong, and nothing of the flight is left.
//!
//! The input is the answer, from its status line on. The byte 0xff, which no JSON has, parts what
//! arrives together; as the last byte it leaves the connection open.

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

/// All that an upstream can be blamed for. None of them is the host's fault, or the guest's.
const BLAMES: [&str; 7] = [
    "not-found",
    "rate-limited",
    "upstream-malformed",
    "upstream-response-too-large",
    "upstream-status",
    "upstream-timeout",
    "upstream-unavailable",
];

const APART: u8 = 0xff;

/// The same for all inputs.
struct Stage {
    runtime: Runtime,
    listener: TcpListener,
    subject: Subject,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    // One thread, on which both sides take turns: what is sent apart arrives apart.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (listener, subject) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let limits = Limits {
            executions: 1,
            // An answer that stays open is seen to be cut off, a few times a second.
            request: Duration::from_millis(50),
            // Nothing but the failsafe ends a guest that goes on.
            cpu: FAILSAFE * 2,
            flight: FAILSAFE * 2,
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
            Err(code) => assert!(BLAMES.contains(&code), "{code}"),
        }
        subject.settled().await;
        subject.connected(0).await;
        assert_eq!(subject.client.next().callers(), 0);
    });
});

/// Answers every request so, until it is dropped.
async fn upstream(listener: &TcpListener, answer: &[u8]) -> Infallible {
    let mut open = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // A peer that is gone is nobody's loss.
        if converse(&mut stream, answer).await.is_ok() && answer.ends_with(&[APART]) {
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
    for part in answer.split(|byte| *byte == APART) {
        stream.write_all(part).await?;
        // The peer sees that there is something to read, and reads it.
        for _ in 0..2 {
            yield_now().await;
        }
    }
    Ok(())
}
