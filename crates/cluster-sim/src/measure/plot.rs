//! Outcomes as a page with two plots: time to notice a crash, and cost, over the number of nodes.

use super::{Conditions, Outcome, markdown};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 48.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#2a9d8f", "#e9a820", "#d1495b", "#6d597a"];

/// One line of a plot: what it is, and its points.
type Line = (String, Vec<(f64, f64)>);

/// A page of its own with all tables, and plots of the first: no script, no style from elsewhere.
#[must_use]
pub(crate) fn html(tables: &[(String, Vec<(Conditions, Outcome)>)]) -> String {
    let rows = tables.first().map_or(&[][..], |(_, rows)| rows);
    let losses: Vec<f64> = {
        let mut losses: Vec<f64> = rows.iter().map(|(conditions, _)| conditions.loss).collect();
        losses.sort_by(f64::total_cmp);
        losses.dedup();
        losses
    };
    let lines = |value: &dyn Fn(&Outcome) -> Option<f64>| -> Vec<Line> {
        let of_loss = |loss: f64| {
            let these = rows.iter().filter(|(c, _)| c.loss.total_cmp(&loss).is_eq() && !c.pauses);
            let points = these.filter_map(|(c, outcome)| Some((c.nodes as f64, value(outcome)?))).collect();
            (format!("{:.0} % loss", loss * 100.0), points)
        };
        losses.iter().map(|loss| of_loss(*loss)).collect()
    };
    let detection = lines(&|outcome| outcome.of_crashes(|crash| crash.all).median().filter(|all| all.is_finite()));
    let cost = lines(&|outcome| outcome.of_worlds(|world| world.bytes).median());
    format!(
        "<!doctype html><meta charset=utf-8><title>Membership</title>\
         <style>body{{font:14px sans-serif;margin:2em}}pre{{background:#f4f4f4;padding:1em}}text{{font:12px sans-serif}}</style>\
         <h1>Membership in figures</h1>\n{}\n{}\n<pre>{}</pre>\n",
        svg("Seconds from a crash until all others have declared it, median", &detection),
        svg("Bytes per node and second at rest, median", &cost),
        tables.iter().map(|(name, rows)| format!("{name}\n\n{}\n", markdown(rows))).collect::<String>(),
    )
}

fn svg(title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (low, high) = points().fold((f64::MAX, 1.0f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let top = points().map(|(_, y)| *y).fold(1.0f64, f64::max) * 1.1;
    let spread = (high / low.min(high)).ln().max(1e-9);
    let x = |value: f64| MARGIN + (value / low).ln() / spread * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - value / top * (HEIGHT - 2.0 * MARGIN);
    let mut body = format!("<text x={MARGIN} y=20>{title}</text>");
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        body += &format!(
            "<line x1={MARGIN} x2={:.0} y1={at:.0} y2={at:.0} stroke=#ddd /><text x=4 y={at:.0}>{value:.1}</text>",
            WIDTH - MARGIN,
            at = y(value),
        );
    }
    let mut sizes: Vec<f64> = points().map(|(x, _)| *x).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        body += &format!("<text x={:.0} y={:.0} text-anchor=middle>{size}</text>", x(size), HEIGHT - MARGIN + 16.0);
    }
    for (i, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let path: Vec<String> = points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let path = path.join(" ");
        body += &format!("<polyline points='{path}' fill=none stroke='{colour}' stroke-width=2 />");
        let (at, left) = (36 + 14 * i, WIDTH - MARGIN - 60.0);
        body += &format!("<text x={left} y={at} fill='{colour}'>{name}</text>");
    }
    format!("<svg width={WIDTH} height={HEIGHT} viewBox='0 0 {WIDTH} {HEIGHT}'>{body}</svg>")
}
