//! A test in the step language.

use super::{
    program::Program,
    vocabulary::{Flag, Step, Virt},
};
use crate::lang::{Sources, format};
use std::fmt::Write;

/// What of a final state can be looked at: in the order of the threads, and then of the pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    /// As it is written.
    pub(super) name: String,
    /// Whether it is a flag as somebody saw it.
    pub(super) is_flag: bool,
}

/// What a file says beside its threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims<'a> {
    /// After `model`; nothing where nobody reads it.
    pub(super) title: &'a str,
    /// Items that follow the threads.
    pub(super) items: &'a str,
}

/// The threads of a test, by name, in order: the operator first.
pub(super) fn named(program: &Program) -> Vec<(&'static str, &[Step])> {
    let guests: &[&str] = if program.guests.len() == 1 { &["guest"] } else { &["vcpu0", "vcpu1"] };
    let guests = guests.iter().zip(&program.guests).map(|(name, steps)| (*name, &**steps));
    let third = Some(("third", &*program.third)).filter(|(_, steps)| !steps.is_empty());
    [("host", &*program.operator)].into_iter().chain(guests).chain(third).collect()
}

/// What there is to look at.
pub(super) fn columns(program: &Program) -> Vec<Column> {
    let mut columns = Vec::new();
    for (thread, steps) in named(program) {
        for (at, step) in steps.iter().enumerate() {
            if let Some(local) = local(steps, at) {
                columns.push(Column { name: format!("{thread}.{local}"), is_flag: matches!(step, Step::Look(_)) });
            }
        }
    }
    columns.extend(pages(program).into_iter().map(|(page, _)| Column { name: format!("{page}.data"), is_flag: false }));
    columns
}

/// The whole file, before it gets its layout.
pub(super) fn text(program: &Program, claims: &Claims<'_>) -> String {
    let mut text = String::new();
    if !claims.title.is_empty() {
        _ = writeln!(text, "model \"{}\"", claims.title);
    }
    text += "use memory\nuse operations\n\n";
    let pages = pages(program).into_iter().map(|(page, data)| match data {
        0 => page.to_string(),
        data => format!("{page} {{ data = {data} }}"),
    });
    _ = writeln!(text, "page {}", pages.collect::<Vec<_>>().join(", "));
    let virts = Virt::ALL.into_iter().filter(|virt| program.operates_on(*virt));
    let virts = virts.map(|virt| format!("{0} {{ pte = {1}; tlb = {1}; spte = {1} }}", virt_name(virt), first_page(virt)));
    _ = writeln!(text, "virt {}", virts.collect::<Vec<_>>().join(", "));
    let flags: Vec<&str> = Flag::ALL.into_iter().filter(|flag| program.looks_at(*flag)).map(flag_name).collect();
    if !flags.is_empty() {
        _ = writeln!(text, "flag {}", flags.join(", "));
    }
    text.push('\n');
    let mut news = [0; 2];
    let mut value = program.values().map_or(1, |values| values.first);
    for (name, steps) in named(program) {
        let side = if name == "third" { "host" } else { "guest" };
        let mut lines = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let local = local(steps, at).unwrap_or_default();
            lines.push(match step {
                Step::Remap(virt) | Step::Migrate(virt) => {
                    let op = if matches!(step, Step::Remap(_)) { "remap" } else { "migrate" };
                    let new = &mut news[*virt as usize];
                    *new += 1;
                    format!("{op}({}, {})", virt_name(*virt), char::from(first_page(*virt) as u8 + *new))
                }
                Step::Write(virt) => {
                    value += 1;
                    format!("{side}_write({}, {})", virt_name(*virt), value - 1)
                }
                Step::Add(virt) => format!("{side}_add({})", virt_name(*virt)),
                Step::Read(virt) => format!("let {local} = {side}_read({})", virt_name(*virt)),
                Step::Tell(flag) => format!("{} = true", flag_name(*flag)),
                Step::Look(flag) => format!("let {local} = {}", flag_name(*flag)),
            });
        }
        // A thread with something to remember has a line for each step.
        let remembers = lines.iter().any(|line| line.starts_with("let "));
        let (gap, between) = if remembers { ("\n", "\n") } else { (" ", "; ") };
        _ = writeln!(text, "thread {name} {{{gap}{}{gap}}}", lines.join(between));
    }
    _ = write!(text, "\n{}", claims.items);
    text
}

/// A text in the layout of the language.
pub(super) fn formatted(text: &str) -> Result<String, String> {
    let sources = Sources::new("generated", text);
    format(&sources, 0).map_err(|wrong| wrong.render(&sources, false))
}

/// What a step's value is remembered as, in its thread.
fn local(steps: &[Step], at: usize) -> Option<&'static str> {
    let reads = |steps: &[Step]| steps.iter().filter(|step| matches!(step, Step::Read(_))).count();
    Some(match steps[at] {
        Step::Look(Flag::Done) => "was_done",
        Step::Look(Flag::Told) => "known",
        Step::Read(_) if reads(steps) == 1 => "read",
        Step::Read(_) => ["first", "second", "third", "fourth", "fifth", "sixth"].get(reads(&steps[..at])).copied()?,
        _ => return None,
    })
}

fn virt_name(virt: Virt) -> &'static str {
    match virt {
        Virt::X => "x",
        Virt::Y => "y",
    }
}

fn flag_name(flag: Flag) -> &'static str {
    match flag {
        Flag::Done => "done",
        Flag::Told => "told",
    }
}

fn first_page(virt: Virt) -> char {
    match virt {
        Virt::X => 'A',
        Virt::Y => 'F',
    }
}

/// Pages by name, with what they hold at first: those that are mapped first, each followed by those that take its place.
fn pages(program: &Program) -> Vec<(char, usize)> {
    let news = program.values().map_or(0, |values| values.news);
    let mut pages = Vec::new();
    for virt in Virt::ALL.into_iter().filter(|virt| program.operates_on(*virt)) {
        pages.push((first_page(virt), 0));
        let mut remaps = 0;
        for step in &program.operator {
            remaps += usize::from(matches!(step, Step::Remap(_)));
            if step.operates_on() == Some(virt) {
                let (last, _) = pages[pages.len() - 1];
                let holds = if matches!(step, Step::Remap(_)) { remaps.min(news) } else { 0 };
                pages.push((char::from(last as u8 + 1), holds));
            }
        }
    }
    pages
}
