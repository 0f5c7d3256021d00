//! T5, T6: bodies without an end, requests that never finish, more connections than there may be: bounded, and told so.

use std::io::Write as _;
use std::time::{Duration, Instant};

use lockstep::server::Limits;

use super::stage::{RECORDED, Request, Site};
use crate::support::signing::sign;

/// So short that a test of them takes no time, and so long that whoever behaves is never hit.
fn short() -> Limits {
    let time = Duration::from_millis(400);
    Limits { head_time: time, body_time: time, request_time: Duration::from_secs(2), write_time: time, ..Limits::default() }
}

fn site(limits: Limits) -> Site {
    Site::with(&[RECORDED], &[RECORDED], limits)
}

/// A right head of a body of this length.
fn head_of(length: u64) -> Vec<u8> {
    let request = Request::of_github(RECORDED, b"").without("content-length").and("content-length", length.to_string());
    request.head()
}

#[test]
fn t5_ten_gibibytes_are_refused_before_a_byte_of_them_is_read() {
    let site = site(Limits::default());
    for (length, status) in
        [("10737418240", 413), ("26214401", 413), ("99999999999999999999999", 400), ("-1", 400), ("1e3", 400)]
    {
        let mut connection = site.connect();
        let request = Request::of_github(RECORDED, b"").without("content-length").and("content-length", length);
        connection.write(&request.head());
        let answer = connection.answer();
        assert_eq!(answer.status, status, "{length}: {answer:?}");
        assert!(connection.try_answer().is_none(), "{length}: the connection goes on");
    }
    assert_eq!(site.counted("github", "body-too-large"), 2);
}

#[test]
fn t5_the_largest_delivery_is_accepted_and_one_byte_more_is_not() {
    let site = site(Limits { body_bytes: 100_000, ..Limits::default() });
    assert_eq!(site.send(&Request::of_github(RECORDED, &vec![b'x'; 100_000])).status, 202);
    assert_eq!(site.send(&Request::of_github(RECORDED, &vec![b'x'; 100_001])).code(), "body-too-large");
    assert_eq!(site.send(&Request::of_github(RECORDED, b"")).status, 202);
}

#[test]
fn t5_a_body_that_comes_slowly_or_stops_is_answered_in_time() {
    let site = site(short());
    for piece in [&b""[..], b"x"] {
        let began = Instant::now();
        let mut connection = site.connect();
        connection.write(&head_of(1 << 20));
        let mut sender = connection.stream.try_clone().unwrap();
        // It sends a byte now and then until nobody listens any more.
        let dripping = std::thread::spawn(move || {
            while began.elapsed() < Duration::from_secs(10) && sender.write_all(piece).is_ok() && !piece.is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let answer = connection.answer();
        assert_eq!((answer.status, answer.code().as_str()), (408, "body-slow"));
        assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
        assert!(connection.try_answer().is_none(), "the connection goes on");
        drop(connection);
        dripping.join().unwrap();
    }
    assert_eq!(site.counted("github", "body-slow"), 2);
}

#[test]
fn t5_headers_that_never_end_and_connections_that_say_nothing_are_closed() {
    let site = site(short());
    let head = head_of(2);
    for begin in [&b""[..], b"P", &head[..head.len() / 2], &head[..head.len() - 2]] {
        let began = Instant::now();
        let mut connection = site.connect();
        connection.write(begin);
        assert!(connection.try_answer().is_none_or(|answer| answer.status == 408), "{:?}", String::from_utf8_lossy(begin));
        assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
    }
    // One header each time, for ever: the whole head has one deadline.
    let (began, mut connection) = (Instant::now(), site.connect());
    connection.write(b"POST /webhooks/github HTTP/1.1\r\n");
    while began.elapsed() < Duration::from_secs(5) && connection.stream.write_all(b"a: b\r\n").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it still listens");
    // One that was answered and then says nothing more.
    let (began, mut connection) = (Instant::now(), site.connect());
    connection.write(&Request::of_github(RECORDED, b"{}").bytes());
    assert_eq!(connection.answer().status, 202);
    assert!(connection.try_answer().is_none());
    assert!(began.elapsed() < Duration::from_secs(5), "it is kept for ever");
}

#[test]
fn t5_a_chunked_body_and_one_without_a_length_are_refused_in_words() {
    let site = site(Limits::default());
    let right = Request::of_github(RECORDED, b"{}").without("content-length");
    for (request, code) in [
        (right.clone(), "length-missing"),
        (right.clone().and("transfer-encoding", "chunked"), "body-chunked"),
        (right.clone().and("transfer-encoding", "chunked").and("content-length", "2"), "body-chunked"),
        (right.clone().and("transfer-encoding", "gzip, chunked"), "body-chunked"),
    ] {
        let mut connection = site.connect();
        connection.write(&[request.head(), b"2\r\n{}\r\n0\r\n\r\n".to_vec()].concat());
        let answer = connection.answer();
        assert_eq!((answer.status, answer.code().as_str()), (411, code), "{answer:?}");
        assert_eq!(answer.body.contains("a proxy in between re-chunks"), code == "body-chunked");
    }
    // Two lengths, or one that is a list, are no length.
    for lengths in [&["2", "3"][..], &["2, 3"]] {
        let request = lengths.iter().fold(right.clone(), |request, length| request.and("content-length", length));
        let answer = site.send(&request);
        assert!((400..=411).contains(&answer.status), "{lengths:?}: {answer:?}");
    }
}

#[test]
fn t5_a_body_that_ends_early_is_counted() {
    let site = site(Limits::default());
    let mut connection = site.connect();
    connection.write(&[head_of(100), b"{}".to_vec()].concat());
    connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
    connection.try_answer();
    let began = Instant::now();
    while site.counted("github", "body-broken") == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "it was never counted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn t5_large_or_many_headers_are_refused() {
    let site = site(Limits::default());
    let right = || Request::of_github(RECORDED, b"{}");
    let many = (0..70).fold(right(), |request, number| request.and(&format!("x-{number}"), "1"));
    for request in [right().and("x-large", "x".repeat(40 << 10)), many] {
        assert_eq!(site.send(&request).status, 431);
    }
    let fair = (0..40).fold(right(), |request, number| request.and(&format!("x-{number}"), "x".repeat(200)));
    assert_eq!(site.send(&fair).status, 202);
}

#[test]
fn t5_three_hundred_connections_at_once_are_served_in_turn() {
    let site = site(Limits { connections: 20, head_time: Duration::from_millis(400), ..Limits::default() });
    // Most of them say nothing; they hold a slot until their time is over, and no more than there are.
    let idle: Vec<_> = (0..280).map(|_| site.connect()).collect();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = site.connect();
            connection.write(&Request::of_github(RECORDED, b"{}").bytes());
            connection
        })
        .collect();
    for mut connection in asking {
        assert_eq!(connection.answer().status, 202);
    }
    drop(idle);
}

#[test]
fn t5_who_does_not_read_answers_is_not_waited_for() {
    let site = site(Limits { connections: 1, ..short() });
    let mut greedy = site.connect();
    greedy.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let request = Request { method: "GET", ..Request::to("/", &[], b"") }.bytes();
    // Until the answers fill every buffer on the way, and nobody takes more requests.
    let many = request.repeat(1_000);
    while greedy.stream.write_all(&many).is_ok() {}
    // The only slot is free again.
    assert_eq!(site.send(&Request::of_github(RECORDED, b"{}")).status, 202);
}

#[test]
fn t6_malformed_json_with_a_right_signature_is_accepted_because_nobody_parses_it() {
    let site = site(Limits::default());
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{\"commits\":[]}",
        "{\"refUpdates\":[]}",
        "{\"repository\":null,\"ref\":7}",
        "\u{0}",
        "NaN",
        "{{{{",
        "{\"ref\":\"refs/heads/../../etc/passwd\"}",
        "{\"a\":1,\"a\":2}",
        "payload=%7B%7D",
        deep.as_str(),
    ] {
        for (path, event, header, prefix) in [
            ("/webhooks/github", "x-github-event", "x-hub-signature-256", "sha256="),
            ("/webhooks/gitea", "x-gitea-event", "x-gitea-signature", ""),
            ("/webhooks/gitea", "x-forgejo-event", "x-forgejo-signature", ""),
            ("/webhooks/gitea", "x-gogs-event", "x-gogs-signature", ""),
        ] {
            for event_name in ["push", "pull_request", "ping", "repo:refs_changed"] {
                let signature = format!("{prefix}{}", sign(RECORDED.as_bytes(), body.as_bytes()));
                let answer = site.send(&Request::to(path, &[(event, event_name), (header, &signature)], body.as_bytes()));
                let expected = if event_name.contains(':') { 400 } else { 202 };
                assert_eq!(answer.status, expected, "{path} {event_name} {body:.40}: {answer:?}");
            }
        }
    }
}

#[test]
fn only_what_is_there_answers_and_only_to_its_method() {
    let mut site = site(Limits::default());
    for (method, path, status, code) in [
        ("GET", "/webhooks/github", 405, "method-not-allowed"),
        ("PUT", "/webhooks/gitea", 405, "method-not-allowed"),
        ("BREW", "/webhooks/gitea", 405, "method-not-allowed"),
        ("POST", "/webhooks/github/", 404, "not-found"),
        ("POST", "/webhooks/gitlab", 404, "not-found"),
        ("POST", "/webhooks/GitHub", 404, "not-found"),
        ("POST", "/webhooks/../webhooks/github", 404, "not-found"),
        ("GET", "/", 404, "not-found"),
        ("GET", "/../../etc/passwd", 404, "not-found"),
    ] {
        let answer = site.send(&Request { method, path: path.to_owned(), ..Request::of_github(RECORDED, b"{}") });
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["status"], status);
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
    }
    for garbage in ["\r\n\r\n\r\n garbage", "GET / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        let mut connection = site.connect();
        connection.write(garbage.as_bytes());
        connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(connection.try_answer().is_none_or(|answer| answer.status >= 400), "{garbage:?}");
    }
    // In good order: what was begun is answered, and nothing new is.
    let mut begun = site.connect();
    let request = Request::of_github(RECORDED, b"{}");
    begun.write(&request.head());
    let mut idle = site.connect();
    idle.write(&request.bytes());
    assert_eq!(idle.answer().status, 202);
    let stop = site.stop.clone();
    stop.cancel();
    assert!(idle.try_answer().is_none(), "an idle connection is kept");
    begun.write(b"{}");
    assert_eq!(begun.answer().status, 202);
    site.ends();
    assert!(std::net::TcpStream::connect(site.address).is_err(), "it still listens");
}
