//! The page: one file without anything from elsewhere.

use std::fmt::Write;
use std::time::Duration;

use super::figures::{self, Operations};
use super::{picture, word};
use crate::check::{Checked, Verdict};
use crate::fault::Kind;
use crate::run::{Episode, Outcome};

const STYLE: &str = include_str!("style.css");

/// Reasons of one check that are shown; the rest is in the text.
const REASONS: usize = 20;

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A time for people.
pub fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        0.0 => "–".into(),
        tiny if tiny < 0.01 => format!("{:.1} ms", tiny * 1000.0),
        short if short < 1.0 => format!("{:.0} ms", short * 1000.0),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}

/// The whole page.
pub fn page(outcome: &Outcome) -> String {
    let (verdict, _) = word(&outcome.verdict());
    let class = class(&outcome.verdict());
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Redoubt under faults: {verdict}, seed {}</title>\n<style>{STYLE}</style></head><body>\n",
        outcome.seed
    );
    let _ = writeln!(
        html,
        "<header><h1>Redoubt under faults <span class=\"badge {class}\">{}</span></h1>\n<p>{}</p></header>",
        verdict.to_lowercase(),
        escaped(&facts(outcome))
    );
    html += &section("What was checked", &checks(&outcome.checked));
    html += &section("The run", &(legend() + &picture::picture(outcome)));
    let acknowledged = figures::acknowledged(&outcome.dots);
    html += &section("Faults by kind", &kinds(outcome, &acknowledged));
    html += &section("Operations", &operations(outcome));
    html += &section("Every fault", &episodes(&outcome.episodes, &acknowledged));
    html += &section("Nodes that ended by themselves", &ended(outcome));
    html += &section("To run it again", &again(outcome));
    html + "</body></html>\n"
}

fn facts(outcome: &Outcome) -> String {
    let operations = outcome.dots.len();
    let Outcome { nodes, ground, seed, episodes, .. } = outcome;
    format!(
        "{nodes} nodes on {ground} · {} of load · {operations} operations · {} faults · seed {seed}",
        shown(outcome.time),
        episodes.len()
    )
}

fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid(_) => "invalid",
        Verdict::Unknown(_) => "open",
    }
}

fn section(title: &str, inner: &str) -> String {
    if inner.is_empty() {
        return String::new();
    }
    format!("<section><h2>{title}</h2>\n{inner}</section>\n")
}

fn row(cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{cells}</tr>\n")
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    format!("<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>\n")
}

fn checks(checked: &[Checked]) -> String {
    let mut rows = String::new();
    for Checked { name, verdict, counts } in checked {
        let (told, reasons) = word(verdict);
        let badge =
            format!("<span class=\"badge {}\">{}</span>", class(verdict), told.to_lowercase());
        let counts: Vec<String> =
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let mut what = escaped(name);
        if !reasons.is_empty() {
            what += "<ul>";
            let shown = reasons.iter().take(REASONS);
            what.extend(shown.map(|reason| format!("<li><pre>{}</pre></li>", escaped(reason))));
            if reasons.len() > REASONS {
                what += &format!("<li>and {} more</li>", reasons.len() - REASONS);
            }
            what += "</ul>";
        }
        rows += &row(&[badge, what, escaped(&counts.join(", "))]);
    }
    table(&["verdict", "property", "looked at"], &rows)
}

fn legend() -> String {
    let mut html = String::from("<p class=\"legend\">");
    for (class, text) in [
        ("process", "processes"),
        ("network", "network"),
        ("machine", "clock, disk"),
        ("members", "membership"),
        ("together", "two at once"),
    ] {
        let _ = write!(html, "<span><i class=\"band {class}\"></i>{text}</span>");
    }
    for (class, text) in
        [("done", "acknowledged"), ("refused", "refused"), ("unknown", "no answer")]
    {
        let _ = write!(html, "<span><i class=\"spot {class}\"></i>{text}</span>");
    }
    html + "</p><p class=\"note\">A band is a fault, its paler end the time from healing until every \
            node was there and agreed on a leader. A dot is an operation: when it was asked, and how \
            long it took. Point at a band for what was done.</p>\n"
}

fn kinds(outcome: &Outcome, acknowledged: &[Duration]) -> String {
    let mut rows = String::new();
    let known = figures::kinds(&outcome.episodes, acknowledged);
    for (kind, known) in &known {
        let whole = known.whole.map_or("never".into(), shown);
        let (struck, felt) = (known.struck.to_string(), known.felt.to_string());
        rows += &row(&[named(*kind), struck, felt, shown(known.silence), whole]);
    }
    for (kind, why) in &outcome.impossible {
        let why = format!("not possible here: {}", escaped(why));
        rows += &row(&[named(*kind), why, String::new(), String::new(), String::new()]);
    }
    let heads = [
        "fault",
        "struck",
        "felt",
        "longest time without an acknowledgement",
        "longest time from healing to whole",
    ];
    table(&heads, &rows)
}

fn named(kind: Kind) -> String {
    format!("<i class=\"band {}\"></i>{}", picture::class(kind), kind.name())
}

fn operations(outcome: &Outcome) -> String {
    let mut rows = String::new();
    for (kind, operations) in figures::operations(&outcome.dots) {
        let Operations { done, refused, unknown, p50, p99, longest } = operations;
        let mut cells = vec![escaped(kind)];
        cells.extend([done, refused, unknown].map(|count| count.to_string()));
        cells.extend([p50, p99, longest].map(shown));
        rows += &row(&cells);
    }
    if rows.is_empty() {
        return String::new();
    }
    table(&["operation", "acknowledged", "refused", "no answer", "p50", "p99", "longest"], &rows)
}

fn episodes(episodes: &[Episode], acknowledged: &[Duration]) -> String {
    let mut rows = String::new();
    for episode in episodes {
        let Episode { kind, from, until, whole, what, effect } = episode;
        let whole = whole.map_or("never".into(), |whole| shown(whole.saturating_sub(*until)));
        let felt = if effect.felt() { "" } else { "<b>not felt:</b> " };
        rows += &row(&[
            format!("{:.1} s", from.as_secs_f64()),
            shown(*until - *from),
            named(*kind),
            escaped(what),
            format!("{felt}{}", escaped(effect.measured())),
            shown(figures::silence(episode, acknowledged)),
            whole,
        ]);
    }
    table(
        &["at", "for", "fault", "what was done", "what was measured", "silence", "whole after"],
        &rows,
    )
}

fn ended(outcome: &Outcome) -> String {
    let mut rows = String::new();
    for ended in &outcome.ended {
        let said = format!("<pre>{}</pre>", escaped(&ended.fall.said));
        let why = if ended.explained { "a disk was full" } else { "nothing explains it" };
        rows += &row(&[
            format!("{:.1} s", ended.at.as_secs_f64()),
            format!("node {}", ended.fall.node),
            ended.fall.status.to_string(),
            why.into(),
            said,
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    table(&["at", "who", "how", "why", "what it said last"], &rows)
}

fn again(outcome: &Outcome) -> String {
    let mut kinds: Vec<&str> = outcome.episodes.iter().map(|episode| episode.kind.name()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let all = kinds.len() + outcome.impossible.len() == Kind::ALL.len();
    let faults = if all { String::new() } else { format!(" FAULTS={}", kinds.join(",")) };
    let (seed, time, nodes) = (outcome.seed, outcome.faults_time.as_secs(), outcome.nodes);
    format!(
        "<pre>make jepsen SEED={seed} TIME={time} NODES={nodes}{faults}</pre>\n\
         <p class=\"note\">The seed fixes which faults are struck in which order, how long they \
         last, and what clients try; when the nodes answer is chance all the same.</p>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people_and_text_is_text() {
        let told = [0, 3, 250, 2_500, 61_000].map(|ms| shown(Duration::from_millis(ms)));
        assert_eq!(told, ["–", "3.0 ms", "250 ms", "2.5 s", "61 s"]);
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
