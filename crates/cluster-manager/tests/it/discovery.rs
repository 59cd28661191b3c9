//! Nodes that are told where to look, and not whom to join: lists, files, name servers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use cluster_manager::{Authority, Cluster, Discovery, FileDiscovery, FixedDiscovery, State};

use tokio::sync::mpsc;

use crate::handle::{PATIENCE, about, until};

/// Between two looks at something that another thread does.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

fn authority() -> Authority {
    Cluster::local_authority("test").expect("an authority")
}

async fn start(name: &str, authority: &Authority, discovery: impl Discovery + 'static) -> Cluster {
    Cluster::local(name, authority).discover(discovery).start().await.expect("it starts")
}

/// Whole or not at all, as whoever keeps such a file does it.
fn write(path: &Path, text: &str) {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).expect("written");
    std::fs::rename(temporary, path).expect("placed");
}

async fn until_alive(seen_by: &Cluster, node: &str) {
    let mut events = seen_by.subscribe();
    if seen_by.member(node).is_none_or(|member| member.state != State::Alive) {
        until(&mut events, node, about("joined", node)).await;
    }
}

#[tokio::test]
async fn a_list_is_asked_until_somebody_is_there() {
    let authority = authority();
    let later = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = later.local_addr().expect("an address");
    let first = start("first", &authority, FixedDiscovery::new([addr])).await;
    let mut events = first.subscribe();
    // Nobody is there: that is an event, as for any seed.
    until(&mut events, "the first failure", |kind| kind.as_str() == "join_failed").await;
    let health = first.health().await;
    assert!(!health.is_ready() && health.joining, "{health}");
    drop(later);
    let second = Cluster::local("second", &authority).bind(addr).start().await.expect("it starts");
    until(&mut events, "the newcomer", about("joined", "second")).await;
    until_alive(&second, "first").await;
    // Taken in and known to be: the join may be a moment behind the news of it.
    let ready = async {
        while !first.health().await.is_ready() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it is ready");
    for node in [first, second] {
        assert!(node.shutdown(PATIENCE).await.is_clean());
    }
}

/// Two clusters that were started apart, with one authority: a file that names one member of the other is enough.
#[tokio::test]
async fn two_clusters_become_one_when_one_is_told_of_the_other() {
    let authority = authority();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("seeds");
    let a = Cluster::local("a", &authority).start().await.expect("it starts");
    let b = start("b", &authority, FixedDiscovery::new([a.local_addr()])).await;
    let c = start("c", &authority, FileDiscovery::new(&path)).await;
    let d = start("d", &authority, FixedDiscovery::new([c.local_addr()])).await;
    until_alive(&a, "b").await;
    until_alive(&c, "d").await;
    let status = c.health().await.discoveries.pop().expect("it has one");
    assert!(status.last_error.is_some_and(|error| error.contains("No such file")));
    assert!(c.health().await.is_ready(), "a list that cannot be read takes nothing from a cluster that is there");
    write(&path, &format!("# the other half\n{}\n{}\n", b.local_addr(), c.local_addr()));
    for seen_by in [&a, &b, &c, &d] {
        for other in [&a, &b, &c, &d] {
            if seen_by.node() != other.node() {
                until_alive(seen_by, other.node().as_str()).await;
            }
        }
    }
    let status = c.health().await.discoveries.pop().expect("it has one");
    assert_eq!((status.found, status.last_error), (2, None), "itself, and one it did not know");
    for node in [a, b, c, d] {
        assert!(node.shutdown(PATIENCE).await.is_clean());
    }
}

/// A member leaves, and another one comes to the same place under another name: the list that names the place still leads there.
#[tokio::test]
async fn who_takes_the_place_of_one_who_left_is_found() {
    let authority = authority();
    let gone = Cluster::local("gone", &authority).start().await.expect("it starts");
    let place = gone.local_addr();
    let a = start("a", &authority, FixedDiscovery::new([place])).await;
    until_alive(&a, "gone").await;
    let mut events = a.subscribe();
    assert!(gone.shutdown(PATIENCE).await.is_clean());
    until(&mut events, "the farewell", about("left", "gone")).await;
    let heir = Cluster::local("heir", &authority).bind(place).start().await.expect("it starts");
    until(&mut events, "the heir", about("joined", "heir")).await;
    for node in [a, heir] {
        assert!(node.shutdown(PATIENCE).await.is_clean());
    }
}

#[derive(Debug)]
struct Panics;

#[async_trait::async_trait]
impl Discovery for Panics {
    fn describe(&self) -> String {
        "a planted panic".to_owned()
    }

    async fn find(&self) -> Result<Vec<cluster_manager::JoinSeed>, cluster_manager::DiscoveryError> {
        panic!("planted")
    }

    fn period(&self) -> std::time::Duration {
        LOOK
    }
}

#[tokio::test]
async fn a_discovery_that_panics_has_failed_and_is_asked_again() {
    let node = start("a", &authority(), Panics).await;
    let asked_twice = async {
        while node.health().await.discoveries[0].failures < 2 {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked_twice).await.expect("it is asked again");
    let health = node.health().await;
    assert!(health.to_string().contains("a discovery fails: a planted panic: it panicked"), "{health}");
    assert!(node.shutdown(PATIENCE).await.is_clean());
}

/// Names of this process's threads.
fn has_thread(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("readable").flatten();
    let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.any(|found| found.trim() == name)
}

/// Reads something that never comes, on a thread made for such, as from a network disk that is gone.
#[derive(Debug)]
struct Hangs {
    begun: mpsc::Sender<()>,
    never: Arc<Mutex<std::sync::mpsc::Receiver<()>>>,
}

#[async_trait::async_trait]
impl Discovery for Hangs {
    fn describe(&self) -> String {
        "a disk that hangs".to_owned()
    }

    async fn find(&self) -> Result<Vec<cluster_manager::JoinSeed>, cluster_manager::DiscoveryError> {
        let (begun, never) = (self.begun.clone(), Arc::clone(&self.never));
        let read = tokio::task::spawn_blocking(move || {
            // Whoever listens has seen enough after the first.
            let _ = begun.try_send(());
            let _ = never.lock().map(|never| never.recv());
        });
        read.await.expect("no panic");
        Ok(Vec::new())
    }
}

/// Nothing of it holds up the end, not even without time.
#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_shutdown() {
    let authority = authority();
    for (name, patience) in [("hung-1", PATIENCE), ("hung-2", std::time::Duration::ZERO)] {
        let (begun, mut reading) = mpsc::channel(1);
        // Held to the end of the round: until then nothing comes.
        let (_come, never) = std::sync::mpsc::sync_channel::<()>(1);
        let never = Arc::new(Mutex::new(never));
        let node = start(name, &authority, Hangs { begun, never }).await;
        reading.recv().await.expect("it reads");
        let report = node.shutdown(patience).await;
        assert!(patience.is_zero() || report.is_clean(), "{report}");
        // The loop has been told to stop, though the handle is still here.
        let thread = format!("cluster {name}");
        let gone = async {
            while has_thread(&thread) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{thread} is still there"));
    }
}

/// A name server of the test's own, on loopback.
#[cfg(feature = "dns")]
mod dns {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use cluster_manager::DnsDiscovery;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
    use tokio::net::UdpSocket;
    use tokio::sync::watch;

    use super::*;

    /// Answers with these records until it is dropped.
    struct NameServer {
        addr: SocketAddr,
        _running: tokio::task::JoinSet<()>,
    }

    impl NameServer {
        async fn start(records: watch::Receiver<Vec<(Name, RData)>>) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            let addr = socket.local_addr().expect("an address");
            let mut running = tokio::task::JoinSet::new();
            running.spawn(async move {
                let mut buffer = [0; 1500];
                while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                    let Ok(query) = Message::from_vec(&buffer[..len]) else { continue };
                    let answer = answer(&query, &records.borrow());
                    let _ = socket.send_to(&answer.to_vec().expect("it has a form"), from).await;
                }
            });
            Self { addr, _running: running }
        }
    }

    fn answer(query: &Message, records: &[(Name, RData)]) -> Message {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_queries(query.queries.clone());
        let asked = &query.queries[0];
        let named = |(name, _): &&(Name, RData)| name == asked.name();
        if !records.iter().any(|record| named(&record)) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        // It has an address, and cannot tell it; that it has none of the other kind, it says.
        if asked.name() == &name("broken.test.") && asked.query_type() == RecordType::A {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        for (name, data) in records.iter().filter(named).filter(|(_, data)| data.record_type() == asked.query_type()) {
            answer.add_answer(Record::from_rdata(name.clone(), 0, data.clone()));
        }
        answer
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

    #[tokio::test]
    async fn addresses_and_services_are_found_with_their_ports_and_errors_are_told() {
        let service = |port, target: &str| RData::SRV(SRV::new(0, 0, port, name(target)));
        let records = vec![
            (name("db.test."), RData::A(A(LOOPBACK))),
            (name("db.test."), RData::A(A(Ipv4Addr::new(127, 0, 0, 2)))),
            (name("db.test."), RData::AAAA(AAAA("::1".parse().expect("an address")))),
            (name("_cluster._udp.test."), service(7_001, "db.test.")),
            (name("_cluster._udp.test."), service(7_002, "nowhere.test.")),
            (name("_gone._udp.test."), service(7_003, "nowhere.test.")),
            (name("broken.test."), RData::A(A(LOOPBACK))),
        ];
        let (_records, watched) = watch::channel(records);
        let server = NameServer::start(watched).await;
        let find = async |discovery: DnsDiscovery| {
            let found = discovery.with_name_server(server.addr).find().await;
            let mut found: Vec<String> = found?.iter().map(ToString::to_string).collect();
            found.sort();
            Ok::<_, cluster_manager::DiscoveryError>(found)
        };
        let found = find(DnsDiscovery::addresses("db.test.", 9)).await.expect("found");
        assert_eq!(found, ["127.0.0.1:9", "127.0.0.2:9", "[::1]:9"]);
        // A target that is nowhere takes nothing from the others.
        let found = find(DnsDiscovery::services("_cluster._udp.test.")).await.expect("found");
        assert_eq!(found, ["127.0.0.1:7001", "127.0.0.2:7001", "[::1]:7001"]);
        // Nobody is an answer: a service that has no members yet.
        for nobody in [
            DnsDiscovery::addresses("nowhere.test.", 9),
            DnsDiscovery::services("_gone._udp.test."),
            DnsDiscovery::services("_none._udp.test."),
        ] {
            assert_eq!(find(nobody).await.expect("an answer"), Vec::<String>::new());
        }
        let broken = find(DnsDiscovery::addresses("broken.test.", 9)).await.expect_err("that is no answer").to_string();
        assert!(broken.starts_with("dns broken.test.:9: "), "{broken}");
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let deaf = DnsDiscovery::services("_cluster._udp.test.").with_name_server(silent.local_addr().expect("bound"));
        let error = deaf.find().await.expect_err("nobody answers").to_string();
        assert!(error.starts_with("dns srv _cluster._udp.test.: "), "{error}");
    }

    /// The record changes while the node runs: it is asked again.
    #[tokio::test]
    async fn records_are_asked_for_again_and_lead_into_the_cluster() {
        let authority = authority();
        let a = Cluster::local("a", &authority).start().await.expect("it starts");
        let (records, watched) = watch::channel(Vec::new());
        let server = NameServer::start(watched).await;
        let service = DnsDiscovery::services("_cluster._udp.test.").with_name_server(server.addr);
        let b = start("b", &authority, service).await;
        let mut events = b.subscribe();
        let port = a.local_addr().port();
        assert_eq!(a.local_addr().ip(), IpAddr::V4(LOOPBACK));
        let asked_once = async {
            while b.health().await.discoveries[0].answers == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked_once).await.expect("it asks");
        records.send_replace(vec![
            (name("_cluster._udp.test."), RData::SRV(SRV::new(0, 0, port, name("a.test.")))),
            (name("a.test."), RData::A(A(LOOPBACK))),
        ]);
        until(&mut events, "the one that was found", about("joined", "a")).await;
        assert!(a.shutdown(PATIENCE).await.is_clean());
        assert!(b.shutdown(PATIENCE).await.is_clean());
    }
}
