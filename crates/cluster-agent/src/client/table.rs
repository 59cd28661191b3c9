//! Members as a table for people.

use serde::Deserialize;

use crate::Failure;
use crate::plain::plain;

#[derive(Debug, Deserialize)]
struct Row {
    node: String,
    addr: String,
    state: String,
    incarnation: u64,
    rtt_us: Option<u64>,
    meta: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn table(body: &[u8]) -> Result<String, Failure> {
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
    let pair =
        |(key, value): (&String, &serde_json::Value)| plain(&format!("{key}={}", value.as_str().unwrap_or_default()));
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
            {"node":"long-name","addr":"127.0.0.1:7002","state":"suspect","incarnation":7,"rtt_us":1234,"meta":{"zone":"eu\\nn9  alive","role":"db"}}
        ]"#;
        insta::assert_snapshot!(table(body).unwrap());
        assert!(table(b"{}").unwrap_err().to_string().contains("not a list of members"));
    }
}
