//! The tables of a comparison: a title that says how to read it, and a row for each difference.

use super::human::{s, words};
use crate::report::{
    columns::{Column, Columns},
    human::paint,
    text::{clean, hanging},
    units,
};
use anstyle::{AnsiColor, Style};
use nostale_notifier::trace::compare::{Comparison, Evidence, LatencyChange, LatencyDiff, OrderChange, OrderDiff, Seen};

/// What a row is of is not broken into lines shorter than this.
const NAME: Column = Column::Text(20);

/// Orders of one side, as likely rare as new or gone, that are shown.
const RARE: usize = 8;

/// A share as people read it: `41 %`, `0.03 %`.
pub(super) fn per_hundred(share: f64) -> String {
    match 100.0 * share {
        0.0 => "-".to_owned(),
        p if p < 0.001 => "<0.001 %".to_owned(),
        p if p < 0.1 => format!("{p:.3} %"),
        p if p < 9.95 => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// A digit of what is small, and up to three decimals of what is not.
fn probability(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p >= 0.995 => "1".to_owned(),
        Some(p) if p >= 0.1 => format!("{p:.2}"),
        Some(p) if p >= 0.001 => format!("{p:.3}"),
        Some(p) => format!("{p:.0e}"),
    }
}

fn ratio(ratio: Option<f64>, missing: &str) -> String {
    ratio.map_or_else(|| missing.to_owned(), |ratio| if ratio < 99.95 { format!("{ratio:.2}") } else { format!("{ratio:.0}") })
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (None, None) => "-".to_owned(),
        (low, high) => format!("{} … {}", ratio(low, "∞"), ratio(high, "∞")),
    }
}

/// As it was asked for, without what binary fractions add.
fn interval_title(alpha: f64) -> String {
    format!("{} % interval", (1e8 * (1.0 - alpha)).round() / 1e6)
}

/// A title in bold, and how to read what is below.
fn title(words: &str, explanation: &str, width: usize, color: bool) -> Vec<String> {
    let mut lines = hanging(&format!("{words}: "), explanation, width);
    lines[0] = lines[0].replacen(words, &paint::header(words, color), 1);
    lines
}

fn columns(kinds: impl IntoIterator<Item = Column>, titles: &[&str], color: bool) -> Columns {
    let mut columns = Columns::new(kinds);
    columns.header(titles.iter().map(|title| paint::header(title, color)).collect());
    columns
}

/// Orders with their operations, of these kinds.
fn orders(comparison: &Comparison, is_meant: impl Fn(&OrderDiff) -> bool) -> Vec<(String, &OrderDiff)> {
    let all = comparison.operations.iter().flat_map(|operation| operation.orders.iter().map(move |order| (operation, order)));
    let meant = all.filter(|(_, order)| is_meant(order));
    meant.map(|(operation, order)| (format!("{}: {}", clean(&operation.name), words(&order.order)), order)).collect()
}

/// How many orders are of a kind.
fn number(comparison: &Comparison, change: OrderChange) -> usize {
    orders(comparison, |order| order.change == change).len()
}

/// Orders that only one side has.
pub(super) fn come_and_gone(comparison: &Comparison, width: usize, color: bool) -> Vec<String> {
    let mut rows = orders(comparison, |order| matches!(order.change, OrderChange::New | OrderChange::Gone));
    if rows.is_empty() {
        return Vec::new();
    }
    let most = |order: &OrderDiff| order.a.invalidations.max(order.b.invalidations);
    rows.sort_by_key(|(_, order)| {
        (!order.relevant, !order.evidence.confident, std::cmp::Reverse(most(order)), order.change != OrderChange::New)
    });
    let telling = rows.iter().filter(|(_, order)| order.relevant || order.evidence.confident).count();
    let folded = rows.split_off(rows.len().min(telling + RARE));
    let explanation = "how many invalidations have them; p is the chance of that with no difference, - too few to tell";
    let mut lines = title("Orders that are new or gone", explanation, width, color);
    let kinds = [NAME, Column::Number, Column::Number, Column::Number, Column::Text(10)];
    let mut table = columns(kinds, &["order", "A", "B", "p", ""], color);
    let count = |seen: &Seen| if seen.invalidations == 0 { "-".to_owned() } else { units::count(seen.invalidations) };
    for (name, order) in rows {
        let (style, rest) = match (order.relevant, order.evidence.confident) {
            (true, _) => (AnsiColor::Red.on_default().bold(), ", relevant"),
            (false, true) => (AnsiColor::Yellow.on_default(), ""),
            (false, false) => (Style::new(), ", perhaps rare"),
        };
        let what = paint::painted(&format!("{}{rest}", order.change.name()), style, color);
        table.row(vec![name, count(&order.a), count(&order.b), probability(order.evidence.p_of_all), what]);
    }
    lines.extend(table.lines(width));
    if let Some(most) = folded.iter().map(|(_, order)| most(order)).max() {
        let (n, most) = (folded.len(), units::count(most));
        let text = format!("and {n} more that may be rare on both sides (at most {most} of each): --format json has them");
        lines.extend(hanging("", &text, width));
    }
    lines
}

/// Orders that both sides have, and whose shares have moved.
pub(super) fn frequencies(comparison: &Comparison, width: usize, color: bool) -> Vec<String> {
    let rows = orders(comparison, |order| matches!(order.change, OrderChange::More | OrderChange::Fewer | OrderChange::Spread));
    let (same, unknown) = (number(comparison, OrderChange::Same), number(comparison, OrderChange::Unknown));
    let rest = format!("{same} without a difference, {unknown} too rare to say");
    if rows.is_empty() {
        return if same + unknown == 0 {
            Vec::new()
        } else {
            title("Frequencies", &format!("none has moved; {rest}"), width, color)
        };
    }
    let explanation = format!("share of the operation's invalidations; the load of a host moves them, too; {rest}");
    let mut lines = title("Frequencies", &explanation, width, color);
    let kinds = [NAME].into_iter().chain([Column::Number; 5]).chain([Column::Text(6)]);
    let mut table = columns(kinds, &["order", "A", "B", "B : A", &interval_title(comparison.alpha), "p", ""], color);
    for (name, order) in rows {
        table.row(vec![
            name,
            per_hundred(order.a.share),
            per_hundred(order.b.share),
            ratio(order.ratio, "-"),
            interval(order.ratio_low, order.ratio_high),
            probability(order.evidence.p_of_all),
            paint::painted(order.change.name(), AnsiColor::Yellow.on_default(), color),
        ]);
    }
    lines.extend(table.lines(width));
    lines
}

/// Times that have moved.
pub(super) fn times(comparison: &Comparison, width: usize, color: bool) -> Vec<String> {
    let all = || comparison.operations.iter().flat_map(|operation| operation.latencies.iter().map(move |time| (operation, time)));
    let moved = |time: &LatencyDiff| matches!(time.change, LatencyChange::Longer | LatencyChange::Shorter);
    let mut rows: Vec<_> = all().filter(|(_, time)| moved(time)).collect();
    rows.sort_by_key(|(_, time)| std::cmp::Reverse(time.magnitude()));
    let unknown = all().filter(|(_, time)| time.change == LatencyChange::Unknown).count();
    let same = all().count() - rows.len() - unknown;
    let rest = format!("{same} without a difference, {unknown} with too little data");
    if rows.is_empty() {
        return if same + unknown == 0 { Vec::new() } else { title("Times", &format!("none has moved; {rest}"), width, color) };
    }
    let explanation = format!(
        "δ says how much likelier B's is the longer of two than the shorter (1: always); the load of a host moves them, too; {rest}"
    );
    let mut lines = title("Times", &explanation, width, color);
    let table = |with_p99: bool| {
        let p99 = usize::from(with_p99) * 2;
        let kinds = [NAME].into_iter().chain(std::iter::repeat_n(Column::Number, 5 + p99 + 1)).chain([Column::Text(7)]);
        let interval_title = interval_title(comparison.alpha);
        let mut titles = vec!["from → to", "A", "B"];
        titles.extend(["A p99", "B p99"].iter().take(p99));
        titles.extend(["B : A", interval_title.as_str(), "p", "δ", ""]);
        let mut table = columns(kinds, &titles, color);
        rows.iter().for_each(|(operation, time)| table.row(cells(&operation.name, time, with_p99, color)));
        table
    };
    let whole = table(true);
    lines.extend(if whole.least_width() <= width { whole } else { table(false) }.lines(width));
    let medians = rows.len();
    lines.extend(hanging("", &format!("A and B: the median{} of all", s(medians)), width));
    lines
}

fn cells(operation: &str, time: &LatencyDiff, with_p99: bool, color: bool) -> Vec<String> {
    let Evidence { p_of_all, .. } = time.evidence;
    let mut cells = vec![format!("{}: {} → {}", clean(operation), time.from.name(), time.to.name())];
    cells.extend([time.a.p50_ns, time.b.p50_ns].map(units::nanoseconds));
    if with_p99 {
        cells.extend([time.a.p99_ns, time.b.p99_ns].map(units::nanoseconds));
    }
    cells.extend([ratio(time.ratio, "-"), interval(time.ratio_low, time.ratio_high), probability(p_of_all)]);
    cells.push(format!("{:+.2}", time.cliffs_delta));
    let what = paint::painted(time.change.name(), AnsiColor::Yellow.on_default(), color);
    cells.push(format!("{what} ({})", time.magnitude().name()));
    cells
}
