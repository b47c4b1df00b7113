//! The policy that a server keeps is found out, whatever its make.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use certkeeper::gateway::{
    Dial, ProxyHeader, Stream, TcpDial,
    wire::{Expectation, KYMA_SUITES, Observed, Outcome, Redirect, Survey, Version, judge, survey},
};
use certkeeper_simulator::{
    ApiServer,
    ca::Issued,
    gateway::{LoopbackGateway, Settings},
};
use futures::future::BoxFuture;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::servers::{PATIENCE, PKI, Tcp, nginx, openssl};

async fn observe(address: SocketAddr, redirect: Option<SocketAddr>) -> Observed {
    let questions =
        Survey { address, name: "a.example.com", proxy: ProxyHeader::None, redirect, limit: PATIENCE, at_once: 4 };
    survey(&TcpDial, &questions).await
}

fn versions(observed: &Observed) -> Vec<Version> {
    let accepted = observed.versions.iter().filter(|(_, outcome)| outcome.is_accepted());
    accepted.map(|(version, _)| *version).collect()
}

fn suites(observed: &Observed) -> Vec<&'static str> {
    let accepted = observed.suites.iter().filter(|(_, outcome)| outcome.is_accepted());
    accepted.map(|(suite, _)| suite.name).collect()
}

fn findings(observed: &Observed, pair: &Issued) -> Vec<&'static str> {
    let key = if pair.fingerprint() == PKI.ecdsa.fingerprint() { "ECDSA P-256" } else { "RSA 2048" };
    let (_, findings) = judge(&Expectation::kyma(), observed, Some(key));
    findings.iter().map(|finding| finding.check.name).collect()
}

/// A pair, options of OpenSSL's server; versions and suites that it then takes, and what Kyma's policy says of that.
type Case = (&'static Issued, Vec<&'static str>, &'static [Version], Vec<&'static str>, Vec<&'static str>);

fn cases() -> Vec<Case> {
    use Version::{Tls10, Tls11, Tls12, Tls13};
    const KYMAS: &str = "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA:\
                         ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA";
    const OUTSIDE: &str = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:AES256-SHA256:@SECLEVEL=0";
    const OLD: &str = "ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0";
    let (rsa, ecdsa) = (&PKI.rsa, &PKI.ecdsa);
    vec![
        (rsa, vec!["-cipher", KYMAS], &[Tls12, Tls13], KYMA_SUITES.to_vec(), vec![]),
        (
            rsa,
            vec!["-tls1_2", "-cipher", KYMAS],
            &[Tls12],
            KYMA_SUITES.to_vec(),
            vec!["policy-newest-version", "policy-stuck"],
        ),
        (rsa, vec!["-tls1_3"], &[Tls13], vec![], vec!["policy-version-refused", "policy-stuck"]),
        // It asks for another key share first (HelloRetryRequest): that is an acceptance, too.
        (rsa, vec!["-groups", "P-384", "-cipher", KYMAS], &[Tls12, Tls13], KYMA_SUITES.to_vec(), vec![]),
        (
            rsa,
            vec!["-min_protocol", "TLSv1.2", "-cipher", OUTSIDE],
            &[Tls12, Tls13],
            vec!["ECDHE-RSA-AES128-GCM-SHA256", "AES256-SHA256", "AES128-SHA"],
            vec!["policy-suite-outside", "policy-suite-missing", "policy-stuck"],
        ),
        (
            rsa,
            vec!["-min_protocol", "TLSv1", "-max_protocol", "TLSv1.2", "-cipher", OLD],
            &[Tls10, Tls11, Tls12],
            vec!["ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA"],
            vec![
                "policy-old-version",
                "policy-old-version",
                "policy-newest-version",
                "policy-suite-missing",
                "policy-stuck",
            ],
        ),
        // As with Envoy: none of the five can be used with an ECDSA key.
        (ecdsa, vec!["-cipher", KYMAS], &[Tls13], vec![], vec!["policy-suites-key"]),
        (
            ecdsa,
            vec!["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            &[Tls12, Tls13],
            vec!["ECDHE-ECDSA-AES128-GCM-SHA256"],
            vec!["policy-suite-outside", "policy-suite-missing", "policy-stuck"],
        ),
    ]
}

#[tokio::test]
async fn openssl_is_seen_to_accept_what_it_was_told_to_accept() {
    for (pair, options, accepted, listed, found) in cases() {
        let server = openssl(pair, &options);
        let observed = observe(server.address, None).await;
        assert_eq!(versions(&observed), accepted, "{options:?}: {observed:?}");
        assert_eq!(suites(&observed), listed, "{options:?}: {observed:?}");
        assert_eq!(findings(&observed, pair), found, "{options:?}: {observed:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_with_the_servers_alert() {
    let server = openssl(&PKI.ecdsa, &["-min_protocol", "TLSv1.2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]);
    let observed = observe(server.address, None).await;
    let refused = |version| match observed.version(version) {
        Some(Outcome::Refused(how)) => how.clone(),
        other => panic!("{version:?}: {other:?}"),
    };
    assert_eq!(refused(Version::Tls10), "alert 70, protocol_version");
    assert_eq!(refused(Version::Tls12), "alert 40, handshake_failure");
}

#[tokio::test]
async fn plain_http_is_told_apart_by_what_it_answers() {
    let server = openssl(&PKI.rsa, &[]);
    let moved = "HTTP/1.1 301 Moved Permanently\r\nlocation: https://a.example.com:8080/\r\n\r\n";
    type Wanted = fn(&Redirect) -> bool;
    let cases: [(&str, Wanted); 5] = [
        (moved, |seen| matches!(seen, Redirect::ToHttps { status: 301, location } if location.ends_with(":8080/"))),
        ("HTTP/1.1 302 Found\r\nLocation: https://a.example.com/\r\n\r\n", |seen| {
            matches!(seen, Redirect::ToHttps { status: 302, .. }) && !seen.is_permanent()
        }),
        ("HTTP/1.1 200 OK\r\n\r\nhello", |seen| matches!(seen, Redirect::Other { status: 200, location: None })),
        ("", |seen| matches!(seen, Redirect::Closed(_))),
        ("SSH-2.0-x\r\n", |seen| matches!(seen, Redirect::Unknown(_))),
    ];
    for (answer, wanted) in cases {
        let plain = Tcp::answering(answer).await;
        let observed = observe(server.address, Some(plain.address)).await;
        assert!(observed.redirect.as_ref().is_some_and(wanted), "{answer}: {:?}", observed.redirect);
    }
    let endless = Tcp::answering(format!("HTTP/1.1 301 X\r\nlocation: https://{}", "a".repeat(100_000))).await;
    let observed = observe(server.address, Some(endless.address)).await;
    assert!(matches!(observed.redirect, Some(Redirect::Unknown(_))), "{:?}", observed.redirect);
}

#[tokio::test]
async fn a_server_that_is_no_tls_or_says_nothing_is_unknown_and_not_refusing() {
    for (answer, wanted) in [("HTTP/1.1 400 Bad\r\n\r\n", "policy-unknown"), ("", "policy-version-refused")] {
        let server = Tcp::answering(answer).await;
        let observed = observe(server.address, None).await;
        assert!(findings(&observed, &PKI.rsa).contains(&wanted), "{answer}: {observed:?}");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    assert_eq!(findings(&observe(address, Some(address)).await, &PKI.rsa), ["policy-unknown", "policy-unknown"]);
}

#[tokio::test]
async fn the_simulators_gateway_is_seen_to_refuse_what_rustls_does_not_know() {
    let server = ApiServer::new();
    let api: Api<Secret> = Api::namespaced(server.client(), "default");
    let data = [("tls.crt", PKI.rsa.certificate()), ("tls.key", PKI.rsa.key().to_owned())];
    let data: BTreeMap<_, _> = data.into_iter().map(|(k, v)| (k.to_owned(), ByteString(v.into_bytes()))).collect();
    let metadata = ObjectMeta { name: Some("certs".into()), ..ObjectMeta::default() };
    let secret = Secret { metadata, data: Some(data), ..Secret::default() };
    api.create(&PostParams::default(), &secret).await.expect("created");
    let settings = Settings::new("one", "default", "certs", &["*.example.com"]);
    let gateway = LoopbackGateway::start(server.client(), settings).await.expect("a gateway");
    gateway.wait_for(PATIENCE, |seen| seen.serving.is_some()).await.expect("it serves");
    let observed = observe(gateway.address(), None).await;
    assert_eq!(versions(&observed), [Version::Tls12, Version::Tls13], "{observed:?}");
    let known = ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"];
    assert_eq!(suites(&observed), known, "{observed:?}");
    assert_eq!(findings(&observed, &PKI.rsa), ["policy-suite-missing", "policy-stuck"]);
}

#[tokio::test]
async fn nginx_with_kymas_policy_keeps_it_with_its_redirect() {
    let name = "nginx_with_kymas_policy_keeps_it_with_its_redirect";
    let Some((nginx, plain, _)) = nginx(name, &PKI.rsa) else { return };
    let observed = observe(nginx.address, Some(SocketAddr::new(nginx.address.ip(), plain))).await;
    assert_eq!(suites(&observed), KYMA_SUITES, "{observed:?}");
    assert_eq!(findings(&observed, &PKI.rsa), Vec::<&str>::new(), "{observed:?}");
}

/// A server that takes every suite that it is offered, and its time for each.
#[derive(Debug, Clone, Copy)]
struct Sluggish(Duration);

impl Dial for Sluggish {
    fn dial(&self, _address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let wait = self.0;
        Box::pin(async move {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move {
                let mut hello = [0; 4096];
                let length = far.read(&mut hello).await?;
                tokio::time::sleep(wait).await;
                // The first suite on offer, after version, random and an empty session id; TLS 1.2 only.
                let suite = [hello[46], hello[47]];
                let body = [&[3, 3][..], &[7; 32], &[0], &suite, &[0]].concat();
                let answer = [&[22, 3, 3, 0, 42, 2, 0, 0, 38][..], &body].concat();
                assert!(length > 60);
                far.write_all(&answer).await
            });
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_its_time_with_each_question_is_left_in_the_end() {
    const LIMIT: Duration = Duration::from_secs(5);
    let questions = Survey {
        address: SocketAddr::from(([192, 0, 2, 1], 443)),
        name: "192.0.2.1",
        proxy: ProxyHeader::None,
        redirect: None,
        limit: LIMIT,
        at_once: 4,
    };
    let begin = Instant::now();
    let quick = survey(&Sluggish(Duration::ZERO), &questions).await;
    assert!(quick.suites.iter().all(|(_, outcome)| outcome.is_accepted()), "{quick:?}");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let slow = survey(&Sluggish(LIMIT - Duration::from_millis(1)), &questions).await;
    assert!(begin.elapsed() <= LIMIT * 7, "{:?}", begin.elapsed());
    let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(why) if why.contains("was over"));
    assert_eq!(slow.suites.iter().filter(|(_, outcome)| outcome.is_accepted()).count(), 7, "{slow:?}");
    assert_eq!(slow.suites.iter().filter(|(_, outcome)| unknown(outcome)).count(), slow.suites.len() - 7);
    let late = survey(&Sluggish(LIMIT + Duration::from_millis(1)), &questions).await;
    assert!(late.suites.iter().all(|(_, outcome)| matches!(outcome, Outcome::Unknown(_))), "{late:?}");
}
