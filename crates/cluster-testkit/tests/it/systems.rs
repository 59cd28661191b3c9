//! Systems of users on simulated machines: what they are given at a boot, clients, the nemesis, and what becomes of a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_manager::{Channel, Router, State};
use cluster_pool::{ConnectionConfig, Link, request_fn};
use cluster_testkit::simulation::Failure;
use cluster_testkit::world::name_of;
use cluster_testkit::{Act, SimNode, Simulation};

const S: Duration = Duration::from_secs(1);

fn broken(simulation: &Simulation) -> Box<Failure> {
    simulation.try_run().expect_err("it must fail")
}

/// A system has its router, its settings and what it does in one place, and what it kept when it boots again.
#[test]
fn a_system_serves_what_it_likes_and_finds_its_files_when_it_boots_again() {
    const WHO: Channel = Channel(1);
    let boots = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&boots);
    let simulation = Simulation::new(3)
        .configure(|config| config.swim = cluster_gossip::SwimConfig::local())
        .system(move |node| {
            let counted = Arc::clone(&counted);
            async move {
                let file = node.disk().open("boots").await.map_err(|e| e.to_string())?;
                file.append(&[node.index() as u8]).await.map_err(|e| e.to_string())?;
                file.sync().await.map_err(|e| e.to_string())?;
                let all = bytes::Bytes::from(file.read().await.map_err(|e| e.to_string())?);
                assert_eq!(all.len() as u64, node.boot());
                let answer = request_fn(move |_from: Link, _body| {
                    let all = all.clone();
                    async move { Ok(all) }
                });
                let router = Router::builder().on_request(WHO, answer).build().map_err(|e| e.to_string())?;
                let cluster = node.start(node.builder().router(router)).await.map_err(|e| e.to_string())?;
                let next = name_of((node.index() + 1) % 3);
                node.sleep(S).await;
                let reply = cluster.request(&next, WHO, "who", 5 * S).await.map_err(|e| e.to_string())?;
                assert_eq!(reply.body[0], ((node.index() + 1) % 3) as u8);
                counted.fetch_add(1, Ordering::SeqCst);
                Ok::<(), String>(())
            }
        })
        // A verdict after two seconds is right where P is two seconds.
        .restart(20 * S..30 * S, 2);
    simulation.run();
    assert_eq!(boots.load(Ordering::SeqCst), 4);
}

#[test]
fn a_system_that_starts_no_node_or_two_is_told_so() {
    let none = broken(&Simulation::new(1).system(|_node| async {}));
    let what = "a system: of node 0: it returned without having started its node: `node.start(node.builder())` does";
    assert_eq!(none.findings[0].to_string(), what);
    let two = broken(&Simulation::new(1).system(|node| async move {
        node.start(node.builder()).await.map_err(|e| e.to_string())?;
        node.start(node.builder()).await.map(drop).map_err(|e| e.to_string())
    }));
    assert!(two.findings[0].what.starts_with("of node 0: "), "{two}");
}

/// A node that takes its time before it starts is there from then on, for the judge as for the others.
#[test]
fn a_system_that_starts_late_is_not_missed_before() {
    Simulation::new(3)
        .system(|node| async move {
            node.sleep(20 * S * u32::from(node.index() == 2)).await;
            node.start(node.builder()).await.map(drop).map_err(|e| e.to_string())
        })
        .restart(50 * S..52 * S, 2)
        .then_quiet(90 * S)
        .seeds(0..3)
        .run();
}

/// Clients are no members, reach the nodes by their own connections, and are to end.
#[test]
fn a_client_asks_members_and_one_that_never_ends_is_told_so() {
    const ECHO: Channel = Channel(1);
    let served = |node: SimNode| async move {
        let router = Router::builder().on_request(ECHO, request_fn(|_from: Link, body| async { Ok(body) })).build();
        let router = router.map_err(|e| e.to_string())?;
        node.start(node.builder().router(router)).await.map(drop).map_err(|e| e.to_string())
    };
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    let asking = Simulation::new(3).system(served).client(move |client| {
        let counted = Arc::clone(&counted);
        async move {
            client.sleep(2 * S).await;
            let connections = client.connect(ConnectionConfig::new(client.hosts())).await.map_err(|e| e.to_string())?;
            for _ in 0..10 {
                let connection = connections.get_connection().await.map_err(|e| e.to_string())?;
                let reply = connection.request(ECHO, "hello", 2 * S).await.map_err(|e| e.to_string())?;
                counted.fetch_add(usize::from(reply.body == "hello"), Ordering::SeqCst);
            }
            Ok::<(), String>(())
        }
    });
    asking.run();
    assert_eq!(answers.load(Ordering::SeqCst), 10);
    let endless = broken(&asking.client(|client| async move {
        loop {
            client.sleep(S).await;
            if client.index() == 9 {
                break;
            }
        }
    }));
    let what = &endless.findings[0].what;
    assert!(what.starts_with("of client 1: it had not ended when the run was over"), "{endless}");
    assert_eq!(endless.findings.len(), 1, "{endless}");
}

/// The nemesis sees who leads, cuts that one off, and what it did is a schedule that plays again without it.
#[test]
fn a_nemesis_sees_the_nodes_and_what_it_did_plays_again() {
    struct Leads;
    let dethroned = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&dethroned);
    let simulation = Simulation::new(4)
        .workload(|node| async move {
            // Node 2 leads.
            if node.index() == 2 {
                node.expose(Leads);
            }
        })
        .nemesis(5 * S..60 * S, move |nemesis| {
            let noted = Arc::clone(&noted);
            async move {
                let leader = nemesis.nodes().into_iter().find(|node| node.exposed::<Leads>().is_some());
                let leader = leader.ok_or("nobody leads")?.index();
                nemesis.isolate(leader).await?;
                nemesis.sleep(Duration::from_millis(12_345)).await;
                nemesis.heal().await?;
                nemesis.crash(leader).await?;
                assert_eq!(nemesis.crash(leader).await, Err(format!("node {leader} does not run")));
                assert_eq!(nemesis.act(Act::Crash(9)).await, Err("node 9 was never started, or not yet".to_owned()));
                noted.lock().unwrap().push(leader);
                std::future::pending::<Result<(), String>>().await
            }
        });
    simulation.run();
    assert_eq!(*dethroned.lock().unwrap(), [2]);
    let failure = broken(&simulation.finally("nobody is ever content", |_| false));
    let done: Vec<String> = failure.scenario.steps[4..].iter().map(|s| format!("{} {:?}", s.at_ms, s.act)).collect();
    assert_eq!(
        done,
        [
            "5000 Split([2], [0, 1, 3])",
            "17345 Heal",
            "17345 Crash(2)",
            "60000 Heal",
            "60000 Start { node: 2, seeds: [3] }"
        ]
    );
}

#[test]
fn a_nemesis_that_panics_is_told_so() {
    let failure = broken(&Simulation::new(2).nemesis(S..20 * S, |nemesis| async move {
        nemesis.sleep(S).await;
        assert!(nemesis.nodes().is_empty(), "too many nodes");
    }));
    assert_eq!(failure.findings[0].to_string(), "the nemesis: it panicked: too many nodes");
}

/// A failure leaves its schedule, a picture and a trace; the schedule plays to the same end without the nemesis.
#[test]
fn a_failure_is_written_down_and_plays_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let failing = Simulation::new(3)
        .named("bundled")
        .nemesis(5 * S..20 * S, |nemesis| async move { nemesis.isolate(1).await })
        .finally("nobody is ever content", |node| node.index() != 1);
    let failure = failing.try_run_into(dir.path(), Duration::ZERO).expect_err("it must fail");
    let bundle = dir.path().join("bundled-0");
    assert_eq!(failure.bundle.as_deref(), Some(bundle.as_path()));
    let page = std::fs::read_to_string(bundle.join("picture.html")).expect("a picture");
    assert!(page.contains("<html") && page.contains("not of node 1: nobody is ever content"));
    assert!(std::fs::read_to_string(bundle.join("trace.txt")).expect("a trace").contains("node 0 reports"));
    let again = failing.try_schedule(&bundle).expect_err("it fails again");
    assert_eq!((&again.findings, again.seed), (&failure.findings, 0));
    assert_eq!(again.scenario, failure.scenario);
    let missing = failing.try_schedule(&dir.path().join("nowhere")).expect_err("there is none");
    let told = missing.to_string();
    assert!(told.starts_with("nothing was played: ") && told.contains("nowhere"), "{told}");
    assert_eq!(failing.named("another").try_schedule(&bundle).map_err(|e| e.to_string()), Ok(()));
}

/// What is left of a failure is as little as shows it, and plays again by itself.
#[test]
fn a_failure_is_made_smaller() {
    let dir = tempfile::tempdir().expect("a directory");
    let failing = Simulation::new(5)
        .named("shrunk")
        .pause(5 * S..8 * S, 1)
        .split(10 * S..15 * S, [0], [1, 2, 3, 4])
        .at(20 * S, Act::Crash(2))
        .pause(30 * S..33 * S, 3)
        .then_quiet(60 * S)
        .invariant("nobody dies", |nodes| {
            nodes.iter().all(|node| node.cluster().members().iter().all(|member| member.state != State::Failed))
        });
    let failure = failing.try_run_into(dir.path(), 60 * S).expect_err("it must fail");
    let told = failure.to_string();
    let (_, smaller) = told.split_once("made smaller, one act on ").expect(&told);
    assert!(smaller.contains("Crash("), "{told}");
    assert!(!smaller.contains("Pause(") && !smaller.contains("Split("), "{told}");
    let kept = std::fs::read_dir(dir.path().join("shrunk-0")).expect("a bundle");
    let kept = kept.filter_map(Result::ok).find(|file| file.file_name() == "shrunk-0-invariant.json").expect("kept");
    let again = failing.try_schedule(&kept.path()).expect_err("it fails again");
    assert_eq!(again.findings[0].check, "invariant");
}

/// Each world has a value of its own for all who are in it, however many seeds run at once.
#[test]
fn a_world_shares_a_value_and_no_other_world_does() {
    fn count(counted: &AtomicUsize, by: usize) {
        counted.fetch_add(by, Ordering::SeqCst);
    }
    Simulation::new(3)
        .sharing(AtomicUsize::default)
        .workload(|node| async move { count(&node.shared(), 1) })
        .client(|client| async move { count(&client.shared(), 10) })
        .nemesis(2 * S..5 * S, |nemesis| async move {
            count(&nemesis.shared(), 100);
        })
        .at_the_end("three nodes, a client and a nemesis", |end| {
            match end.shared::<AtomicUsize>().load(Ordering::SeqCst) {
                113 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .seeds(0..4)
        .run();
}

/// A check that panics, a handler that panics, and a node that is never started are findings of the seed, with its number.
#[test]
fn what_would_pass_unseen_is_found() {
    let check = broken(&Simulation::new(1).invariant("it can be looked at", |nodes| {
        assert!(nodes.len() > 1, "too few");
        true
    }));
    assert!(check.findings[0].what.starts_with("it can be looked at: not at "), "{check}");
    assert!(check.findings[0].what.ends_with("it panicked: too few"), "{check}");
    let hangs = broken(&Simulation::new(2).system(|node| async move {
        if node.index() == 1 {
            std::future::pending::<()>().await;
        }
        node.start(node.builder()).await.map(drop).map_err(|e| e.to_string())
    }));
    assert!(hangs.findings[0].what.starts_with("of node 1: it had not started its node"), "{hangs}");
    let handler = broken(&Simulation::new(2).system(|node| async move {
        let panics = request_fn(|_from: Link, body: bytes::Bytes| async move {
            assert!(!body.is_empty(), "nothing was asked");
            Ok(body)
        });
        let router = Router::builder().on_request(Channel(1), panics).build().map_err(|e| e.to_string())?;
        let cluster = node.start(node.builder().router(router)).await.map_err(|e| e.to_string())?;
        if node.index() == 1 {
            drop(cluster.request(&name_of(0), Channel(1), "", S).await);
        }
        Ok::<(), String>(())
    }));
    assert_eq!(handler.findings[0].to_string(), "a system: of node 0: its handlers panicked, 1 in all");
}

/// Whoever is told to leave while its system is still joining says so, and it is no mistake.
#[test]
fn an_error_of_a_system_that_was_told_to_stop_is_no_finding() {
    Simulation::new(3)
        .system(|node| async move {
            node.sleep(S).await;
            let cluster = node.start(node.builder()).await.map_err(|e| e.to_string())?;
            let Some(seed) = node.seeds().first().cloned() else { return Ok(()) };
            cluster.join_patiently([seed]).await.map(drop).map_err(|e| e.to_string())
        })
        .at(Duration::from_millis(1_001), Act::Leave(2))
        .at(2 * S, Act::Leave(1))
        .run();
}
