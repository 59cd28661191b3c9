//! `cluster members` and `cluster leave`: what an agent's admin address is asked.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::Failure;
use crate::cli::{AdminArgs, MembersArgs};

/// An agent on the same machine answers at once or is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// 20,000 members with their metadata.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

pub(crate) async fn members(args: MembersArgs) -> Result<(), Failure> {
    let body = ask(args.admin.admin, Method::GET, "/members").await?;
    let output = if args.json { String::from_utf8_lossy(&body).into_owned() + "\n" } else { table(&body)? };
    print(&output)
}

pub(crate) async fn leave(args: AdminArgs) -> Result<(), Failure> {
    ask(args.admin, Method::POST, "/leave").await?;
    print("the agent is leaving\n")
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::new(format!("standard output: {e}")))
}

async fn ask(addr: SocketAddr, method: Method, path: &str) -> Result<Bytes, Failure> {
    let exchange = exchange(addr, method, path);
    let timed = tokio::time::timeout(PATIENCE, exchange).await;
    timed
        .unwrap_or_else(|_elapsed| Err(Failure::new(format!("the agent at {addr} did not answer within {PATIENCE:?}"))))
}

async fn exchange(addr: SocketAddr, method: Method, path: &str) -> Result<Bytes, Failure> {
    let unreachable = |e: std::io::Error| {
        Failure::new(format!("no agent answers at {addr}: {e}; was it started with --admin {addr}?"))
    };
    let broken = |e: &dyn std::fmt::Display| Failure::new(format!("{addr} does not answer as an agent does: {e}"));
    let stream = TcpStream::connect(addr).await.map_err(unreachable)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, addr.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|e| broken(&e))?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        if !response.status().is_success() {
            return Err(broken(&response.status()));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|e| broken(&e))?;
        Ok(body.to_bytes())
    };
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        ended = connection => match ended {
            Ok(()) => talk.await,
            Err(e) => Err(broken(&e)),
        },
    }
}

#[derive(Debug, Deserialize)]
struct Row {
    node: String,
    addr: String,
    state: String,
    incarnation: u64,
    rtt_us: Option<u64>,
    meta: serde_json::Map<String, serde_json::Value>,
}

fn table(body: &[u8]) -> Result<String, Failure> {
    let rows: Vec<Row> = serde_json::from_slice(body)
        .map_err(|e| Failure::new(format!("the agent's answer is not a list of members: {e}")))?;
    let heading = ["NODE", "STATE", "ADDRESS", "RTT", "INCARNATION", "METADATA"].map(str::to_owned);
    let cells: Vec<[String; 6]> = std::iter::once(heading).chain(rows.into_iter().map(cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    Ok(cells.iter().map(line).collect())
}

fn cells(row: Row) -> [String; 6] {
    let rtt = row.rtt_us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1_000.0));
    let pair = |(key, value): (&String, &serde_json::Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    let meta = row.meta.iter().map(pair).collect::<Vec<_>>().join(" ");
    [row.node, row.state, row.addr, rtt, row.incarnation.to_string(), meta]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let body = br#"[
            {"node":"a","addr":"127.0.0.1:7001","state":"alive","incarnation":1838080000000000,"rtt_us":null,"meta":{}},
            {"node":"long-name","addr":"127.0.0.1:7002","state":"suspect","incarnation":7,"rtt_us":1234,"meta":{"zone":"eu","role":"db"}}
        ]"#;
        insta::assert_snapshot!(table(body).unwrap());
        assert!(table(b"{}").unwrap_err().to_string().contains("not a list of members"));
    }
}
