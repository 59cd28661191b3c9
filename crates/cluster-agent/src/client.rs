//! The commands that ask an agent through its admin address.

mod ask;
mod table;

use std::io::Write;

use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::{AdminArgs, ExplainArgs, HealthArgs, MembersArgs, RequestArgs, SendArgs};
use crate::plain::plain_lines;
use ask::{Answer, Ask};

pub(crate) async fn members(args: MembersArgs) -> Result<(), Failure> {
    let body = Ask::get("/members").of(args.admin.admin).await?.success()?;
    let output = if args.json { String::from_utf8_lossy(&body).into_owned() + "\n" } else { table::table(&body)? };
    print(&output)
}

pub(crate) async fn leave(args: AdminArgs) -> Result<(), Failure> {
    Ask::post("/leave", None).of(args.admin).await?.success()?;
    print("the agent is leaving\n")
}

pub(crate) async fn explain(args: ExplainArgs) -> Result<(), Failure> {
    let body = Ask::get(format!("/explain/{}", args.node)).of(args.admin.admin).await?.success()?;
    if args.json {
        return print(&(String::from_utf8_lossy(&body).into_owned() + "\n"));
    }
    let explanation: Value = parsed(&body)?;
    print(&plain_lines(explanation["text"].as_str().unwrap_or_default()))
}

/// Succeeds when the node is ready, or, if that is asked, when it is live.
pub(crate) async fn health(args: HealthArgs) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Told {
        live: bool,
        ready: bool,
        problems: Vec<String>,
        others: usize,
        lost: usize,
    }
    let path = if args.live { "/healthz" } else { "/readyz" };
    let Answer { status, body } = Ask::get(path).of(args.admin.admin).await?;
    let told: Told = parsed(&body)?;
    if args.json {
        print(&(String::from_utf8_lossy(&body).into_owned() + "\n"))?;
    } else {
        let state = match (told.live, told.ready) {
            (_, true) => "ready",
            (true, false) => "live, not ready",
            (false, false) => "not live",
        };
        let mut text = format!("{state}: {} others take part, {} lost\n", told.others, told.lost);
        told.problems.iter().for_each(|problem| text += &format!("  {problem}\n"));
        print(&text)?;
    }
    if status.is_success() { Ok(()) } else { Err(Failure::new(if args.live { "not live" } else { "not ready" })) }
}

pub(crate) async fn send(args: SendArgs) -> Result<(), Failure> {
    let told = json!({
        "node": args.node.as_str(),
        "text": args.text,
        "priority": args.priority.as_str(),
        "timeout_ms": millis(args.timeout.into()),
    });
    let body = Ask::post("/send", Some(told)).patient(args.timeout.into()).of(args.admin.admin).await?.success()?;
    let told: Value = parsed(&body)?;
    print(&format!("{} to {}\n", told["outcome"].as_str().unwrap_or("sent"), args.node))
}

pub(crate) async fn request(args: RequestArgs) -> Result<(), Failure> {
    let told = json!({ "node": args.node.as_str(), "text": args.text, "timeout_ms": millis(args.timeout.into()) });
    let body = Ask::post("/request", Some(told)).patient(args.timeout.into()).of(args.admin.admin).await?.success()?;
    let told: Value = parsed(&body)?;
    print(&format!("{}\n", plain_lines(told["reply"].as_str().unwrap_or_default())))
}

/// Prints events as they come, until the agent ends.
pub(crate) async fn events(args: AdminArgs) -> Result<(), Failure> {
    let mut stream = Ask::get("/events").stream(args.admin).await?;
    let mut waiting = Vec::new();
    while let Some(frame) = stream.body.frame().await {
        let frame = frame.map_err(|e| Failure::new(format!("the agent at {} went away: {e}", args.admin)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        waiting.extend_from_slice(&bytes);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data: ") {
                print(&String::from_utf8_lossy(data))?;
            }
        }
    }
    Ok(())
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|e| Failure::new(format!("the agent's answer is not understood: {e}")))
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::new(format!("standard output: {e}")))
}
