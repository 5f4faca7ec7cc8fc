//! [`Traces`]: the spans of callers, flights and upstream requests, exported by OTLP over HTTP.
//!
//! Invariant: nobody waits for it. A span that ends is put into a queue, and is lost where that is full;
//! one task empties the queue, a request at a time, and what a request does not deliver in time is lost.
//! How much is lost is logged, now and then.
//!
//! The messages, the ids and the sampling are OpenTelemetry's own; the sending is not. The batch processor of
//! its SDK is not for HTTP clients that are asynchronous, loses spans without a number, and takes
//! settings from the environment, as the exporter of `opentelemetry-otlp` does: what a service does would then
//! not be what its configuration says.
//!
//! A span's kind is said here, by its name. As a field of the span it would stand on each of its lines in
//! the log.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oneflight::config::TracesConfig;
use oneflight::upstream::Roots;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, TracerProvider};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use prost::Message;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Spans that wait: as many as a herd of ten thousand callers leaves at once, about 10 MB.
const QUEUE: usize = 16_384;

/// Spans in one request: what collectors are used to, a few hundred kilobytes.
const BATCH: usize = 512;

/// A request that is not full goes out so long after its first span.
const DELAY: Duration = Duration::from_secs(1);

/// One request, connecting included.
const REQUEST: Duration = Duration::from_secs(3);

/// Sending the rest, at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// Between one line about lost spans and the next.
const QUIET: Duration = Duration::from_secs(60);

/// What a receiver answers is no longer than this.
const ANSWER: usize = 64 << 10;

/// Traces that are being exported.
pub(super) struct Traces {
    /// Open as long as this is here.
    queue: mpsc::Sender<SpanData>,
    spans: Arc<Spans>,
    exporting: JoinHandle<()>,
}

/// What is known of spans that are recorded. Written where they begin and end, read by the exporter.
#[derive(Debug, Default)]
struct Spans {
    /// A span begins here when somebody asks for its context: a flight's with its first request, a caller's
    /// when it ends. The end of the service waits for callers by itself.
    open: AtomicUsize,
    /// Told when none is open any more.
    closed: Notify,
    /// Since somebody last looked.
    lost: AtomicU64,
}

impl Traces {
    /// Starts exporting what the tracer records.
    pub(super) fn start(config: &TracesConfig) -> (SdkTracer, Self) {
        let resource = Resource::builder_empty()
            .with_service_name("oneflight")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let (queue, queued) = mpsc::channel(QUEUE);
        let spans = Arc::<Spans>::default();
        let exporter = Exporter {
            queued,
            receiver: Receiver::new(config),
            resource: ResourceAttributesWithSchema::from(&resource),
            spans: Arc::clone(&spans),
            lost: 0,
            why: None,
            told: None,
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.sample,
            ))))
            .with_span_processor(Queue {
                queue: queue.downgrade(),
                spans: Arc::clone(&spans),
            })
            .build();
        let traces = Self {
            queue,
            spans,
            exporting: tokio::spawn(exporter.run()),
        };
        (provider.tracer("oneflight"), traces)
    }

    /// Sends what there is, if that can be done in time. The flights have landed by then.
    pub(super) async fn end(self) {
        let Self {
            queue,
            spans,
            exporting,
        } = self;
        let sent = timeout(FLUSH, async {
            spans.all_closed().await;
            drop(queue);
            exporting.await
        });
        if sent.await.is_err() {
            tracing::warn!("not all traces could be sent in the end");
        }
    }
}

impl Spans {
    /// Waits until the tasks that still hold one have let go of it.
    async fn all_closed(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.closed.notified().await;
        }
    }
}

/// Takes what ends.
#[derive(Debug)]
struct Queue {
    queue: mpsc::WeakSender<SpanData>,
    spans: Arc<Spans>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {
        self.spans.open.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, mut span: SpanData) {
        span.span_kind = match &*span.name {
            "caller" => SpanKind::Server,
            "upstream request" => SpanKind::Client,
            _ => SpanKind::Internal,
        };
        let queue = self.queue.upgrade();
        if queue.is_none_or(|queue| queue.try_send(span).is_err()) {
            self.spans.lost.fetch_add(1, Ordering::Relaxed);
        }
        if self.spans.open.fetch_sub(1, Ordering::Release) == 1 {
            self.spans.closed.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Empties the queue.
struct Exporter {
    queued: mpsc::Receiver<SpanData>,
    receiver: Receiver,
    resource: ResourceAttributesWithSchema,
    spans: Arc<Spans>,
    /// Lost with requests, and not told of.
    lost: u64,
    /// Why the last of them failed.
    why: Option<String>,
    /// When somebody was last told.
    told: Option<Instant>,
}

impl Exporter {
    /// Until the queue is closed and empty.
    async fn run(mut self) {
        loop {
            let batch = self.batch().await;
            let count = batch.len() as u64;
            if count == 0 {
                return self.tell("they came after the end");
            }
            let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
            let request = ExportTraceServiceRequest { resource_spans };
            let sent = timeout(REQUEST, self.receiver.post(request.encode_to_vec())).await;
            let sent = sent.context("it did not answer in time").flatten();
            match sent {
                Ok(0) => {}
                Ok(rejected) => self.lose(rejected, "the receiver rejects them".to_owned()),
                Err(error) => self.lose(count, format!("{error:#}")),
            }
            if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
                self.tell("there are more than can be sent");
            }
        }
    }

    /// Spans that end at about the same time; none where there will be none any more.
    async fn batch(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        self.queued.recv_many(&mut batch, BATCH).await;
        let filled = async {
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                if self.queued.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        // What came until then is there.
        let _ = timeout(DELAY, filled).await;
        batch
    }

    fn lose(&mut self, spans: u64, why: String) {
        self.lost += spans;
        self.why = Some(why);
    }

    /// Says what was lost since this was last said, if anything was: why the last requests failed, or else
    /// `otherwise`.
    fn tell(&mut self, otherwise: &str) {
        let why = self.why.take();
        let why = why.as_deref().unwrap_or(otherwise);
        let spans = mem::take(&mut self.lost) + self.spans.lost.swap(0, Ordering::Relaxed);
        if spans > 0 {
            let receiver = &self.receiver.url;
            tracing::warn!(spans, %receiver, why, "spans are lost to traces");
            self.told = Some(Instant::now());
        }
    }
}

/// Who takes traces.
struct Receiver {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
}

impl Receiver {
    fn new(config: &TracesConfig) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(Roots::System.config())
            .https_or_http()
            .enable_http1()
            .build();
        let mut headers = config.headers();
        let kind = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, kind);
        Self {
            http: Client::builder(TokioExecutor::new()).build(https),
            url: config.otlp.traces().clone(),
            headers,
        }
    }

    /// Posts one request; how many of its spans were rejected.
    async fn post(&self, request: Vec<u8>) -> anyhow::Result<u64> {
        let mut post = Request::post(&self.url).body(Full::from(request))?;
        post.headers_mut().clone_from(&self.headers);
        let response = self
            .http
            .request(post)
            .await
            .context("it was not reached")?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "it answered {status}");
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        let body = body.map_err(|_| anyhow::anyhow!("its answer was not read"))?;
        // Whatever else it says, it has taken them.
        let answer = ExportTraceServiceResponse::decode(body.to_bytes()).unwrap_or_default();
        let rejected = answer.partial_success.map(|partly| partly.rejected_spans);
        Ok(rejected.unwrap_or_default().try_into().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use opentelemetry::trace::Tracer;

    use super::*;

    /// What ends of this tracer's goes into `queue`.
    fn tracer(queue: &mpsc::Sender<SpanData>, spans: &Arc<Spans>) -> SdkTracer {
        let queue = Queue {
            queue: queue.downgrade(),
            spans: Arc::clone(spans),
        };
        let provider = SdkTracerProvider::builder().with_span_processor(queue);
        provider.build().tracer("test")
    }

    #[test]
    fn a_span_that_finds_the_queue_full_or_closed_is_lost_and_counted() {
        let (queue, queued) = mpsc::channel(2);
        let spans = Arc::<Spans>::default();
        let tracer = tracer(&queue, &spans);
        let lost = || spans.lost.load(Ordering::Relaxed);
        (0..5).for_each(|_| drop(tracer.start("flight")));
        assert_eq!((queued.len(), lost()), (2, 3));
        drop(queue);
        drop(tracer.start("flight"));
        assert_eq!((queued.len(), lost()), (2, 4));
    }

    #[tokio::test]
    async fn a_span_that_is_open_when_the_end_begins_is_waited_for() {
        let (queue, mut queued) = mpsc::channel(2);
        let spans = Arc::<Spans>::default();
        let open = tracer(&queue, &spans).start("flight");
        let traces = Traces {
            queue,
            spans: Arc::clone(&spans),
            exporting: tokio::spawn(async move { while queued.recv().await.is_some() {} }),
        };
        let mut end = pin!(traces.end());
        assert!(poll!(end.as_mut()).is_pending());
        drop(open);
        end.await;
        assert_eq!(spans.lost.load(Ordering::Relaxed), 0);
    }
}
