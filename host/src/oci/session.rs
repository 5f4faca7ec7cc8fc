//! [`Session`]: the requests of one pull or push to one repository, authenticated as its registry expects.

use std::time::Duration;

use ::http::uri::Scheme;
use ::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::auth::{AuthScheme, MAX_TOKEN_BYTES, basic, bearer, token_request};
use super::credentials::{Credentials, Secret};
use super::error::OciProblem;
use super::http::{Http, Origin};
use super::manifest::{ACCEPTED, Blob, MANIFEST_TYPE, MAX_MANIFEST_BYTES};
use super::reference::{RegistryHost, Repository, Sha256Digest, Version};

/// Requests to one repository.
pub(super) struct Session<'a> {
    http: &'a Http,
    repository: &'a Repository,
    origin: Origin,
    authorization: Option<HeaderValue>,
    /// Which credentials are used, for messages.
    credentials: String,
}

/// What is done with the repository.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Pull,
    Push,
}

impl<'a> Session<'a> {
    /// Finds out how to connect to the registry, and authenticates.
    pub(super) async fn open(
        http: &'a Http,
        repository: &'a Repository,
        action: Action,
    ) -> Result<Self, OciProblem> {
        let response_timeout = http.response_timeout();
        let registry = repository.registry();
        let origin = origin(http, registry).await?;
        let home = origin.url("/v2/");
        let request = Request::get(&home).body(Bytes::new());
        let request =
            request.map_err(|_| OciProblem::Malformed("a host that is no host".to_owned()))?;
        let response = http.send(request, response_timeout).await?;
        let scheme = match response.status() {
            StatusCode::UNAUTHORIZED => AuthScheme::of(response.headers()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let what = "an answer of the registry";
                return Err(OciProblem::Status { status, what });
            }
            _ => AuthScheme::None,
        };
        let mut session = Self {
            http,
            repository,
            origin,
            authorization: None,
            credentials: "no credentials (the registry did not request any)".to_owned(),
        };
        if scheme != AuthScheme::None {
            let reading = spawn_blocking({
                let registry = registry.clone();
                move || Credentials::read(&registry)
            });
            let read = timeout(response_timeout, reading).await;
            let read = read.map_err(|_| OciProblem::TimedOut {
                what: "credentials from the credential helper",
                setting: "response_timeout",
            })?;
            let credentials =
                read.map_err(|error| OciProblem::Credentials(error.to_string()))??;
            session.credentials = credentials.to_string();
            session.authenticate(&scheme, &credentials, action).await?;
        }
        Ok(session)
    }

    async fn authenticate(
        &mut self,
        scheme: &AuthScheme,
        credentials: &Credentials,
        action: Action,
    ) -> Result<(), OciProblem> {
        let (realm, service) = match (scheme, &credentials.secret) {
            (AuthScheme::Basic, Secret::Password { user, password }) => {
                self.authorization = basic(user, password);
                return Ok(());
            }
            (AuthScheme::Bearer { realm, service }, _) => (realm, service.as_deref()),
            _ => return Ok(()),
        };
        let server = realm.parse::<Uri>().ok().as_ref().and_then(Origin::of);
        // A password is not sent in clear text because a registry says so.
        let is_permitted = |server: &Origin| {
            server.is_https() || (!self.origin.is_https() && self.http.may_be_plain(server))
        };
        if !server.as_ref().is_some_and(is_permitted) {
            let found = "a token server without https";
            return Err(OciProblem::Malformed(found.to_owned()));
        }
        let actions = match action {
            Action::Pull => "pull",
            Action::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.repository.name());
        let request = token_request(realm, service, &scope, &credentials.secret)?;
        let response = self
            .http
            .send(request, self.http.response_timeout())
            .await?;
        let response = self.expect(response, "a token of the registry")?;
        let what = "an answer of the token server";
        let answer = self
            .http
            .read(response, what, MAX_TOKEN_BYTES as u64)
            .await?;
        self.authorization = Some(bearer(&answer)?);
        Ok(())
    }

    /// The manifest of this version, and its digest.
    pub(super) async fn manifest(
        &self,
        version: &Version,
    ) -> Result<(Vec<u8>, Sha256Digest), OciProblem> {
        let name = match version {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        };
        let what = "the manifest of the artifact";
        let response = self.get(&format!("manifests/{name}"), ACCEPTED).await?;
        let response = self.expect(response, what)?;
        let stated = response.headers().get("docker-content-digest");
        let stated = stated.and_then(|stated| stated.to_str().ok()?.parse().ok());
        let bytes = self
            .http
            .read(response, what, MAX_MANIFEST_BYTES as u64)
            .await?;
        let found = Sha256Digest::of(&bytes);
        let expected = match version {
            Version::Digest(digest) => Some(*digest),
            Version::Tag(_) => stated,
        };
        expect_digest("a manifest", expected.unwrap_or(found), found)?;
        Ok((bytes, found))
    }

    /// The component, of at most `limit` bytes.
    pub(super) async fn component(&self, blob: Blob, limit: u64) -> Result<Vec<u8>, OciProblem> {
        let what = "a component";
        if blob.bytes > limit {
            return Err(OciProblem::TooLarge { what, limit });
        }
        let path = format!("blobs/{}", blob.digest);
        let response = self.get(&path, "*/*").await?;
        let response = self.expect(response, "the component of the artifact")?;
        let read = self.http.read(response, what, blob.bytes).await;
        let wrong = || OciProblem::WrongSize {
            expected: blob.bytes,
        };
        let bytes = read.map_err(|problem| match problem {
            OciProblem::TooLarge { .. } => wrong(),
            other => other,
        })?;
        if bytes.len() as u64 != blob.bytes {
            return Err(wrong());
        }
        expect_digest("a component", blob.digest, Sha256Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Uploads a blob in one piece, unless the registry has it.
    pub(super) async fn put_blob(&self, blob: Bytes, time: Duration) -> Result<(), OciProblem> {
        let what = "permission to upload a blob";
        let digest = Sha256Digest::of(&blob);
        let head = self.origin.url(&self.path(&format!("blobs/{digest}")));
        let found = self
            .request(Method::HEAD, &head, None, Bytes::new(), time)
            .await?;
        if found.status().is_success() {
            return Ok(());
        }
        let uploads = self.origin.url(&self.path("blobs/uploads/"));
        let begun = self
            .request(Method::POST, &uploads, None, Bytes::new(), time)
            .await?;
        let begun = self.expect(begun, what)?;
        let location = self.http.location(&begun, &uploads)?.to_string();
        let separator = if location.contains('?') { '&' } else { '?' };
        let location = format!(
            "{location}{separator}digest={}",
            digest.to_string().replace(':', "%3A")
        );
        let location: Uri = location
            .parse()
            .map_err(|_| OciProblem::Redirect("a location that is no URL".to_owned()))?;
        let kind = Some("application/octet-stream");
        let put = self
            .request(Method::PUT, &location, kind, blob, time)
            .await?;
        self.expect(put, "an upload that is complete").map(drop)
    }

    /// Stores a manifest under its tag or its digest.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        manifest: Vec<u8>,
        time: Duration,
    ) -> Result<(), OciProblem> {
        let url = self.origin.url(&self.path(&format!("manifests/{name}")));
        let put = self.request(
            Method::PUT,
            &url,
            Some(MANIFEST_TYPE),
            manifest.into(),
            time,
        );
        self.expect(put.await?, "a manifest that is stored")
            .map(drop)
    }

    async fn get(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<Response<Incoming>, OciProblem> {
        let authorization = self.authorization.as_ref();
        self.http
            .get(&self.origin, &self.path(path), accept, authorization)
            .await
    }

    async fn request(
        &self,
        method: Method,
        url: &Uri,
        kind: Option<&'static str>,
        body: Bytes,
        time: Duration,
    ) -> Result<Response<Incoming>, OciProblem> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(authorization) = self
            .authorization
            .as_ref()
            .filter(|_| self.origin.is_of(url))
        {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(body);
        let request =
            request.map_err(|_| OciProblem::Redirect("a location that is no URL".to_owned()))?;
        self.http.send(request, time).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository.name())
    }

    /// `response`, if it has a status of success. The body of another one is not read.
    fn expect(
        &self,
        response: Response<Incoming>,
        what: &'static str,
    ) -> Result<Response<Incoming>, OciProblem> {
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(OciProblem::Refused {
                status,
                credentials: self.credentials.clone(),
            }),
            StatusCode::NOT_FOUND => Err(OciProblem::NotFound(what)),
            status if status.is_success() => Ok(response),
            status => Err(OciProblem::Status { status, what }),
        }
    }
}

/// Where the registry is. One on this machine may speak TLS or not; others do, unless the settings list them.
async fn origin(http: &Http, registry: &RegistryHost) -> Result<Origin, OciProblem> {
    let with = |scheme| {
        let malformed = || OciProblem::Malformed("a host that is no host".to_owned());
        Origin::new(scheme, registry).ok_or_else(malformed)
    };
    let (plain, tls) = (with(Scheme::HTTP)?, with(Scheme::HTTPS)?);
    let is_plain = if registry.is_loopback() {
        http.is_plain(&tls).await
    } else {
        http.may_be_plain(&plain)
    };
    Ok(if is_plain { plain } else { tls })
}

fn expect_digest(
    what: &'static str,
    expected: Sha256Digest,
    found: Sha256Digest,
) -> Result<(), OciProblem> {
    if expected == found {
        return Ok(());
    }
    Err(OciProblem::WrongDigest {
        what,
        expected,
        found,
    })
}
