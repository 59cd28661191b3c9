//! A picture of a run: a page of its own that needs nothing else, with a lane for each node, time downwards, faults as bands, packets as
//! arrows and verdicts with their evidence.
//!
//! The page is in `picture/`: `page.html` with its style and its script, in four parts. What it draws is one JSON value, made here.

mod faults;

use std::time::Duration;

use cluster_types::EventKind;
use serde::Serialize;

use crate::judge::Finding;
use crate::play::Outcome;
use crate::scenario::Scenario;
use crate::trace::{Flow, Trace};
use crate::world::{Reported, index_of, name_of};
use faults::{Fault, Life, Mark, faults_of, lives_of, marks_of};

/// More arrows than this say nothing to an eye, and are slow to draw.
const ARROWS_MAX: usize = 4_000;

#[derive(Debug, Serialize)]
struct Run {
    title: String,
    again: String,
    until_ms: u64,
    pause_budget_ms: u64,
    nodes: Vec<String>,
    findings: Vec<FoundAt>,
    lives: Vec<Life>,
    faults: Vec<Fault>,
    marks: Vec<Mark>,
    messages: Vec<Message>,
    dropped_messages: u64,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct FoundAt {
    check: &'static str,
    what: String,
    at_ms: Option<u64>,
    by: Option<usize>,
    about: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Message {
    from: usize,
    to: usize,
    sent_ms: f64,
    arrived_ms: Option<f64>,
    bytes: u64,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Event {
    at_ms: u64,
    node: usize,
    kind: &'static str,
    about: Option<usize>,
    text: String,
    details: String,
}

/// The page of a run, as HTML. `again` is the command that runs it again.
#[must_use]
pub fn page(scenario: &Scenario, outcome: &Outcome, trace: &Trace, title: &str, again: &str) -> String {
    let (messages, dropped_messages) = messages(&trace.flows(), scenario.nodes());
    let run = Run {
        title: title.to_owned(),
        again: again.to_owned(),
        until_ms: scenario.until_ms,
        pause_budget_ms: ms(cluster_gossip::SwimConfig::lan().budget.total()),
        nodes: (0..scenario.nodes()).map(|node| name_of(node).to_string()).collect(),
        findings: outcome.findings.iter().map(found).collect(),
        lives: lives_of(scenario),
        faults: faults_of(scenario),
        marks: marks_of(scenario),
        messages,
        dropped_messages,
        events: outcome.reports.iter().filter(|r| ms(r.at.since_origin()) <= scenario.until_ms).map(event).collect(),
    };
    // A value of our own types has a form as JSON.
    let json = serde_json::to_string(&run).unwrap_or_else(|e| unreachable!("{e}"));
    fill(title, &json)
}

fn found(finding: &Finding) -> FoundAt {
    let Finding { check, what, at_ms, by, about } = finding.clone();
    FoundAt { check, what, at_ms, by, about }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The arrows: all of them, or, where there are too many, what was lost, and of the rest every so many.
fn messages(flows: &[Flow], nodes: usize) -> (Vec<Message>, u64) {
    let known: Vec<&Flow> = flows.iter().filter(|flow| flow.from < nodes && flow.to < nodes).collect();
    let every = known.len().div_ceil(ARROWS_MAX).max(1);
    let drawn = known.iter().enumerate().filter(|(n, _)| n % every == 0).map(|(_, flow)| Message {
        from: flow.from,
        to: flow.to,
        sent_ms: flow.sent.as_secs_f64() * 1e3,
        arrived_ms: flow.arrived.map(|arrived| arrived.as_secs_f64() * 1e3),
        bytes: flow.bytes,
        count: flow.packets,
    });
    let drawn: Vec<Message> = drawn.collect();
    let packets = |flows: &[&Flow]| flows.iter().map(|flow| flow.packets).sum::<u64>();
    let shown = drawn.iter().map(|message| message.count).sum::<u64>();
    (drawn, packets(&known) - shown)
}

fn event(reported: &Reported) -> Event {
    let Reported { at, by, kind } = reported;
    let node = kind.node().map_or("", |node| node.as_str());
    let text = match kind {
        EventKind::Suspected(_, evidence) | EventKind::Failed(_, evidence) => format!(
            "{} {node}: silent for {:.1} s, {} of {} votes",
            kind.as_str(),
            evidence.silence.as_secs_f64(),
            evidence.accusers.len(),
            evidence.votes_needed
        ),
        _ => format!("{} {node}", kind.as_str()),
    };
    Event {
        at_ms: ms(at.since_origin()),
        node: *by,
        kind: kind.as_str(),
        about: kind.node().and_then(index_of),
        text,
        details: format!("{kind:#?}"),
    }
}

const PAGE: &str = include_str!("picture/page.html");
const STYLE: &str = include_str!("picture/page.css");
const SCRIPT: [&str; 4] = [
    include_str!("picture/run.js"),
    include_str!("picture/places.js"),
    include_str!("picture/draw.js"),
    include_str!("picture/page.js"),
];

/// Fills the page in one pass: what is put in is not looked at again.
fn fill(title: &str, json: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    // Within a script element nothing may look like its end.
    let json = json.replace('<', "\\u003c");
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        page += before;
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        match name {
            "TITLE" => page += &title,
            "CSS" => page += STYLE,
            "JS" => SCRIPT.iter().for_each(|part| page += part),
            "RUN" => page += &json,
            other => page += other,
        }
        rest = after;
    }
    page + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::run_traced;
    use crate::scenario::{Act, Level};

    fn drawn(title: &str) -> String {
        let s = Duration::from_secs;
        let scenario = Scenario::new("x")
            .cluster(3)
            .at(s(5), Act::Pause(2))
            .at(s(8), Act::Resume(2))
            .at(s(12), Act::Crash(1))
            .then_quiet(s(12))
            .expecting(|e| e.no_failures = true);
        let trace = Trace::with_everything();
        let outcome = run_traced(&scenario, Level::L1, 1, trace.clone());
        page(&scenario, &outcome, &trace, title, "cargo xtask sim x --seed 1")
    }

    /// The run as the page has it.
    fn run_of(page: &str) -> serde_json::Value {
        let (_, rest) = page.split_once(r#"<script type="application/json" id="run">"#).unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn the_page_holds_the_run() {
        let run = run_of(&drawn("x seed 1 at L1"));
        assert_eq!(run["nodes"].as_array().unwrap().len(), 3);
        let finding = &run["findings"][0];
        assert_eq!(
            (finding["check"].as_str(), finding["about"].as_u64()),
            (Some("nobody is declared failed"), Some(1))
        );
        assert_eq!(run["faults"][0]["kind"], "pause");
        assert_eq!(run["lives"][1]["end"], "crash");
        let failed = run["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "failed").count();
        assert_eq!(failed, 2, "both others say so");
        let messages = run["messages"].as_array().unwrap();
        assert!(messages.len() > 50 && messages.iter().any(|message| message["arrived_ms"].is_f64()));
    }

    #[test]
    fn what_a_run_says_is_text_and_no_part_of_the_page() {
        let page = drawn("</script><b>{{JS}} & x");
        assert!(page.contains("<title>&lt;/script>&lt;b>{{JS}} &amp; x"), "{}", &page[..400]);
        assert_eq!(run_of(&page)["title"], "</script><b>{{JS}} & x");
        assert_eq!(page.matches("<script").count(), 2, "the run and the page's own");
    }

    #[test]
    fn many_packets_are_thinned_and_counted() {
        let flow =
            |n: u64| Flow { from: 0, to: 1, sent: Duration::from_millis(n), arrived: None, packets: 3, bytes: 100 };
        let flows: Vec<Flow> = (0..10_000).map(flow).collect();
        let (drawn, dropped) = messages(&flows, 2);
        assert!(drawn.len() <= ARROWS_MAX);
        assert_eq!(drawn.len() as u64 * 3 + dropped, 30_000);
    }
}
