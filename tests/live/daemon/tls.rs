//! A Consul that speaks TLS and asks for a client certificate: what works, and what is said when something is wrong.

use super::service::Service;
use super::site::{APP, Site, app, dump};
use crate::pki::Pki;
use crate::support::{Agent, Options, eventually, set_mode};

/// The members of `consul:` for a certificate of this authority, shown to a server that `ca` vouches for.
fn with(pki: &Pki, ca: &str, client: &str) -> String {
    let file = |name: &str| pki.file(name).display().to_string();
    let (certificate, key) = (file(&format!("{client}.pem")), file(&format!("{client}.key")));
    format!("ca: {}, client_certificate: {{cert: {certificate}, key: {key}}}", file(ca))
}

fn agent(pki: &Pki) -> Agent {
    Agent::with(&Options { tls: Some(pki.folder().to_owned()), ..Options::default() })
}

#[test]
fn with_a_ca_and_a_client_certificate_it_deploys_over_tls() {
    let pki = Pki::new();
    pki.sign("client", &["lockstep"], 2100);
    let agent = agent(&pki);
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    site.reach(&agent.secure_address(), &with(&pki, "ca.pem", "client"));
    site.init();
    let _controller = site.start("one");
    site.until_steady();
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.until_steady();
    assert_eq!(agent.get("config/app/version").unwrap(), b"two");
}

/// How a server that refuses our certificate shows it: its alert arrives, or is lost with the connection that it closes.
const TURNED_AWAY: &str = "received fatal alert|closed the connection after the TLS handshake";

/// What `apply --once` says to a wrong configuration: the words in the order of the text; of some, one of several.
#[track_caller]
fn check(site: &mut Site, address: &str, members: &str, code: i32, words: &[&str]) {
    site.reach(address, members);
    let said = site.run(&["apply", "--once"]).exits(code);
    let text = format!("{}{}", said.out, said.err);
    let mut rest = text.as_str();
    for word in words {
        let found = word.split('|').filter_map(|word| Some((rest.find(word)?, word))).min();
        let (at, word) = found.unwrap_or_else(|| panic!("{word:?} is not in its place in:\n{text}"));
        rest = &rest[at + word.len()..];
    }
    assert!(!text.contains("PRIVATE KEY") && !text.contains("canary-token"), "{text}");
}

#[test]
fn what_is_wrong_between_two_sides_of_tls_is_said_with_its_place_and_what_to_do_and_nothing_is_written() {
    let pki = Pki::new();
    let other = Pki::new();
    for authority in [&pki, &other] {
        authority.sign("client", &["lockstep"], 2100);
    }
    pki.sign("old", &["lockstep"], 2001);
    let agent = agent(&pki);
    let mut site = Site::named("demo", &agent.address());
    site.variables.push(("CANARY", "canary-token".into()));
    site.init();
    let before = dump(&agent, "");
    let https = agent.secure_address();
    let (host, by_number) = (https.as_str(), https.replace("localhost", "127.0.0.1"));
    let token = ", token: {env: CANARY}";
    let members = |pki: &Pki, ca: &str, client: &str| with(pki, ca, client) + token;
    let ca = pki.file("ca.pem").display().to_string();

    let without = format!("ca: {ca}{token}");
    check(&mut site, host, &without, 4, &[host, TURNED_AWAY, "hint", "client_certificate: {cert: …, key: …}"]);
    let file = pki.file("old.pem").display().to_string();
    check(&mut site, host, &members(&pki, "ca.pem", "old"), 4, &[host, TURNED_AWAY, "hint", &file, "expired"]);
    let file = other.file("client.pem").display().to_string();
    let foreign = members(&other, "ca.pem", "client").replace(&other.file("ca.pem").display().to_string(), &ca);
    check(&mut site, host, &foreign, 4, &[host, TURNED_AWAY, "hint", &file, "CA"]);

    let file = other.file("ca.pem").display().to_string();
    let strange = members(&pki, "ca.pem", "client").replace(&ca, &file);
    check(&mut site, host, &strange, 4, &[host, "invalid peer certificate", "hint", "signed", &file]);
    let system = members(&pki, "ca.pem", "client").replace(&format!("ca: {ca}, "), "");
    check(&mut site, host, &system, 4, &[host, "invalid peer certificate", "hint", "ca: FILE"]);
    check(&mut site, &by_number, &members(&pki, "ca.pem", "client"), 4, &[&by_number, "127.0.0.1", "hint", "address:"]);
    check(&mut site, &https.replace("https", "http"), token.trim_start_matches(", "), 1, &["HTTPS server", "hint", "https://"]);
    check(
        &mut site,
        &agent.address().replace("http", "https"),
        &members(&pki, "ca.pem", "client"),
        4,
        &["https://127.0.0.1", "hint", "http://"],
    );

    // Files that are not what they should be: found before anything is sent.
    let missing = pki.file("none.pem").display().to_string();
    check(&mut site, host, &members(&pki, "none.pem", "client"), 1, &["read the CA", &missing, "No such file"]);
    let key = pki.file("client.key");
    let swapped = format!("ca: {}{token}", key.display());
    check(&mut site, host, &swapped, 1, &["read the CA", "client.key", "no PEM certificate"]);
    let mixed = members(&pki, "ca.pem", "client").replace("client.key", "old.key");
    check(&mut site, host, &mixed, 1, &["client.pem", "old.key", "hint", "belongs to"]);
    set_mode(&key, 0o640);
    check(&mut site, host, &members(&pki, "ca.pem", "client"), 1, &["client.key", "0640", "chmod 600"]);
    assert_eq!(dump(&agent, ""), before);
}

/// A server that closes each connection when the handshake is over, without an alert: what is left of one that was lost.
fn closing(pki: &Pki) -> String {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(pki.file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(pki.file("server.key")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = std::sync::Arc::new(versions.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut server = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = stream.unwrap();
            while server.is_handshaking() && server.complete_io(&mut stream).is_ok() {}
        }
    });
    address
}

#[test]
fn a_server_that_closes_right_after_the_handshake_is_asked_whether_it_wants_a_client_certificate() {
    let pki = Pki::new();
    pki.sign("client", &["lockstep"], 2100);
    let agent = Agent::start();
    let mut site = Site::named("demo", &agent.address());
    site.init();
    let address = closing(&pki);
    let without = format!("ca: {}", pki.file("ca.pem").display());
    let file = pki.file("client.pem").display().to_string();
    // The connection may end before the request is sent, while it is, and after.
    for _ in 0..10 {
        let closed = "closed the connection after the TLS handshake";
        check(&mut site, &address, &without, 4, &[&address, closed, "hint", "client_certificate: {cert: …, key: …}"]);
        check(&mut site, &address, &with(&pki, "ca.pem", "client"), 4, &[&address, closed, "hint", &file, "expired"]);
    }
}

#[test]
fn a_server_certificate_that_expired_is_said_so() {
    let pki = Pki::new();
    pki.sign("client", &["lockstep"], 2100);
    pki.sign("server", &["localhost"], 2001);
    let agent = agent(&pki);
    let mut site = Site::named("demo", &agent.address());
    site.init();
    let before = dump(&agent, "");
    let https = agent.secure_address();
    check(&mut site, &https, &with(&pki, "ca.pem", "client"), 4, &[&https, "expired", "hint", "renew"]);
    assert_eq!(dump(&agent, ""), before);
}

#[test]
fn a_client_certificate_that_is_renewed_counts_without_a_restart() {
    let pki = Pki::new();
    pki.sign("client", &["lockstep"], 2001);
    let agent = agent(&pki);
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.reach(&agent.secure_address(), &with(&pki, "ca.pem", "client"));
    let mut controller = site.start("one");
    eventually("it says that it is not let in", || TURNED_AWAY.split('|').any(|words| controller.log().contains(words)));
    pki.sign("client", &["lockstep"], 2100);
    site.until_steady();
    assert!(controller.runs());
}

/// Puts something in a file's place by one rename, as whoever renews certificates does.
fn replace(file: &std::path::Path, content: &[u8]) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    set_mode(&beside, 0o600);
    std::fs::rename(beside, file).unwrap();
}

#[test]
fn an_authority_that_is_replaced_while_the_controller_runs_counts_from_the_next_connection_on() {
    let (pki, next) = (Pki::new(), Pki::new());
    for authority in [&pki, &next] {
        authority.sign("client", &["lockstep"], 2100);
    }
    let read = |pki: &Pki, name: &str| std::fs::read(pki.file(name)).unwrap();
    let (old, new) = (read(&pki, "ca.pem"), read(&next, "ca.pem"));
    let both = [old.as_slice(), &new].concat();
    // Consul trusts clients of both all the time; whom the controller trusts is in a file of its own.
    let trusted = pki.file("trusted.pem");
    replace(&pki.file("ca.pem"), &both);
    replace(&trusted, &old);
    let tls = Some(pki.folder().to_owned());
    let mut agent = Agent::with(&Options { tls, durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.reach(&agent.secure_address(), &with(&pki, "trusted.pem", "client"));
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();

    let restart = |agent: &mut Agent| {
        agent.kill();
        agent.start_again();
        agent.wait();
    };
    let deploy = |site: &mut Site, version: &str| {
        site.repo.commit(version, &[(APP, &app(version))]);
        site.until_steady();
    };
    // As operators do it: both authorities, then certificates of the new one, then the new one alone.
    replace(&trusted, &both);
    for name in ["server.pem", "server.key", "client.pem", "client.key"] {
        replace(&pki.file(name), &read(&next, name));
    }
    restart(&mut agent);
    deploy(&mut site, "two");
    replace(&trusted, &new);
    restart(&mut agent);
    deploy(&mut site, "three");

    // What is half written serves nobody, and the one before serves on.
    replace(&trusted, b"-----BEGIN CERTIFICATE-----\n");
    restart(&mut agent);
    deploy(&mut site, "four");
    assert!(controller.log().contains("the one before serves on"), "{}", controller.log());

    // An authority that is taken away is trusted no more.
    replace(&trusted, &old);
    restart(&mut agent);
    site.repo.commit("five", &[(APP, &app("five"))]);
    eventually("it does not trust Consul any more", || controller.log().contains("invalid peer certificate"));
    assert_eq!(agent.get("config/app/version").unwrap(), b"four");
    replace(&trusted, &new);
    site.until_steady();
    assert!(controller.runs());
    assert!(!controller.log().contains("PRIVATE KEY"));
}
