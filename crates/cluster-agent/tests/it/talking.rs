//! Agents that talk: texts, echoes; keys that are renewed and revoked; members found where a file says.

use rustix::process::Signal;

use crate::agent::{Site, cluster, text};

#[test]
fn a_text_is_written_by_its_receiver_and_an_echo_comes_back() {
    let site = Site::new("prod");
    let mut agents = site.cluster(2, &["--admin", "127.0.0.1:0"]);
    let admin = agents[0].admin.clone().expect("an admin address");
    let sent = cluster(&["send", "n2", "are you well?", "--admin", &admin, "--priority", "high"]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stdout), "delivered to n2\n");
    let message = agents[1].until("the text", |line| line["event"] == "message");
    assert_eq!((&message["node"], &message["text"]), (&"n1".into(), &"are you well?".into()));
    let asked = cluster(&["request", "n2", "ping", "--admin", &admin]);
    assert_eq!((asked.status.code(), text(&asked.stdout).as_str()), (Some(0), "ping\n"), "{}", text(&asked.stderr));

    for (args, reason) in [
        (["send", "n9", "x"], "error: n9 is not a live member of the cluster (it was certainly not handled)\n"),
        (["request", "n1", "x"], "error: that is this node itself (it was certainly not handled)\n"),
    ] {
        let failed = cluster(&[&args[..], &["--admin", &admin]].concat());
        assert_eq!((failed.status.code(), text(&failed.stderr).as_str()), (Some(1), reason));
    }
    // It hears nothing and is not declared failed in that time: what became of it is not known.
    agents[1].signal(Signal::STOP);
    let failed = cluster(&["request", "n2", "ping", "--admin", &admin, "--timeout", "300ms"]);
    agents[1].signal(Signal::CONT);
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        text(&failed.stderr).contains("no reply of n2 within 300ms (it may have been handled)"),
        "{}",
        text(&failed.stderr)
    );
}

#[test]
fn keys_are_read_again_and_who_is_revoked_is_let_in_no_more() {
    let site = Site::new("prod");
    let mut agents = site.cluster(3, &["--admin", "127.0.0.1:0"]);
    let pki = site.pki();
    let pki = pki.to_str().expect("a path");
    let (seed, admin) = (agents[0].bind.clone(), agents[0].admin.clone().expect("an admin address"));

    // A new certificate for the first: its links stay, and newcomers are shown the new one.
    let issued = cluster(&["pki", "issue", pki, "--name", "n1"]);
    assert!(issued.status.success(), "{}", text(&issued.stderr));
    agents[0].signal(Signal::HUP);
    agents[0].until_error("key and certificate were read again");
    let mut fourth = site.agent("n4", &["--join", &seed]);
    fourth.until_event("joined", "n1");
    assert!(!agents[0].has_said("link_down"));

    // One that is damaged is told of, and the one before goes on.
    let certificate = site.pki().join("n1.crt");
    let good = std::fs::read(&certificate).expect("it is there");
    std::fs::write(&certificate, "damaged").expect("written");
    agents[0].signal(Signal::HUP);
    agents[0].until_error("those before stay in use");
    std::fs::write(&certificate, good).expect("written");
    let mut fifth = site.agent("n5", &["--join", &seed]);
    fifth.until_event("joined", "n1");

    for agent in [&mut agents[0], &mut fourth, &mut fifth] {
        agent.until_event("link_up", "n3");
    }
    let revoked = cluster(&["pki", "revoke", pki, "--name", "n3"]);
    assert!(text(&revoked.stdout).starts_with("n3 is revoked in "), "{}", text(&revoked.stdout));
    let again = cluster(&["pki", "revoke", pki, "--name", "n3"]);
    assert_eq!(text(&again.stdout), "n3 was revoked before\n");
    for agent in [&mut agents[0], &mut fourth, &mut fifth] {
        agent.signal(Signal::HUP);
        agent.until("the end of its link", |line| line["event"] == "link_down" && line["node"] == "n3");
    }
    let third = agents.remove(2);
    third.signal(Signal::KILL);
    // Back, with keys that were good: nobody lets it in.
    let mut third = site.spawn("n3", &third.bind.clone(), &["--join", &seed]).ready();
    let refused = third.until("a refusal", |line| line["event"] == "join_failed");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("revoked")), "{refused}");
    let health = cluster(&["health", "--admin", &admin]);
    assert!(health.status.success(), "{}", text(&health.stdout));
}

#[test]
fn members_are_found_where_a_file_says() {
    let site = Site::new("prod");
    let seeds = site.dir.path().join("seeds");
    let discover = format!("file:{}", seeds.display());
    let mut first = site.agent("n1", &["--discover", &discover]);
    let mut second = site.agent("n2", &["--discover", &discover]);
    std::fs::write(site.dir.path().join("seeds.new"), format!("{}\n{} # ours\n", first.bind, second.bind))
        .expect("written");
    std::fs::rename(site.dir.path().join("seeds.new"), seeds).expect("placed");
    first.until_event("joined", "n2");
    second.until_event("joined", "n1");
}

#[test]
fn a_settings_file_is_checked_without_starting_anything() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("node.toml");
    let file = file.to_str().expect("a path");
    let pki = dir.path().join("keys");
    let pki = pki.to_str().expect("a path");
    assert!(cluster(&["pki", "init", pki, "--cluster", "prod"]).status.success());
    let mut told = String::new();
    for content in [
        &format!("name = 'n1'\nbind = '127.0.0.1:7001'\npki = '{pki}'\n[membership]\npause = '10s'"),
        "bind = '0.0.0.0:7001'",
        "advertise = '10.0.0.1:0'",
        "pki = '/nowhere'",
        "state = '/nowhere/state.json'",
        "profile = 'wan'",
        "name = 'a b'",
        "bnid = '127.0.0.1:1'",
        "admin = '0.0.0.0:80'",
        "discover = ['consul:db']",
        "[peers]\nqueue_len_max = 0",
        "[membership]\npause = 'long'",
    ] {
        std::fs::write(file, content).expect("written");
        let checked = cluster(&["config", "check", file]);
        let said = text(&checked.stdout) + &text(&checked.stderr);
        let code = checked.status.code().expect("it ends");
        let content = content.replace(pki, "KEYS");
        told +=
            &format!("{content}\n  => {code}: {}\n", said.replace(file, "FILE").trim_end().replace('\n', "\n     "));
    }
    insta::assert_snapshot!(told);
    let missing = cluster(&["config", "check", "/nowhere.toml"]);
    assert!(text(&missing.stderr).contains("/nowhere.toml cannot be read"), "{}", text(&missing.stderr));
}

#[test]
fn shells_are_told_how_to_complete() {
    for (shell, sign) in
        [("bash", "complete -F _cluster"), ("zsh", "#compdef cluster"), ("fish", "complete -c cluster")]
    {
        let script = cluster(&["completions", shell]);
        assert!(script.status.success() && text(&script.stdout).contains(sign), "{shell}");
    }
}
