//! The admin address: health, numbers, explanations, a stream of events; what is not understood is told what there is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{PATIENCE, Site, cluster, cluster_command, text};

/// One question, as any HTTP client asks it: status and body.
fn http(admin: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).expect("the agent answers");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Type: application/json");
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

fn get(admin: &str, path: &str) -> (u16, String) {
    http(admin, "GET", path, "")
}

fn error_of(answer: (u16, String)) -> (u16, String) {
    let told: Value = serde_json::from_str(&answer.1).unwrap_or_else(|e| panic!("{e}: {}", answer.1));
    (answer.0, told["error"].as_str().expect("an error").to_owned())
}

/// One number of `/metrics`.
fn number(admin: &str, series: &str) -> Option<f64> {
    let (status, page) = get(admin, "/metrics");
    assert_eq!(status, 200, "{page}");
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

#[test]
fn health_numbers_and_explanations_follow_what_happens() {
    let site = Site::new("prod");
    let mut agents = site.cluster(3, &["--profile", "local", "--admin", "127.0.0.1:0"]);
    let admin = agents[0].admin.clone().expect("an admin address");
    assert_eq!(get(&admin, "/healthz").0, 200);
    let deadline = Instant::now() + PATIENCE;
    while get(&admin, "/readyz").0 != 200 {
        assert!(Instant::now() < deadline, "{:?}", get(&admin, "/readyz"));
    }
    assert_eq!(number(&admin, "cluster_members{node=\"n1\",state=\"alive\"}"), Some(3.0));
    assert_eq!(number(&admin, "cluster_ready{node=\"n1\"}"), Some(1.0));
    let page = get(&admin, "/metrics").1;
    assert!(page.contains("# TYPE cluster_probes_total counter"));
    assert!(page.contains("# TYPE cluster_log_lines_lost_total counter"), "{page}");
    let health = cluster(&["health", "--admin", &admin]);
    assert!(health.status.success(), "{}", text(&health.stderr));
    assert_eq!(text(&health.stdout), "ready: 2 others take part, 0 lost\n");

    agents.pop().expect("the third").signal(Signal::KILL);
    agents[0].until_event("failed", "n3");
    assert_eq!(number(&admin, "cluster_members{node=\"n1\",state=\"failed\"}"), Some(1.0));
    assert_eq!(number(&admin, "cluster_events_total{node=\"n1\",event=\"failed\"}"), Some(1.0));
    let explained = cluster(&["explain", "n3", "--admin", &admin]);
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    let explained = text(&explained.stdout);
    assert!(explained.starts_with("n3 at 127.0.0.1:") && explained.contains(" is failed for "), "{explained}");
    for part in ["last case    failed", "accused by", "forgotten    in 72 h", "joined", "failed: silent for"] {
        assert!(explained.contains(part), "no {part:?} in {explained}");
    }
    let json: Value =
        serde_json::from_slice(&cluster(&["explain", "n3", "--admin", &admin, "--json"]).stdout).expect("JSON");
    assert_eq!((&json["state"], &json["own"]), (&"failed".into(), &false.into()));
    let accusers = json["last_case"]["event"]["evidence"]["accusers"].as_array().expect("with its evidence");
    assert!(!accusers.is_empty(), "{json}");

    // The last one but this leaves nobody: it is alone with a loss, and says so.
    agents.pop().expect("the second").signal(Signal::KILL);
    agents[0].until_event("failed", "n2");
    assert_eq!(get(&admin, "/healthz").0, 200);
    assert_eq!(get(&admin, "/readyz").0, 503);
    let health = cluster(&["health", "--admin", &admin]);
    assert_eq!(health.status.code(), Some(1));
    assert!(text(&health.stdout).contains("is this node cut off from its network?"), "{}", text(&health.stdout));
    assert!(cluster(&["health", "--live", "--admin", &admin]).status.success());
}

#[test]
fn what_is_not_understood_is_told_what_there_is() {
    let site = Site::new("prod");
    let agent = site.agent("n1", &["--admin", "127.0.0.1:0"]);
    let admin = agent.admin.clone().expect("an admin address");
    let mut told = Vec::new();
    for (method, path, body) in [
        ("GET", "/", ""),
        ("GET", "/member", ""),
        ("POST", "/members", ""),
        ("GET", "/leave", ""),
        ("GET", "/explain/nobody", ""),
        ("GET", "/explain/a%20b", ""),
        ("POST", "/send", ""),
        ("POST", "/send", "{\"node\": \"n2\""),
        ("POST", "/send", "{\"node\": \"n2\"}"),
        ("POST", "/send", "{\"node\": \"n2\", \"text\": \"x\", \"loud\": true}"),
        ("POST", "/send", "{\"node\": \"n2\", \"text\": \"x\", \"priority\": \"loud\"}"),
        ("POST", "/send", "{\"node\": \"n2\", \"text\": \"x\"}"),
        ("POST", "/request", "{\"node\": \"n1\", \"text\": \"x\"}"),
    ] {
        let (status, error) = error_of(http(&admin, method, path, body));
        told.push(format!("{method} {path} {body}\n    {status}: {error}"));
    }
    insta::assert_snapshot!(told.join("\n"));
    let unknown = cluster(&["explain", "nobody", "--admin", &admin]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).starts_with("error: nobody is not known here: it never joined"),
        "{}",
        text(&unknown.stderr)
    );
}

/// Loopback is no wall against a browser: what a page sends is turned away, and so is a name that was made to lead here.
#[test]
fn a_web_page_is_turned_away_and_silence_takes_no_place_for_long() {
    let site = Site::new("prod");
    let agent = site.agent("n1", &["--admin", "127.0.0.1:0"]);
    let admin = agent.admin.clone().expect("an admin address");
    for head in ["Host: evil.example", "Host: 127.0.0.1\r\nOrigin: https://evil.example"] {
        let mut stream = TcpStream::connect(&admin).expect("the agent answers");
        write!(stream, "POST /leave HTTP/1.1\r\n{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    // More than there are places for, and none says a word.
    let silent: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&admin).expect("it is taken")).collect();
    let members = cluster(&["members", "--admin", &admin]);
    // They were closed for their silence, or there was room: the command is answered, perhaps on its second try.
    let answered = members.status.success() || cluster(&["members", "--admin", &admin]).status.success();
    assert!(answered, "{}", text(&members.stderr));
    drop(silent);
    // A word at the beginning of a question that never comes: the place is given back, too.
    let slow: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&admin).expect("it is taken")).collect();
    slow.iter().for_each(|mut stream| write!(stream, "GET /mem").expect("written"));
    let answered = (0..3).any(|_| cluster(&["members", "--admin", &admin]).status.success());
    assert!(answered, "slow questions hold all places");
}

#[test]
fn events_are_streamed_from_a_snapshot_on_until_the_agent_ends() {
    let site = Site::new("prod");
    let agents = site.cluster(2, &["--admin", "127.0.0.1:0"]);
    let admin = agents[0].admin.clone().expect("an admin address");
    let mut command = cluster_command();
    let mut reader = command.args(["events", "--admin", &admin]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(reader.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let snapshot: Value = serde_json::from_str(&lines.next().expect("a line")).expect("JSON");
    assert_eq!(snapshot["event"], "snapshot");
    assert_eq!(snapshot["members"].as_array().map(Vec::len), Some(2), "{snapshot}");
    let sent = cluster(&["send", "n1", "hello", "--admin", &agents[1].admin.clone().expect("an admin address")]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let mut last = snapshot["seq"].as_u64().expect("a number");
    let mut until = |word: &str| {
        let mut parsed = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
        let found = parsed.find(|line| {
            if let Some(seq) = line["seq"].as_u64() {
                assert_eq!(seq, last + 1, "a gap: {line}");
                last = seq;
            }
            line["event"] == word
        });
        found.unwrap_or_else(|| panic!("no {word}"))
    };
    let message = until("message");
    assert_eq!((&message["node"], &message["text"]), (&"n2".into(), &"hello".into()));
    agents[1].signal(Signal::TERM);
    assert_eq!(until("left")["node"], "n2");
    agents[0].signal(Signal::TERM);
    // The end of the stream is the end of the command.
    assert!(lines.all(|line| line.starts_with('{')));
    assert!(reader.wait().expect("it ends").success());
}
