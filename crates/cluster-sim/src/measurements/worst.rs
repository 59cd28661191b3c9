//! Which of the worst days are lived through.

use std::time::Duration;

use cluster_gossip::SwimConfig;

use super::batch::run;
use crate::measure::{Absence, Came, Day, Path, Trouble, live_through, worst_days};

/// Worlds of each.
const SEEDS: usize = 5;

/// Prints what came of each; whether nobody who was well was declared failed by somebody who was.
pub(super) fn print(jobs: usize, seed: u64, nodes_max: usize) -> bool {
    let mut good = true;
    for (name, days) in
        [("Killed where paths are long", long_paths()), ("Many killed at once", mass()), ("Coming back", back())]
    {
        let days: Vec<Day> = days.into_iter().filter(|day| day.nodes <= nodes_max).collect();
        let came = run(jobs, days.len() * SEEDS, |i| live_through(&days[i / SEEDS], seed + (i % SEEDS) as u64));
        let came: Vec<Option<Came>> = came;
        good &= came.iter().all(|came| came.is_some_and(|came| came.wrong == 0));
        let rows =
            days.into_iter().zip(came.chunks(SEEDS)).map(|(day, came)| (day, came.iter().flatten().copied().collect()));
        println!("### {name}\n\n{}", worst_days(&rows.collect::<Vec<_>>()));
    }
    good
}

const fn lan() -> (&'static str, SwimConfig) {
    ("lan()", SwimConfig::lan())
}

const fn wan() -> (&'static str, SwimConfig) {
    ("wan()", SwimConfig::wan())
}

const fn day(nodes: usize, path: Path, swim: (&'static str, SwimConfig), trouble: Trouble) -> Day {
    Day { nodes, path, regions: None, swim, trouble }
}

const fn ms(low: u64, high: u64) -> Path {
    Path::between_us(low * 1_000, high * 1_000)
}

fn long_paths() -> Vec<Day> {
    let one = Trouble::Killed(1);
    let regions = |nodes, far, swim| Day { regions: Some(far), ..day(nodes, Path::LAN, swim, one) };
    vec![
        day(16, ms(100, 150), lan(), one),
        day(16, Path::WORLD, wan(), one),
        day(64, ms(80, 120), wan(), one),
        day(64, ms(100, 150), lan(), one),
        day(126, ms(250, 300), wan(), one),
        regions(63, ms(70, 80), lan()),
        regions(63, ms(70, 80), wan()),
        regions(5, ms(20, 30), lan()),
        regions(126, ms(100, 150), lan()),
        regions(126, ms(250, 300), wan()),
    ]
}

fn mass() -> Vec<Day> {
    let killed = |nodes, count| day(nodes, Path::LAN, lan(), Trouble::Killed(count));
    let busy = |nodes| day(nodes, Path::LAN, lan(), Trouble::KilledAmongBusy);
    vec![
        killed(16, 8),
        killed(16, 12),
        killed(16, 15),
        killed(100, 50),
        killed(100, 90),
        killed(300, 100),
        killed(1_000, 300),
        busy(3),
        busy(5),
        busy(16),
        busy(64),
    ]
}

fn back() -> Vec<Day> {
    let away = |nodes, path, count, seconds, how| {
        day(nodes, path, lan(), Trouble::Away(count, Duration::from_secs(seconds), how))
    };
    use Absence::{Blocked, Cut, Deaf, Stopped};
    vec![
        away(16, Path::METRO, 1, 44, Cut),
        away(16, Path::LAN, 1, 44, Cut),
        away(16, ms(100, 150), 1, 44, Cut),
        away(64, Path::METRO, 1, 120, Cut),
        away(64, Path::METRO, 21, 60, Cut),
        away(64, Path::METRO, 32, 120, Cut),
        away(64, Path::METRO, 2, 60, Deaf),
        away(64, Path::METRO, 21, 60, Stopped),
        away(128, Path::METRO, 1, 120, Cut),
        away(128, Path::METRO, 42, 44, Cut),
        away(128, Path::LAN, 8, 40, Blocked),
        away(128, Path::LAN, 32, 40, Blocked),
        away(300, Path::METRO, 1, 120, Cut),
    ]
}
