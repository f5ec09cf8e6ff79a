//! `nostale check --export`: the models as other checkers read them.

use crate::{
    cli::{
        Refused,
        args::{Common, Export},
        models::Chosen,
        output,
    },
    report::{
        Format,
        outdir::{OutDir, slug},
    },
};
use nostale_notifier::{
    compile::{Case, DEFAULT, MemoryModel},
    export::{murphi, promela},
};
use std::{collections::BTreeSet, process::ExitCode};

/// Writes all of them or, if one cannot be written, none.
pub(super) fn export(chosen: &[Chosen], language: Export, common: &Common) -> Result<ExitCode, Refused> {
    if common.format != Format::Human {
        return Err(format!("--export writes a model, and --format {} is a form of results: leave one out", common.format).into());
    }
    let cases: Vec<_> = chosen.iter().flat_map(|chosen| chosen.cases.iter().map(move |case| (chosen, case))).collect();
    if common.out.is_none() && cases.len() > 1 {
        let (count, names) = (cases.len(), names(&cases));
        return Err(format!(
            "--export: {count} models are meant ({names}); choose one with --ordering and --memory-model, or write all with --out DIR"
        )
        .into());
    }
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let mut used = BTreeSet::new();
    for (Chosen { path, program, .. }, case) in cases {
        let who = format!("{path} {}", case.variant);
        let model = program.compile(&case.variant, case.memory).map_err(|wrong| format!("{who}: {wrong}"))?;
        let file = file_name(path, case, language, &mut used);
        let text = match language {
            Export::Murphi => murphi(&model, &file),
            Export::Promela => promela(&model, &file),
        };
        let text = text.map_err(|error| format!("{who}: {error}"))?;
        match &out {
            None => output::print(&text)?,
            Some(out) => out.write(&file, text.as_bytes())?,
        }
    }
    if let Some(path) = out.map(OutDir::commit).transpose()?
        && !common.quiet
    {
        eprintln!("{} models are in {}", used.len(), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The first few cases, to choose from.
fn names(cases: &[(&Chosen, &Case)]) -> String {
    const SHOWN: usize = 4;
    let one_file = cases.iter().all(|(chosen, _)| chosen.path == cases[0].0.path);
    let name = |(chosen, case): &(&Chosen, &Case)| {
        let path = if one_file { String::new() } else { format!("{} ", chosen.path) };
        let memory = if case.memory == MemoryModel::Sc { String::new() } else { format!(" under {}", case.memory.name()) };
        format!("{path}{}{memory}", case.variant)
    };
    let mut names: Vec<_> = cases.iter().take(SHOWN).map(name).collect();
    names.extend((cases.len() > SHOWN).then(|| "…".to_owned()));
    names.join(", ")
}

/// A name that says what it is, and is not used yet.
fn file_name(path: &str, case: &Case, language: Export, used: &mut BTreeSet<String>) -> String {
    let stem = path.rsplit('/').next().unwrap_or_default();
    let mut name = slug(stem.strip_suffix(".nst").unwrap_or(stem));
    if case.variant != DEFAULT {
        name += &format!("-{}", slug(&case.variant));
    }
    if case.memory != MemoryModel::Sc {
        name += &format!("-{}", case.memory.name());
    }
    let ending = match language {
        Export::Murphi => "m",
        Export::Promela => "pml",
    };
    let numbered = (2..).map(|number| format!("{name}-{number}.{ending}"));
    // Files of the same name in different directories are told apart by their order.
    let free = std::iter::once(format!("{name}.{ending}")).chain(numbered).find(|name| !used.contains(name));
    let free = free.unwrap_or_default();
    used.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_notifier::lang::ast::Expected;

    #[test]
    fn files_are_named_after_their_case_and_no_two_alike() {
        let case = |variant: &str, memory| Case { variant: variant.to_owned(), memory, expected: Expected::Holds, message: None };
        let mut used = BTreeSet::new();
        let mut name = |path: &str, case: &Case| file_name(path, case, Export::Promela, &mut used);
        assert_eq!(name("a/m.nst", &case(DEFAULT, MemoryModel::Sc)), "m.pml");
        assert_eq!(name("b/m.nst", &case(DEFAULT, MemoryModel::Sc)), "m-2.pml");
        assert_eq!(name("b/m.nst", &case("inside", MemoryModel::Tso)), "m-inside-tso.pml");
    }
}
