//! Certificates of upstreams and of clients: which are accepted, and what the log says about the others.

use oneflight_tests::folder::Folder;
use oneflight_tests::process::run;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, date_time_ymd,
};

/// Standard error of one call to an upstream with the certificate of `server`, by the name `localhost`, with `flags`;
/// and whether it succeeded. The upstream gets no request unless it did.
async fn call(server: &Identity, flags: &[&str]) -> (bool, String) {
    let upstream = Upstream::start_at("127.0.0.1", Answer::Items, Some(server)).await;
    let url = format!("https://localhost:{}/{{x}}", upstream.address().port());
    let output = run(&[&["get", "1", "--base-url", &url], flags].concat()).await;
    let succeeded = output.status.success();
    assert_eq!(upstream.requests(), usize::from(succeeded));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    (succeeded, log)
}

/// The same with the certificate of `given` as the only trusted one.
async fn trusting(given: &Identity, server: &Identity) -> (bool, String) {
    let folder = Folder::new();
    let file = folder.write("ca.pem", given.pem().as_bytes());
    call(server, &["--ca-file", &file]).await
}

fn ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

// fault 63
#[tokio::test]
async fn each_fault_of_a_certificate_is_logged_with_what_to_do_about_it() {
    let made =
        |names: &[&str], change: fn(&mut CertificateParams)| Identity::changed(names, change);
    let localhost = &["localhost"][..];
    for (server, reason, hint) in [
        (
            made(localhost, |params| {
                params.not_after = date_time_ymd(2020, 1, 1)
            }),
            "certificate expired",
            "; renew the upstream's certificate, or correct this machine's clock ",
        ),
        (
            made(localhost, |params| {
                params.not_before = date_time_ymd(3020, 1, 1)
            }),
            "certificate not valid yet",
            "; correct this machine's clock, or wait until the certificate is valid ",
        ),
        (
            made(&["other.example"], |_| {}),
            "not valid for name \"localhost\"",
            "; use a name of the certificate in the URL, or reissue it with subjectAltName=DNS:localhost ",
        ),
        (
            made(&[], |_| {}),
            "not valid for name \"localhost\"",
            "; the common name (CN) of a certificate is not used: reissue it with subjectAltName=DNS:localhost ",
        ),
        (
            made(localhost, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "does not allow extended key usage",
            "; reissue the certificate with extendedKeyUsage=serverAuth ",
        ),
    ] {
        let (succeeded, log) = trusting(&server, &server).await;
        assert!(
            !succeeded && log.contains(reason) && log.contains(hint),
            "{log}"
        );
    }
    // Certificates that are not the given one.
    for (server, reason, hint) in [
        (
            made(localhost, |_| {}),
            "BadSignature",
            "; a trusted certificate has the name of its issuer and another key: give the present root with --ca-file ",
        ),
        (
            made(localhost, |params| {
                params
                    .distinguished_name
                    .push(DnType::CommonName, "another");
            }),
            "UnknownIssuer",
            "; to trust its certificate, give its root with --ca-file; the upstream must send the certificates \
             between the two ",
        ),
        (
            made(localhost, ca),
            "CaUsedAsEndEntity",
            "; the upstream's certificate is that of a CA: give this very certificate with --ca-file, or reissue it \
             with basicConstraints=CA:FALSE ",
        ),
    ] {
        let (succeeded, log) = trusting(&Identity::changed(localhost, ca), &server).await;
        assert!(
            !succeeded && log.contains(reason) && log.contains(hint),
            "{log}"
        );
    }
}

// fault 63
// What `openssl req -x509` makes.
#[tokio::test]
async fn a_self_signed_certificate_of_a_ca_is_accepted_if_it_is_the_given_one_and_valid() {
    let right = Identity::changed(&["localhost"], ca);
    let (succeeded, log) = trusting(&right, &right).await;
    assert!(succeeded, "{log}");
    let other_name = Identity::changed(&["other.example"], ca);
    let expired = Identity::changed(&["localhost"], |params| {
        ca(params);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = Identity::changed(&["localhost"], |params| {
        ca(params);
        params.not_before = date_time_ymd(3020, 1, 1);
    });
    for (server, reason) in [
        (other_name, "not valid for name"),
        (expired, "certificate expired"),
        (early, "certificate not valid yet"),
    ] {
        let (succeeded, log) = trusting(&server, &server).await;
        assert!(!succeeded && log.contains(reason), "{log}");
    }
}

// fault 64
#[tokio::test]
async fn a_client_identifies_itself_by_its_certificate_where_one_is_requested() {
    let client = Identity::new(&["client.example"]);
    let server = Identity::new(&["localhost"]).requesting(&client);
    let other = Identity::new(&["client.example"]);
    let folder = Folder::new();
    let ca = folder.write("ca.pem", server.pem().as_bytes());
    let write = |name: &str, identity: &Identity| {
        let certificate = folder.write(&format!("{name}.pem"), identity.pem().as_bytes());
        let key = folder.write(&format!("{name}.key"), identity.key_pem().as_bytes());
        (certificate, key)
    };
    let ((certificate, key), (others, _)) = (write("client", &client), write("other", &other));
    let with = |certificate, key| {
        [
            "--client-certificate",
            certificate,
            "--client-key",
            key,
            "--ca-file",
            &*ca,
        ]
    };
    let (succeeded, log) = call(&server, &with(&certificate, &key)).await;
    assert!(succeeded, "{log}");
    // The upstream is verified all the same.
    let (succeeded, log) = call(&Identity::new(&["localhost"]), &with(&certificate, &key)).await;
    assert!(!succeeded && log.contains("BadSignature"), "{log}");
    let (succeeded, log) = call(&server, &["--ca-file", &ca]).await;
    let hint =
        "; the upstream expects a client certificate: set client_certificate and client_key ";
    assert!(!succeeded && log.contains(hint), "{log}");
    let (succeeded, log) = call(&server, &with(&others, &key)).await;
    let mismatch =
        "expected the private key of the certificate in client_certificate, got another key";
    assert!(!succeeded && log.contains(mismatch), "{log}");
    // Nothing of a key is in a message about it.
    let secret = client
        .key_pem()
        .replace("BEGIN PRIVATE KEY", "BEGIN A SECRET");
    let broken = folder.write("broken.key", secret.as_bytes());
    let (succeeded, log) = call(&server, &with(&certificate, &broken)).await;
    assert!(
        !succeeded && log.contains("expected an unencrypted PEM private key"),
        "{log}"
    );
    let lines: Vec<_> = secret.lines().collect();
    assert!(lines.iter().all(|line| !log.contains(line)), "{log}");
}

// fault 64
#[tokio::test]
async fn a_client_certificate_without_its_key_is_refused() {
    let identity = Identity::new(&["client.example"]);
    let folder = Folder::new();
    folder.write("client.pem", identity.pem().as_bytes());
    folder.write("client.key", identity.key_pem().as_bytes());
    for (settings, expected) in [
        (
            "client_certificate = 'client.pem'",
            "expected client_key beside client_certificate",
        ),
        (
            "client_key = 'client.key'",
            "expected client_certificate beside client_key",
        ),
        (
            "client_certificate = 'none.pem'\nclient_key = 'client.key'",
            "could not read",
        ),
        (
            "client_certificate = 'client.key'\nclient_key = 'client.key'",
            "expected a PEM certificate",
        ),
    ] {
        let config = format!("[clients.a]\nbase_url = 'https://localhost/{{x}}'\n{settings}\n");
        let file = folder.write("oneflight.toml", config.as_bytes());
        let output = run(&["config", "check", &file]).await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(expected), "{log}");
    }
    let config = "[clients.a]\nbase_url = 'https://localhost/{x}'\n\
                  client_certificate = 'client.pem'\nclient_key = 'client.key'\n";
    let file = folder.write("oneflight.toml", config.as_bytes());
    assert!(run(&["config", "check", &file]).await.status.success());
}
