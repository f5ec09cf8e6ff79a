//! What both exports share: the names, the steps in plain form, and what the head of the file says.

use super::{
    ExportError,
    names::{Names, quotable},
    plain::Plain,
    write::Writer,
};
use crate::model::{Action, Expr, Model, Property, Step, Var};

/// A step, ready to be written.
pub(super) struct PlainStep {
    /// Who does what.
    pub(super) title: String,
    /// The program counter and the guard.
    pub(super) guard: String,
    pub(super) actions: Vec<Action>,
}

/// A property, ready to be written.
pub(super) struct PlainProperty<'m> {
    pub(super) property: &'m Property,
    pub(super) title: String,
    pub(super) condition: String,
}

pub(super) fn identifiers(model: &Model, names: &mut Names) -> Vec<String> {
    model.vars.iter().map(|var| names.identifier(&var.name)).collect()
}

pub(super) fn steps(model: &Model, writer: &Writer) -> Result<Vec<PlainStep>, ExportError> {
    // Rules must differ in their names; as texts, they differ in case, too.
    let mut titles = Names::new(&[], false);
    model.steps.iter().map(|step| plain_step(model, writer, &mut titles, step)).collect()
}

fn plain_step(model: &Model, writer: &Writer, titles: &mut Names, step: &Step) -> Result<PlainStep, ExportError> {
    let plain = Plain::new(model, &step.text, writer.language);
    let thread = model.threads.get(step.thread.0 as usize);
    let mut guards = Vec::new();
    if let (Some(from), Some(thread)) = (step.from, thread) {
        guards.push(writer.stands(thread.pc, from));
    }
    match plain.expr(&step.guard)? {
        Expr::Const(always) if always != 0 => {}
        guard => guards.push(writer.condition(&guard)),
    }
    let title = quotable(&format!("{}: {}", thread.map_or("?", |thread| &thread.name), step.text));
    Ok(PlainStep { title: titles.unique(title, " #"), guard: writer.all(&guards), actions: plain.actions(&step.actions)? })
}

pub(super) fn properties<'m>(model: &'m Model, writer: &Writer) -> Result<Vec<PlainProperty<'m>>, ExportError> {
    let mut titles = Names::new(&[], false);
    let plain = |property: &'m Property| {
        let condition = Plain::new(model, &property.text, writer.language).expr(&property.condition)?;
        let title = titles.unique(quotable(&property.text), " #");
        Ok(PlainProperty { property, title, condition: writer.condition(&condition) })
    };
    model.properties.iter().map(plain).collect()
}

/// All threads at their ends.
pub(super) fn finished(model: &Model, writer: &Writer) -> String {
    let ends: Vec<_> = model.threads.iter().map(|thread| writer.stands(thread.pc, thread.end)).collect();
    writer.all(&ends)
}

/// Where the file is from.
pub(super) fn origin(model: &Model) -> String {
    format!("{} ({}), exported by nostale check", quotable(&model.name), quotable(&model.variant))
}

/// A variable's own name, its elements, and the names of its values where they are not numbers.
pub(super) fn legend(var: &Var) -> String {
    let mut legend = if var.elements.len() > 1 {
        var.elements.iter().map(|element| element.name.as_str()).collect::<Vec<_>>().join(", ")
    } else {
        var.name.clone()
    };
    if let crate::model::Show::Names(names) = &var.domain.show {
        let values = (var.domain.lo..).zip(names.iter()).map(|(value, name)| format!("{value} {name}"));
        legend = format!("{legend}: {}", values.collect::<Vec<_>>().join(", "));
    }
    quotable(&legend)
}
