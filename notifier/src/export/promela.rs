//! Promela, for `spin`.

use std::fmt::Write as _;

use super::{
    ExportError, head,
    names::Names,
    write::{Language, Writer, bare, line, print},
};
use crate::model::{Ask, Domain, Model, Var};

/// What must not be the name of a variable: words of Promela, of C, and of the program that spin writes. Compared without case.
const RESERVED: &[&str] = &[
    "active",
    "and",
    "asm",
    "assert",
    "atomic",
    "auto",
    "bit",
    "bool",
    "break",
    "byte",
    "c_code",
    "c_decl",
    "c_expr",
    "c_state",
    "c_track",
    "case",
    "chan",
    "char",
    "const",
    "continue",
    "d_proctype",
    "d_step",
    "default",
    "do",
    "double",
    "else",
    "empty",
    "enabled",
    "end",
    "enum",
    "errno",
    "eval",
    "extern",
    "false",
    "fi",
    "float",
    "for",
    "full",
    "get_priority",
    "goto",
    "hidden",
    "i386",
    "if",
    "in",
    "init",
    "inline",
    "int",
    "len",
    "linux",
    "local",
    "long",
    "ltl",
    "mtype",
    "nempty",
    "never",
    "nfull",
    "notrace",
    "now",
    "nr_pr",
    "od",
    "of",
    "pc_value",
    "pid",
    "printf",
    "printm",
    "priority",
    "proctype",
    "provided",
    "rand",
    "register",
    "restrict",
    "return",
    "run",
    "select",
    "set_priority",
    "short",
    "show",
    "signed",
    "sizeof",
    "skip",
    "static",
    "stderr",
    "stdin",
    "stdout",
    "steps",
    "struct",
    "sv",
    "switch",
    "timeout",
    "trace",
    "trpt",
    "true",
    "typedef",
    "typeof",
    "uchar",
    "uint",
    "ulong",
    "union",
    "unix",
    "unless",
    "unsigned",
    "ushort",
    "void",
    "volatile",
    "wasnew",
    "while",
    "xr",
    "xs",
];

/// The model in Promela: one process whose every round takes one of the steps, over global variables, so that a state of spin is a
/// state of ours.
///
/// A violated property is an option of its own, whose only step is a failing assertion; a deadlock is an invalid end state. Each
/// `sometimes` is looked for by a search of its own. Livelock (of ours) cannot be said in Promela.
///
/// `file` is the name of the file that it will be in, for the command lines in its head.
///
/// # Errors
/// Where the model cannot mean the same in Promela.
pub fn promela(model: &Model, file: &str) -> Result<String, ExportError> {
    let names = head::identifiers(model, &mut Names::new(RESERVED, true));
    let offsets = model.vars.iter().map(offset).collect();
    let writer = Writer { language: Language::Promela, names, offsets };
    let (steps, properties) = (head::steps(model, &writer)?, head::properties(model, &writer)?);
    let sometimes = |ask| ask == Ask::Sometimes;

    let mut out = String::new();
    let _ = write!(
        out,
        "/* {}\n *\n\
         \x20*   spin -o3 -a {file}\n\
         \x20*   cc -O2 -DSAFETY -DNOREDUCE -o pan pan.c && ./pan -m1000000\n\
         \x20*\n\
         \x20* Where nothing fails, its states (stored) and transitions are those of nostale{}\n\
         {}\
         \x20* A shortest way to a violation: -DBFS instead of -DNOREDUCE; replay it with spin -t -p -g {file}\n",
        head::origin(model),
        if model.forbid_deadlock { ", but for one transition more for each finished state." } else { "." },
        if model.forbid_livelock { " * Livelock, which nostale forbids here, is not looked for by spin.\n" } else { "" },
    );
    for (number, property) in properties.iter().filter(|property| sometimes(property.property.ask)).enumerate() {
        let _ = writeln!(out, " * spin -DSOMETIMES={number} -o3 -a {file}: fails if {} comes true", property.title);
    }
    out.push_str(" */\n");
    for (var, name) in model.vars.iter().zip(&writer.names) {
        let _ = writeln!(out, "{} /* {} */", declaration(var, name), head::legend(var));
    }
    let _ = writeln!(out, "\n#define FINISHED {}", head::finished(model, &writer));
    out.push_str("\nactive proctype steps() {\n");
    // Where nobody minds a deadlock, every state is one to end in.
    out.push_str(if model.forbid_deadlock { "  do\n" } else { "end:\n  do\n" });
    for (number, property) in properties.iter().filter(|property| sometimes(property.property.ask)).enumerate() {
        let _ = writeln!(out, "#if defined(SOMETIMES) && SOMETIMES == {number}");
        assertion(&mut out, &writer, bare(&property.condition), &property.title);
        out.push_str("#endif\n");
    }
    out.push_str("#ifndef SOMETIMES\n");
    for property in properties.iter().filter(|property| !sometimes(property.property.ask)) {
        let finally = if property.property.ask == Ask::Finally { "FINISHED && " } else { "" };
        assertion(&mut out, &writer, &format!("{finally}!{}", enclosed(&property.condition)), &property.title);
    }
    out.push_str("#endif\n");
    if model.forbid_deadlock {
        line(&mut out, 2, ":: (FINISHED) /* not a deadlock */");
    }
    for step in &steps {
        line(&mut out, 2, &format!(":: d_step {{ ({}) -> {};", bare(&step.guard), print(&step.title)));
        writer.actions(&mut out, &step.actions, 6);
        line(&mut out, 4, "}");
    }
    out.push_str("  od\n}\n");
    Ok(out)
}

/// An option that can be taken where it must not come to that.
fn assertion(out: &mut String, writer: &Writer, when: &str, title: &str) {
    line(out, 2, &format!(":: d_step {{ ({when}) ->"));
    writer.fail(out, title, 6);
    line(out, 4, "}");
}

fn enclosed(condition: &str) -> String {
    format!("({})", bare(condition))
}

/// What is taken off the values of an array: a list of first values has no place for a sign in Promela.
fn offset(var: &Var) -> i32 {
    if var.domain.lo < 0 && !is_even(var) { var.domain.lo } else { 0 }
}

/// Whether all elements begin with the same value.
fn is_even(var: &Var) -> bool {
    var.elements.iter().all(|element| element.init == var.elements[0].init)
}

fn declaration(var: &Var, name: &str) -> String {
    let Domain { lo, hi, .. } = var.domain;
    let offset = offset(var);
    let type_name = match (i64::from(lo) - i64::from(offset), i64::from(hi) - i64::from(offset)) {
        (0, 1) => "bit",
        (0.., ..=255) => "byte",
        (-0x8000.., ..=0x7fff) => "short",
        _ => "int",
    };
    let values: Vec<_> = var.elements.iter().map(|element| (element.init - offset).to_string()).collect();
    match values.as_slice() {
        [value] => format!("{type_name} {name} = {value};"),
        values if is_even(var) => format!("{type_name} {name}[{}] = {};", values.len(), values[0]),
        values => format!("{type_name} {name}[{}] = {{ {} }};", values.len(), values.join(", ")),
    }
}
