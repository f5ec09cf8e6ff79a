//! Murphi, for `rumur`.

use std::fmt::Write as _;

use super::{
    ExportError, head,
    names::Names,
    write::{Language, Writer, bare, line},
};
use crate::model::{Ask, Model};

/// What must not be the name of a variable. Compared without case.
const RESERVED: &[&str] = &[
    "alias",
    "array",
    "assert",
    "assume",
    "begin",
    "boolean",
    "by",
    "case",
    "clear",
    "const",
    "cover",
    "do",
    "else",
    "elsif",
    "end",
    "endalias",
    "endexists",
    "endfor",
    "endforall",
    "endfunction",
    "endif",
    "endprocedure",
    "endrecord",
    "endrule",
    "endruleset",
    "endstartstate",
    "endswitch",
    "endwhile",
    "enum",
    "error",
    "exists",
    "false",
    "for",
    "forall",
    "function",
    "if",
    "invariant",
    "ismember",
    "isundefined",
    "liveness",
    "multiset",
    "multisetadd",
    "multisetcount",
    "multisetremove",
    "of",
    "procedure",
    "process",
    "program",
    "property",
    "put",
    "real",
    "record",
    "return",
    "rule",
    "ruleset",
    "scalarset",
    "startstate",
    "switch",
    "symmetry",
    "then",
    "to",
    "traceuntil",
    "true",
    "type",
    "undefine",
    "union",
    "var",
    "while",
];

/// The model in Murphi: the same states, a rule for each step, and what our verdict says as invariants (also for deadlock), cover
/// properties (`sometimes`) and a liveness property (livelock; both are extensions of `rumur`).
///
/// `file` is the name of the file that it will be in, for the command lines in its head.
///
/// # Errors
/// Where the model cannot mean the same in Murphi.
pub fn murphi(model: &Model, file: &str) -> Result<String, ExportError> {
    let names = head::identifiers(model, &mut Names::new(RESERVED, false));
    let writer = Writer { language: Language::Murphi, names, offsets: Vec::new() };
    let (steps, properties) = (head::steps(model, &writer)?, head::properties(model, &writer)?);
    let finished = head::finished(model, &writer);

    let stem = file.strip_suffix(".m").unwrap_or(file);
    let mut out = String::new();
    let _ = write!(
        out,
        "-- {}\n\
         --\n\
         --   rumur --threads 1 --deadlock-detection off --value-type int32_t --output {stem}.c {file}\n\
         --   cc -O2 -mcx16 -o {stem} {stem}.c -lpthread -latomic && ./{stem}\n\
         --\n\
         -- Where nothing fails, its states are those of nostale; of the transitions it leaves out the first state's. Deadlock, where it counts, is an invariant.\n\n\
         var\n",
        head::origin(model)
    );
    for (var, name) in model.vars.iter().zip(&writer.names) {
        let mut domain = format!("{}..{}", var.domain.lo, var.domain.hi);
        if var.elements.len() > 1 {
            domain = format!("array[0..{}] of {domain}", var.elements.len() - 1);
        }
        line(&mut out, 2, &format!("{name}: {domain}; -- {}", head::legend(var)));
    }
    out.push_str("\nstartstate begin\n");
    for (var, name) in model.vars.iter().zip(&writer.names) {
        for (at, element) in var.elements.iter().enumerate() {
            let index = if var.elements.len() > 1 { format!("[{at}]") } else { String::new() };
            line(&mut out, 2, &format!("{name}{index} := {};", element.init));
        }
    }
    out.push_str("end;\n");
    for step in &steps {
        let _ = writeln!(out, "\nrule \"{}\" {} ==> begin", step.title, bare(&step.guard));
        writer.actions(&mut out, &step.actions, 2);
        out.push_str("end;\n");
    }
    out.push('\n');
    for property in &properties {
        let (title, condition) = (&property.title, &property.condition);
        let _ = match property.property.ask {
            Ask::Always => writeln!(out, "invariant \"{title}\" {};", bare(condition)),
            Ask::Finally => writeln!(out, "invariant \"{title}\" {finished} -> {condition};"),
            Ask::Sometimes => writeln!(out, "cover \"{title}\" {};", bare(condition)),
        };
    }
    // Steps of the same place differ in what they do only, many of them.
    let mut guards: Vec<&str> = Vec::new();
    for step in &steps {
        if !guards.contains(&step.guard.as_str()) {
            guards.push(&step.guard);
        }
    }
    let guards = if guards.is_empty() { "false".to_owned() } else { guards.join("\n  | ") };
    if model.forbid_deadlock {
        let _ = writeln!(out, "invariant \"no deadlock\"\n    {finished}\n  | {guards};");
    }
    if model.forbid_livelock && model.forbid_deadlock {
        let _ = writeln!(out, "liveness \"an end can be reached\" {};", bare(&finished));
    } else if model.forbid_livelock {
        let _ = writeln!(out, "liveness \"an end can be reached\"\n  {finished} | !(\n    {guards});");
    }
    Ok(out)
}
