//! [`Traces`]: the spans of callers, flights and upstream requests, exported by OTLP over HTTP.
//!
//! Invariant: no call waits for the export. A span that ends is put into a bounded queue, and is lost if that is full;
//! one task sends the queue's spans, one request at a time, and the spans of a failed request are lost. Lost spans are
//! counted and logged, at most once a minute.
//!
//! Messages, ids and sampling are OpenTelemetry's. The queue and the sending are not, because `BatchSpanProcessor` of
//! `opentelemetry_sdk` 0.33 does not fit:
//!
//! - It exports on a thread of its own by `futures_executor::block_on`, outside of any runtime, so an asynchronous
//!   HTTP client does not work there. Its variant for runtimes is experimental.
//! - Its counter of dropped spans is private, and logged once, at the shutdown. Spans after the shutdown are not
//!   counted. A processor around it cannot count either: `on_end` does not return whether the queue was full.
//! - Its default configuration reads `OTEL_BSP_*` from the environment, and the exporter of `opentelemetry-otlp` reads
//!   `OTEL_EXPORTER_OTLP_*`. What a service does would then depend on more than its configuration.
//!
//! A span's kind is derived from its name here. As a field of the span it would be on each of its lines in the log.

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

/// Queued spans: more than 10,000 callers of one key create at the same time, about 10 MB.
const MAX_QUEUED: usize = 16_384;

/// Spans in one request: the default of collectors, a few hundred kilobytes.
const MAX_BATCH: usize = 512;

/// The time after its first span at which an incomplete batch is sent.
const BATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// One request, including its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Sending the remaining spans, at the shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two log lines about lost spans.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The longest response that is read.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// The export of traces.
pub(super) struct Traces {
    /// The exporter ends when it is dropped.
    queue: mpsc::Sender<SpanData>,
    spans: Arc<SpanCounts>,
    exporting: JoinHandle<()>,
}

/// Counts recorded spans. Written when they begin and end, read by the exporter.
#[derive(Debug, Default)]
struct SpanCounts {
    /// Open spans. A span begins here when its context is first read: a flight's with its first request, a caller's
    /// when it ends. The shutdown of the service itself waits for callers.
    open: AtomicUsize,
    /// Notified when no span is open any more.
    closed: Notify,
    /// Lost since the exporter last read it.
    lost: AtomicU64,
}

impl Traces {
    /// Starts exporting what the tracer records.
    pub(super) fn start(config: &TracesConfig) -> (SdkTracer, Self) {
        let resource = Resource::builder_empty()
            .with_service_name("oneflight")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let spans = Arc::<SpanCounts>::default();
        let exporter = Exporter {
            queued,
            receiver: OtlpReceiver::new(config),
            resource: ResourceAttributesWithSchema::from(&resource),
            spans: Arc::clone(&spans),
            lost: 0,
            reason: None,
            last_logged: None,
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.sample,
            ))))
            .with_span_processor(QueueingProcessor {
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

    /// Sends the remaining spans, within a time limit. The flights have landed by then.
    pub(super) async fn shutdown(self) {
        let Self {
            queue,
            spans,
            exporting,
        } = self;
        let sent = timeout(FLUSH_TIMEOUT, async {
            spans.all_closed().await;
            drop(queue);
            exporting.await
        });
        if sent.await.is_err() {
            tracing::warn!("not all spans could be sent within the flush timeout");
        }
    }
}

impl SpanCounts {
    /// Waits until no task holds a span.
    async fn all_closed(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.closed.notified().await;
        }
    }
}

/// Puts ended spans into the queue.
#[derive(Debug)]
struct QueueingProcessor {
    queue: mpsc::WeakSender<SpanData>,
    spans: Arc<SpanCounts>,
}

impl SpanProcessor for QueueingProcessor {
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

/// Sends the spans of the queue.
struct Exporter {
    queued: mpsc::Receiver<SpanData>,
    receiver: OtlpReceiver,
    resource: ResourceAttributesWithSchema,
    spans: Arc<SpanCounts>,
    /// Lost with failed requests, and not logged yet.
    lost: u64,
    /// Why the last of these failed.
    reason: Option<String>,
    last_logged: Option<Instant>,
}

impl Exporter {
    /// Runs until the queue is closed and empty.
    async fn run(mut self) {
        loop {
            let batch = self.batch().await;
            let count = batch.len() as u64;
            if count == 0 {
                return self.log_lost("they ended after the shutdown");
            }
            let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
            let request = ExportTraceServiceRequest { resource_spans };
            let sent = timeout(REQUEST_TIMEOUT, self.receiver.post(request.encode_to_vec())).await;
            let sent = sent
                .context("the receiver did not respond in time")
                .flatten();
            match sent {
                Ok(0) => {}
                Ok(rejected) => self.lose(rejected, "the receiver rejected them".to_owned()),
                Err(error) => self.lose(count, format!("{error:#}")),
            }
            if self
                .last_logged
                .is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL)
            {
                self.log_lost("the queue was full");
            }
        }
    }

    /// The next spans; empty when the queue is closed and empty.
    async fn batch(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        self.queued.recv_many(&mut batch, MAX_BATCH).await;
        let filled = async {
            while batch.len() < MAX_BATCH {
                let room = MAX_BATCH - batch.len();
                if self.queued.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        // A timeout leaves the spans that were received by then.
        let _ = timeout(BATCH_TIMEOUT, filled).await;
        batch
    }

    fn lose(&mut self, spans: u64, reason: String) {
        self.lost += spans;
        self.reason = Some(reason);
    }

    /// Logs how many spans were lost since the last time, if any: with the reason of the last failed request, or with
    /// `default_reason`.
    fn log_lost(&mut self, default_reason: &str) {
        let reason = self.reason.take();
        let reason = reason.as_deref().unwrap_or(default_reason);
        let spans = mem::take(&mut self.lost) + self.spans.lost.swap(0, Ordering::Relaxed);
        if spans > 0 {
            let receiver = &self.receiver.url;
            tracing::warn!(spans, %receiver, reason, "spans of traces are lost");
            self.last_logged = Some(Instant::now());
        }
    }
}

/// The receiver of traces, by OTLP over HTTP.
struct OtlpReceiver {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
}

impl OtlpReceiver {
    fn new(config: &TracesConfig) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(Roots::System.config(None))
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

    /// Posts one request. Returns how many of its spans the receiver rejected.
    async fn post(&self, request: Vec<u8>) -> anyhow::Result<u64> {
        let mut post = Request::post(&self.url).body(Full::from(request))?;
        post.headers_mut().clone_from(&self.headers);
        let response = self
            .http
            .request(post)
            .await
            .context("the receiver was not reached")?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "the receiver responded {status}");
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await;
        let body =
            body.map_err(|_| anyhow::anyhow!("the receiver's response could not be read"))?;
        // Any other body of a successful response means that all were accepted.
        let response = ExportTraceServiceResponse::decode(body.to_bytes()).unwrap_or_default();
        let rejected = response
            .partial_success
            .map(|partial| partial.rejected_spans);
        Ok(rejected.unwrap_or_default().try_into().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use opentelemetry::trace::Tracer;

    use super::*;

    /// A tracer whose ended spans go into `queue`.
    fn tracer(queue: &mpsc::Sender<SpanData>, spans: &Arc<SpanCounts>) -> SdkTracer {
        let queue = QueueingProcessor {
            queue: queue.downgrade(),
            spans: Arc::clone(spans),
        };
        let provider = SdkTracerProvider::builder().with_span_processor(queue);
        provider.build().tracer("test")
    }

    #[test]
    fn a_span_is_lost_and_counted_if_the_queue_is_full_or_closed() {
        let (queue, queued) = mpsc::channel(2);
        let spans = Arc::<SpanCounts>::default();
        let tracer = tracer(&queue, &spans);
        let lost = || spans.lost.load(Ordering::Relaxed);
        (0..5).for_each(|_| drop(tracer.start("flight")));
        assert_eq!((queued.len(), lost()), (2, 3));
        drop(queue);
        drop(tracer.start("flight"));
        assert_eq!((queued.len(), lost()), (2, 4));
    }

    #[tokio::test]
    async fn the_shutdown_waits_for_open_spans() {
        let (queue, mut queued) = mpsc::channel(2);
        let spans = Arc::<SpanCounts>::default();
        let open = tracer(&queue, &spans).start("flight");
        let traces = Traces {
            queue,
            spans: Arc::clone(&spans),
            exporting: tokio::spawn(async move { while queued.recv().await.is_some() {} }),
        };
        let mut shutdown = pin!(traces.shutdown());
        assert!(poll!(shutdown.as_mut()).is_pending());
        drop(open);
        shutdown.await;
        assert_eq!(spans.lost.load(Ordering::Relaxed), 0);
    }
}
