//! The parts of the page that are the same for all results. Scripts share one scope, and come in the order in which they need each
//! other.

pub(super) const PAGE: &str = include_str!("assets/page.html");

const STYLES: [&str; 3] = [include_str!("assets/style.css"), include_str!("assets/parts.css"), include_str!("assets/print.css")];

const SCRIPTS: [&str; 15] = [
    include_str!("assets/dom.js"),
    include_str!("assets/units.js"),
    include_str!("assets/stages.js"),
    include_str!("assets/table.js"),
    include_str!("assets/timeline.js"),
    include_str!("assets/timelines.js"),
    include_str!("assets/latency.js"),
    include_str!("assets/orders.js"),
    include_str!("assets/rules.js"),
    include_str!("assets/compare.js"),
    include_str!("assets/run.js"),
    include_str!("assets/matrix.js"),
    include_str!("assets/mutate.js"),
    include_str!("assets/models.js"),
    include_str!("assets/page.js"),
];

pub(super) fn style() -> String {
    STYLES.join("\n")
}

/// In a scope of their own, so that a page has no names but these.
pub(super) fn script() -> String {
    format!("(() => {{\n'use strict';\n{}\n}})();\n", SCRIPTS.join("\n"))
}
