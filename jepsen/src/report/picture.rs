//! The run as a picture: faults as bands, who led, how much was acknowledged, and every operation
//! as a dot by when it was asked and how long it took.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use super::page::escaped;
use crate::fault::Kind;
use crate::history::{Dot, Outcome as Became};
use crate::run::{Episode, Outcome};

/// Of one strip, in units of the picture.
const WIDTH: f64 = 1180.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const FAULTS: f64 = 44.0;
const LEADERS: f64 = 18.0;
const RATE: f64 = 48.0;
const LATENCY: f64 = 190.0;
const AXIS: f64 = 24.0;
const GAP: f64 = 10.0;
/// A longer run is cut into strips of this length.
const STRIP: Duration = Duration::from_secs(300);
/// Latencies from 100 µs to 100 s, as powers of ten of a second.
const POWERS: (f64, f64) = (-4.0, 2.0);
/// Dots of one outcome within a cell of this size are one.
const CELL: f64 = 2.0;

/// One stretch of time, and where it is drawn.
struct Strip {
    from: Duration,
    until: Duration,
    /// Its length on paper; the last one may be shorter.
    length: Duration,
}

impl Strip {
    fn x(&self, at: Duration) -> f64 {
        let at = at.clamp(self.from, self.until) - self.from;
        LEFT + (WIDTH - LEFT - RIGHT) * at.as_secs_f64() / self.length.as_secs_f64()
    }

    fn holds(&self, at: Duration) -> bool {
        at >= self.from && at < self.until
    }

    fn meets(&self, from: Duration, until: Duration) -> bool {
        from < self.until && until >= self.from
    }
}

const TOP_LEADERS: f64 = FAULTS + GAP;
const TOP_RATE: f64 = TOP_LEADERS + LEADERS + GAP;
const TOP_LATENCY: f64 = TOP_RATE + RATE + GAP;
const BOTTOM: f64 = TOP_LATENCY + LATENCY;
const HEIGHT: f64 = BOTTOM + AXIS;

/// All strips, one under the other.
pub fn picture(outcome: &Outcome) -> String {
    let length = outcome.time.min(STRIP).max(Duration::from_secs(1));
    let mut pictures = String::new();
    let mut from = Duration::ZERO;
    while from < outcome.time {
        let strip = Strip { from, until: (from + length).min(outcome.time), length };
        pictures += &draw(outcome, &strip);
        from += length;
    }
    pictures
}

fn draw(outcome: &Outcome, strip: &Strip) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"the run from {:.0} s to {:.0} s\">\n",
        strip.from.as_secs_f64(),
        strip.until.as_secs_f64()
    );
    svg += &axes(strip);
    svg += &faults(outcome, strip);
    svg += &leaders(outcome, strip);
    svg += &rate(&outcome.dots, strip);
    svg += &dots(&outcome.dots, strip);
    svg += &ends(outcome, strip);
    svg + "</svg>\n"
}

fn label(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>\n", escaped(text))
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, class: &str) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>\n"
    )
}

/// Names of the rows, powers of ten, seconds.
fn axes(strip: &Strip) -> String {
    let mut svg = String::new();
    for (name, middle) in [
        ("faults", FAULTS / 2.0),
        ("leader", TOP_LEADERS + LEADERS / 2.0),
        ("acks/s", TOP_RATE + RATE / 2.0),
    ] {
        svg += &label(LEFT - 8.0, middle + 4.0, "row", name);
    }
    for (power, name) in (-4..=2).zip(["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"])
    {
        let y = height(f64::from(power));
        svg += &line(LEFT, y, WIDTH - RIGHT, y, "grid");
        svg += &label(LEFT - 8.0, y + 4.0, "row", name);
    }
    let pace = if strip.length > Duration::from_secs(120) { 20 } else { 10 };
    let first = strip.from.as_secs().div_ceil(pace) * pace;
    for second in (first..=strip.until.as_secs()).step_by(pace as usize) {
        let x = strip.x(Duration::from_secs(second));
        svg += &line(x, TOP_RATE, x, BOTTOM, "grid");
        svg += &label(x, BOTTOM + 16.0, "tick", &format!("{second} s"));
    }
    svg
}

/// The colour's class of a kind: what it works upon.
pub fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::KillOne | Kind::KillAll | Kind::Pause | Kind::Restarts => "process",
        Kind::Halves | Kind::OneWay | Kind::Ring | Kind::LeaderAlone | Kind::Slow | Kind::Lossy => {
            "network"
        }
        Kind::Clock | Kind::Disk => "machine",
        Kind::Replace | Kind::Transfer => "members",
        Kind::Together => "together",
    }
}

/// Bands from strike to heal through the whole height, paler until all was whole again; names in
/// two rows, so that neighbours do not run into each other.
fn faults(outcome: &Outcome, strip: &Strip) -> String {
    let mut svg = String::new();
    for (n, episode) in outcome.episodes.iter().enumerate() {
        let end = episode.whole.unwrap_or(outcome.time);
        if strip.meets(episode.from, end) {
            svg += &band(n, episode, end, strip);
        }
    }
    svg
}

fn band(n: usize, episode: &Episode, end: Duration, strip: &Strip) -> String {
    let Episode { kind, from, until, what, effect, .. } = episode;
    let (x, healed, end) = (strip.x(*from), strip.x(*until), strip.x(end));
    let (class, told) = (class(*kind), escaped(&format!("{kind}: {what}; {}", effect.measured())));
    let rectangle = |x: f64, width: f64, class: &str| {
        let width = width.max(1.0);
        format!(
            "<rect x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{BOTTOM}\" class=\"band {class}\"/>\n"
        )
    };
    let mut svg = format!("<g><title>{told}</title>\n");
    svg += &rectangle(x, healed - x, class);
    svg += &rectangle(healed, end - healed, &format!("{class} healing"));
    let y = if n.is_multiple_of(2) { 15.0 } else { 37.0 };
    svg += &label(x + 3.0, y, "fault", kind.name());
    svg + "</g>\n"
}

/// Who led, with the term where there is room for it.
fn leaders(outcome: &Outcome, strip: &Strip) -> String {
    let mut svg = String::new();
    for (n, reign) in outcome.reigns.iter().enumerate() {
        // Seen last is not led last: it led until the next did, or was gone in between.
        let next = outcome.reigns.get(n + 1).map_or(outcome.time, |next| next.from);
        let until = next.min(reign.until + Duration::from_millis(400));
        if !strip.meets(reign.from, until) {
            continue;
        }
        let node = outcome.ids.get(&reign.leader).copied().unwrap_or_default();
        let (x, end) = (strip.x(reign.from), strip.x(until));
        let _ = writeln!(
            svg,
            "<g><title>node {node} led in term {}</title><rect x=\"{x:.1}\" y=\"{TOP_LEADERS}\" \
             width=\"{:.1}\" height=\"{LEADERS}\" class=\"leader n{}\"/>",
            reign.term,
            (end - x).max(1.0),
            node % 6
        );
        let y = TOP_LEADERS + 13.0;
        match end - x {
            room if room > 74.0 => {
                svg += &label(x + 4.0, y, "name", &format!("{node}, term {}", reign.term));
            }
            room if room > 14.0 => svg += &label(x + 4.0, y, "name", &node.to_string()),
            _ => {}
        }
        svg += "</g>\n";
    }
    svg
}

/// Acknowledgements a second, as columns.
fn rate(dots: &[Dot], strip: &Strip) -> String {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for dot in dots.iter().filter(|dot| dot.outcome == Became::Done) {
        *counts.entry((dot.asked + dot.took).as_secs()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(1).max(1);
    let bottom = TOP_RATE + RATE;
    let mut svg = line(LEFT, bottom, WIDTH - RIGHT, bottom, "grid");
    svg += &label(LEFT - 8.0, TOP_RATE + 8.0, "row small", &most.to_string());
    for (second, count) in counts {
        let at = Duration::from_secs(second);
        if !strip.holds(at) {
            continue;
        }
        let (x, end) = (strip.x(at), strip.x(at + Duration::from_secs(1)));
        let tall = RATE * f64::from(count) / f64::from(most);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" class=\"rate\">\
             <title>{count} in second {second}</title></rect>",
            bottom - tall,
            (end - x - 0.4).max(0.4)
        );
    }
    svg
}

fn height(power: f64) -> f64 {
    let (least, most) = POWERS;
    BOTTOM - LATENCY * ((power - least) / (most - least)).clamp(0.0, 1.0)
}

/// One path an outcome, with one short stroke for each cell that has a dot: however many there were,
/// the picture stays small. What is worse is drawn above what is better.
fn dots(dots: &[Dot], strip: &Strip) -> String {
    let mut cells: BTreeMap<Became, BTreeSet<(i64, i64)>> = BTreeMap::new();
    for dot in dots.iter().filter(|dot| strip.holds(dot.asked)) {
        let (x, y) = (strip.x(dot.asked), height(dot.took.as_secs_f64().max(1e-6).log10()));
        let cell = ((x / CELL) as i64, (y / CELL) as i64);
        cells.entry(dot.outcome).or_default().insert(cell);
    }
    let mut svg = String::new();
    for (outcome, cells) in cells {
        let mut path = String::new();
        for (x, y) in cells {
            let _ = write!(path, "M{:.0} {:.0}h.01", x as f64 * CELL, y as f64 * CELL);
        }
        let _ = writeln!(svg, "<path d=\"{path}\" class=\"dot {}\"/>", name(outcome));
    }
    svg
}

/// An outcome in one word.
pub fn name(outcome: Became) -> &'static str {
    match outcome {
        Became::Done => "done",
        Became::Refused => "refused",
        Became::Unknown => "unknown",
    }
}

/// Nodes that ended by themselves.
fn ends(outcome: &Outcome, strip: &Strip) -> String {
    let mut svg = String::new();
    for ended in outcome.ended.iter().filter(|ended| strip.holds(ended.at)) {
        let x = strip.x(ended.at);
        let class = if ended.explained { "end explained" } else { "end" };
        svg += &line(x, 0.0, x, BOTTOM, class);
        let text = format!("node {} ended", ended.fall.node);
        svg += &label(x + 3.0, TOP_LATENCY + 12.0, "ended", &text);
    }
    svg
}
